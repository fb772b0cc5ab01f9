//! Who may come in by CURVE: a directory of public keys.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ffi::{OsStr, OsString};
use std::future::Future;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::Bytes;

use super::certificate::Certificate;
use super::file::{self, FileError, Stamp};
use super::key_file::CERTIFICATE_LIMIT;
use super::notice::Notice;
use super::watch::{Teller, Watch};
use super::{Authenticator, Request};
use crate::security::curve::PublicKey;
use crate::security::{Credentials, User, Verdict};

/// Admits those whose public keys are in a directory: any `*.key` file in it, as CZMQ and pyzmq
/// keep them. The file's name without `.key` is the user's name. A missing or empty directory
/// admits nobody, and so does a file that cannot be read, by itself.
///
/// A thread looks at the directory every second: who is added may come in, and who is removed or
/// renamed is not admitted still, within a second or so.
#[derive(Debug)]
pub struct Authorized(Who);

#[derive(Debug)]
enum Who {
    /// Whoever has a key at all.
    Any,
    These {
        directory: Arc<Directory>,
        _watch: Watch,
    },
}

/// A directory and what was last seen in it.
#[derive(Debug)]
struct Directory {
    path: PathBuf,
    /// Names by key.
    users: RwLock<BTreeMap<PublicKey, Bytes>>,
    /// By name. Only who looks needs it.
    seen: Mutex<BTreeMap<OsString, Seen>>,
    teller: Teller,
}

/// A file as it was last read.
#[derive(Debug)]
struct Seen {
    stamp: Option<Stamp>,
    /// A file that is written twice within one tick of its disk's clock keeps its stamp, so after
    /// a change it is read once more.
    settled: bool,
    read: Result<PublicKey, Notice>,
    /// More to say of a file that counts.
    notice: Option<Notice>,
}

impl Authorized {
    /// Those in a directory. What is wrong with its files is told to `say`, which is called from
    /// here and from the thread that looks.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn open(
        path: impl Into<PathBuf>,
        say: impl Fn(&Notice) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let directory = Arc::new(Directory {
            path: path.into(),
            users: RwLock::default(),
            seen: Mutex::default(),
            teller: Teller::new(say),
        });
        directory.look();
        let watched = Arc::clone(&directory);
        let watch = Watch::start(move || watched.look())?;
        Ok(Self(Who::These {
            directory,
            _watch: watch,
        }))
    }

    /// Everybody who has a key, whatever it is; the user's name is the key in Z85.
    #[must_use]
    pub const fn any() -> Self {
        Self(Who::Any)
    }

    /// Looks at the directory now, without waiting for the next second.
    pub fn refresh(&self) {
        if let Who::These { directory, .. } = &self.0 {
            directory.look();
        }
    }

    fn name(&self, key: &PublicKey) -> Option<Bytes> {
        match &self.0 {
            Who::Any => Some(Bytes::from(key.to_string())),
            Who::These { directory, .. } => {
                let users = directory.users.read();
                let users = users.unwrap_or_else(PoisonError::into_inner);
                users.get(key).cloned()
            }
        }
    }
}

impl Authenticator for Authorized {
    fn check(&self, request: Request) -> Pin<Box<dyn Future<Output = Verdict> + Send>> {
        let verdict = match request.credentials {
            Credentials::Curve { key } => self.name(&key).map_or(Verdict::Deny, |name| {
                Verdict::Admit(User {
                    name,
                    key: Some(key),
                })
            }),
            _ => Verdict::Deny,
        };
        Box::pin(std::future::ready(verdict))
    }

    fn admits_still(&self, user: &User) -> bool {
        // The name counts, too: rights hang on it.
        user.key
            .is_some_and(|key| self.name(&key).as_ref() == Some(&user.name))
    }
}

