//! The program: what was typed becomes what is meant, and an exit code.

mod broker;
mod call;
mod cat;
mod commands;
mod demo;
mod docs;
mod drain;
mod exit;
mod info;
mod keygen;
mod logging;
mod measure;
mod output;
mod passwd;
mod security;
mod set;
mod settings;
mod units;
mod worker;

use std::process::ExitCode;

use clap::Parser;
use commands::{Cli, Command};

fn main() -> ExitCode {
    // A usage error ends here, with exit code 2 and one clear sentence.
    let cli = Cli::parse();
    let outcome = match cli.command {
        Command::Broker(arguments) => broker::run(arguments, &cli.log),
        Command::Worker(arguments) => worker::run(arguments, &cli.log),
        Command::Call(arguments) => call::run(arguments, &cli.log),
        Command::Cat(arguments) => cat::run(&arguments, &cli.log),
        Command::Info(arguments) => info::run(arguments, &cli.log),
        Command::Set(arguments) => set::run(&arguments, &cli.log),
        Command::Drain(arguments) => drain::run(&arguments, &cli.log),
        Command::Keygen(arguments) => keygen::run(&arguments),
        Command::Passwd(arguments) => passwd::run(&arguments),
        Command::Demo(arguments) => demo::run(arguments, &cli.log),
        Command::Completions(arguments) => docs::completions(&arguments),
        Command::Man(arguments) => docs::man(&arguments),
    };
    exit::code(outcome)
}
