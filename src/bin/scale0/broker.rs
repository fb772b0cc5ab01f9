//! `scale0 broker`

use std::future::Future;

use scale0::server::{Config, Server};
use scale0::wire::Endpoint;
use tokio::runtime::{Builder, LocalOptions};
use tokio::signal::unix::{SignalKind, signal};

use crate::commands::BrokerArguments;
use crate::exit::{Failed, Outcome};
use crate::logging::{Level, Logging};
use crate::output::{print, tell};
use crate::security::exposure;
use crate::settings::Settings;

pub(crate) fn run(arguments: Box<BrokerArguments>, typed: &Logging) -> Outcome {
    let BrokerArguments {
        config: file,
        check,
        settings,
    } = *arguments;
    let settings = match &file {
        Some(path) => settings.over(Settings::read(path)?),
        None => settings,
    };
    let log = Logging {
        log: typed.log.or(settings.log),
        log_format: typed.log_format.or(settings.log_format),
    };
    log.start(Level::Info);
    let config = settings.config()?;
    if check {
        return print(format!(
            "the settings are good; the broker would listen on {}\n",
            list(&config.endpoints)
        ));
    }
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())?;
    runtime.block_on(serve(config))
}

async fn serve(config: Config) -> Outcome {
    // Before the first line is printed: whoever waits for it may send a signal at once.
    let (stop, abort) = stop_signals()?;
    let security = config.security.clone();
    let server = Server::bind(config).await.map_err(Failed::error)?;
    for endpoint in server.endpoints() {
        tell(format_args!("bound {endpoint}"));
        if let Some(warning) = exposure(&security, endpoint) {
            tell(warning);
        }
    }
    tokio::select! {
        ended = server.run(stop) => ended.map_err(Failed::error),
        () = abort => Err(Failed::error("stopped before all tasks were done")),
    }
}

/// Done at the first SIGTERM or Ctrl-C, and at the second.
pub(crate) fn stop_signals() -> std::io::Result<(impl Future<Output = ()>, impl Future<Output = ()>)>
{
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (first, stop) = tokio::sync::oneshot::channel();
    let (second, abort) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        next().await;
        // Whoever waits may have ended by itself.
        let _ = first.send(());
        next().await;
        let _ = second.send(());
    });
    // The senders are dropped only with the runtime.
    Ok((
        async {
            let _ = stop.await;
        },
        async {
            let _ = abort.await;
        },
    ))
}

fn list(endpoints: &[Endpoint]) -> String {
    endpoints
        .iter()
        .map(Endpoint::to_string)
        .collect::<Vec<_>>()
        .join(" ")
}
