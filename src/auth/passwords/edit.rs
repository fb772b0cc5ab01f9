//! A file of passwords, changed: whole before and whole after, whatever happens in between.

use std::fs::File;
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::{Path, PathBuf};

use super::hash::Hash;
use super::table::with_user;
use super::{LIMIT, PasswordFileError};
use crate::auth::file::{self, FileError};
use crate::auth::password::Password;
use crate::net::entropy;

/// Writes a user's password, as its hash, into a file that has it already or not, or that does not
/// exist yet. Its mode is 0600 afterwards, its owner stays who it was, and all other lines stay
/// what they are. Whoever reads the file meanwhile sees the old one or the new one. Tells whether
/// the user was there before.
///
/// Takes the processor for some 20 ms.
///
/// # Errors
/// The name is none, the file is no file of passwords, or it cannot be written. It is then what it
/// was.
pub fn set_password(
    path: &Path,
    user: &str,
    password: &Password,
) -> Result<bool, PasswordFileError> {
    let unwritable = |error| FileError::Unwritable {
        path: path.to_owned(),
        error,
    };
    // A name that points elsewhere goes on to do so.
    let real = match path.canonicalize() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => path.to_owned(),
        real => real.map_err(unwritable)?,
    };
    let directory = match real.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let directory = File::open(directory).map_err(unwritable)?;
    // Two changes at once come one after the other, where the file system knows locks.
    let _ = directory.lock();
    let before = match std::fs::metadata(&real) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        metadata => Some(metadata.map_err(unwritable)?),
    };
    let text = match &before {
        Some(_) => file::read(&real, LIMIT)?.bytes,
        None => Default::default(),
    };
    let random = entropy().map_err(unwritable)?;
    let salt = std::array::from_fn(|at| random.get(at).copied().unwrap_or_default());
    let hash = Hash::make(password.as_bytes(), salt)
        .map_err(|_| unwritable(std::io::ErrorKind::OutOfMemory.into()))?;
    let (text, replaced) = with_user(&text, user, &hash).map_err(|(line, error)| match line {
        Some(line) => PasswordFileError::Line {
            path: path.to_owned(),
            line,
            error,
        },
        None => PasswordFileError::Name { error },
    })?;
    if text.len() > LIMIT {
        let path = path.to_owned();
        return Err(FileError::TooLarge { path, limit: LIMIT }.into());
    }
    let new = beside(&real);
    // Whoever died in the middle of this has left one; nobody else is at work here.
    let _ = std::fs::remove_file(&new);
    let written = file::create(&new, 0o600, &text)?;
    let kept = match &before {
        Some(before) => keep_owner(&written, before),
        None => Ok(()),
    };
    let renamed = kept.and_then(|()| std::fs::rename(&new, &real));
    if let Err(error) = renamed {
        // The error is more important than what is left of the attempt.
        let _ = std::fs::remove_file(&new);
        return Err(unwritable(error).into());
    }
    // The name, too, is to be on the disk.
    directory.sync_all().map_err(unwritable)?;
    Ok(replaced)
}

/// What root changes is not root's afterwards: a broker of lower rank has to read it.
fn keep_owner(file: &File, before: &std::fs::Metadata) -> std::io::Result<()> {
    let now = file.metadata()?;
    if (now.uid(), now.gid()) == (before.uid(), before.gid()) {
        return Ok(());
    }
    fchown(file, Some(before.uid()), Some(before.gid()))
}

/// `a` becomes `.a.new`, in the same directory.
fn beside(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".new");
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn password(text: &str) -> Password {
        Password::from_line(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_file_is_made_and_changed_and_nothing_is_left_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("passwords");
        assert!(!set_password(&path, "alice", &password("one")).unwrap());
        assert!(!set_password(&path, "bob", &password("two")).unwrap());
        fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        let link = directory.path().join("link");
        std::os::unix::fs::symlink("passwords", &link).unwrap();
        let before = fs::read_to_string(&path).unwrap();
        assert!(set_password(&link, "alice", &password("three")).unwrap());
        let after = fs::read_to_string(&path).unwrap();
        assert_eq!(before.lines().nth(1), after.lines().nth(1));
        assert_ne!(before.lines().next(), after.lines().next());
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 2);
        for secret in ["one", "two", "three"] {
            assert!(!after.contains(secret));
        }
    }

    #[test]
    fn what_is_no_file_of_passwords_stays_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("hosts");
        fs::write(&path, "127.0.0.1 localhost\n").unwrap();
        let error = set_password(&path, "alice", &password("one")).unwrap_err();
        assert!(matches!(error, PasswordFileError::Line { line: 1, .. }));
        let left = fs::read_to_string(&path).unwrap();
        assert_eq!(left, "127.0.0.1 localhost\n");
        assert!(set_password(directory.path(), "a", &password("one")).is_err());
        let name = set_password(&path.with_file_name("new"), "a:b", &password("one"));
        assert!(matches!(name, Err(PasswordFileError::Name { .. })));
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
    }
}
