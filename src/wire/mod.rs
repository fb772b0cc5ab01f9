//! ZMTP 3.1 bytes to values and back (RFC 23, RFC 37): greeting, frames, commands, metadata,
//! and the two vocabularies that go with them, socket types and endpoints.
//!
//! Nothing here knows a conversation: what may follow what is the session's business.

mod command;
mod endpoint;
mod error;
mod explain;
mod greeting;
mod header;
mod kind;
mod message;
mod metadata;

pub use command::{Command, Ping};
pub use endpoint::{Endpoint, EndpointError, Host};
pub use error::Error;
pub use explain::{Explainer, hex, printable};
pub use greeting::{Greeting, MechanismName};
pub use header::Header;
pub use kind::SocketType;
pub use message::{Builder, Message, Parts, Piece};
pub use metadata::{Metadata, Properties, PropertyError, push_property};
