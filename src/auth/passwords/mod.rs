//! Who may come in by PLAIN: a file of users and Argon2id hashes of their passwords.

mod edit;
mod hash;
mod memory;
mod queue;
mod table;

pub use edit::set_password;
pub use table::LineError;

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use self::hash::Hash;
use self::memory::Memory;
use self::queue::Queue;
use self::table::Table;
use super::file::{self, FileError, Stamp};
use super::notice::Notice;
use super::watch::{Teller, Watch};
use super::{Authenticator, Request};
use crate::net::{Clock, entropy};
use crate::security::{Credentials, User, Verdict};
use crate::time::Time;

/// Admits users of PLAIN by a file with a line `user:hash` for each, which
/// [`set_password`](super::set_password) and `scale0 passwd` write; `#` begins a comment.
///
/// A wrong password and an unknown user are answered alike and take the same time. Hashes are
/// checked on other threads, two at once (64 MiB at most for each), while 62 more may wait, four of
/// one address at most: beyond that the verdict is [`Verdict::Later`]. Who fitted before fits at
/// once, until its line changes.
///
/// A thread looks at the file every second. Who is removed from it, or has another password, is not
/// admitted still within a second or so; with a new password a user comes in three seconds later,
/// when none is left that came in with the old one. A line that says nothing admits nobody by
/// itself, and a file that cannot be read admits nobody at all. So replace the file as a whole (by
/// renaming, as `scale0 passwd` does) and not piece by piece.
#[derive(Debug)]
pub struct Passwords {
    shared: Arc<Shared>,
    _watch: Watch,
}

/// Why a file of passwords is not taken, or not changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PasswordFileError {
    /// The file.
    #[error(transparent)]
    File(#[from] FileError),
    /// A line that says nothing.
    #[error("{} line {line}: {error}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from one.
        line: usize,
        /// What is wrong with it.
        error: LineError,
    },
    /// A name that no user can have.
    #[error("{error}")]
    Name {
        /// What is wrong with it.
        error: LineError,
    },
    /// The system has no thread or no randomness to give.
    #[error("passwords cannot be checked: {0}")]
    System(io::Error),
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    known: RwLock<Known>,
    /// What the file was when it was last read. Only who looks needs it.
    seen: Mutex<Seen>,
    teller: Teller,
    memory: Memory,
    queue: Arc<Queue>,
    /// Hashes that may be checked at once.
    hands: Arc<Semaphore>,
    clock: Clock,
}

#[derive(Debug, Default)]
struct Known {
    table: Table,
    /// When users lost their password to another one or to none, for as long as it matters.
    changed: BTreeMap<Bytes, Time>,
}

#[derive(Debug, Default)]
struct Seen {
    stamp: Option<Stamp>,
    /// A file that is written twice within one tick of its disk's clock keeps its stamp, so after
    /// a change it is read once more.
    settled: bool,
    notices: Vec<Notice>,
}

impl Passwords {
    /// Reads a file now, and again when it changes. What is wrong with it later is told to `say`,
    /// which is called from here and from the thread that looks.
    ///
    /// # Errors
    /// The file cannot be read, a line in it says nothing, or the system lacks a thread.
    pub fn open(
        path: impl Into<PathBuf>,
        say: impl Fn(&Notice) + Send + Sync + 'static,
    ) -> Result<Self, PasswordFileError> {
        let path = path.into();
        let contents = file::read(&path, LIMIT)?;
        let (_, errors) = Table::parse(&contents.bytes);
        if let Some((line, error)) = errors.into_iter().next() {
            return Err(PasswordFileError::Line { path, line, error });
        }
        let shared = Arc::new(Shared {
            path,
            known: RwLock::default(),
            seen: Mutex::default(),
            teller: Teller::new(say),
            memory: Memory::new(key().map_err(PasswordFileError::System)?, REMEMBERED),
            queue: Queue::new(WAITING, WAITING_PER_ADDRESS),
            hands: Arc::new(Semaphore::new(HANDS)),
            clock: Clock::start(),
        });
        shared.look(shared.clock.now());
        let watched = Arc::clone(&shared);
        let watch = Watch::start(move || watched.look(watched.clock.now()))
            .map_err(PasswordFileError::System)?;
        Ok(Self {
            shared,
            _watch: watch,
        })
    }

    /// Looks at the file now, without waiting for the next second.
    pub fn refresh(&self) {
        self.shared.look(self.shared.clock.now());
    }
}

