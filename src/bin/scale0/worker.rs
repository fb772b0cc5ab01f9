//! `scale0 worker`

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use scale0::sdk::{Failure, Task, Worker, WorkerBuilder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use crate::broker::stop_signals;
use crate::commands::WorkerArguments;
use crate::exit::{Failed, Outcome};
use crate::logging::{Level, Logging};
use crate::units::Span;

pub(crate) fn run(arguments: WorkerArguments, log: &Logging) -> Outcome {
    log.start(Level::Info);
    let worker = build(&arguments)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (stop, abort) = stop_signals()?;
        tokio::select! {
            done = worker.run(stop) => done.map_err(Failed::error),
            () = abort => Err(Failed::error("stopped before all tasks were done")),
        }
    })
}

fn build(arguments: &WorkerArguments) -> Result<Worker, Failed> {
    let (first, fallbacks) = arguments.connect.split();
    let Span(drain_timeout) = arguments.drain_timeout;
    let mut builder = Worker::builder(&first)
        .map_err(Failed::usage)?
        .security(arguments.connect.security.read()?)
        .capacity(arguments.capacity)
        .name(&arguments.name.clone().unwrap_or_else(own_name))
        .dialect(arguments.dialect.into())
        .drain_timeout(drain_timeout);
    for fallback in &fallbacks {
        builder = builder.fallback(fallback).map_err(Failed::usage)?;
    }
    let command: Arc<[OsString]> = arguments.command.clone().into();
    let refuse_code = arguments.refuse_code.map(i32::from);
    let delay = arguments.delay.map(|Span(span)| span);
    for name in &arguments.service {
        builder = match command.is_empty() {
            true => offer(builder, name, arguments.idempotent, move |task| {
                echo(task, delay)
            }),
            false => {
                let command = Arc::clone(&command);
                offer(builder, name, arguments.idempotent, move |task| {
                    execute(task, Arc::clone(&command), refuse_code)
                })
            }
        };
        for attribute in &arguments.attribute {
            builder = builder.attribute(name, attribute);
        }
    }
    builder.build().map_err(Failed::usage)
}

/// The machine and the process: enough to find it.
fn own_name() -> String {
    let machine = rustix::system::uname();
    format!(
        "{}-{}",
        machine.nodename().to_string_lossy(),
        std::process::id()
    )
}

fn offer<F, Fut>(builder: WorkerBuilder, name: &str, idempotent: bool, handler: F) -> WorkerBuilder
where
    F: Fn(Task) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<scale0::wire::Message, Failure>> + Send + 'static,
{
    if idempotent {
        builder.idempotent_service(name, handler)
    } else {
        builder.service(name, handler)
    }
}

async fn echo(task: Task, delay: Option<Duration>) -> Result<scale0::wire::Message, Failure> {
    if let Some(delay) = delay {
        tokio::time::sleep(delay).await;
    }
    Ok(task.into_body())
}

/// Runs the command on the task's body. When the task is cancelled or its deadline passes, the
/// future is dropped and the command killed.
async fn execute(
    task: Task,
    command: Arc<[OsString]>,
    refuse_code: Option<i32>,
) -> Result<scale0::wire::Message, Failure> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(Failure::new(500, "no command"));
    };
    let name = program.display();
    let mut child = Command::new(program)
        .args(arguments)
        .env("SCALE0_SERVICE", task.service())
        .env("SCALE0_ATTEMPT", task.attempt().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        // A group of its own: Ctrl-C is for us, who let it finish, and killing it reaches what it
        // has started.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| Failure::new(500, format!("{name} cannot be started: {error}")))?;
    let mut group = Group(child.id());
    let (mut stdin, mut stdout) = (child.stdin.take(), child.stdout.take());
    let mut output = Vec::new();
    let feed = async {
        if let Some(stdin) = &mut stdin {
            for part in task.body().parts() {
                // A command that does not read its stdin closes it, and that is its right.
                if stdin.write_all(part).await.is_err() {
                    break;
                }
            }
        }
        drop(stdin);
        Ok(())
    };
    let collect = async {
        if let Some(stdout) = &mut stdout {
            // One byte more than allowed tells that it is too much.
            let read = stdout.take(MAX_OUTPUT + 1).read_to_end(&mut output).await?;
            if read as u64 > MAX_OUTPUT {
                let text = format!("{name} wrote more than {MAX_OUTPUT} bytes");
                return Err(Failure::new(500, text));
            }
        }
        Ok(())
    };
    // Too much output ends it all: a command that waits for us to read would not read its stdin.
    tokio::try_join!(feed, collect)?;
    let status = child.wait().await?;
    // Its number may be another's from here on.
    group.0 = None;
    if status.success() {
        return Ok(output.into());
    }
    if refuse_code.is_some() && status.code() == refuse_code {
        return Err(Failure::refuse());
    }
    let how = ending(status);
    let service = task.service();
    tracing::warn!(service, command = %name, how, "command failed");
    // What it said itself says more than a number; who is killed has not said why.
    if output.trim_ascii().is_empty() {
        output.clear();
        output.extend_from_slice(how.as_bytes());
    } else if status.code().is_none() {
        output.truncate(output.trim_ascii_end().len());
        output.extend_from_slice(format!("\n{how}").as_bytes());
    }
    Err(Failure::new(500, output))
}

/// How a command that failed has ended.
fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => status.to_string(),
    }
}

/// The processes of a command, by the id of the first; killed if they are not waited for. If this
/// program is killed itself, without a chance to do anything, they go on until they find that
/// nobody reads their stdout.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        let id = self.0.and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        if let Some(id) = id {
            // It may have ended by itself.
            let _ = kill_process_group(id, Signal::KILL);
        }
    }
}

/// As much as a broker takes.
const MAX_OUTPUT: u64 = 16 << 20;
