//! Connections: dialled, opened, broken, half-open, and what is carried over them.

use std::time::Duration;

use scale0::broker::{Event, PeerId};
use scale0::protocol;
use scale0::time::Time;
use scale0::wire::{Message, SocketType};

use crate::dice::{Dice, about};
use crate::ledger::{Checked, Conn};
use crate::line::{Parcel, Pipe};
use crate::speech::{Frames, Tongue};
use crate::told::Meant;
use crate::world::{Act, Told, World};

/// One connection.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) peer: usize,
    pub(crate) tongue: Tongue,
    pub(crate) id: Option<PeerId>,
    pub(crate) up: Pipe,
    pub(crate) down: Pipe,
    /// The broker's end is open.
    pub(crate) known: bool,
    pub(crate) closing: bool,
    pub(crate) held: bool,
    pub(crate) full: bool,
    pub(crate) watched: bool,
    pub(crate) pulse: bool,
    /// Since when nothing answers at the far end.
    pub(crate) mute: Option<Time>,
    /// Nobody is at the far end any more.
    pub(crate) gone: bool,
}

impl World<'_> {
    pub(crate) fn dial(&mut self, number: usize) {
        let peer = &mut self.peers[number];
        if peer.conn.is_some() {
            return;
        }
        let conn = self.links.len();
        peer.conn = Some(conn);
        peer.dials += 1;
        let (line, tongue) = (peer.line, peer.tongue);
        let seed = self.plan.seed;
        let opens = self.now + Duration::from_micros(line.latency_us * 2);
        // By who dials and how often, so that a shorter script changes no other line.
        let key = (number as u64) << 32 | peer.dials << 1;
        self.links.push(Link {
            peer: number,
            tongue,
            id: None,
            up: Pipe::new(seed, key, line, opens),
            down: Pipe::new(seed, key | 1, line, opens),
            known: false,
            closing: false,
            held: false,
            full: false,
            watched: false,
            pulse: false,
            mute: None,
            gone: false,
        });
        self.at(opens, Act::Open(conn));
        self.begin_session(number);
    }

    /// After a while that grows from time to time.
    pub(crate) fn dial_again(&mut self, number: usize) {
        let peer = &mut self.peers[number];
        let mut dice = Dice::of(self.plan.seed, &[about::BACKOFF, number as u64, peer.dials]);
        let base = 100 << peer.failures.min(5);
        peer.failures += 1;
        let ms = base * dice.between(70, 130) / 100;
        let life = peer.life;
        self.after_ms(ms, Act::Dial(number, life));
    }

    /// The connection breaks, and what is under way is lost.
    pub(crate) fn cut(&mut self, number: usize) {
        let conn = self.peers[number].conn;
        self.peers[number].forget();
        let Some(conn) = conn else {
            return;
        };
        let link = &mut self.links[conn];
        link.up.clear();
        link.down.clear();
        link.gone = true;
        let delay = self.peers[number].line.latency_us;
        self.at(
            self.now + Duration::from_micros(delay),
            Act::BrokerLoses(conn),
        );
    }

    /// The far end is gone, and nobody tells the broker.
    pub(crate) fn vanish(&mut self, number: usize) {
        let conn = self.peers[number].conn;
        self.peers[number].forget();
        self.peers[number].die();
        let life = self.peers[number].life;
        let mut dice = Dice::of(self.plan.seed, &[about::END, number as u64]);
        self.after_ms(dice.between(300, 5_000), Act::Dial(number, life));
        if let Some(conn) = conn {
            let link = &mut self.links[conn];
            link.up.clear();
            link.gone = true;
            self.mute(conn);
        }
    }

    /// From now on nothing answers at the far end.
    pub(crate) fn mute(&mut self, conn: Conn) {
        self.links[conn].mute.get_or_insert(self.now);
        self.begin_pulse(conn);
    }

    pub(crate) fn begin_pulse(&mut self, conn: Conn) {
        if !std::mem::replace(&mut self.links[conn].pulse, true) {
            self.after_ms(2_000, Act::Pulse(conn));
        }
    }

    /// ZMTP's PING to who is busy, and TCP's patience with who is not.
    pub(crate) fn pulse(&mut self, conn: Conn) -> Checked {
        let link = &mut self.links[conn];
        link.pulse = false;
        if !link.known || link.closing {
            return Ok(());
        }
        match link.mute {
            Some(since) => {
                let patience = if link.watched { 6 } else { 30 };
                if since + Duration::from_secs(patience) <= self.now {
                    return self.broker_loses(conn);
                }
                self.begin_pulse(conn);
            }
            None if link.watched => {
                self.begin_pulse(conn);
                if let Some(peer) = self.links[conn].id {
                    return self.decide(Event::Sign { peer }, Told::Sign(conn));
                }
            }
            None => {}
        }
        Ok(())
    }

    pub(crate) fn open(&mut self, conn: Conn) -> Checked {
        let number = self.links[conn].peer;
        if self.peers[number].conn != Some(conn) {
            return Ok(());
        }
        if self.down {
            self.peers[number].forget();
            self.dial_again(number);
            return Ok(());
        }
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.generations.push(0);
            (self.places.len() - 1) as u32
        });
        self.places[place as usize] = Some(conn);
        let id = PeerId {
            place,
            generation: self.generations[place as usize],
        };
        self.by_id.insert(id, conn);
        let link = &mut self.links[conn];
        (link.id, link.known) = (Some(id), true);
        let opened = Event::Opened {
            peer: id,
            user: None,
            local: true,
        };
        self.decide(opened, Told::Opened(conn))
    }

    pub(crate) fn broker_loses(&mut self, conn: Conn) -> Checked {
        let link = &mut self.links[conn];
        let Some(id) = link.id.filter(|_| link.known) else {
            return Ok(());
        };
        link.known = false;
        link.up.clear();
        let (number, latency) = (link.peer, self.peers[link.peer].line.latency_us);
        self.places[id.place as usize] = None;
        self.generations[id.place as usize] += 1;
        self.free.push(id.place);
        if self.peers[number].conn == Some(conn) {
            let at = self.now + Duration::from_micros(latency * 3 + 5_000);
            self.at(at, Act::PeerLoses(conn));
        }
        self.decide(Event::Lost { peer: id }, Told::Lost(conn))
    }

    /// A peer says something.
    pub(crate) fn say(&mut self, number: usize, frames: Frames, meant: Meant) {
        let Some(conn) = self.peers[number].conn else {
            return;
        };
        let link = &mut self.links[conn];
        link.up.put(Parcel { frames, meant });
        for at in link.up.pump(self.now) {
            self.at(at, Act::ToBroker(conn));
        }
    }

    pub(crate) fn reach_broker(&mut self, conn: Conn) -> Checked {
        loop {
            let link = &mut self.links[conn];
            let Some(peer) = link.id.filter(|_| link.known && !link.held) else {
                return Ok(());
            };
            let Some(parcel) = link.up.take(self.now) else {
                return Ok(());
            };
            let arrivals = link.up.pump(self.now);
            let kind = match link.tongue {
                Tongue::S0Req | Tongue::Mdp01 => SocketType::Req,
                tongue if tongue.proxied() => SocketType::Router,
                _ => SocketType::Dealer,
            };
            // A worker of RFC 7 is a DEALER.
            let kind = match self.peers[link.peer].works() {
                true => SocketType::Dealer,
                false => kind,
            };
            for at in arrivals {
                self.at(at, Act::ToBroker(conn));
            }
            let message = Message::new(&parcel.frames);
            let reading = protocol::read(message, kind, &self.plan.config.limits);
            self.decide(
                Event::Heard { peer, reading },
                Told::Heard(conn, parcel.meant),
            )?;
        }
    }

    pub(crate) fn reach_peer(&mut self, conn: Conn) -> Checked {
        loop {
            let link = &mut self.links[conn];
            let number = link.peer;
            let peer = &self.peers[number];
            if peer.conn != Some(conn) || peer.frozen_until > self.now {
                return Ok(());
            }
            let Some(parcel) = link.down.take(self.now) else {
                return Ok(());
            };
            if link.known {
                self.dirty.push(conn);
                self.flush();
                self.drain_pending()?;
            }
            self.hear(number, &parcel)?;
        }
    }
}
