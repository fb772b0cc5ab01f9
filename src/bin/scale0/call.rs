//! `scale0 call`

use std::ffi::OsStr;
use std::io::{IsTerminal, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use scale0::Client;
use scale0::limits::Limits;
use scale0::sdk::{CallError, ClientBuilder, Reply, Request};
use scale0::wire::Message;

use crate::commands::{CallArguments, Connect};
use crate::exit::{Failed, Outcome};
use crate::logging::{Level, Logging};
use crate::measure::Measure;
use crate::output::print;
use crate::units::Wait;

pub(crate) fn run(arguments: CallArguments, log: &Logging) -> Outcome {
    log.start(Level::Warn);
    let body = body(&arguments.body)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let client = builder(&arguments.connect)?
            .dialect(arguments.dialect.into())
            .max_outstanding(arguments.concurrency as usize)
            .build()
            .map_err(Failed::error)?;
        match arguments.count {
            None => once(&client, &arguments, body).await,
            Some(count) => many(&client, &arguments, body, count).await,
        }
    })
}

/// A client for one of the commands.
pub(crate) fn builder(connect: &Connect) -> Result<ClientBuilder, Failed> {
    let (first, fallbacks) = connect.split();
    let mut builder = Client::builder(&first)
        .map_err(Failed::usage)?
        .security(connect.security.read()?)
        .give_up_when_refused();
    for fallback in &fallbacks {
        builder = builder.fallback(fallback).map_err(Failed::usage)?;
    }
    Ok(builder)
}

fn body(typed: &OsStr) -> Result<Message, Failed> {
    if typed != "-" {
        return Ok(typed.as_bytes().to_vec().into());
    }
    // One byte more than a task may have tells that it is too much, however much follows.
    let limit = Limits::default().message;
    let mut body = Vec::new();
    let stdin = std::io::stdin().lock();
    stdin.take(limit as u64 + 1).read_to_end(&mut body)?;
    if body.len() > limit {
        return Err(Failed::Usage(format!(
            "the body on stdin is too large: {limit} bytes are allowed"
        )));
    }
    Ok(body.into())
}

async fn once(client: &Client, arguments: &CallArguments, body: Message) -> Outcome {
    let request = request(client, arguments).body(body);
    if arguments.oneway {
        return Ok(hand_over(request, arguments.quiet).await?);
    }
    let mut replies = request.stream().await?;
    while let Some(reply) = replies.next().await {
        let reply = reply?;
        if !reply.is_progress() {
            print(lines(reply.body()))?;
        } else if arguments.progress {
            std::io::stderr().write_all(&lines(reply.body()))?;
        }
    }
    Ok(())
}

/// A request without its body.
fn request(client: &Client, arguments: &CallArguments) -> Request {
    let Wait(timeout) = arguments.timeout;
    let mut request = client
        .request(&arguments.service)
        .ttl(timeout)
        .idempotent(arguments.idempotent);
    if let Some(priority) = arguments.priority {
        request = request.priority(priority);
    }
    if let Some(key) = &arguments.key {
        request = request.property("Key", key);
    }
    request
}

async fn hand_over(request: Request, quiet: bool) -> Result<(), CallError> {
    match quiet {
        true => request.quiet().await,
        false => request.oneway().await,
    }
}

/// A line for each part, but no second line end behind one that is there.
fn lines(body: &Message) -> Vec<u8> {
    let mut lines = Vec::new();
    for part in body.parts() {
        lines.extend_from_slice(part);
        if !part.ends_with(b"\n") {
            lines.push(b'\n');
        }
    }
    lines
}

/// Calls again and again, and tells how fast that was.
async fn many(client: &Client, arguments: &CallArguments, body: Message, count: u64) -> Outcome {
    let progress = progress(count);
    let measure = std::rc::Rc::new(std::cell::RefCell::new(Measure::begin()));
    let left = std::rc::Rc::new(std::cell::Cell::new(count));
    let set = tokio::task::LocalSet::new();
    for _ in 0..arguments.concurrency {
        let request = request(client, arguments).body(body.clone());
        let (left, measure, progress) = (
            std::rc::Rc::clone(&left),
            std::rc::Rc::clone(&measure),
            progress.clone(),
        );
        let (oneway, quiet) = (arguments.oneway, arguments.quiet);
        set.spawn_local(async move {
            while let Some(rest) = left.get().checked_sub(1) {
                left.set(rest);
                let began = measure.borrow().now();
                let request = request.clone();
                let answer = match oneway {
                    true => hand_over(request, quiet).await.map(|()| Reply::default()),
                    false => request.call().await,
                };
                measure.borrow_mut().add(began, &answer);
                progress.inc(1);
            }
        });
    }
    set.await;
    progress.finish_and_clear();
    let measure = measure.borrow();
    print(format!("{measure}\n"))?;
    measure.outcome()
}

/// A bar on a terminal, nothing elsewhere.
fn progress(count: u64) -> indicatif::ProgressBar {
    if !std::io::stderr().is_terminal() {
        return indicatif::ProgressBar::hidden();
    }
    let style =
        indicatif::ProgressStyle::with_template("{bar:40} {pos}/{len}  {per_sec}  {eta} left");
    let bar = indicatif::ProgressBar::new(count);
    bar.enable_steady_tick(Duration::from_millis(200));
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
