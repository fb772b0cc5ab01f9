//! Calls the services of the example worker: `cargo run --example client`.

#![allow(clippy::print_stdout, reason = "a program speaks to its user")]

use std::time::Duration;

use scale0::Client;
use scale0::wire::Message;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = Client::connect("tcp://127.0.0.1:5555")?;

    let reply = client.call("upper", "hello").await?;
    println!("upper: {}", reply.text());

    // A body of several parts, a deadline, and replies as they come.
    let request = client
        .request("sum")
        .idempotent(true)
        .ttl(Duration::from_secs(5));
    let mut replies = request
        .body(Message::new(["1", "2", "39"]))
        .stream()
        .await?;
    while let Some(reply) = replies.next().await {
        let reply = reply?;
        println!(
            "sum {}: {}",
            if reply.is_final() { "is" } else { "so far" },
            reply.text()
        );
    }

    // An error says whether it is safe to ask again.
    if let Err(error) = client.call("nobody", ()).await {
        println!(
            "nobody: {error}; safe to repeat: {}",
            error.is_safe_to_repeat()
        );
    }
    Ok(())
}
