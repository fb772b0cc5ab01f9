//! `scale0 drain`

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use scale0::limits::Limits;
use scale0::net::{Clock, Link, LinkError};
use scale0::protocol::scale0::{Header, command};
use scale0::session::{self, Heard};
use scale0::wire::{Endpoint, Message, Piece, SocketType};
use serde_json::Value;

use crate::commands::DrainArguments;
use crate::exit::{Failed, Outcome};
use crate::logging::{Level, Logging};
use crate::output::print;
use crate::units::{Span, Wait};

pub(crate) fn run(arguments: &DrainArguments, log: &Logging) -> Outcome {
    log.start(Level::Warn);
    let [endpoint] = &arguments.connect.connect[..] else {
        // The second would be drained when the first has gone.
        let text = "one broker is drained at a time: name one endpoint with --connect";
        return Err(Failed::Usage(text.to_owned()));
    };
    let config = Arc::new(session::Config {
        security: arguments.connect.security.read()?,
        ..session::Config::new(SocketType::Dealer)
    });
    let Wait(limit) = arguments.timeout;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let done = tokio::time::timeout(limit, drain(endpoint, config)).await;
        done.unwrap_or_else(|_| {
            let text = format!("{endpoint} has not ended within {}", Span(limit));
            Err(Failed::Timeout(text))
        })
    })
}

/// Asks for the drain, and waits for the end of the broker. It stays on this one connection, for
/// another one may already be to another broker.
async fn drain(endpoint: &Endpoint, config: Arc<session::Config>) -> Outcome {
    let clock = Clock::start();
    let opened = Link::open(endpoint, Arc::clone(&config), clock).await;
    let mut link = opened.map_err(|error| Failed::Error(format!("{endpoint}: {error}")))?;
    let mut said = String::new();
    let mut service = "s0.drain";
    while let Some(report) = ask(&mut link, service).await? {
        if report.get("draining") != Some(&Value::Bool(true)) {
            return Err(Failed::error("the drain was called off"));
        }
        let now = waits_for(&report);
        if now != said {
            print(format!("{now}\n"))?;
            said = now;
        }
        service = "s0.info";
        tokio::time::sleep(PAUSE).await;
    }
    // It has closed our connection; others may take a moment longer.
    loop {
        match Link::open(endpoint, Arc::clone(&config), clock).await {
            Err(LinkError::Io(error)) if nobody_listens(error.kind()) => break,
            Err(_) => tokio::time::sleep(PAUSE).await,
            // A new one has taken its place.
            Ok(_) => break,
        }
    }
    print(format!("{endpoint} has ended\n"))
}

fn nobody_listens(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionRefused | ErrorKind::NotFound)
}

fn waits_for(report: &Value) -> String {
    let number = |key: &str| report.get(key).and_then(Value::as_u64).unwrap_or(0);
    let mut text = format!(
        "draining: {} tasks in flight, {} queued",
        number("in_flight"),
        number("queued")
    );
    if number("open") > 0 {
        let left = number("drain_left_ms").div_ceil(1000);
        text += &format!(", {left} s at most");
    }
    text
}

/// What one of the broker's own services says; `None` if the connection ends before.
async fn ask(link: &mut Link, service: &str) -> Result<Option<Value>, Failed> {
    let header = Header {
        ms: 5000,
        name: service.as_bytes(),
        ..Header::of(command::TASK)
    };
    if link.send(&[Piece::Part(&header.frame())]).is_err() {
        return Ok(None);
    }
    loop {
        let message = match link.heard(usize::MAX).await {
            Ok(Some(Heard::Message(message))) => message,
            Ok(_) => continue,
            Err(error) if error.is_refusal() => return Err(Failed::error(error)),
            Err(_) => return Ok(None),
        };
        if let Some(answer) = answer(&message) {
            return answer.map(Some);
        }
    }
}

/// The answer to the one question that is under way.
fn answer(message: &Message) -> Option<Result<Value, Failed>> {
    let header = Header::read(message.first()?, &Limits::default()).ok()?;
    let body = message.parts().nth(1).unwrap_or_default();
    match header.command {
        command::REPLY => Some(serde_json::from_slice(body).map_err(Failed::error)),
        command::ERROR => {
            let text = String::from_utf8_lossy(body);
            let text = format!("{}: {text}", header.code);
            Some(Err(Failed::Error(text)))
        }
        _ => None,
    }
}

const PAUSE: Duration = Duration::from_millis(100);
