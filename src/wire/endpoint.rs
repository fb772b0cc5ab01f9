//! Endpoints, the addresses of ZeroMQ: `tcp://host:port`, `ipc://path`, `ipc://@name`,
//! `inproc://name`.

use std::fmt;
use std::str::FromStr;

/// Where to bind or to connect.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Endpoint {
    /// TCP. Port 0 (or `*`) lets the system choose when binding.
    Tcp {
        /// The host.
        host: Host,
        /// The port.
        port: u16,
    },
    /// A Unix domain socket in the file system.
    Ipc {
        /// Its path.
        path: String,
    },
    /// A Unix domain socket in Linux's abstract namespace, written `ipc://@name`.
    Abstract {
        /// Its name, without the `@`.
        name: String,
    },
    /// Another socket of the same process.
    Inproc {
        /// The name it is bound to, of 1 to 255 bytes.
        name: String,
    },
}

/// The host of a TCP endpoint.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Host {
    /// `*`: every IPv4 address of this machine; for binding only.
    Any,
    /// A literal address.
    Address(std::net::IpAddr),
    /// A name to resolve. Connecting tries all its addresses in their order; binding takes the
    /// first that can be bound, and no other.
    Name(String),
}

/// Why a text is no endpoint.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// No `://`.
    #[error(
        "`{text}` is no endpoint: write it like tcp://127.0.0.1:5555 or ipc:///run/scale0.sock"
    )]
    NoScheme {
        /// What was given.
        text: String,
    },
    /// A transport that is not there.
    #[error("`{scheme}` is no transport here: tcp, ipc and inproc are")]
    Scheme {
        /// What was given.
        scheme: String,
    },
    /// No port, or one that is no number.
    #[error("`{text}` needs a port from 0 to 65535 after the last colon, or `*`")]
    Port {
        /// What was given.
        text: String,
    },
    /// A host that cannot be one.
    #[error(
        "`{host}` is no host: give a name, an IPv4 address, an IPv6 address in brackets, or `*`"
    )]
    Host {
        /// What was given.
        host: String,
    },
    /// A name that no inproc endpoint can have.
    #[error("inproc name of {len} bytes: it needs 1 to 255")]
    Name {
        /// Its length.
        len: usize,
    },
    /// A path that no socket can have.
    #[error("ipc path of {len} bytes: it needs 1 to {limit}, and no zero byte")]
    Path {
        /// Its length.
        len: usize,
        /// The system's limit.
        limit: usize,
    },
}

impl Endpoint {
    /// Whether only this machine can reach it: loopback addresses and ipc.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp {
                host: Host::Address(address),
                ..
            } => address.to_canonical().is_loopback(),
            Self::Tcp {
                host: Host::Name(name),
                ..
            } => name.eq_ignore_ascii_case("localhost"),
            Self::Tcp {
                host: Host::Any, ..
            } => false,
            Self::Ipc { .. } | Self::Abstract { .. } | Self::Inproc { .. } => true,
        }
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| EndpointError::NoScheme {
                text: text.to_owned(),
            })?;
        match scheme {
            "tcp" => read_tcp(rest),
            "ipc" => read_ipc(rest),
            "inproc" if !rest.is_empty() && rest.len() <= 255 => Ok(Self::Inproc {
                name: rest.to_owned(),
            }),
            "inproc" => Err(EndpointError::Name { len: rest.len() }),
            _ => Err(EndpointError::Scheme {
                scheme: scheme.to_owned(),
            }),
        }
    }
}

impl TryFrom<&str> for Endpoint {
    type Error = EndpointError;

    fn try_from(text: &str) -> Result<Self, EndpointError> {
        text.parse()
    }
}

impl TryFrom<String> for Endpoint {
    type Error = EndpointError;

    fn try_from(text: String) -> Result<Self, EndpointError> {
        text.parse()
    }
}

impl TryFrom<&Endpoint> for Endpoint {
    type Error = EndpointError;

    fn try_from(endpoint: &Endpoint) -> Result<Self, EndpointError> {
        Ok(endpoint.clone())
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp {
                host: Host::Any,
                port,
            } => write!(f, "tcp://*:{port}"),
            Self::Tcp {
                host: Host::Name(name),
                port,
            } => write!(f, "tcp://{name}:{port}"),
            Self::Tcp {
                host: Host::Address(address),
                port,
            } => write!(f, "tcp://{}", std::net::SocketAddr::new(*address, *port)),
            Self::Ipc { path } => write!(f, "ipc://{path}"),
            Self::Abstract { name } => write!(f, "ipc://@{name}"),
            Self::Inproc { name } => write!(f, "inproc://{name}"),
        }
    }
}

