//! What all connections have in common while they read: the time, what is counted, and whether to
//! ask again.

use std::cell::Cell;
use std::time::Instant;

use super::conn::Conn;
use super::tally::Tally;
use super::tongue::Meaning;

pub struct Shared {
    pub start: Instant,
    pub now: Cell<u64>,
    pub tally: Tally,
    /// Ask again as soon as there is an answer.
    pub again: bool,
    /// Connections whose handshake is over.
    pub ready: usize,
    /// What a worker takes at once.
    pub capacity: u32,
}

impl Shared {
    pub fn look(&self) {
        self.now.set(self.start.elapsed().as_nanos() as u64);
    }

    pub fn heard(&mut self, conn: &mut Conn, meaning: Meaning<'_>) {
        let tally = &mut self.tally;
        match meaning {
            Meaning::Ready if !conn.ready => {
                conn.ready = true;
                self.ready += 1;
                conn.out.extend_from_slice(&conn.hello);
            }
            Meaning::Task => {
                conn.taken += 1;
                tally.over += u64::from(conn.taken > self.capacity);
            }
            Meaning::Reply { id, body } => {
                let Some(client) = &mut conn.client else {
                    tally.wrong += 1;
                    return;
                };
                match client.answered(id, body) {
                    None => tally.wrong += 1,
                    Some(since) => {
                        let now = self.now.get();
                        if tally.measuring {
                            tally.done += 1;
                            tally.latencies.add(now.saturating_sub(since));
                        }
                        if self.again {
                            client.ask(now, &mut conn.out);
                        }
                    }
                }
            }
            Meaning::Refused { id } => {
                tally.refused += 1;
                if let (Some(id), Some(client)) = (id, &mut conn.client)
                    && client.refused(id).is_some()
                    && self.again
                {
                    client.ask(self.now.get(), &mut conn.out);
                }
            }
            Meaning::Stranger => {
                tally.closed += 1;
                conn.out.extend_from_slice(&conn.hello);
            }
            Meaning::Odd => tally.wrong += 1,
            Meaning::Ready | Meaning::Nothing => {}
        }
    }
}
