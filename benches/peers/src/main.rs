//! Side by side with others, each in a process of its own: sockets, and whole brokers.
//!
//! See README.md for the methods and how to read the tables.

mod brokers;
mod child;
mod keys;
mod load;
mod sockets;

type Failure = Box<dyn std::error::Error>;

const USAGE: &str = "usage: peers brokers [--quick] [--reps N] [--case NAME]... [--broker NAME]... [--scale0 PATH] [--out DIR]
       peers idle [--quick] [--reps N] [--scale0 PATH] [--out DIR]
       peers sockets [--quick] [--reps N] [--impl NAME]... [CASE]...
       peers ROLE IMPL [--cpu N] [--port N] [--size N] [--count N] [--window N] [--curve 1] [--warm MS] [--run MS]";

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let rest = words.get(1..).unwrap_or_default();
    let result = match words.first().map(String::as_str) {
        Some("sockets" | "run") => sockets::run(rest),
        Some("brokers") => brokers::brokers(rest),
        Some("idle") => brokers::idle(rest),
        // Parts of a measurement, in processes of their own.
        Some("load") => load::play(rest),
        Some("relay") => brokers::relay(rest),
        Some("on") => child::become_other(rest),
        Some(_) => sockets::Job::parse(&words).and_then(|job| sockets::role(&job)),
        None => Err(USAGE.into()),
    };
    if let Err(error) = result {
        eprintln!("peers {}: {error}", words.join(" "));
        std::process::exit(1);
    }
}
