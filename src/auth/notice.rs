//! What the owner of keys and passwords should hear about.

use std::path::PathBuf;

use super::certificate::CertificateError;
use super::file::FileError;

/// Something about files of keys and passwords that asks for somebody's attention. Written out, it
/// is one sentence.
///
/// Whoever watches files says each notice once: when it becomes true, and again only after it has
/// not been for a while. None of them ever holds a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Notice {
    /// A file or directory cannot be read.
    #[error("{0}: it admits nobody")]
    Unread(FileError),
    /// A file with no key in it.
    #[error("{} admits nobody: {error}", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: CertificateError,
    },
    /// Two files with one key.
    #[error("{} admits nobody: its key is that of {}", path.display(), first.display())]
    Same {
        /// The file that does not count.
        path: PathBuf,
        /// The file that does, the first by name.
        first: PathBuf,
    },
    /// More than there is room for.
    #[error("{} holds more than {limit} keys: those behind, by name, admit nobody", path.display())]
    TooMany {
        /// The directory.
        path: PathBuf,
        /// How many count.
        limit: usize,
    },
    /// A secret where public keys belong.
    #[error("{} holds a secret key, which belongs to its owner only: exchange it for the public file", path.display())]
    Secret {
        /// The file.
        path: PathBuf,
    },
    /// A secret that is none.
    #[error("{} can be read by others (mode {mode:04o}): make its mode 0600", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions, the lower nine bits of its mode.
        mode: u32,
    },
    /// A line of a file of passwords.
    #[error("{} line {line}: {reason}: it admits nobody", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from one.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
}
