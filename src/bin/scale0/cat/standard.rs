//! Standard input and output, one line at a time and no line ahead: while one end waits, so does
//! the other.

use std::io::{BufRead, BufReader, Read, Stdin, stdin, stdout};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::task::JoinHandle;

use crate::exit::{Failed, Outcome};
use crate::output::print;

/// Standard input, which is read when a line is asked for.
#[derive(Debug)]
pub(crate) struct Input {
    /// The source, unless it is being read.
    source: Option<BufReader<Stdin>>,
    /// A line that is being read; whoever asked for it may be gone.
    reading: Option<JoinHandle<(BufReader<Stdin>, Reading)>>,
    number: u64,
}

/// What comes of reading a line: its bytes, `None` at the end of the input.
type Reading = std::io::Result<Option<Text>>;

/// A line without its end.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Line {
    /// Counted from 1.
    pub(crate) number: u64,
    pub(crate) text: Text,
}

#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Text {
    Whole(Vec<u8>),
    /// It was longer than [`LONGEST`] and is not kept.
    TooLong,
}

impl Input {
    pub(crate) fn new() -> Self {
        Self {
            source: Some(BufReader::new(stdin())),
            reading: None,
            number: 0,
        }
    }

    /// The number of the last line.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The next line; `None` when there is none any more. Cancel safe: a line that nobody has
    /// waited for to the end is the next one's.
    pub(crate) async fn next(&mut self) -> Result<Option<Line>, Failed> {
        // What is in memory already needs no thread.
        let at_hand = |source: &&mut BufReader<Stdin>| source.buffer().contains(&b'\n');
        let read = match self.source.as_mut().filter(at_hand) {
            Some(source) => line(source, LONGEST),
            None => self.read().await?,
        };
        let text = read?;
        if text.is_some() {
            self.number += 1;
        }
        let number = self.number;
        Ok(text.map(|text| Line { number, text }))
    }

    async fn read(&mut self) -> Result<Reading, Failed> {
        if let Some(mut source) = self.source.take() {
            self.reading = Some(tokio::task::spawn_blocking(move || {
                let read = line(&mut source, LONGEST);
                (source, read)
            }));
        }
        let Some(reading) = &mut self.reading else {
            return Ok(Ok(None));
        };
        let read = reading.await;
        self.reading = None;
        let (source, read) = read.map_err(Failed::error)?;
        self.source = Some(source);
        Ok(read)
    }
}

/// Reads a line of at most `longest` bytes; a longer one is skipped.
fn line(source: &mut impl BufRead, longest: usize) -> Reading {
    let mut bytes = Vec::new();
    let most = longest as u64 + 1;
    source.by_ref().take(most).read_until(b'\n', &mut bytes)?;
    match bytes.last() {
        None => return Ok(None),
        Some(b'\n') => _ = bytes.pop(),
        Some(_) if bytes.len() > longest => {
            source.skip_until(b'\n')?;
            return Ok(Some(Text::TooLong));
        }
        // The last line may do without an end.
        Some(_) => {}
    }
    Ok(Some(Text::Whole(bytes)))
}

/// Standard output, which takes one message after the other.
#[derive(Debug, Default)]
pub(crate) struct Output {
    /// What is being written; whoever wanted it written may be gone.
    writing: Option<JoinHandle<Outcome>>,
}

impl Output {
    /// Writes a line and flushes it; done when it is written.
    pub(crate) async fn print(&mut self, line: Vec<u8>) -> Outcome {
        self.settle().await?;
        // A line that stdout takes at once needs no thread.
        if line.len() <= AT_ONCE && has_room() {
            return print(line);
        }
        self.writing = Some(tokio::task::spawn_blocking(move || print(line)));
        self.settle().await
    }

    /// Waits until what was given is written.
    pub(crate) async fn settle(&mut self) -> Outcome {
        let Some(writing) = &mut self.writing else {
            return Ok(());
        };
        let written = writing.await;
        self.writing = None;
        written.map_err(Failed::error)?
    }
}

/// Whether stdout takes [`AT_ONCE`] bytes without waiting.
fn has_room() -> bool {
    let stdout = stdout();
    let mut fds = [PollFd::new(&stdout, PollFlags::OUT)];
    // An error or a reader that has gone is found by writing, on the thread.
    let polled = poll(&mut fds, Some(&Timespec::default()));
    polled == Ok(1) && fds.iter().all(|fd| fd.revents() == PollFlags::OUT)
}

/// A pipe that is writable at all takes so much (PIPE_BUF).
const AT_ONCE: usize = 4096;
/// Bytes of a line: far more than a frame may have, in whatever form it is written.
pub(crate) const LONGEST: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(mut input: &[u8], longest: usize) -> Vec<Text> {
        std::iter::from_fn(|| line(&mut input, longest).unwrap()).collect()
    }

    fn whole(text: &str) -> Text {
        Text::Whole(text.as_bytes().to_vec())
    }

    #[test]
    fn lines_end_with_a_newline_or_the_input() {
        assert_eq!(lines(b"", 9), []);
        assert_eq!(lines(b"a\n\nb", 9), [whole("a"), whole(""), whole("b")]);
        assert_eq!(lines(b"a\r\n", 9), [whole("a\r")]);
    }

    #[test]
    fn a_line_too_long_is_skipped_and_the_next_one_read() {
        assert_eq!(
            lines(b"1234\n12345\n123456789\n1\n12345", 4),
            [
                whole("1234"),
                Text::TooLong,
                Text::TooLong,
                whole("1"),
                Text::TooLong
            ]
        );
    }
}
