//! `scale0 demo`: a broker on a thread, workers as processes of their own, clients, and what
//! happens when workers come, die and leave.

use std::cell::RefCell;
use std::io::IsTerminal;
use std::process::Stdio;
use std::rc::Rc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use scale0::Client;
use scale0::net::Clock;
use scale0::server::{Config, Running};
use scale0::time::Time;
use serde_json::Value;
use tokio::process::{Child, Command};

use crate::commands::DemoArguments;
use crate::exit::{Failed, Outcome};
use crate::logging::{Level, Logging};
use crate::output::print;

pub(crate) fn run(_: DemoArguments, log: &Logging) -> Outcome {
    log.start(Level::Error);
    let endpoint = "tcp://127.0.0.1:0".parse().map_err(Failed::error)?;
    let broker = Running::start(Config {
        endpoints: vec![endpoint],
        ..Config::default()
    })
    .map_err(Failed::error)?;
    let Some(endpoint) = broker.endpoints().first().map(ToString::to_string) else {
        return Err(Failed::Error("the broker has no endpoint".to_owned()));
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let told = runtime.block_on(tokio::task::LocalSet::new().run_until(show(endpoint)));
    broker.stop();
    told
}

async fn show(endpoint: String) -> Outcome {
    print(format!(
        "scale0 demo: a broker at {endpoint}, {CLIENTS} clients that ask for \"resize\" all the time,\n\
         and workers that need {} ms for each task.\n\n",
        WORK.as_millis()
    ))?;
    let mut stage = Stage::new(endpoint)?;
    stage.clients();

    stage.hire(2)?;
    stage.scene("two workers").await?;
    stage.hire(4)?;
    stage
        .scene("four more workers: nothing else had to be told")
        .await?;
    stage.kill().await?;
    stage
        .scene("one worker killed in the middle of its task")
        .await?;
    stage.dismiss(3)?;
    stage
        .scene("three workers leave, the rest carry on")
        .await?;

    stage.finish().await
}

/// The whole play.
struct Stage {
    endpoint: String,
    clock: Clock,
    client: Client,
    workers: Vec<Child>,
    tally: Rc<RefCell<Tally>>,
    asking: Vec<tokio::task::JoinHandle<()>>,
    rates: Vec<(String, u64, f64)>,
}

/// What the clients have seen.
#[derive(Debug, Default)]
struct Tally {
    asked: u64,
    good: u64,
    wrong: u64,
    failed: Vec<String>,
    stop: bool,
}

impl Stage {
    fn new(endpoint: String) -> Result<Self, Failed> {
        let client = Client::connect(&endpoint).map_err(Failed::error)?;
        Ok(Self {
            endpoint,
            clock: Clock::start(),
            client,
            workers: Vec::new(),
            tally: Rc::default(),
            asking: Vec::new(),
            rates: Vec::new(),
        })
    }

    /// Clients that ask again as soon as they are answered, each for something else.
    fn clients(&mut self) {
        for _ in 0..CLIENTS {
            let (client, tally) = (self.client.clone(), Rc::clone(&self.tally));
            self.asking.push(tokio::task::spawn_local(async move {
                while !tally.borrow().stop {
                    tally.borrow_mut().asked += 1;
                    let picture = format!("picture {}", tally.borrow().asked);
                    let answer = client
                        .request("resize")
                        .idempotent(true)
                        .body(picture.as_str())
                        .call()
                        .await;
                    let mut tally = tally.borrow_mut();
                    match answer {
                        Ok(reply) if reply.text() == picture => tally.good += 1,
                        Ok(_) => tally.wrong += 1,
                        Err(error) => tally.failed.push(error.to_string()),
                    }
                }
            }));
        }
    }

    /// Starts workers: programs like any other that connects and offers "resize".
    fn hire(&mut self, count: usize) -> Outcome {
        let program = std::env::current_exe()?;
        for _ in 0..count {
            let worker = Command::new(&program)
                .args([
                    "worker",
                    "--connect",
                    &self.endpoint,
                    "--service",
                    "resize",
                    "--log",
                    "off",
                    "--echo",
                    "--delay",
                ])
                .arg(format!("{}ms", WORK.as_millis()))
                .stdin(Stdio::null())
                .kill_on_drop(true)
                .spawn()?;
            self.workers.push(worker);
        }
        Ok(())
    }

    /// SIGKILL: no goodbye, whatever it is doing. With more clients than workers that is a task;
    /// if it was just between two, the next one has to go.
    async fn kill(&mut self) -> Outcome {
        for _ in 0..ATTEMPTS {
            if let Some(mut victim) = self.workers.pop() {
                victim.kill().await?;
            }
            let deadline = self.clock.now() + SETTLE;
            while self.clock.now() < deadline {
                if number(&self.info().await?, "/counters/retried") > 0 {
                    return Ok(());
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            self.hire(1)?;
        }
        Err(Failed::Error(
            "no worker could be killed while it had a task".to_owned(),
        ))
    }

    /// SIGTERM: they finish what they have and say goodbye.
    fn dismiss(&self, count: usize) -> Outcome {
        for worker in self.workers.iter().rev().take(count) {
            let pid = worker
                .id()
                .and_then(|id| i32::try_from(id).ok())
                .and_then(Pid::from_raw);
            if let Some(pid) = pid {
                kill_process(pid, Signal::TERM).map_err(Failed::error)?;
            }
        }
        Ok(())
    }

    /// A few seconds of it, with what can be seen.
    async fn scene(&mut self, title: &str) -> Outcome {
        print(format!("{title}\n"))?;
        let terminal = std::io::stdout().is_terminal();
        let (began, before) = (self.clock.now(), self.tally.borrow().good);
        let (mut last, mut steady) = ((began, before), (began, before));
        while self.clock.now().since(began) < SCENE {
            tokio::time::sleep(TICK).await;
            let now = (self.clock.now(), self.tally.borrow().good);
            // The first second is for those who come and go.
            if now.0.since(began) < SETTLE {
                steady = now;
            }
            if terminal {
                let line = self.line(rate(last, now)).await?;
                print(format!("\r\x1b[2K  {line}"))?;
            }
            last = now;
        }
        let rate = rate(steady, last);
        let line = self.line(rate).await?;
        let start = if terminal { "\r\x1b[2K" } else { "" };
        print(format!("{start}  {line}\n\n"))?;
        let workers = self.present().await?;
        self.rates.push((title.to_owned(), workers, rate));
        Ok(())
    }

    async fn line(&self, rate: f64) -> Result<String, Failed> {
        let info = self.info().await?;
        let bar: String = (0..40)
            .map(f64::from)
            .take_while(|n| n * PER_BLOCK < rate)
            .map(|_| '█')
            .collect();
        Ok(format!(
            "{:>2} workers {rate:>4.0}/s {bar:<30} {:>5} done, {:>2} waiting, {} repeated, {} failed",
            number(&info, "/workers"),
            self.tally.borrow().good,
            number(&info, "/queued"),
            number(&info, "/counters/retried"),
            self.tally.borrow().failed.len(),
        ))
    }

    /// What the broker says of itself.
    async fn info(&self) -> Result<Value, Failed> {
        let reply = self.client.call("s0.info", ()).await?;
        serde_json::from_slice(reply.body().first().unwrap_or_default()).map_err(Failed::error)
    }

    async fn present(&self) -> Result<u64, Failed> {
        Ok(number(&self.info().await?, "/workers"))
    }

    /// Lets the last answers come in, and sums up.
    async fn finish(mut self) -> Outcome {
        self.tally.borrow_mut().stop = true;
        for asking in std::mem::take(&mut self.asking) {
            asking.await.map_err(Failed::error)?;
        }
        let info = self.info().await?;
        let tally = self.tally.borrow();
        print("What happened:\n")?;
        for (title, workers, rate) in &self.rates {
            print(format!(
                "  {rate:>4.0} tasks/s with {workers} workers  ({title})\n"
            ))?;
        }
        print(format!(
            "  {} tasks asked, {} answered, {} lost, {} repeated because their worker died\n",
            tally.asked,
            tally.good,
            tally.asked - tally.good,
            number(&info, "/counters/retried"),
        ))?;
        print("\nNow yourself, each in a terminal of its own:\n")?;
        let program = program();
        for command in NEXT {
            print(format!("  {program} {command}\n"))?;
        }
        match tally.failed.first() {
            Some(error) => Err(Failed::Error(format!(
                "{} tasks failed: {error}",
                tally.failed.len()
            ))),
            None if tally.wrong > 0 => {
                Err(Failed::Error(format!("{} answers were wrong", tally.wrong)))
            }
            None => Ok(()),
        }
    }
}

fn number(info: &Value, path: &str) -> u64 {
    info.pointer(path).and_then(Value::as_u64).unwrap_or(0)
}

fn rate(from: (Time, u64), to: (Time, u64)) -> f64 {
    (to.1 - from.1) as f64 / to.0.since(from.0).as_secs_f64().max(0.001)
}

/// How to type this program's name from here.
fn program() -> String {
    let (program, here) = (std::env::current_exe(), std::env::current_dir());
    match (program, here) {
        (Ok(program), Ok(here)) => program
            .strip_prefix(&here)
            .unwrap_or(&program)
            .display()
            .to_string(),
        _ => "scale0".to_owned(),
    }
}

const NEXT: [&str; 4] = [
    "broker",
    "worker --service upper -- tr a-z A-Z",
    "call upper hello",
    "info",
];
const CLIENTS: usize = 24;
const WORK: Duration = Duration::from_millis(20);
const SCENE: Duration = Duration::from_millis(3500);
const SETTLE: Duration = Duration::from_secs(1);
const ATTEMPTS: usize = 3;
const TICK: Duration = Duration::from_millis(250);
/// Tasks per second that one block of the bar stands for.
const PER_BLOCK: f64 = 10.0;
