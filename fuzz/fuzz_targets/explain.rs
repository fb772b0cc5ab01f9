//! Bytes are explained alike however they are cut, in lines of a bounded length.
#![cfg_attr(fuzzing, no_main)]

use scale0::wire::{Explainer, Greeting, MechanismName};

pub fn run(data: &[u8]) {
    let Some((&first, data)) = data.split_first() else {
        return;
    };
    // Most bytes are no greeting: half of the inputs get one.
    let greeting = Greeting {
        minor: 1,
        mechanism: MechanismName::NULL,
        as_server: false,
    };
    let stream = match first & 1 {
        0 => data.to_vec(),
        _ => [&greeting.write(), data].concat(),
    };
    let whole = explain(&stream, stream.len());
    assert_eq!(explain(&stream, 1), whole);
    assert_eq!(explain(&stream, usize::from(first >> 1) + 1), whole);
}

fn explain(stream: &[u8], step: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut tell = |line: &str| {
        assert!(
            line.len() < 4096 && !line.contains(char::is_control),
            "{line:?}"
        );
        lines.push(line.to_owned());
    };
    let mut explainer = Explainer::new();
    for piece in stream.chunks(step.max(1)) {
        explainer.hear(piece, &mut tell);
    }
    explainer.end(&mut tell);
    lines
}

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| run(data));
