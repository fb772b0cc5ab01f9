//! The keys of all measurements with CURVE: those of libzmq's manual, which everybody knows.

use scale0::security::Security;
use scale0::security::curve::{KeyPair, PublicKey, SecretKey};

use crate::Failure;

pub const SERVER: &str = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7";
pub const SERVER_SECRET: &str = "JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6";
pub const CLIENT_SECRET: &str = "D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs";

/// The side that binds.
pub fn server() -> Result<Security, Failure> {
    let own = KeyPair::new(SERVER_SECRET.parse::<SecretKey>()?);
    Ok(Security::CurveServer { own })
}

/// The side that connects.
pub fn client() -> Result<Security, Failure> {
    Ok(Security::CurveClient {
        own: KeyPair::new(CLIENT_SECRET.parse::<SecretKey>()?),
        server: SERVER.parse::<PublicKey>()?,
    })
}
