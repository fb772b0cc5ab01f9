//! `scale0 demo`
use crate::commands::DemoArguments;
use crate::exit::Outcome;
use crate::logging::Logging;
pub(crate) fn run(_: DemoArguments, _: &Logging) -> Outcome {
    Ok(())
}
