//! Certificates: CURVE keys as CZMQ and pyzmq keep them in files.
//!
//! The form is ZPL (RFC 4): sections at the margin, `name = value` below them, comments behind
//! `#`. Only two names mean something here, `public-key` and `secret-key`, and they mean it in
//! whatever section they stand, as for pyzmq: two readers of one file never find different keys.
//! Only values in and out; `key_file` reads and writes.

use zeroize::Zeroizing;

use crate::security::curve::{KeyPair, PublicKey, SecretKey};

/// What a certificate says: a public key, and perhaps the secret key that belongs to it.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The public key.
    pub public: PublicKey,
    /// The secret key, in its owner's file.
    pub secret: Option<SecretKey>,
}

/// Why bytes are no certificate.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// No line gives a key.
    #[error("there is no line `public-key = \"…\"` in it")]
    NoKey,
    /// A value that is no key.
    #[error("line {line}: a key is 40 characters of Z85 between quotes")]
    NotAKey {
        /// Counted from one.
        line: usize,
    },
    /// A key is given twice, and not the same.
    #[error("line {line}: a second key that differs from the first")]
    Twice {
        /// Counted from one.
        line: usize,
    },
    /// The two halves are of different pairs.
    #[error("its public key and its secret key do not belong together")]
    Strangers,
}

impl Certificate {
    /// Reads a certificate. Comments, metadata and whatever else stands in it may be in any
    /// encoding.
    ///
    /// # Errors
    /// There is no key in it, or none that can be trusted to be the one that was meant.
    pub fn parse(bytes: &[u8]) -> Result<Self, CertificateError> {
        let mut public: Option<PublicKey> = None;
        let mut secret: Option<Zeroizing<String>> = None;
        for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
            let twice = CertificateError::Twice { line: number };
            let not_a_key = CertificateError::NotAKey { line: number };
            let Some((name, value)) = item(line) else {
                continue;
            };
            let value = unquoted(value).ok_or(not_a_key);
            match name {
                b"public-key" => {
                    let key = value?.parse().map_err(|_| not_a_key)?;
                    if public.replace(key).is_some_and(|first| first != key) {
                        return Err(twice);
                    }
                }
                b"secret-key" => {
                    let text = Zeroizing::new(value?.to_owned());
                    text.parse::<SecretKey>().map_err(|_| not_a_key)?;
                    if secret.as_ref().is_some_and(|first| *first != text) {
                        return Err(twice);
                    }
                    // CZMQ writes forty zeros for a secret it does not know.
                    if *text != UNKNOWN {
                        secret = Some(text);
                    }
                }
                _ => {}
            }
        }
        let secret: Option<SecretKey> = secret.and_then(|text| text.parse().ok());
        let derived = secret.as_ref().map(SecretKey::public);
        let public = match (public, derived) {
            (Some(public), Some(derived)) if public != derived => {
                return Err(CertificateError::Strangers);
            }
            (public, derived) => public.or(derived).ok_or(CertificateError::NoKey)?,
        };
        Ok(Self { public, secret })
    }

    /// Both halves, if both are known.
    #[must_use]
    pub fn pair(self) -> Option<KeyPair> {
        let Self { public, secret } = self;
        secret.map(|secret| KeyPair { public, secret })
    }
}

/// The file for everybody: `NAME.key`.
#[must_use]
pub fn public_certificate(key: &PublicKey) -> String {
    format!("{PUBLIC_BANNER}\nmetadata\ncurve\n    public-key = \"{key}\"\n")
}

/// The file for the owner alone: `NAME.key_secret`. The text is wiped when it is dropped.
#[must_use]
pub fn secret_certificate(pair: &KeyPair) -> Zeroizing<String> {
    let secret = pair.secret.to_z85();
    let public = &pair.public;
    // Room for all of it: text that grows leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(SECRET_BANNER.len() + 256));
    for piece in [
        SECRET_BANNER,
        "\nmetadata\ncurve\n    public-key = \"",
        &public.to_string(),
        "\"\n    secret-key = \"",
        &secret,
        "\"\n",
    ] {
        text.push_str(piece);
    }
    text
}

/// `name = value` of a line that is one. A comment is none.
fn item(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let line = line.trim_ascii();
    if line.first() == Some(&b'#') {
        return None;
    }
    let at = line.iter().position(|byte| *byte == b'=')?;
    let (name, value) = line.split_at_checked(at)?;
    Some((name.trim_ascii(), value.get(1..)?.trim_ascii()))
}

/// The text between quotes of either kind, with nothing but a comment behind it, or a value
/// without quotes as it stands: `#` and `=` are letters of Z85.
fn unquoted(value: &[u8]) -> Option<&str> {
    let inner = match value.first()? {
        quote @ (b'"' | b'\'') => {
            let rest = value.get(1..)?;
            let end = rest.iter().position(|byte| byte == quote)?;
            let behind = rest.get(end + 1..)?.trim_ascii();
            if !matches!(behind.first(), None | Some(b'#')) {
                return None;
            }
            rest.get(..end)?
        }
        _ => value,
    };
    std::str::from_utf8(inner).ok()
}

