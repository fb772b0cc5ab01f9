//! `scale0 set`

use scale0::wire::Message;

use crate::call::builder;
use crate::commands::SetArguments;
use crate::exit::{Failed, Outcome};
use crate::logging::{Level, Logging};
use crate::output::print;
use crate::units::Wait;

pub(crate) fn run(arguments: &SetArguments, log: &Logging) -> Outcome {
    log.start(Level::Warn);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(set(arguments))
}

async fn set(arguments: &SetArguments) -> Outcome {
    let Wait(timeout) = arguments.timeout;
    let client = builder(&arguments.connect)?
        .default_ttl(timeout)
        .build()
        .map_err(Failed::error)?;
    let parts = std::iter::once(&arguments.service).chain(&arguments.settings);
    let body = Message::new(parts.map(String::as_bytes));
    let reply = client.call("s0.set", body).await.map_err(refused)?;
    print(format!("{}\n", reply.text()))
}

/// What the broker calls malformed was typed here.
fn refused(error: scale0::sdk::CallError) -> Failed {
    match error.code() {
        Some(400) => Failed::usage(error),
        _ => error.into(),
    }
}