impl Directory {
    fn look(&self) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut general = Vec::new();
        let names = match list(&self.path) {
            Ok(names) => names,
            Err(error) => {
                let path = self.path.clone();
                general.push(Notice::Unread(FileError::Unreadable { path, error }));
                Vec::new()
            }
        };
        if names.len() > LIMIT {
            let path = self.path.clone();
            general.push(Notice::TooMany { path, limit: LIMIT });
        }
        let mut before = std::mem::take(&mut *seen);
        for name in names.into_iter().take(LIMIT) {
            let now = Seen::look(&self.path.join(&name), before.remove(&name));
            seen.insert(name, now);
        }
        let mut users: BTreeMap<PublicKey, (Bytes, &OsStr)> = BTreeMap::new();
        let mut same = Vec::new();
        for (name, file) in &*seen {
            let Ok(key) = file.read else { continue };
            match users.entry(key) {
                Entry::Vacant(place) => {
                    place.insert((user_name(name), name));
                }
                Entry::Occupied(first) => same.push(Notice::Same {
                    path: self.path.join(name),
                    first: self.path.join(first.get().1),
                }),
            }
        }
        let users = users.into_iter().map(|(key, (name, _))| (key, name));
        *self.users.write().unwrap_or_else(PoisonError::into_inner) = users.collect();
        let files = seen.values();
        let of_files = files.filter_map(|file| file.read.as_ref().err().or(file.notice.as_ref()));
        self.teller
            .tell(general.iter().chain(of_files).chain(&same));
    }
}

impl Seen {
    /// Reads a file, unless it is what it was.
    fn look(path: &Path, before: Option<Self>) -> Self {
        let stamp = Stamp::read(path);
        let same = before.as_ref().is_some_and(|before| before.stamp == stamp);
        match before {
            Some(before) if same && before.settled => before,
            _ => {
                let read = read(path);
                let notice = match &read {
                    Ok(Certificate { secret, .. }) if secret.is_some() => Some(Notice::Secret {
                        path: path.to_owned(),
                    }),
                    _ => None,
                };
                Self {
                    stamp,
                    settled: same,
                    read: read.map(|certificate| certificate.public),
                    notice,
                }
            }
        }
    }
}

fn read(path: &Path) -> Result<Certificate, Notice> {
    let contents = file::read(path, CERTIFICATE_LIMIT).map_err(Notice::Unread)?;
    Certificate::parse(&contents.bytes).map_err(|error| Notice::Broken {
        path: path.to_owned(),
        error,
    })
}

