//! `scale0 passwd`

use std::fs::File;
use std::io::{self, IsTerminal, Read, stdin};
use std::os::fd::{AsFd, OwnedFd};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use scale0::auth::{Password, PasswordError, set_password};
use zeroize::Zeroizing;

use crate::commands::PasswdArguments;
use crate::exit::{Failed, Outcome};
use crate::output::{print, tell};

pub(crate) fn run(arguments: &PasswdArguments) -> Outcome {
    let password = if stdin().is_terminal() {
        asked(&arguments.user)?
    } else {
        Password::from_line(&line()?).map_err(refused)?
    };
    let replaced =
        set_password(&arguments.file, &arguments.user, &password).map_err(Failed::error)?;
    let (file, user) = (arguments.file.display(), &arguments.user);
    print(if replaced {
        format!("{file}: {user} has another password now\n")
    } else {
        format!("{file}: {user} was added\n")
    })
}

/// Asks twice, and shows nothing of what is typed.
fn asked(user: &str) -> Result<Password, Failed> {
    let quiet = Quiet::begin()?;
    let mut typed = Vec::new();
    for question in ["Password for", "Once more, the password for"] {
        tell(format_args!("{question} {user}:"));
        typed.push(Password::from_line(&line()?).map_err(refused)?);
    }
    drop(quiet);
    match <[Password; 2]>::try_from(typed) {
        Ok([first, second]) if first == second => Ok(first),
        _ => Err(Failed::Error(
            "the two passwords differ: nothing was changed".to_owned(),
        )),
    }
}

fn refused(error: PasswordError) -> Failed {
    Failed::Error(format!(
        "{error}: type or pipe in one line of 1 to 255 bytes"
    ))
}

/// One line of stdin, read byte by byte past the standard library's buffer, which would keep it.
fn line() -> io::Result<Zeroizing<Vec<u8>>> {
    let stdin: OwnedFd = stdin().as_fd().try_clone_to_owned()?;
    let mut stdin = File::from(stdin);
    let mut line = Zeroizing::new(Vec::with_capacity(MOST));
    let mut byte = Zeroizing::new([0]);
    while line.len() < MOST && stdin.read(&mut *byte)? == 1 && *byte != *b"\n" {
        line.extend_from_slice(&*byte);
    }
    Ok(line)
}

/// The terminal shows nothing of what is typed, until this is dropped.
struct Quiet {
    before: Termios,
}

impl Quiet {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(stdin())?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        // The end of the line is shown, for it moves on to the next.
        quiet.local_modes.insert(LocalModes::ECHONL);
        // What was typed too early was seen, and does not count.
        tcsetattr(stdin(), OptionalActions::Flush, &quiet)?;
        Ok(Self { before })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // A terminal that has gone has nothing to be set right.
        let _ = tcsetattr(stdin(), OptionalActions::Flush, &self.before);
    }
}

/// More than a password may have, with `\r`: so that one that is too long is seen to be.
const MOST: usize = 300;
