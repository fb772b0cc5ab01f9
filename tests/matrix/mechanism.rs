//! Security mechanisms: each, on each side of it, is one more column of the matrix.

use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;

use scale0::auth::{Authenticator, Request};
use scale0::security::curve::{KeyPair, PublicKey};
use scale0::security::{Credentials, Security, User, Verdict};
use scale0::socket::Options;

/// Which, and which side we play.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mechanism {
    Null,
    PlainClient,
    PlainServer,
    CurveClient,
    CurveServer,
}

impl Mechanism {
    pub(crate) const ALL: [Self; 5] = [
        Self::Null,
        Self::PlainClient,
        Self::PlainServer,
        Self::CurveClient,
        Self::CurveServer,
    ];

    /// What our socket needs for it.
    pub(crate) fn options(self) -> Options {
        let security = match self {
            Self::Null => Security::Null,
            Self::PlainClient => Security::PlainClient {
                user: NAME.into(),
                password: PASSWORD.as_bytes().to_vec().into(),
            },
            Self::PlainServer => Security::PlainServer,
            Self::CurveClient => Security::CurveClient {
                own: pair(CLIENT),
                server: pair(SERVER).public,
            },
            Self::CurveServer => Security::CurveServer { own: pair(SERVER) },
        };
        Options {
            security,
            authenticator: Some(Arc::new(Door)),
            ..Options::default()
        }
    }

    /// What theirs needs for it.
    pub(crate) fn words(self) -> Vec<String> {
        let ((client, client_secret), (server, server_secret)) = (CLIENT, SERVER);
        let words = match self {
            Self::Null => "mechanism=null".to_owned(),
            Self::PlainClient => {
                format!("mechanism=plain-server user={NAME} password={PASSWORD}")
            }
            Self::PlainServer => {
                format!("mechanism=plain-client user={NAME} password={PASSWORD}")
            }
            Self::CurveClient => format!("mechanism=curve-server secret={server_secret}"),
            Self::CurveServer => format!(
                "mechanism=curve-client server={server} public={client} secret={client_secret}"
            ),
        };
        words.split(' ').map(str::to_owned).collect()
    }
}

/// Lets the one client in, and nobody else.
#[derive(Debug)]
struct Door;

impl Authenticator for Door {
    fn check(&self, request: Request) -> Pin<Box<dyn Future<Output = Verdict> + Send>> {
        let name = NAME.into();
        let verdict = match request.credentials {
            Credentials::Plain { user, password }
                if user == NAME && password[..] == *PASSWORD.as_bytes() =>
            {
                Verdict::Admit(User { name, key: None })
            }
            Credentials::Curve { key } if key == pair(CLIENT).public => Verdict::Admit(User {
                name,
                key: Some(key),
            }),
            _ => Verdict::Deny,
        };
        Box::pin(ready(verdict))
    }
}

fn pair((public, secret): (&str, &str)) -> KeyPair {
    let pair = KeyPair::new(secret.parse().unwrap());
    assert_eq!(pair.public, public.parse::<PublicKey>().unwrap());
    pair
}

const NAME: &str = "admin";
const PASSWORD: &str = "secret";
/// The key pairs of libzmq's manual.
const CLIENT: (&str, &str) = (
    "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID",
    "D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs",
);
const SERVER: (&str, &str) = (
    "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7",
    "JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6",
);
