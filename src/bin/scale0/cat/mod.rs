//! `scale0 cat`: any socket by hand.
//!
//! [`arguments`] is what can be typed, [`line`] how messages are written down, [`standard`] the two
//! ends of the pipe, [`talk`] who speaks when; [`monitor`] and
//! [`trace`] are told besides.

mod arguments;
mod line;
mod monitor;
mod standard;
mod talk;
mod trace;

use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::Duration;

use scale0::security::Security;
use scale0::socket::{Options, Socket, Tap};
use scale0::wire::SocketType;

pub(crate) use arguments::CatArguments;

use crate::broker::stop_signals;
use crate::exit::{Failed, Outcome};
use crate::logging::{Level, Logging};
use crate::output::tell;
use crate::security::{Guarded, ServerSecurity, exposure, keep_plain_local};
use crate::units::Span;
use line::Form;
use standard::Output;
use talk::Talk;
use trace::Trace;

pub(crate) fn run(arguments: &CatArguments, log: &Logging) -> Outcome {
    log.start(Level::Warn);
    arguments.check()?;
    let options = options(arguments)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(in_time(arguments, options));
    // A thread may still wait for a line of stdin, or for a reader of stdout.
    runtime.shutdown_background();
    outcome
}

fn options(arguments: &CatArguments) -> Result<Options, Failed> {
    let mut options = Options::default();
    if arguments.kind == SocketType::Router {
        // What cannot be routed is to be told.
        options
            .set("router_mandatory", "1")
            .map_err(Failed::usage)?;
    }
    if let Some(identity) = &arguments.identity {
        options.set("routing_id", identity).map_err(Failed::usage)?;
    }
    (options.security, options.authenticator) = security(arguments)?;
    for (name, value) in &arguments.option {
        options.set(name, value).map_err(Failed::usage)?;
    }
    Ok(options)
}

/// The server's side of a mechanism if that is asked for, else the client's.
fn security(arguments: &CatArguments) -> Result<Guarded, Failed> {
    if arguments.plain.is_none() && arguments.authorized_clients.is_none() {
        return Ok((arguments.security.read()?, None));
    }
    let guarded = ServerSecurity {
        curve_secret: arguments.security.curve_secret.as_deref(),
        authorized_clients: arguments.authorized_clients.as_deref(),
        plain: arguments.plain.as_deref(),
    }
    .read()?;
    keep_plain_local(&guarded.0, arguments.allow_plain_remote, &arguments.bind)?;
    Ok(guarded)
}

async fn in_time(arguments: &CatArguments, options: Options) -> Outcome {
    let mut output = Output::default();
    let cat = cat(arguments, options, &mut output);
    let Some(Span(most)) = arguments.timeout else {
        return cat.await;
    };
    if let Ok(outcome) = tokio::time::timeout(most, cat).await {
        return outcome;
    }
    // Nothing is cut in the middle that can be written at once.
    let _ = tokio::time::timeout(LAST_LINE, output.settle()).await;
    Err(Failed::Timeout(format!("not done within {}", Span(most))))
}

async fn cat(arguments: &CatArguments, mut options: Options, output: &mut Output) -> Outcome {
    // Before the first line is printed: whoever waits for it may send a signal at once.
    let (stop, abort) = stop_signals()?;
    let trace = arguments.trace.then(|| Arc::new(Trace::default()));
    options.tap = trace.clone().map(|trace| trace as Arc<dyn Tap>);
    let security = options.security.clone();
    let socket = Socket::with(arguments.kind, options);
    let watched = arguments.monitor || arguments.trace;
    let monitor = watched.then(|| monitor::start(&socket, arguments.monitor, trace));
    let (ended, stopped) = tokio::select! {
        ended = begin_and_talk(&socket, &security, arguments, output) => (ended, false),
        () = stop => (Ok(()), true),
    };
    let flushed = tokio::select! {
        flushed = flush(socket, output, stopped) => flushed,
        () = abort => Err(Failed::error("stopped before everything was sent")),
    };
    if let Some(monitor) = monitor {
        // Its last events are those of the end.
        let _ = tokio::time::timeout(LAST_EVENTS, monitor).await;
    }
    ended.and(flushed)
}

async fn begin_and_talk(
    socket: &Socket,
    security: &Security,
    arguments: &CatArguments,
    output: &mut Output,
) -> Outcome {
    for topic in &arguments.subscribe {
        socket.subscribe(topic.as_bytes()).map_err(Failed::error)?;
    }
    if arguments.kind == SocketType::Sub && arguments.subscribe.is_empty() {
        tell("scale0: without --subscribe nothing arrives; --subscribe \"\" is everything");
    }
    for endpoint in &arguments.bind {
        let bound = socket.bind(endpoint.clone()).await.map_err(Failed::error)?;
        tell(format_args!("bound {bound}"));
        if let Some(warning) = exposure(security, &bound) {
            tell(warning);
        }
    }
    for endpoint in &arguments.connect {
        socket.connect(endpoint.clone()).map_err(Failed::error)?;
    }
    let form = Form {
        kind: arguments.kind,
        json: arguments.json,
    };
    let talk = Talk::new(socket, form, arguments.count, output);
    talk.run(arguments.echo).await
}

/// Waits until all is printed, and all is sent as far as LINGER allows.
async fn flush(socket: Socket, output: &mut Output, stopped: bool) -> Outcome {
    let print = async {
        if !stopped {
            return output.settle().await;
        }
        // Who is told to stop does not wait for a reader that has gone to sleep.
        let printed = tokio::time::timeout(LAST_LINE, output.settle()).await;
        printed.unwrap_or(Ok(()))
    };
    let send = async { socket.close().await.map_err(Failed::error) };
    let (printed, sent) = tokio::join!(print, send);
    printed.and(sent)
}

const LAST_LINE: Duration = Duration::from_millis(100);
const LAST_EVENTS: Duration = Duration::from_millis(200);
