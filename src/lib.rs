//! scale0

pub mod broker;
pub mod limits;
pub mod protocol;
pub mod security;
pub mod session;
pub mod time;
pub mod wire;
