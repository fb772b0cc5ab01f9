//! Other implementations on the far end: libzmq through Python and JavaScript, majortomo, and
//! plain programs after the specifications. Real processes, real sockets.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it leaves out"
)]

mod by_hand;
mod deaths;
mod dialects;
mod majortomo;
mod node;
#[path = "../support/peers.rs"]
#[allow(dead_code, reason = "shared with other tests, which use the rest")]
mod peers;
#[path = "../support/process.rs"]
#[allow(dead_code, reason = "shared with other tests, which use the rest")]
mod process;
mod proxies;
mod sockets;

use peers::Python;
use process::Process;
use serde_json::{Value, json};

/// A client of ours in Python, which asks what it is told to.
struct Client {
    process: Process,
}

impl Client {
    fn start(python: &Python, endpoint: &str, dialect: &str, options: &[&str]) -> Self {
        let arguments = [&[endpoint, dialect], options].concat();
        Self {
            process: python.start("client.py", &arguments),
        }
    }

    fn ask(&mut self, id: u64, service: &str, body: &[&str]) {
        self.say(json!({"id": id, "service": service, "body": body}));
    }

    fn say(&mut self, request: Value) {
        self.process.say(&request.to_string());
    }

    fn reply(&mut self) -> Value {
        serde_json::from_str(&self.process.line()).unwrap()
    }

    /// Asks, and waits for the reply's body.
    fn call(&mut self, service: &str, body: &[&str]) -> Value {
        self.ask(1, service, body);
        let mut reply = self.reply();
        assert_ne!(reply["error"], true, "{reply}");
        assert_eq!(reply["final"], true, "{reply}");
        reply["body"].take()
    }
}

/// A worker of ours in Python.
fn worker(
    python: &Python,
    endpoint: &str,
    dialect: &str,
    service: &str,
    options: &[&str],
) -> Process {
    let arguments = [&[endpoint, dialect, service], options].concat();
    python.start("worker.py", &arguments)
}

/// The dialects that are served.
const DIALECTS: [&str; 5] = ["s0", "mdp01", "mdp02", "mdp02-delimited", "zproto"];
