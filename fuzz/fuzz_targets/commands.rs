//! Commands are read within their frame, and what is written is read back.
#![cfg_attr(fuzzing, no_main)]

use scale0::limits::Limits;
use scale0::wire::{Command, Header};

pub fn run(data: &[u8]) {
    let Ok(command) = Command::read(data) else {
        return;
    };
    assert_eq!(1 + command.name.len() + command.data.len(), data.len());
    if let Ok(ping) = command.ping() {
        assert!(ping.context.len() <= 16);
    }
    let _ = command.reason();
    let _ = command.metadata(&Limits::default());
    let mut frame = Vec::new();
    Command::write(command.name, command.data, &mut frame);
    let Ok(Some((header, len))) = Header::read(&frame) else {
        panic!("a frame of ours cannot be read");
    };
    assert!(header.command && !header.more);
    assert_eq!(header.size, data.len() as u64);
    assert_eq!(&frame[len..], data);
}

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| run(data));
