//! What the program prints. One place, for a reader that has gone (`scale0 info | head -1`) ends
//! the command, and is no failure of it.

use std::fmt::Display;
use std::io::{ErrorKind, Write, stderr, stdout};

use crate::exit::{Failed, Outcome};

/// Prints on stdout.
pub(crate) fn print(text: impl AsRef<[u8]>) -> Outcome {
    let mut out = stdout().lock();
    let printed = out.write_all(text.as_ref()).and_then(|()| out.flush());
    printed.map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Failed::Unread,
        _ => error.into(),
    })
}

/// Prints a line on stderr.
pub(crate) fn tell(line: impl Display) {
    // Whoever closed stderr does not want to know, and a broker goes on without it.
    let _ = writeln!(stderr(), "{line}");
}
