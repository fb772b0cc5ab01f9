//! Two sessions talk through a stream that is cut, delayed and garbled at will. Whatever comes of
//! it, their deadlines lie ahead, their outboxes add up, and the end is the end.
#![cfg_attr(fuzzing, no_main)]

use std::io::IoSlice;
use std::sync::Arc;
use std::time::Duration;

use scale0::session::{Config, Error, Heard, Heartbeat, Session};
use scale0::time::Time;
use scale0::wire::{Message, Piece, SocketType};

pub fn run(data: &[u8]) {
    let mut now = Time::ZERO;
    let mut broker = Side::new(SocketType::Router);
    let mut worker = Side::new(SocketType::Dealer);
    let mut steps = data.iter().copied();
    while let (Some(step), Some(argument)) = (steps.next(), steps.next()) {
        let (here, there) = if step & 1 == 0 {
            (&mut broker, &mut worker)
        } else {
            (&mut worker, &mut broker)
        };
        let size = usize::from(argument);
        match step >> 1 & 7 {
            0 => here.write(now, size, &mut there.stream),
            1 => here.read(now, size),
            2 => here.send(now, size),
            3 => {
                now = now + Duration::from_millis(u64::from(argument) * 40);
                here.wake(now);
                there.wake(now);
            }
            4 => here.stream.extend(steps.by_ref().take(size)),
            5 => here.watch(now, argument),
            6 => here.session.reading(now, argument & 1 == 1),
            _ => {
                here.write(now, usize::MAX, &mut there.stream);
                there.read(now, usize::MAX);
            }
        }
    }
}

struct Side {
    session: Session,
    /// What is on its way to it.
    stream: Vec<u8>,
    over: bool,
}

impl Side {
    fn new(kind: SocketType) -> Self {
        Self {
            session: Session::new(Time::ZERO, Arc::new(Config::new(kind)), [0; 32]),
            stream: Vec::new(),
            over: false,
        }
    }

    fn write(&mut self, now: Time, most: usize, to: &mut Vec<u8>) {
        let mut slices = [IoSlice::new(&[]); 4];
        let filled = self.session.chunks(&mut slices);
        let bytes: Vec<u8> = slices[..filled]
            .iter()
            .flat_map(|slice| slice.iter())
            .copied()
            .collect();
        let taken = bytes.len().min(most);
        to.extend_from_slice(&bytes[..taken]);
        let before = self.session.waiting();
        assert!(before >= bytes.len() && (before == 0) == bytes.is_empty());
        if taken > 0 {
            self.session.wrote(now, taken);
        }
        assert_eq!(self.session.waiting(), before - taken);
    }

    fn read(&mut self, now: Time, most: usize) {
        let taken = self.stream.len().min(most);
        let bytes: Vec<u8> = self.stream.drain(..taken).collect();
        let mut input = &bytes[..];
        loop {
            let was_open = self.session.is_open();
            match self.session.receive(now, &mut input) {
                Ok(Some(Heard::Open(_))) => assert!(!was_open && self.session.is_open()),
                Ok(Some(Heard::Message(message))) => {
                    assert!(was_open && !message.is_empty());
                    assert!(message.count() <= 1024 && message.payload() <= 16 << 20);
                }
                Ok(Some(Heard::Sign | Heard::Subscription { .. })) => assert!(was_open),
                Ok(Some(Heard::Asks(_))) => panic!("NULL asks about nobody"),
                Ok(None) => break assert!(input.is_empty()),
                Err(error) => break self.end(&error),
            }
        }
    }

    fn send(&mut self, now: Time, size: usize) {
        let part = vec![7; size * size / 4];
        let rest = Message::new([&part[..size / 2], &part]);
        let sent = self
            .session
            .send(now, &[Piece::Part(&part), Piece::Parts(&rest)]);
        assert_eq!(sent.is_ok(), self.session.is_open());
    }

    fn wake(&mut self, now: Time) {
        match self.session.wake(now) {
            Ok(()) => assert!(self.session.deadline().is_none_or(|at| at > now)),
            Err(error) => self.end(&error),
        }
    }

    fn watch(&mut self, now: Time, argument: u8) {
        let interval = Duration::from_millis(100 + u64::from(argument) * 10);
        let heartbeat = Heartbeat {
            interval,
            timeout: interval * 3,
            ttl: interval * 4,
        };
        self.session.watch(now, (argument > 9).then_some(heartbeat));
    }

    fn end(&mut self, error: &Error) {
        assert_eq!(
            std::mem::replace(&mut self.over, true),
            *error == Error::Closed,
            "{error}"
        );
        assert!(!self.session.is_open());
    }
}

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| run(data));
