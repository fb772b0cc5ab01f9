//! What passes on connections, explained on stderr.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use scale0::socket::Tap;
use scale0::wire::Explainer;

use crate::output::tell;

/// Explains all bytes of all connections.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    streams: Mutex<Streams>,
}

#[derive(Debug, Default)]
struct Streams {
    /// By connection and direction.
    known: BTreeMap<(u64, bool), Stream>,
    /// Streams of this connection, and of those before it, may have been forgotten.
    forgotten: Option<u64>,
    /// Counts what is heard.
    time: u64,
}

#[derive(Debug, Default)]
struct Stream {
    explainer: Explainer,
    heard: u64,
}

impl Tap for Trace {
    fn bytes(&self, connection: u64, inbound: bool, bytes: &[u8]) {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        streams.hear((connection, inbound), bytes, MOST, &mut |line| tell(line));
    }
}

impl Trace {
    /// A connection has ended: tells what that has cut off.
    pub(crate) fn end(&self, connection: u64) {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        streams.end(connection, &mut |line| tell(line));
    }
}

impl Streams {
    fn hear(&mut self, name: Name, bytes: &[u8], most: usize, line: &mut dyn FnMut(&str)) {
        let mut line = |text: &str| line(&named(name, text));
        if !self.known.contains_key(&name) && Some(name.0) <= self.forgotten {
            // From the middle of a stream nothing can be told.
            return line(&format!("{} bytes, not explained", bytes.len()));
        }
        self.time += 1;
        let stream = self.known.entry(name).or_default();
        stream.heard = self.time;
        stream.explainer.hear(bytes, &mut line);
        if self.known.len() > most {
            self.forget();
        }
    }

    fn end(&mut self, connection: u64, line: &mut dyn FnMut(&str)) {
        for name in [(connection, true), (connection, false)] {
            if let Some(mut stream) = self.known.remove(&name) {
                stream.explainer.end(&mut |text| line(&named(name, text)));
            }
        }
    }

    /// Forgets the stream that has been silent longest: its connection has most likely ended.
    fn forget(&mut self) {
        let silent = self.known.iter().min_by_key(|(_, stream)| stream.heard);
        if let Some(name) = silent.map(|(name, _)| *name) {
            self.known.remove(&name);
            self.forgotten = self.forgotten.max(Some(name.0));
        }
    }
}

fn named((connection, inbound): Name, text: &str) -> String {
    let direction = if inbound { "in " } else { "out" };
    format!("trace: {connection} {direction} {text}")
}

/// A connection, and whether its bytes come in.
type Name = (u64, bool);

/// Streams that are remembered.
const MOST: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_end_of_a_connection_cuts_off_is_told() {
        let mut streams = Streams::default();
        let mut lines = Vec::new();
        streams.hear((7, true), &[0xff, 0], MOST, &mut |line| {
            lines.push(line.to_owned())
        });
        streams.end(7, &mut |line| lines.push(line.to_owned()));
        assert_eq!(lines, ["trace: 7 in  ends within the greeting | ff00"]);
        assert!(streams.known.is_empty());
    }

    #[test]
    fn streams_are_told_apart_and_the_silent_ones_forgotten() {
        let mut streams = Streams::default();
        let mut lines = Vec::new();
        let mut hear = |name, bytes: &[u8]| {
            streams.hear(name, bytes, 3, &mut |line| lines.push(line.to_owned()));
        };
        let signature = [0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f];
        for name in [(1, true), (1, false), (2, true)] {
            hear(name, &signature);
        }
        hear((1, true), &[3, 1]);
        // It takes the place of connection 1's other direction.
        hear((3, true), &signature);
        hear((1, false), &[3, 1]);
        hear((2, true), &[3, 0]);
        assert_eq!(
            lines,
            [
                "trace: 1 in  greeting: signature | ff00000000000000017f",
                "trace: 1 out greeting: signature | ff00000000000000017f",
                "trace: 2 in  greeting: signature | ff00000000000000017f",
                "trace: 1 in  greeting: ZMTP 3.1 | 0301",
                "trace: 3 in  greeting: signature | ff00000000000000017f",
                "trace: 1 out 2 bytes, not explained",
                "trace: 2 in  greeting: ZMTP 3.0 | 0300",
            ]
        );
    }
}
