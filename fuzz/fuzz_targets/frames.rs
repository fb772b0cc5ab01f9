//! Frames mean the same however the stream is cut, and cost no more than what has come of them.
#![cfg_attr(fuzzing, no_main)]

use std::sync::Arc;

use scale0::session::{Config, Error, Heard, Session};
use scale0::time::Time;
use scale0::wire::{Command, Greeting, Header, MechanismName, Metadata, SocketType};

pub fn run(data: &[u8]) {
    if let Ok(Some((header, len))) = Header::read(data) {
        let mut written = Vec::new();
        header.write(&mut written);
        assert!(written.len() <= len);
        assert_eq!(Header::read(&written), Ok(Some((header, written.len()))));
    }
    let Some((&first, data)) = data.split_first() else {
        return;
    };
    let whole = hear(data, data.len());
    assert_eq!(hear(data, 1), whole);
    assert_eq!(hear(data, usize::from(first) + 1), whole);
}

/// All that an open session makes of `data` when it comes in pieces of `step` bytes.
fn hear(data: &[u8], step: usize) -> (Vec<Heard>, Option<Error>) {
    let mut session = open();
    let mut all = Vec::new();
    let mut came = 0;
    for mut piece in data.chunks(step.max(1)) {
        came += piece.len();
        loop {
            match session.receive(Time::ZERO, &mut piece) {
                Ok(Some(heard)) => all.push(heard),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(session.deadline(), None);
                    return (all, Some(error));
                }
            }
        }
        assert!(piece.is_empty());
        // A header of two bytes may have come in nine, never the other way round.
        assert!(session.partial() <= came);
    }
    (all, None)
}

fn open() -> Session {
    let mut session = Session::new(
        Time::ZERO,
        Arc::new(Config::new(SocketType::Router)),
        [0; 32],
    );
    let greeting = Greeting {
        minor: 1,
        mechanism: MechanismName::NULL,
        as_server: false,
    };
    let mut hello = greeting.write().to_vec();
    let ready = Metadata::of(SocketType::Dealer).write();
    Command::write(Command::READY, &ready, &mut hello);
    let heard = session.receive(Time::ZERO, &mut &hello[..]);
    assert!(matches!(heard, Ok(Some(Heard::Open(_)))));
    session
}

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| run(data));