impl Authenticator for Passwords {
    fn check(&self, request: Request) -> Pin<Box<dyn Future<Output = Verdict> + Send>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { shared.check(request).await })
    }

    fn admits_still(&self, user: &User) -> bool {
        let known = self.shared.known();
        user.key.is_none()
            && known.table.find(&user.name).is_some()
            && !known.changes(&user.name, self.shared.clock.now())
    }
}

impl Shared {
    async fn check(&self, request: Request) -> Verdict {
        let Credentials::Plain { user, password } = request.credentials else {
            return Verdict::Deny;
        };
        let (hash, is_user) = self.hash(&user);
        let text = hash.to_string();
        let digest = self.memory.digest(&[&user, &password, text.as_bytes()]);
        if is_user && self.memory.knows(&digest) {
            return self.admit(user, &hash);
        }
        let Some(place) = self.queue.enter(request.address) else {
            return Verdict::Later;
        };
        let Ok(hand) = Arc::clone(&self.hands).acquire_owned().await else {
            return Verdict::Fail;
        };
        // Many of one user's programs come at once, and the first has been checked meanwhile.
        if is_user && self.memory.knows(&digest) {
            return self.admit(user, &hash);
        }
        // Both stay taken until the thread is through, even if the peer has long gone.
        let held = (place, hand);
        let asked = hash.clone();
        let fits = tokio::task::spawn_blocking(move || {
            let fits = asked.fits(&password);
            drop(held);
            fits
        });
        match fits.await {
            Ok(Ok(true)) if is_user => {
                self.memory.learn(digest);
                self.admit(user, &hash)
            }
            Ok(Ok(_)) => Verdict::Deny,
            Ok(Err(_)) | Err(_) => Verdict::Fail,
        }
    }

    /// A user's hash, and whether there is such a user at all. An unknown one gets somebody's, so
    /// that it costs what others cost: the same for the same name every time, as it would for a
    /// user.
    fn hash(&self, user: &[u8]) -> (Hash, bool) {
        let known = self.known();
        if let Some(entry) = known.table.find(user) {
            return (entry.hash.clone(), true);
        }
        let digest = self.memory.digest(&[user]);
        let at = digest.first_chunk().copied().unwrap_or_default();
        let stand_in = known
            .table
            .pick(u64::from_be_bytes(at))
            .map(|entry| entry.hash.clone());
        (stand_in.unwrap_or_else(Hash::usual), false)
    }

    /// The password fits this hash. That of the user may be another one by now.
    fn admit(&self, user: Bytes, hash: &Hash) -> Verdict {
        let known = self.known();
        let current = known.table.find(&user);
        if current.is_none_or(|entry| entry.hash != *hash) {
            return Verdict::Deny;
        }
        // Nobody comes in before all are cut off that came in with the password before.
        if known.changes(&user, self.clock.now()) {
            return Verdict::Later;
        }
        Verdict::Admit(User {
            name: user,
            key: None,
        })
    }

    fn look(&self, now: Time) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = Stamp::read(&self.path);
        let same = seen.stamp == stamp;
        if !(same && seen.settled) {
            let (table, notices) = read(&self.path);
            let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
            known.exchange(table, now);
            *seen = Seen {
                stamp,
                settled: same,
                notices,
            };
        }
        self.teller.tell(&seen.notices);
    }

    fn known(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn exchange(&mut self, table: Table, now: Time) {
        self.changed.retain(|_, at| now.since(*at) < CHANGING);
        for name in self.table.changed(&table) {
            self.changed.insert(name.clone(), now);
        }
        self.table = table;
    }

    /// Whether a user's password has just become another one.
    fn changes(&self, user: &Bytes, now: Time) -> bool {
        let at = self.changed.get(user);
        at.is_some_and(|at| now.since(*at) < CHANGING)
    }
}

fn read(path: &Path) -> (Table, Vec<Notice>) {
    let contents = match file::read(path, LIMIT) {
        Ok(contents) => contents,
        Err(error) => return (Table::default(), vec![Notice::Unread(error)]),
    };
    let (table, errors) = Table::parse(&contents.bytes);
    let errors = errors.into_iter().map(|(line, error)| Notice::Line {
        path: path.to_owned(),
        line,
        reason: error.to_string(),
    });
    (
        table,
        contents.exposed(path).into_iter().chain(errors).collect(),
    )
}

fn key() -> io::Result<Zeroizing<[u8; 64]>> {
    let mut key = Zeroizing::new([0; 64]);
    for half in key.chunks_exact_mut(32) {
        half.copy_from_slice(&*Zeroizing::new(entropy()?));
    }
    Ok(key)
}

