//! The whole way of a task, from bytes to bytes: session, dialect, broker, and back. What reads and
//! writes sockets is not in it.

use scale0::broker::{Action, Broker, Config, Event, PeerId};
use scale0::limits::Limits;
use scale0::protocol::scale0::{Header, command};
use scale0::protocol::{self, Id, read};
use scale0::session::{Heard, Session};
use scale0::wire::{Message, SocketType};

use super::{NOW, drain, pair, task_header};

/// What clients and workers speak.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Tongue {
    Scale0,
    /// MDP/0.1.
    Majordomo,
}

/// A broker, its clients and its workers.
pub struct Path {
    tongue: Tongue,
    broker: Broker,
    /// Ours of each connection, the clients' first.
    sessions: Vec<Session>,
    limits: Limits,
    actions: Vec<Action>,
    /// What each client asks in a round.
    questions: Vec<Vec<u8>>,
    wire: Vec<u8>,
    replies: Vec<u8>,
}

impl Path {
    /// Tasks have 64 bytes.
    pub fn new(tongue: Tongue, clients: u32, window: u32, workers: u32, capacity: u16) -> Self {
        let questions = (0..clients).map(|client| questions(tongue, client, window));
        let mut path = Self {
            tongue,
            broker: Broker::new(Config::default(), [3; 32]),
            sessions: (0..clients + workers).map(|_| pair().1).collect(),
            limits: Limits::default(),
            actions: Vec::new(),
            questions: questions.collect(),
            wire: Vec::new(),
            replies: Vec::new(),
        };
        let connect = Header {
            code: capacity,
            ms: 60_000,
            ..Header::of(command::CONNECT)
        };
        let ready = match tongue {
            Tongue::Scale0 => Message::new([&connect.frame()[..], b"echo"]),
            Tongue::Majordomo => Message::new([&b""[..], b"MDPW01", b"\x01", b"echo"]),
        };
        for worker in clients as usize..path.sessions.len() {
            path.hear(worker, ready.wire());
        }
        path
    }

    /// Tasks of a round.
    pub fn tasks(&self) -> usize {
        let one = self.questions.first().map_or(1, Vec::len);
        let all: usize = self.questions.iter().map(Vec::len).sum();
        let each = Message::new(one_question(self.tongue, 0)).wire().len();
        assert_eq!(one % each, 0);
        all / each
    }

    /// Every client asks all that it may have outstanding, and gets its answers.
    pub fn round(&mut self) {
        let clients = self.questions.len();
        for client in 0..clients {
            let questions = std::mem::take(&mut self.questions[client]);
            self.hear(client, &questions);
            self.questions[client] = questions;
        }
        let mut busy = true;
        while std::mem::take(&mut busy) {
            for worker in clients..self.sessions.len() {
                self.wire.clear();
                drain(&mut self.sessions[worker], &mut self.wire);
                let mut replies = std::mem::take(&mut self.replies);
                replies.clear();
                reply(self.tongue, &self.wire, &mut replies);
                self.hear(worker, &replies);
                busy |= !replies.is_empty();
                self.replies = replies;
            }
        }
        for client in 0..clients {
            let asked = self.questions[client].len();
            self.wire.clear();
            drain(&mut self.sessions[client], &mut self.wire);
            assert!(self.wire.len() > asked / 2, "answers are missing");
        }
    }

    /// These bytes come from a connection.
    fn hear(&mut self, place: usize, bytes: &[u8]) {
        let peer = PeerId {
            place: place as u32,
            generation: 0,
        };
        let mut input = bytes;
        while let Some(heard) = self.sessions[place].receive(NOW, &mut input).unwrap() {
            let Heard::Message(message) = heard else {
                continue;
            };
            let reading = read(message, SocketType::Dealer, &self.limits);
            self.tell(Event::Heard { peer, reading });
        }
    }

    fn tell(&mut self, event: Event) {
        let mut actions = std::mem::take(&mut self.actions);
        self.broker.handle(NOW, event, &mut actions);
        let mut taken = None;
        for action in actions.drain(..) {
            let session = |peer: PeerId| peer.place as usize;
            match action {
                Action::Assign {
                    peer,
                    dialect,
                    task,
                } => {
                    let session = &mut self.sessions[session(peer)];
                    protocol::assign(dialect, &task, |p| session.send(NOW, p)).unwrap();
                }
                Action::Answer {
                    peer,
                    back,
                    service,
                    answer,
                } => {
                    let session = &mut self.sessions[session(peer)];
                    let sent =
                        protocol::answer(&back, &service, &answer, None, |p| session.send(NOW, p));
                    sent.unwrap().unwrap();
                }
                // It has been given much: here it has always taken all of it.
                Action::Gauge { peer } => taken = Some(Event::Full { peer, full: false }),
                _ => {}
            }
        }
        self.actions = actions;
        if let Some(event) = taken {
            self.tell(event);
        }
    }
}

fn questions(tongue: Tongue, client: u32, window: u32) -> Vec<u8> {
    let one = |number| {
        Message::new(one_question(tongue, u64::from(number)))
            .wire()
            .to_vec()
    };
    (0..window)
        .flat_map(|n| one(client * 1000 + n + 1))
        .collect()
}

fn one_question(tongue: Tongue, number: u64) -> Vec<Vec<u8>> {
    let header = Header {
        id: Id(number.to_be_bytes()),
        ..task_header()
    };
    let body = vec![7; 64];
    match tongue {
        Tongue::Scale0 => vec![header.frame(), body],
        Tongue::Majordomo => vec![vec![], b"MDPC01".to_vec(), b"echo".to_vec(), body],
    }
}

/// What a worker says to what it has got, as cheaply as can be. All frames here are short.
fn reply(tongue: Tongue, mut wire: &[u8], out: &mut Vec<u8>) {
    while !wire.is_empty() {
        let mut len = 0;
        while wire[len] & MORE != 0 {
            len += 2 + usize::from(wire[len + 1]);
        }
        len += 2 + usize::from(wire[len + 1]);
        let (message, rest) = wire.split_at(len);
        wire = rest;
        match tongue {
            Tongue::Scale0 if message[2 + 3] == command::TASK => {
                let token = message[2 + 12..2 + 20].try_into().unwrap();
                let header = Header {
                    code: 200,
                    id: Id(token),
                    ..Header::of(command::REPLY)
                };
                let body = &message[2 + usize::from(message[1])..];
                header.with_frame(|frame| {
                    out.extend_from_slice(&[MORE, frame.len() as u8]);
                    out.extend_from_slice(frame);
                });
                out.extend_from_slice(body);
            }
            // Empty, MDPW01, REQUEST, address, empty, body: REPLY stands where REQUEST stood.
            Tongue::Majordomo if message[12] == 2 => {
                let begun = out.len();
                out.extend_from_slice(message);
                out[begun + 12] = 3;
            }
            _ => {}
        }
    }
}

const MORE: u8 = 1;