/// The names of all `*.key` files in order, those hidden by a dot left out as a shell does.
fn list(path: &Path) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let name = entry?.file_name();
        let is_key = Path::new(&name).extension() == Some(OsStr::new("key"));
        if is_key && !name.as_bytes().starts_with(b".") {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn user_name(file: &OsStr) -> Bytes {
    let stem = Path::new(file).file_stem().unwrap_or_default();
    Bytes::copy_from_slice(stem.as_bytes())
}

/// Keys of one directory. Each is looked at every second.
const LIMIT: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::certificate::{public_certificate, secret_certificate};
    use crate::security::curve::{KeyPair, SecretKey};
    use std::fs;

    fn pair(number: u8) -> KeyPair {
        KeyPair::new(SecretKey::from_bytes([number; 32]))
    }

    /// A directory, what is told of it, and who it admits.
    struct House {
        directory: tempfile::TempDir,
        told: Arc<Mutex<Vec<String>>>,
        authorized: Authorized,
    }

    impl House {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let told = Arc::new(Mutex::new(Vec::new()));
            let hears = Arc::clone(&told);
            let authorized = Authorized::open(directory.path(), move |notice| {
                hears.lock().unwrap().push(notice.to_string());
            });
            Self {
                directory,
                told,
                authorized: authorized.unwrap(),
            }
        }

        fn write(&self, file: &str, bytes: impl AsRef<[u8]>) {
            fs::write(self.directory.path().join(file), bytes).unwrap();
            self.authorized.refresh();
        }

        fn add(&self, file: &str, number: u8) {
            self.write(file, public_certificate(&pair(number).public));
        }

        fn remove(&self, file: &str) {
            fs::remove_file(self.directory.path().join(file)).unwrap();
            self.authorized.refresh();
        }

        fn told(&self) -> Vec<String> {
            let path = format!("{}/", self.directory.path().display());
            let told = std::mem::take(&mut *self.told.lock().unwrap());
            told.iter().map(|text| text.replace(&path, "")).collect()
        }
    }

    /// Whom a key comes in as.
    fn user(authorized: &Authorized, number: u8) -> Option<User> {
        let request = Request {
            credentials: Credentials::Curve {
                key: pair(number).public,
            },
            address: None,
        };
        match poll(authorized.check(request)) {
            Verdict::Admit(user) => Some(user),
            verdict => {
                assert_eq!(verdict, Verdict::Deny);
                None
            }
        }
    }

    fn poll<T>(mut future: Pin<Box<dyn Future<Output = T> + Send>>) -> T {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(value) => value,
            std::task::Poll::Pending => panic!("a key is looked up at once"),
        }
    }

    #[test]
    fn a_key_in_the_directory_comes_in_under_its_files_name() {
        let house = House::new();
        assert_eq!(user(&house.authorized, 1), None);
        house.add("alice.laptop.key", 1);
        let alice = user(&house.authorized, 1).unwrap();
        assert_eq!(alice.name, "alice.laptop");
        assert_eq!(alice.key, Some(pair(1).public));
        assert!(house.authorized.admits_still(&alice));
        assert_eq!(user(&house.authorized, 2), None);
        assert_eq!(house.told(), [""; 0]);
    }

    #[test]
    fn who_is_removed_exchanged_or_renamed_is_not_admitted_still() {
        let house = House::new();
        house.add("alice.key", 1);
        house.add("bob.key", 2);
        house.add("carol.key", 3);
        let [alice, bob, carol] = [1, 2, 3].map(|key| user(&house.authorized, key).unwrap());
        house.remove("alice.key");
        house.add("bob.key", 4);
        let at = |name: &str| house.directory.path().join(name);
        fs::rename(at("carol.key"), at("dave.key")).unwrap();
        house.authorized.refresh();
        for user in [&alice, &bob, &carol] {
            assert!(!house.authorized.admits_still(user), "{user:?}");
        }
        assert_eq!(user(&house.authorized, 1), None);
        assert_eq!(user(&house.authorized, 2), None);
        assert_eq!(user(&house.authorized, 3).unwrap().name, "dave");
        assert_eq!(user(&house.authorized, 4).unwrap().name, "bob");
    }

    #[test]
    fn a_file_is_read_once_more_after_a_change_and_then_no_more() {
        let house = House::new();
        house.add("alice.key", 1);
        let path = house.directory.path().join("alice.key");
        let before = |settled| Seen {
            stamp: Stamp::read(&path),
            settled,
            read: Ok(pair(2).public),
            notice: None,
        };
        let again = Seen::look(&path, Some(before(false)));
        assert_eq!(again.read.ok(), Some(pair(1).public));
        assert!(again.settled);
        let kept = Seen::look(&path, Some(before(true)));
        assert_eq!(kept.read.ok(), Some(pair(2).public));
        assert!(!Seen::look(&path, None).settled);
    }

    #[test]
    fn changes_are_seen_without_being_told() {
        let house = House::new();
        let path = house.directory.path().join("alice.key");
        fs::write(&path, public_certificate(&pair(1).public)).unwrap();
        let limit = std::time::Duration::from_millis(20);
        let admitted = || {
            std::thread::sleep(limit);
            user(&house.authorized, 1)
        };
        let alice = (0..500).find_map(|_| admitted()).unwrap();
        fs::remove_file(&path).unwrap();
        let gone = (0..500).any(|_| {
            std::thread::sleep(limit);
            !house.authorized.admits_still(&alice)
        });
        assert!(gone);
    }

    #[test]
    fn a_missing_directory_admits_nobody_until_it_is_there() {
        let house = House::new();
        let path = house.directory.path().join("later");
        let told = Arc::new(Mutex::new(Vec::new()));
        let hears = Arc::clone(&told);
        let authorized = Authorized::open(&path, move |notice| {
            hears.lock().unwrap().push(notice.to_string());
        });
        let authorized = authorized.unwrap();
        assert_eq!(user(&authorized, 1), None);
        authorized.refresh();
        let said = told.lock().unwrap().clone();
        assert!(
            said.len() == 1 && said[0].contains("later cannot be read: No such file"),
            "{said:?}"
        );
        fs::create_dir(&path).unwrap();
        fs::write(path.join("alice.key"), public_certificate(&pair(1).public)).unwrap();
        authorized.refresh();
        assert!(user(&authorized, 1).is_some());
    }

    #[test]
    fn a_bad_file_admits_nobody_by_itself_and_is_told_once() {
        let house = House::new();
        house.add("alice.key", 1);
        house.write("bad.key", "nothing");
        house.write("binary.key", [0xff; 100]);
        house.write("huge.key", vec![b'#'; 1024 * 1024]);
        fs::create_dir(house.directory.path().join("dir.key")).unwrap();
        std::os::unix::fs::symlink("nowhere", house.directory.path().join("link.key")).unwrap();
        // None of these is a `*.key` file.
        house.add(".hidden.key", 2);
        house.add("secret.key_secret", 3);
        house.add("note.txt", 4);
        house.authorized.refresh();
        assert!(user(&house.authorized, 1).is_some());
        for other in 2..5 {
            assert_eq!(user(&house.authorized, other), None, "{other}");
        }
        let mut told = house.told();
        told.sort();
        let begins = [
            "bad.key admits nobody: there is no line",
            "binary.key admits nobody: there is no line",
            "dir.key is no file: it admits nobody",
            "huge.key has more than 65536 bytes: it admits nobody",
            "link.key cannot be read: No such file",
        ];
        assert_eq!(told.len(), begins.len(), "{told:?}");
        for (told, begin) in told.iter().zip(begins) {
            assert!(told.starts_with(begin), "{told}");
        }
        house.add("bad.key", 5);
        assert!(user(&house.authorized, 5).is_some());
        house.write("bad.key", "nothing again");
        assert_eq!(house.told().len(), 1);
    }

    #[test]
    fn of_two_files_with_one_key_the_first_by_name_counts() {
        let house = House::new();
        house.add("bob.key", 1);
        assert_eq!(user(&house.authorized, 1).unwrap().name, "bob");
        house.add("alice.key", 1);
        assert_eq!(user(&house.authorized, 1).unwrap().name, "alice");
        assert_eq!(
            house.told(),
            ["bob.key admits nobody: its key is that of alice.key"]
        );
    }

    #[test]
    fn a_secret_that_was_handed_over_counts_and_is_told() {
        let house = House::new();
        house.write("alice.key", secret_certificate(&pair(1)).as_bytes());
        assert!(user(&house.authorized, 1).is_some());
        let told = house.told();
        assert!(
            told.len() == 1 && told[0].starts_with("alice.key holds a secret key"),
            "{told:?}"
        );
        assert!(!told[0].contains(&**pair(1).secret.to_z85()));
    }

    #[test]
    fn any_admits_every_key_and_nothing_else() {
        let any = Authorized::any();
        let someone = user(&any, 9).unwrap();
        assert_eq!(someone.name, pair(9).public.to_string());
        assert!(any.admits_still(&someone));
        let request = |credentials| Request {
            credentials,
            address: None,
        };
        let plain = Credentials::Plain {
            user: Bytes::from_static(b"a"),
            password: b"b".to_vec().into(),
        };
        for credentials in [Credentials::Nothing, plain] {
            assert_eq!(poll(any.check(request(credentials))), Verdict::Deny);
        }
    }
}
