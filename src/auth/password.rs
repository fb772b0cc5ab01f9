//! A password as people give it: one line, from a file or a terminal.

use std::fmt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::file::{self, FileError};
use super::notice::Notice;

/// A password that PLAIN can carry: 1 to 255 bytes, none of which ends a line. It is wiped when it
/// is dropped, and never printed.
#[derive(Clone, Eq, PartialEq)]
pub struct Password(Zeroizing<Vec<u8>>);

/// Why there is no password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PasswordError {
    /// Nothing on the line.
    #[error("the password is empty")]
    Empty,
    /// More than PLAIN can carry.
    #[error("a password has at most {MAX_PASSWORD} bytes")]
    TooLong,
    /// A file with more than a password in it.
    #[error("{} is to hold the password on its only line", path.display())]
    Lines {
        /// The file.
        path: PathBuf,
    },
    /// The file.
    #[error(transparent)]
    File(#[from] FileError),
    /// What the file holds is no password.
    #[error("{}: {error}", path.display())]
    In {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: Box<PasswordError>,
    },
}

impl Password {
    /// The first line of `bytes`, without its end (`\n` or `\r\n`).
    ///
    /// # Errors
    /// It is empty or too long.
    pub fn from_line(bytes: &[u8]) -> Result<Self, PasswordError> {
        let line = bytes.split(|byte| *byte == b'\n').next();
        let line = line.unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match line.len() {
            0 => Err(PasswordError::Empty),
            1..=MAX_PASSWORD => Ok(Self(Zeroizing::new(line.to_vec()))),
            _ => Err(PasswordError::TooLong),
        }
    }

    /// What PLAIN carries.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// What PLAIN carries, still wiped when it is dropped.
    #[must_use]
    pub fn into_bytes(self) -> Zeroizing<Vec<u8>> {
        self.0
    }
}

/// Reads a password from a file that holds nothing else; and says so if others can read it, too.
///
/// # Errors
/// It cannot be read, or holds more or less than a password.
pub fn read_password(path: &Path) -> Result<(Password, Option<Notice>), PasswordError> {
    let contents = file::read(path, LIMIT)?;
    let password = Password::from_line(&contents.bytes).map_err(|error| PasswordError::In {
        path: path.to_owned(),
        error: Box::new(error),
    })?;
    let mut behind = contents.bytes.splitn(2, |byte| *byte == b'\n').skip(1);
    if behind.any(|rest| !rest.trim_ascii().is_empty()) {
        return Err(PasswordError::Lines {
            path: path.to_owned(),
        });
    }
    Ok((password, contents.exposed(path)))
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// RFC 24: its length is one octet.
pub(super) const MAX_PASSWORD: usize = 255;
/// Bytes of a file with a password.
const LIMIT: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_the_first_line_as_it_stands() {
        for (text, password) in [
            ("a b \n", "a b "),
            ("a", "a"),
            ("a\r\nb", "a"),
            ("é#:\n\n", "é#:"),
        ] {
            let found = Password::from_line(text.as_bytes()).unwrap();
            assert_eq!(found.as_bytes(), password.as_bytes(), "{text:?}");
        }
        for text in ["", "\n", "\r\n", "\na"] {
            let error = Password::from_line(text.as_bytes()).unwrap_err();
            assert!(matches!(error, PasswordError::Empty), "{text:?}");
        }
        assert!(Password::from_line(&[b'x'; 255]).is_ok());
        assert!(matches!(
            Password::from_line(&[b'x'; 256]),
            Err(PasswordError::TooLong)
        ));
        let printed = format!("{:?}", Password::from_line(b"secret"));
        assert_eq!(printed, "Ok(Password(..))");
    }

    #[test]
    fn a_file_holds_one_password_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("password");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            read_password(&path).map_err(|error| error.to_string())
        };
        let (password, notice) = read("secret\n\n").unwrap();
        assert_eq!(password.as_bytes(), b"secret");
        assert!(matches!(notice, Some(Notice::Exposed { .. })), "{notice:?}");
        assert!(read("secret\nother\n").unwrap_err().contains("only line"));
        let empty = read("").unwrap_err();
        assert!(
            empty.ends_with("password: the password is empty"),
            "{empty}"
        );
        assert!(read(&"x".repeat(5000)).unwrap_err().contains("4096 bytes"));
    }
}
