//! scale0

pub mod broker;
pub mod limits;
#[cfg(feature = "net")]
pub mod net;
pub mod protocol;
#[cfg(feature = "sdk")]
pub mod sdk;
pub mod security;
#[cfg(feature = "server")]
pub mod server;
pub mod session;
pub mod time;
pub mod wire;

#[cfg(feature = "sdk")]
pub use sdk::{Client, Task, Worker};
