//! Streams, clocks and waiting: what the deciding floors are kept free of. From here up, code
//! does things.

mod allowance;
mod carried;
mod clock;
mod dial;
mod link;
mod listen;
mod pending;
mod redial;
mod stream;
mod transport;

pub use allowance::{Allowance, network};
pub use carried::Carried;
pub use clock::Clock;
pub use dial::dial;
pub use link::{Link, LinkError};
pub use listen::{BindError, Listener};
pub use pending::{Pending, Ticket};
pub use redial::Backoff;
pub use stream::{Address, ReadHalf, WriteHalf};
pub use transport::{Keepalive, Transport};

/// Fresh randomness from the system.
///
/// # Errors
/// The system has none to give.
pub fn entropy() -> std::io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(std::io::Error::other)?;
    Ok(seed)
}