/// Bytes of a file of passwords: some ten thousand users.
const LIMIT: usize = 1024 * 1024;
/// Hashes that are checked at once.
const HANDS: usize = 2;
/// Peers that wait or are checked.
const WAITING: usize = 64;
const WAITING_PER_ADDRESS: usize = 4;
/// Successes that are remembered.
const REMEMBERED: usize = 1024;
/// Who asks whether a user is admitted still does it every second or so, and within this time
/// learns that its password has changed.
const CHANGING: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Password;
    use std::fs;
    use std::net::IpAddr;

    /// Quick to check: 256 KiB. They are those of `password`, and of nothing.
    const PASSWORD: &str =
        "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
    const OTHER: &str =
        "$argon2id$v=19$m=256,t=1,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";

    /// A file, what is told of it, and who it admits.
    struct House {
        _directory: tempfile::TempDir,
        path: PathBuf,
        told: Arc<Mutex<Vec<String>>>,
        passwords: Passwords,
    }

    impl House {
        fn new(text: &str) -> Self {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("passwords");
            file::create(&path, 0o600, text.as_bytes()).unwrap();
            let told = Arc::new(Mutex::new(Vec::new()));
            let hears = Arc::clone(&told);
            let passwords = Passwords::open(&path, move |notice| {
                hears.lock().unwrap().push(notice.to_string());
            });
            Self {
                _directory: directory,
                path,
                told,
                passwords: passwords.unwrap(),
            }
        }

        fn write(&self, text: &str) {
            fs::write(&self.path, text).unwrap();
            self.passwords.refresh();
        }

        async fn check(&self, user: &str, password: &str) -> Verdict {
            self.passwords
                .check(request(user, password, "10.0.0.1"))
                .await
        }

        fn still(&self, name: &str) -> bool {
            self.passwords.admits_still(&user(name))
        }
    }

    fn request(user: &str, password: &str, address: &str) -> Request {
        Request {
            credentials: Credentials::Plain {
                user: Bytes::copy_from_slice(user.as_bytes()),
                password: password.as_bytes().to_vec().into(),
            },
            address: Some(address.parse::<IpAddr>().unwrap()),
        }
    }

    fn user(name: &str) -> User {
        User {
            name: Bytes::copy_from_slice(name.as_bytes()),
            key: None,
        }
    }

    #[tokio::test]
    async fn only_a_user_with_its_password_comes_in() {
        let house = House::new(&format!("alice:{PASSWORD}\nzoe:{OTHER}\n"));
        for _ in 0..2 {
            let alice = house.check("alice", "password").await;
            assert_eq!(alice, Verdict::Admit(user("alice")));
        }
        for (name, password) in [
            ("alice", "Password"),
            ("alice", ""),
            ("zoe", "password"),
            ("nobody", "password"),
            ("", "password"),
            ("alice\0", "password"),
        ] {
            let verdict = house.check(name, password).await;
            assert_eq!(verdict, Verdict::Deny, "{name} {password}");
        }
        let key = crate::security::curve::PublicKey::from_bytes([7; 32]);
        let curve = Request {
            credentials: Credentials::Curve { key },
            address: None,
        };
        assert_eq!(house.passwords.check(curve).await, Verdict::Deny);
        assert!(house.still("alice") && !house.still("nobody"));
        let with_key = User {
            key: Some(key),
            ..user("alice")
        };
        assert!(!house.passwords.admits_still(&with_key));
        assert_eq!(*house.told.lock().unwrap(), [""; 0]);
    }

    #[tokio::test]
    async fn nobody_comes_in_by_an_empty_file() {
        let house = House::new("");
        assert_eq!(house.check("alice", "password").await, Verdict::Deny);
    }

    #[tokio::test]
    async fn an_unknown_user_costs_what_a_user_costs() {
        let house = House::new(&format!("alice:{PASSWORD}\nzoe:{PASSWORD}\n"));
        let shared = &house.passwords.shared;
        let stand_in = (Hash::parse(PASSWORD).unwrap(), false);
        assert_eq!(shared.hash(b"nobody"), stand_in);
        // With no hand free both wait, and are not refused any sooner.
        let _held = shared.hands.acquire_many(2).await.unwrap();
        for (user, address) in [("nobody", "10.0.0.1"), ("alice", "10.0.0.2")] {
            let mut check = house.passwords.check(request(user, "wrong", address));
            assert_eq!(poll_once(&mut check), None, "{user}");
        }
    }

    #[test]
    fn the_same_unknown_user_always_costs_the_same() {
        let house = House::new(&format!("alice:{PASSWORD}\nzoe:{OTHER}\n"));
        let shared = &house.passwords.shared;
        let costs = |name: &String| shared.hash(name.as_bytes()).0.to_string();
        let names: Vec<String> = (0..64).map(|n| format!("nobody {n}")).collect();
        let first: Vec<String> = names.iter().map(costs).collect();
        assert_eq!(first, names.iter().map(costs).collect::<Vec<_>>());
        for one in [PASSWORD, OTHER] {
            assert!(first.iter().any(|cost| cost == one), "{one}");
        }
    }

    #[tokio::test]
    async fn a_success_is_remembered_until_the_line_changes() {
        let house = House::new(&format!("alice:{PASSWORD}\n"));
        let shared = &house.passwords.shared;
        house.check("alice", "wrong").await;
        house.check("nobody", "password").await;
        let digest = |hash: &str| {
            let fields: [&[u8]; 3] = [b"alice", b"password", hash.as_bytes()];
            shared.memory.digest(&fields)
        };
        assert!(!shared.memory.knows(&digest(PASSWORD)));
        house.check("alice", "password").await;
        assert!(shared.memory.knows(&digest(PASSWORD)));
        // No hand is free for long, and none is needed.
        let _held = shared.hands.acquire_many(2).await.unwrap();
        let again = house.check("alice", "password").await;
        assert_eq!(again, Verdict::Admit(user("alice")));
        assert!(!shared.memory.knows(&digest(OTHER)));
    }

    #[tokio::test]
    async fn who_is_removed_or_has_another_password_is_not_admitted_still() {
        let house = House::new(&format!(
            "alice:{PASSWORD}\nbob:{PASSWORD}\ncarol:{PASSWORD}\n"
        ));
        house.check("alice", "password").await;
        house.check("bob", "password").await;
        house.write(&format!("bob:{OTHER}\ncarol:{PASSWORD}\ndave:{PASSWORD}\n"));
        assert_eq!(
            ["alice", "bob", "carol", "dave"].map(|name| house.still(name)),
            [false, false, true, true]
        );
        assert_eq!(house.check("alice", "password").await, Verdict::Deny);
        assert_eq!(house.check("bob", "password").await, Verdict::Deny);
        // A new user does not wait.
        let dave = house.check("dave", "password").await;
        assert_eq!(dave, Verdict::Admit(user("dave")));
        // Nor does it help to be removed and to come back.
        house.write(&format!("alice:{PASSWORD}\n"));
        assert!(!house.still("alice"));
    }

    #[test]
    fn a_user_with_a_new_password_waits_until_the_old_one_is_cut_off() {
        let table = |text: &str| Table::parse(text.as_bytes()).0;
        let at = Time::from_millis;
        let alice = Bytes::from_static(b"alice");
        let mut known = Known::default();
        known.exchange(table(&format!("alice:{PASSWORD}")), at(0));
        assert!(!known.changes(&alice, at(0)));
        known.exchange(table(&format!("alice:{OTHER}")), at(1000));
        assert!(known.changes(&alice, at(1000)));
        assert!(known.changes(&alice, at(3999)));
        assert!(!known.changes(&alice, at(4000)));
        known.exchange(table(""), at(5000));
        known.exchange(table(&format!("alice:{PASSWORD}")), at(6000));
        assert!(known.changes(&alice, at(7999)));
        assert!(!known.changes(&alice, at(8000)));
        known.exchange(table(&format!("alice:{PASSWORD}")), at(9000));
        assert!(known.changed.is_empty());
    }

    #[tokio::test]
    async fn with_the_right_new_password_the_verdict_is_later_and_then_in() {
        let house = House::new(&format!("alice:{OTHER}\n"));
        house.write(&format!("alice:{PASSWORD}\n"));
        assert_eq!(house.check("alice", "password").await, Verdict::Later);
        assert_eq!(house.check("alice", "wrong").await, Verdict::Deny);
        let known = &house.passwords.shared.known;
        known.write().unwrap().changed.clear();
        let alice = house.check("alice", "password").await;
        assert_eq!(alice, Verdict::Admit(user("alice")));
    }

    #[tokio::test]
    async fn two_are_checked_at_once_some_wait_and_the_rest_come_later() {
        let house = House::new(&format!("alice:{PASSWORD}\n"));
        let shared = &house.passwords.shared;
        let held = Arc::clone(&shared.hands)
            .acquire_many_owned(2)
            .await
            .unwrap();
        assert_eq!(shared.hands.available_permits(), 0, "two hands in all");
        let begin = |address: &str| {
            let mut check = house.passwords.check(request("alice", "password", address));
            let verdict = poll_once(&mut check);
            (check, verdict)
        };
        let mut waiting = Vec::new();
        for n in 0..64 {
            let address = format!("10.0.0.{}", n / 4);
            let (check, verdict) = begin(&address);
            assert_eq!(verdict, None, "{n}");
            waiting.push(check);
            let fifth = begin("10.0.0.0").1;
            assert_eq!(fifth, (n >= 3).then_some(Verdict::Later), "{n}");
        }
        let (_, verdict) = begin("10.0.0.99");
        assert_eq!(verdict, Some(Verdict::Later), "a sixty-fifth");
        // Whoever goes makes room, and the first success answers all that wait for the same.
        waiting.pop();
        drop(held);
        for check in waiting {
            assert_eq!(check.await, Verdict::Admit(user("alice")));
        }
        assert!(shared.queue.enter(None).is_some());
    }

    #[tokio::test]
    async fn a_check_that_nobody_waits_for_keeps_its_hand_until_it_is_through() {
        let house = House::new(&format!("alice:{}\n", slow()));
        let shared = Arc::clone(&house.passwords.shared);
        let mut check = house.passwords.check(request("alice", "x", "10.0.0.1"));
        assert_eq!(poll_once(&mut check), None);
        assert_eq!(shared.hands.available_permits(), 1);
        drop(check);
        assert_eq!(shared.hands.available_permits(), 1);
        // It comes free, all the same.
        let _both = shared.hands.acquire_many(2).await.unwrap();
    }

    #[tokio::test]
    async fn a_file_that_breaks_admits_those_whose_lines_are_whole() {
        let house = House::new(&format!("alice:{PASSWORD}\nbob:{PASSWORD}\n"));
        house.write(&format!("alice:{PASSWORD}\nbob:broken\n"));
        assert!(house.still("alice") && !house.still("bob"));
        fs::remove_file(&house.path).unwrap();
        house.passwords.refresh();
        assert!(!house.still("alice"));
        house.passwords.refresh();
        let told = house.told.lock().unwrap().clone();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(
            told[0].contains("passwords line 2: not `$argon2id"),
            "{told:?}"
        );
        assert!(told[1].contains("passwords cannot be read"), "{told:?}");
    }

    #[test]
    fn a_file_with_a_bad_line_is_not_begun_with() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("passwords");
        let open = || {
            Passwords::open(&path, |_| {})
                .map(|_| ())
                .unwrap_err()
                .to_string()
        };
        assert!(open().contains("cannot be read"));
        fs::write(&path, format!("\nalice:{PASSWORD}\nbob\n")).unwrap();
        assert!(open().contains("passwords line 3: not `user:hash`"));
    }

    #[tokio::test]
    async fn changes_are_seen_without_being_told() {
        let house = House::new("");
        let secret = Password::from_line(b"secret").unwrap();
        set_password(&house.path, "alice", &secret).unwrap();
        let pause = || tokio::time::sleep(Duration::from_millis(20));
        let mut looks = 0..500;
        while !house.still("alice") && looks.next().is_some() {
            pause().await;
        }
        let alice = house.check("alice", "secret").await;
        assert_eq!(alice, Verdict::Admit(user("alice")));
        fs::write(&house.path, "").unwrap();
        while house.still("alice") && looks.next().is_some() {
            pause().await;
        }
        assert!(!house.still("alice"));
    }

    #[test]
    fn nothing_of_a_password_is_printed() {
        let house = House::new(&format!("alice:{PASSWORD}\n"));
        let printed = format!(
            "{:?} {:?}",
            house.passwords,
            request("alice", "secret", "::1")
        );
        for part in ["secret", "nf65", "115, 101", "$"] {
            assert!(!printed.contains(part), "{part}: {printed}");
        }
    }

    fn slow() -> String {
        PASSWORD.replace("m=256", "m=65536")
    }

    type Check = Pin<Box<dyn Future<Output = Verdict> + Send>>;

    /// A verdict that is there without waiting.
    fn poll_once(check: &mut Check) -> Option<Verdict> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match check.as_mut().poll(&mut context) {
            std::task::Poll::Ready(verdict) => Some(verdict),
            std::task::Poll::Pending => None,
        }
    }
}