fn read_tcp(text: &str) -> Result<Endpoint, EndpointError> {
    let bad_port = || EndpointError::Port {
        text: text.to_owned(),
    };
    let (host, port) = text.rsplit_once(':').ok_or_else(bad_port)?;
    let port = match port {
        "*" => 0,
        digits if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
            digits.parse().map_err(|_| bad_port())?
        }
        _ => return Err(bad_port()),
    };
    Ok(Endpoint::Tcp {
        host: read_host(host)?,
        port,
    })
}

fn read_host(host: &str) -> Result<Host, EndpointError> {
    let bad_host = || EndpointError::Host {
        host: host.to_owned(),
    };
    if host == "*" {
        return Ok(Host::Any);
    }
    if let Some(inner) = host.strip_prefix('[') {
        let inner = inner.strip_suffix(']').ok_or_else(bad_host)?;
        return inner
            .parse()
            .map(|v6| Host::Address(std::net::IpAddr::V6(v6)))
            .map_err(|_| bad_host());
    }
    if let Ok(v4) = host.parse() {
        return Ok(Host::Address(std::net::IpAddr::V4(v4)));
    }
    let plausible = !host.is_empty()
        && host.len() <= 253
        && host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    if plausible {
        Ok(Host::Name(host.to_owned()))
    } else {
        Err(bad_host())
    }
}

fn read_ipc(path: &str) -> Result<Endpoint, EndpointError> {
    let name = path.strip_prefix('@');
    let len = name.unwrap_or(path).len();
    if len == 0 || len > MAX_PATH || path.contains('\0') {
        return Err(EndpointError::Path {
            len,
            limit: MAX_PATH,
        });
    }
    Ok(match name {
        Some(name) => Endpoint::Abstract {
            name: name.to_owned(),
        },
        None => Endpoint::Ipc {
            path: path.to_owned(),
        },
    })
}

/// sun_path holds 108 bytes, one of them for the zero at the end or in front.
const MAX_PATH: usize = 107;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_read_and_print_alike() {
        for text in [
            "tcp://127.0.0.1:5555",
            "tcp://[::1]:0",
            "tcp://*:80",
            "tcp://broker.local:1",
            "ipc:///tmp/s",
            "ipc://@name",
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
        assert_eq!(
            "tcp://*:*".parse::<Endpoint>().unwrap().to_string(),
            "tcp://*:0"
        );
    }

    #[test]
    fn what_is_no_endpoint_says_why() {
        let error = |text: &str| text.parse::<Endpoint>().unwrap_err();
        assert!(matches!(
            error("127.0.0.1:5555"),
            EndpointError::NoScheme { .. }
        ));
        assert!(matches!(
            error("udp://127.0.0.1:5555"),
            EndpointError::Scheme { .. }
        ));
        for text in [
            "tcp://127.0.0.1",
            "tcp://h:",
            "tcp://h:65536",
            "tcp://h:+1",
            "tcp://h:http",
        ] {
            assert!(matches!(error(text), EndpointError::Port { .. }), "{text}");
        }
        for text in [
            "tcp://:1",
            "tcp://[::1:1",
            "tcp://::1:1",
            "tcp://a b:1",
            "tcp://[localhost]:1",
        ] {
            assert!(matches!(error(text), EndpointError::Host { .. }), "{text}");
        }
        assert_eq!(error("ipc://"), EndpointError::Path { len: 0, limit: 107 });
        assert_eq!(
            error(&format!("ipc://{}", "x".repeat(108))),
            EndpointError::Path {
                len: 108,
                limit: 107
            }
        );
    }

    #[test]
    fn local_is_what_only_this_machine_reaches() {
        let local = |text: &str| text.parse::<Endpoint>().unwrap().is_local();
        assert!(
            local("tcp://127.9.9.9:1")
                && local("tcp://[::1]:1")
                && local("tcp://localhost:1")
                && local("ipc:///x")
        );
        assert!(
            !local("tcp://*:1")
                && !local("tcp://0.0.0.0:1")
                && !local("tcp://10.0.0.1:1")
                && !local("tcp://[::]:1")
        );
    }
}
