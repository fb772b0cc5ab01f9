//! The other threads of a server: each reads connections of its own, with a broker of its own.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::shard::{self, Common, Shard};
use super::wires::{Gauge, Parcel, Wires};
use super::{Config, Error, connection};
use crate::net::entropy;
use crate::spread::MOST_SHARDS;

/// All threads but the first. Dropping it ends them, and waits for that.
#[derive(Debug, Default)]
pub(super) struct Crew {
    waiting: Vec<Recruit>,
    inbox: Option<UnboundedReceiver<Parcel>>,
    wires: Vec<UnboundedSender<Parcel>>,
    threads: Vec<JoinHandle<()>>,
    ends: Option<UnboundedReceiver<Result<(), Error>>>,
}

/// What a thread needs to begin.
#[derive(Debug)]
struct Recruit {
    config: Config,
    common: Common,
    seed: [u8; 32],
    inbox: UnboundedReceiver<Parcel>,
}

impl Crew {
    /// As many as the configuration says; and what the first thread has in common with them.
    pub(super) fn gather(config: &Config, common: Common) -> io::Result<(Self, Common)> {
        let threads = config.threads.clamp(1, MOST_SHARDS);
        if threads == 1 {
            return Ok((Self::default(), common));
        }
        let (wires, inboxes): (Vec<_>, Vec<_>) = (0..threads).map(|_| unbounded_channel()).unzip();
        let gauges = Arc::new((0..threads).map(|_| Gauge::default()).collect::<Vec<_>>());
        let common = |me: usize| Common {
            wires: Some(Wires {
                me,
                to: wires.clone(),
                gauges: Arc::clone(&gauges),
            }),
            ..common.clone()
        };
        let mut inboxes = inboxes.into_iter();
        let inbox = inboxes.next();
        let mut waiting = Vec::with_capacity(threads - 1);
        for (me, inbox) in (1..).zip(inboxes) {
            waiting.push(Recruit {
                config: config.clone(),
                common: common(me),
                seed: entropy()?,
                inbox,
            });
        }
        let first = common(0);
        let crew = Self {
            waiting,
            inbox,
            wires,
            threads: Vec::new(),
            ends: None,
        };
        Ok((crew, first))
    }

    /// Starts them. Gives what they hand to the first thread, if there are any.
    pub(super) fn start(&mut self) -> io::Result<Option<UnboundedReceiver<Parcel>>> {
        let (end, ends) = unbounded_channel();
        for (number, recruit) in (1..).zip(std::mem::take(&mut self.waiting)) {
            let end = end.clone();
            let runtime = Builder::new_current_thread();
            let thread = std::thread::Builder::new()
                .name(format!("scale0-shard-{number}"))
                .spawn(move || {
                    let ended = work(runtime, recruit);
                    // If nobody listens any more, all is over.
                    let _ = end.send(ended);
                })?;
            self.threads.push(thread);
        }
        self.ends = Some(ends);
        Ok(self.inbox.take())
    }

    /// Waits until all of them have ended, or one has panicked.
    pub(super) async fn ended(&mut self) -> Result<(), Error> {
        let count = self.threads.len();
        let Some(ends) = &mut self.ends else {
            return Ok(());
        };
        for _ in 0..count {
            // A thread that says nothing has panicked where nothing can catch it.
            ends.recv().await.unwrap_or(Err(Error::Panicked))?;
        }
        Ok(())
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for wire in &self.wires {
            let _ = wire.send(Parcel::End);
        }
        for thread in self.threads.drain(..) {
            // What it panicked of was printed.
            let _ = thread.join();
        }
    }
}

/// One thread, from its beginning to its end.
fn work(mut runtime: Builder, recruit: Recruit) -> Result<(), Error> {
    let runtime = runtime.enable_all().build_local(LocalOptions::default())?;
    let Recruit {
        config,
        common,
        seed,
        inbox,
    } = recruit;
    runtime.block_on(async {
        let shard = Rc::new(RefCell::new(Shard::new(config, seed, common)));
        let receiving = tokio::task::spawn_local(connection::receive(Rc::clone(&shard), inbox));
        // A task among the connections' tasks: it has its turn after those that are ready.
        let turns = tokio::task::spawn_local(shard::turns(shard));
        tokio::select! {
            ended = turns => ended.map_err(|_| Error::Panicked),
            ended = receiving => ended.map_err(|_| Error::Panicked),
        }
    })
}
