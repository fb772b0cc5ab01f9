//! Mechanisms, keys and passwords, as they are typed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use scale0::auth::{
    Authenticator, Authorized, Notice, Passwords, public_key, read_pair, read_password,
};
use scale0::net::entropy;
use scale0::security::Security;
use scale0::security::curve::{KeyPair, SecretKey};
use scale0::wire::Endpoint;

use crate::exit::Failed;

/// Who we are to a server.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ClientSecurity {
    /// CURVE: the server's public key, 40 characters of Z85 or a file like broker.key
    // A key of Z85 may begin with a minus.
    #[arg(
        long,
        value_name = "KEY",
        help_heading = "Security",
        allow_hyphen_values = true
    )]
    pub(crate) curve_server_key: Option<String>,
    /// CURVE: the file with our own key pair, like ann.key_secret [default: a pair that is made for
    /// this run]
    #[arg(long, value_name = "FILE", help_heading = "Security")]
    pub(crate) curve_secret: Option<PathBuf>,
    /// PLAIN: our name; it and the password travel in the clear
    #[arg(
        long,
        value_name = "NAME",
        help_heading = "Security",
        requires = "plain_password_file",
        conflicts_with = "curve_server_key"
    )]
    pub(crate) plain_user: Option<String>,
    /// PLAIN: the file whose first line is our password
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "Security",
        requires = "plain_user"
    )]
    pub(crate) plain_password_file: Option<PathBuf>,
}

impl ClientSecurity {
    /// The mechanism, and our side of it.
    pub(crate) fn read(&self) -> Result<Security, Failed> {
        if let (Some(user), Some(file)) = (&self.plain_user, &self.plain_password_file) {
            if user.len() > 255 {
                let text = "--plain-user: a name has at most 255 bytes";
                return Err(Failed::Usage(text.to_owned()));
            }
            let (password, notice) = read_password(file).map_err(Failed::usage)?;
            say_all(notice.as_ref());
            return Ok(Security::PlainClient {
                user: user.clone().into(),
                password: password.into_bytes(),
            });
        }
        match (&self.curve_server_key, &self.curve_secret) {
            (None, None) => Ok(Security::Null),
            (None, Some(_)) => Err(Failed::Usage(
                "--curve-secret alone tells nobody from nobody: name the server with --curve-server-key"
                    .to_owned(),
            )),
            (Some(server), own) => Ok(Security::CurveClient {
                server: public_key(server).map_err(Failed::usage)?,
                own: match own {
                    Some(file) => pair(file)?,
                    None => KeyPair::new(SecretKey::from_bytes(entropy()?)),
                },
            }),
        }
    }
}

/// Who may come in to a server.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ServerSecurity<'a> {
    pub(crate) curve_secret: Option<&'a Path>,
    pub(crate) authorized_clients: Option<&'a Path>,
    pub(crate) plain: Option<&'a Path>,
}

/// A mechanism, and who answers for its peers.
pub(crate) type Guarded = (Security, Option<Arc<dyn Authenticator>>);

impl ServerSecurity<'_> {
    /// The mechanism, our side of it, and who answers for those who come.
    pub(crate) fn read(self) -> Result<Guarded, Failed> {
        let usage = |text: &str| Err(Failed::Usage(text.to_owned()));
        match (self.curve_secret, self.authorized_clients, self.plain) {
            (None, None, None) => Ok((Security::Null, None)),
            (None, None, Some(file)) => {
                let passwords = Passwords::open(file, say).map_err(Failed::usage)?;
                Ok((Security::PlainServer, Some(Arc::new(passwords))))
            }
            (Some(secret), Some(clients), None) => {
                let own = pair(secret)?;
                let authorized = if clients == Path::new(ANYBODY) {
                    Authorized::any()
                } else {
                    Authorized::open(clients, say)?
                };
                Ok((Security::CurveServer { own }, Some(Arc::new(authorized))))
            }
            (Some(_), None, None) => usage(
                "curve-secret needs authorized-clients: a directory with the *.key files of those who may come in, or `any`",
            ),
            (None, Some(_), None) => usage(
                "authorized-clients needs curve-secret, the file with the server's own keys: `scale0 keygen --out NAME` makes it",
            ),
            (_, _, Some(_)) => usage("plain and curve-secret are two mechanisms: choose one"),
        }
    }
}

/// Refuses to have passwords sent in the clear between machines.
pub(crate) fn keep_plain_local<'a>(
    security: &Security,
    allowed: bool,
    endpoints: impl IntoIterator<Item = &'a Endpoint>,
) -> Result<(), Failed> {
    let remote = endpoints.into_iter().find(|endpoint| !endpoint.is_local());
    match remote {
        Some(endpoint) if matches!(security, Security::PlainServer) && !allowed => {
            Err(Failed::Usage(format!(
                "{endpoint} can be reached from other machines, and PLAIN sends passwords in the clear: use CURVE, or say allow-plain-remote if the network is trusted"
            )))
        }
        _ => Ok(()),
    }
}

/// What there is to say about an endpoint that others can reach.
pub(crate) fn exposure(security: &Security, endpoint: &Endpoint) -> Option<String> {
    (!endpoint.is_local() && matches!(security, Security::Null)).then(|| {
        format!("warning: {endpoint} can be reached from other machines, and there is no security: whoever reaches it is served")
    })
}

fn pair(file: &Path) -> Result<KeyPair, Failed> {
    let (pair, notice) = read_pair(file).map_err(Failed::usage)?;
    say_all(notice.as_ref());
    Ok(pair)
}

fn say_all<'a>(notices: impl IntoIterator<Item = &'a Notice>) {
    notices.into_iter().for_each(say);
}

fn say(notice: &Notice) {
    tracing::warn!("{notice}");
}

/// Instead of a directory: whoever has a key may come in.
const ANYBODY: &str = "any";
