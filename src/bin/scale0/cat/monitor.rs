//! What happens to connections, told on stderr.

use std::sync::Arc;

use scale0::security::User;
use scale0::socket::{Event, Socket};
use scale0::wire::printable;
use tokio::task::JoinHandle;

use super::trace::Trace;
use crate::output::tell;

/// Tells a socket's events until it is closed, if they are wanted, and the trace of the ends of
/// connections.
pub(crate) fn start(socket: &Socket, wanted: bool, trace: Option<Arc<Trace>>) -> JoinHandle<()> {
    let mut monitor = socket.monitor();
    tokio::spawn(async move {
        while let Some(event) = monitor.next().await {
            if let (Some(trace), Some(connection)) = (&trace, ended(&event)) {
                trace.end(connection);
            }
            if wanted {
                tell(format_args!("monitor: {}", line(&event)));
            }
        }
    })
}

/// The connection whose end this is.
fn ended(event: &Event) -> Option<u64> {
    match event {
        Event::HandshakeFailed { connection, .. } | Event::Disconnected { connection, .. } => {
            Some(*connection)
        }
        _ => None,
    }
}

/// The event's name, the number of its connection if it has one, the endpoint, and what else there
/// is.
fn line(event: &Event) -> String {
    match event {
        Event::Listening { endpoint } => format!("listening {endpoint}"),
        Event::BindFailed { endpoint, reason } => format!("bind-failed {endpoint}: {reason}"),
        Event::Unbound { endpoint } => format!("unbound {endpoint}"),
        Event::Accepted {
            connection,
            endpoint,
            address,
        } => format!("accepted {connection} {endpoint} from {address}"),
        Event::AcceptFailed { endpoint, reason } => format!("accept-failed {endpoint}: {reason}"),
        Event::Rejected {
            endpoint,
            address,
            limit,
        } => format!("rejected {endpoint} from {address}: {limit}"),
        Event::Connecting { endpoint } => format!("connecting {endpoint}"),
        Event::Connected {
            connection,
            endpoint,
        } => format!("connected {connection} {endpoint}"),
        Event::Retrying {
            endpoint,
            after,
            reason,
        } => format!("retrying {endpoint} in {} ms: {reason}", after.as_millis()),
        Event::GivenUp { endpoint, reason } => format!("given-up {endpoint}: {reason}"),
        Event::Opened {
            connection,
            endpoint,
            peer,
            identity,
            properties,
            user,
        } => format!(
            "opened {connection} {endpoint} with {peer}{}{}{}",
            name(identity),
            admitted(user.as_ref()),
            says(properties)
        ),
        Event::HandshakeFailed {
            connection,
            endpoint,
            reason,
        } => format!("handshake-failed {connection} {endpoint}: {reason}"),
        Event::Disconnected {
            connection,
            endpoint,
            reason,
        } => format!("disconnected {connection} {endpoint}: {reason}"),
        Event::Missed(events) => format!("missed {events}"),
        other => format!("{other:?}"),
    }
}

/// As whom a peer was let in: ` user ann`.
fn admitted(user: Option<&User>) -> String {
    user.map(|user| format!(" user {}", user.name.escape_ascii()))
        .unwrap_or_default()
}

/// What else a peer says of itself: ` X-Room=kitchen`.
fn says(properties: &[(bytes::Bytes, bytes::Bytes)]) -> String {
    let mut said = String::new();
    for (name, value) in properties {
        let (name, value) = (super::line::text(name), super::line::text(value));
        said.push_str(&format!(" {name}={value}"));
    }
    said
}

fn name(identity: &[u8]) -> String {
    match printable(identity) {
        Some("") => String::new(),
        _ => format!(" {}", super::line::text(identity)),
    }
}
