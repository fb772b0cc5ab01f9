//! A table of users and passwords inside the program.

use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, ready};
use std::pin::Pin;

use bytes::Bytes;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{Authenticator, Request};
use crate::security::{Credentials, User, Verdict};

/// Admits users of PLAIN by a table that a program brings along. A wrong password and an unknown
/// user are answered alike, and take the same time. The table never changes.
#[derive(Clone)]
pub struct Fixed {
    users: BTreeMap<Bytes, Padded>,
    /// What an unknown user's password is compared with.
    nobody: Padded,
}

/// A password of up to 255 bytes, its length, and zeros.
type Padded = Zeroizing<[u8; 256]>;

impl Fixed {
    /// These users with their passwords. Of two entries for one name the later one counts. A
    /// password of more than 255 bytes fits nobody, for PLAIN cannot carry it.
    #[must_use]
    pub fn of<'a>(users: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let users = users.into_iter().filter_map(|(name, password)| {
            let name = Bytes::copy_from_slice(name.as_bytes());
            padded(password.as_bytes()).map(|password| (name, password))
        });
        Self {
            users: users.collect(),
            nobody: Zeroizing::new([0; 256]),
        }
    }

    fn admits(&self, user: &[u8], password: &[u8]) -> bool {
        let stored = self.users.get(user);
        let typed = padded(password).unwrap_or_else(|| self.nobody.clone());
        let same = typed[..].ct_eq(&stored.unwrap_or(&self.nobody)[..]);
        bool::from(same) & stored.is_some()
    }
}

impl Authenticator for Fixed {
    fn check(&self, request: Request) -> Pin<Box<dyn Future<Output = Verdict> + Send>> {
        let verdict = match request.credentials {
            Credentials::Plain { user, password } if self.admits(&user, &password) => {
                Verdict::Admit(User {
                    name: user,
                    key: None,
                })
            }
            _ => Verdict::Deny,
        };
        Box::pin(ready(verdict))
    }

    fn admits_still(&self, user: &User) -> bool {
        user.key.is_none() && self.users.contains_key(&user.name)
    }
}

impl fmt::Debug for Fixed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixed")
            .field("users", &self.users.keys())
            .finish_non_exhaustive()
    }
}

fn padded(password: &[u8]) -> Option<Padded> {
    let mut padded = Zeroizing::new([0; 256]);
    let (len, place) = padded.split_first_mut()?;
    *len = u8::try_from(password.len()).ok()?;
    place.get_mut(..password.len())?.copy_from_slice(password);
    Some(padded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_password_of_the_user_fits() {
        let long = "x".repeat(255);
        let too_long = "x".repeat(256);
        let fixed = Fixed::of([
            ("admin", "secret"),
            ("long", &long),
            ("never", &too_long),
            ("twice", "old"),
            ("twice", "new"),
        ]);
        for (user, password, admits) in [
            ("admin", "secret", true),
            ("admin", "secret\0", false),
            ("admin", "secre", false),
            ("admin", "", false),
            ("Admin", "secret", false),
            ("nobody", "", false),
            ("", "", false),
            ("long", &*long, true),
            ("long", &too_long, false),
            ("never", &too_long, false),
            ("twice", "old", false),
            ("twice", "new", true),
        ] {
            let found = fixed.admits(user.as_bytes(), password.as_bytes());
            assert_eq!(found, admits, "{user} {password}");
        }
        let user = |name: &'static str| User {
            name: Bytes::from_static(name.as_bytes()),
            key: None,
        };
        assert!(fixed.admits_still(&user("admin")));
        assert!(!fixed.admits_still(&user("never")));
        let printed = format!("{fixed:?}");
        assert!(
            printed.contains("admin") && !printed.contains("secret") && !printed.contains("115"),
            "{printed}"
        );
    }
}
