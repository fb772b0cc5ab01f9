//! Small files that matter: read within bounds, made with the right mode from their first byte on.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::notice::Notice;

/// Why a file was not read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The system does not let us read it.
    #[error("{} cannot be read: {error}", path.display())]
    Unreadable {
        /// The file or directory.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
    /// The system does not let us write it.
    #[error("{} cannot be written: {error}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
    /// A directory, a pipe, a device.
    #[error("{} is no file", path.display())]
    NotAFile {
        /// What is no file.
        path: PathBuf,
    },
    /// More bytes than such a file ever has.
    #[error("{} has more than {limit} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// How many it may have.
        limit: usize,
    },
    /// It exists already, and is not overwritten.
    #[error("{} exists already and is never overwritten: choose another name, or move it away", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
}

/// A file's bytes, wiped when they are dropped, and its permissions.
pub(super) struct Contents {
    pub(super) bytes: Zeroizing<Vec<u8>>,
    mode: u32,
}

/// What tells one version of a file from another. The time of a change of its status is in it, so
/// that nobody but root hides a change by setting the clock of a file back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Contents {
    /// What to say of a secret that others may read.
    pub(super) fn exposed(&self, path: &Path) -> Option<Notice> {
        (self.mode & 0o077 != 0).then(|| Notice::Exposed {
            path: path.to_owned(),
            mode: self.mode,
        })
    }
}

impl Stamp {
    fn new(of: &Metadata) -> Self {
        Self {
            device: of.dev(),
            inode: of.ino(),
            size: of.size(),
            modified: (of.mtime(), of.mtime_nsec()),
            changed: (of.ctime(), of.ctime_nsec()),
        }
    }

    /// `None` if there is nothing to be seen.
    pub(super) fn read(path: &Path) -> Option<Self> {
        std::fs::metadata(path)
            .ok()
            .map(|metadata| Self::new(&metadata))
    }
}

/// Reads a file of at most `limit` bytes.
pub(super) fn read(path: &Path, limit: usize) -> Result<Contents, FileError> {
    let unreadable = |error| FileError::Unreadable {
        path: path.to_owned(),
        error,
    };
    // Before it is opened: to open a pipe is to wait for its other end.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(FileError::NotAFile {
            path: path.to_owned(),
        });
    }
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    // As large as it will be, so that no copy is left behind by growing; but as large as the file
    // says only within the limit.
    let size = usize::try_from(metadata.len()).unwrap_or(limit).min(limit);
    let mut bytes = Zeroizing::new(Vec::with_capacity(size + READ_AHEAD));
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    file.take(most)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() > limit {
        return Err(FileError::TooLarge {
            path: path.to_owned(),
            limit,
        });
    }
    let mode = metadata.mode() & 0o777;
    Ok(Contents { bytes, mode })
}

/// Makes a file that must not exist yet, with this mode from its first byte on (the process's
/// umask may take from it), and removes it if it cannot be written to its end.
pub(super) fn create(path: &Path, mode: u32, bytes: &[u8]) -> Result<File, FileError> {
    let failed = |error: io::Error| {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::AlreadyExists => FileError::Exists { path },
            _ => FileError::Unwritable { path, error },
        }
    };
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .map_err(failed)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if let Err(error) = written {
        // Half a file helps nobody; that it could not be written is said already.
        let _ = std::fs::remove_file(path);
        return Err(failed(error));
    }
    Ok(file)
}

/// Reading to the end asks for a little more than there is, and must not grow for it.
const READ_AHEAD: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_limit() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        std::fs::write(&path, [7; 100]).unwrap();
        assert_eq!(read(&path, 100).unwrap().bytes.len(), 100);
        let large = read(&path, 99).map(|_| ()).unwrap_err();
        assert!(
            matches!(large, FileError::TooLarge { limit: 99, .. }),
            "{large}"
        );
        let none = read(directory.path(), 99).map(|_| ()).unwrap_err();
        assert!(matches!(none, FileError::NotAFile { .. }), "{none}");
        // Says that it is empty, and is not.
        assert!(matches!(
            read(Path::new("/proc/self/status"), 8).map(|_| ()),
            Err(FileError::TooLarge { .. })
        ));
    }

    #[test]
    fn what_exists_is_never_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        create(&path, 0o600, b"first").unwrap();
        let mode = std::fs::metadata(&path).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = create(&path, 0o600, b"second").map(|_| ()).unwrap_err();
        assert!(matches!(again, FileError::Exists { .. }), "{again}");
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
    }

    #[test]
    fn a_new_version_has_a_new_stamp() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        assert_eq!(Stamp::read(&path), None);
        std::fs::write(&path, b"1").unwrap();
        let first = Stamp::read(&path);
        assert_eq!(first, Stamp::read(&path));
        std::fs::write(&path, b"22").unwrap();
        assert_ne!(first, Stamp::read(&path));
    }
}
