//! Keys in files: pairs made, secrets and public keys read.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::certificate::{Certificate, CertificateError, public_certificate, secret_certificate};
use super::file::{self, FileError};
use super::notice::Notice;
use crate::security::curve::{KeyPair, PublicKey};

/// Why a key was not read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The file.
    #[error(transparent)]
    File(#[from] FileError),
    /// What stands in it.
    #[error("{} is no certificate: {error}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: CertificateError,
    },
    /// A public key where a secret one is needed.
    #[error("{} holds a public key only: name the file with the secret key, like NAME.key_secret", path.display())]
    NoSecret {
        /// The file.
        path: PathBuf,
    },
    /// Neither a key nor a file.
    #[error("`{text}` is no key of 40 characters of Z85, and as a file it cannot be read: {error}")]
    Neither {
        /// What was given.
        text: String,
        /// Why there is no file.
        error: std::io::Error,
    },
}

/// Writes `NAME.key`, which is for everybody, and `NAME.key_secret`, which only its owner can read
/// (mode 0600 from the first byte on), and returns their paths in this order. Either both are
/// written or none.
///
/// # Errors
/// One of them exists already, or cannot be written.
pub fn write_pair(name: &Path, pair: &KeyPair) -> Result<(PathBuf, PathBuf), KeyFileError> {
    let public = with_suffix(name, ".key");
    let secret = with_suffix(name, ".key_secret");
    file::create(&public, 0o644, public_certificate(&pair.public).as_bytes())?;
    if let Err(error) = file::create(&secret, 0o600, secret_certificate(pair).as_bytes()) {
        // A public key whose secret nobody has. The error is more important than this one.
        let _ = std::fs::remove_file(&public);
        return Err(error.into());
    }
    Ok((public, secret))
}

/// Reads both halves from a file with a secret key, such as `NAME.key_secret`; and says so if
/// others can read it, too.
///
/// # Errors
/// It cannot be read, or no secret key is in it.
pub fn read_pair(path: &Path) -> Result<(KeyPair, Option<Notice>), KeyFileError> {
    let contents = file::read(path, CERTIFICATE_LIMIT)?;
    let exposed = contents.exposed(path);
    let certificate = parse(path, &contents.bytes)?;
    let pair = certificate.pair().ok_or_else(|| KeyFileError::NoSecret {
        path: path.to_owned(),
    })?;
    Ok((pair, exposed))
}

/// Reads the public key of a file, such as `NAME.key`.
///
/// # Errors
/// It cannot be read, or no key is in it.
pub fn read_public(path: &Path) -> Result<PublicKey, KeyFileError> {
    let contents = file::read(path, CERTIFICATE_LIMIT)?;
    parse(path, &contents.bytes).map(|certificate| certificate.public)
}

/// A public key as people give it: 40 characters of Z85, or else the name of a file.
///
/// # Errors
/// It is neither.
pub fn public_key(text: &str) -> Result<PublicKey, KeyFileError> {
    if let Ok(key) = text.parse() {
        return Ok(key);
    }
    match read_public(Path::new(text)) {
        Err(KeyFileError::File(FileError::Unreadable { error, .. })) => {
            Err(KeyFileError::Neither {
                text: text.to_owned(),
                error,
            })
        }
        read => read,
    }
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Certificate, KeyFileError> {
    Certificate::parse(bytes).map_err(|error| KeyFileError::Certificate {
        path: path.to_owned(),
        error,
    })
}

/// Behind the whole name: `a.b` becomes `a.b.key`.
fn with_suffix(name: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(name);
    name.push(suffix);
    name.into()
}

/// Bytes of a certificate. Its keys need less than two hundred; the rest is room for metadata.
pub(super) const CERTIFICATE_LIMIT: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::curve::SecretKey;
    use std::os::unix::fs::PermissionsExt;

    fn pair() -> KeyPair {
        KeyPair::new(SecretKey::from_bytes([7; 32]))
    }

    #[test]
    fn a_pair_is_read_as_it_was_written() {
        let directory = tempfile::tempdir().unwrap();
        let (public, secret) = write_pair(&directory.path().join("al.ice"), &pair()).unwrap();
        assert!(public.ends_with("al.ice.key") && secret.ends_with("al.ice.key_secret"));
        assert_eq!(read_public(&public).unwrap(), pair().public);
        assert_eq!(read_public(&secret).unwrap(), pair().public);
        let (read, notice) = read_pair(&secret).unwrap();
        assert_eq!(read.public, pair().public);
        assert!(notice.is_none(), "{notice:?}");
        let error = read_pair(&public).unwrap_err().to_string();
        assert!(error.contains("holds a public key only"), "{error}");
    }

    #[test]
    fn a_secret_that_others_can_read_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let (_, secret) = write_pair(&directory.path().join("a"), &pair()).unwrap();
        for (mode, exposed) in [(0o640, true), (0o604, true), (0o400, false)] {
            std::fs::set_permissions(&secret, PermissionsExt::from_mode(mode)).unwrap();
            let (_, notice) = read_pair(&secret).unwrap();
            assert_eq!(notice.is_some(), exposed, "{mode:o}");
        }
    }

    #[test]
    fn a_pair_is_written_whole_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let name = directory.path().join("a");
        std::fs::write(directory.path().join("a.key_secret"), "mine").unwrap();
        let error = write_pair(&name, &pair()).unwrap_err().to_string();
        assert!(
            error.contains("a.key_secret exists already and is never overwritten"),
            "{error}"
        );
        assert!(!directory.path().join("a.key").exists());
        let left = std::fs::read(directory.path().join("a.key_secret")).unwrap();
        assert_eq!(left, b"mine");
    }

    #[test]
    fn a_public_key_is_z85_or_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let (public, _) = write_pair(&directory.path().join("a"), &pair()).unwrap();
        let key = pair().public;
        assert_eq!(public_key(&key.to_string()).unwrap(), key);
        assert_eq!(public_key(public.to_str().unwrap()).unwrap(), key);
        let error = public_key("nothing").unwrap_err().to_string();
        assert!(
            error.starts_with("`nothing` is no key of 40 characters"),
            "{error}"
        );
        let large = directory.path().join("large");
        std::fs::write(&large, vec![b'#'; CERTIFICATE_LIMIT + 1]).unwrap();
        assert!(matches!(
            read_public(&large),
            Err(KeyFileError::File(FileError::TooLarge { .. }))
        ));
    }
}