const UNKNOWN: &str = "0000000000000000000000000000000000000000";
const PUBLIC_BANNER: &str = "\
# A public key of CURVE, made by scale0. It is for whoever is to know its owner: hand it over on a
# way on which nobody can exchange it, or compare the key below by other means.
";
const SECRET_BANNER: &str = "\
# A secret key of CURVE, made by scale0. Whoever reads it is its owner for all others: keep it to
# yourself, and keep this file's mode at 0600.
";

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> KeyPair {
        KeyPair::new(SecretKey::from_bytes([7; 32]))
    }

    fn public(text: impl AsRef<[u8]>) -> Result<PublicKey, CertificateError> {
        Certificate::parse(text.as_ref()).map(|found| found.public)
    }

    #[test]
    fn what_is_written_is_read() {
        let pair = pair();
        let theirs = Certificate::parse(public_certificate(&pair.public).as_bytes()).unwrap();
        assert_eq!(theirs.public, pair.public);
        assert!(theirs.secret.is_none());
        let own = Certificate::parse(secret_certificate(&pair).as_bytes()).unwrap();
        let own = own.pair().unwrap();
        assert_eq!(own.public, pair.public);
        assert_eq!(own.secret.to_z85(), pair.secret.to_z85());
    }

    #[test]
    fn a_certificate_of_czmq_is_read() {
        // The layout of zcert_save; the pair is the one of libzmq's manual.
        let text = br#"#   ****  Generated on 2026-11-21 12:00:00 by CZMQ  ****
#   ZeroMQ CURVE **Secret** Certificate
#   public-key = "a comment"

metadata
    name = "Ji\xfd = #"
    email = "me@example.com"
curve
    public-key = "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"
    secret-key = "D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs"
"#;
        let found = Certificate::parse(text).unwrap();
        assert_eq!(
            found.public.to_string(),
            "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"
        );
        assert_eq!(found.pair().unwrap().secret.public(), public(text).unwrap());
    }

    #[test]
    fn quotes_ends_of_lines_and_order_do_not_matter() {
        let key = pair().public;
        for text in [
            format!("public-key = \"{key}\""),
            format!("curve\r\n\tpublic-key='{key}' # mine\r\n"),
            format!("curve\n    public-key = {key}\n"),
            format!("curve\n    public-key = \"{key}\"\nmetadata\n    x = y\n"),
            format!("public-key = \"{key}\"\npublic-key = \"{key}\"\nsecret-key = \"{UNKNOWN}\"\n"),
        ] {
            assert_eq!(public(&text), Ok(key), "{text}");
        }
        let secret = pair().secret.to_z85();
        assert_eq!(public(format!("secret-key = \"{}\"", *secret)), Ok(key));
    }

    #[test]
    fn what_is_no_certificate_is_refused_with_its_line() {
        use CertificateError::{NoKey, NotAKey, Strangers, Twice};
        let key = pair().public;
        let other = SecretKey::from_bytes([8; 32]);
        let secret = other.to_z85();
        for (text, error) in [
            (String::new(), NoKey),
            ("metadata\ncurve\n".to_owned(), NoKey),
            (format!("# public-key = \"{key}\""), NoKey),
            (format!("secret-key = \"{UNKNOWN}\""), NoKey),
            ("\npublic-key = \"short\"".to_owned(), NotAKey { line: 2 }),
            ("public-key =".to_owned(), NotAKey { line: 1 }),
            (format!("public-key = \"{key}"), NotAKey { line: 1 }),
            (format!("public-key = \"{key}\" \"x\""), NotAKey { line: 1 }),
            (
                format!("public-key = \"{key}\"\nsecret-key = \"{key}x\""),
                NotAKey { line: 2 },
            ),
            (
                format!(
                    "metadata\n public-key = \"{key}\"\ncurve\n public-key = \"{}\"",
                    other.public()
                ),
                Twice { line: 4 },
            ),
            (
                format!("public-key = \"{key}\"\nsecret-key = \"{}\"", *secret),
                Strangers,
            ),
        ] {
            assert_eq!(public(&text), Err(error), "{text}");
        }
        assert_eq!(
            public(b"public-key = \"\xff\xfe\""),
            Err(NotAKey { line: 1 })
        );
    }

    #[test]
    fn a_secret_is_never_printed() {
        let text = secret_certificate(&pair());
        let found = Certificate::parse(text.as_bytes()).unwrap();
        let printed = format!("{found:?}");
        assert!(!printed.contains(&**pair().secret.to_z85()), "{printed}");
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_break_the_reader(bytes: Vec<u8>) {
            let _ = Certificate::parse(&bytes);
            let text = [b"public-key = ", &*bytes].concat();
            let _ = Certificate::parse(&text);
        }
    }
}
