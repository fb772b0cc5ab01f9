//! A directory with the keys of a broker and its users, and processes that are started in it as
//! `spec/operating-security.md` has them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::process::{Finished, Process, poll, scale0};

pub(crate) struct House {
    directory: TempDir,
}

impl House {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { directory }
    }

    /// With keys of the broker, and of these users in `clients`.
    pub(crate) fn of(users: &[&str]) -> Self {
        let house = Self::new();
        house.keygen("broker");
        fs::create_dir(house.path("clients")).unwrap();
        for user in users {
            house.keygen(user);
            house.admit(user);
        }
        house
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Puts a whole file in a place, as a careful editor does.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let fresh = self.path("fresh");
        fs::write(&fresh, text).unwrap();
        // What others can read is warned of.
        fs::set_permissions(&fresh, fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(&fresh, self.path(name)).unwrap();
    }

    /// `scale0` in this directory, with these words.
    pub(crate) fn scale0(&self, words: &str) -> Command {
        let mut command = scale0();
        command.current_dir(&self.directory).args(words.split(' '));
        command
    }

    pub(crate) fn start(&self, words: &str) -> Process {
        Process::start(&mut self.scale0(words))
    }

    /// Runs it until it ends, with an empty stdin.
    pub(crate) fn run(&self, words: &str) -> Finished {
        self.start(words).finish()
    }

    pub(crate) fn keygen(&self, name: &str) {
        let made = self.run(&format!("keygen --out {name}"));
        assert_eq!(made.code, Some(0), "{made:?}");
    }

    pub(crate) fn passwd(&self, user: &str, password: &str) {
        let mut passwd = self.start(&format!("passwd --file users --user {user}"));
        passwd.say(password);
        let done = passwd.finish();
        assert_eq!(done.code, Some(0), "{done:?}");
    }

    pub(crate) fn admit(&self, user: &str) {
        let file = format!("{user}.key");
        // Beside the directory, and moved in: it is never seen half written.
        self.write(&format!("clients/{file}"), &self.text(&file));
    }

    pub(crate) fn revoke(&self, user: &str) {
        fs::remove_file(self.path(&format!("clients/{user}.key"))).unwrap();
    }

    /// The broker of CURVE, with further words.
    pub(crate) fn broker(&self, words: &str) -> Door<'_> {
        let curve = "--curve-secret broker.key_secret --authorized-clients clients";
        self.door(&format!("{curve}{words}"))
    }

    /// A broker with this security.
    pub(crate) fn door(&self, security: &str) -> Door<'_> {
        let patient = "--wait-for-worker 50s --default-ttl 50s";
        let process = self.start(&format!(
            "broker --bind tcp://127.0.0.1:0 {patient} {security}"
        ));
        Door {
            endpoint: bound(&process),
            house: self,
            process,
        }
    }
}

/// A broker that asks who is there.
pub(crate) struct Door<'a> {
    house: &'a House,
    pub(crate) endpoint: String,
    pub(crate) process: Process,
}

impl Door<'_> {
    /// The words of a command for a user with a key.
    pub(crate) fn words(&self, command: &str, user: &str) -> String {
        let keys = format!("--curve-server-key broker.key --curve-secret {user}.key_secret");
        format!("{command} --connect {} {keys}", self.endpoint)
    }

    /// A worker that offers this.
    pub(crate) fn worker(&self, user: &str, service: &str) -> Process {
        let words = self.words("worker", user);
        self.house
            .start(&format!("{words} --service {service} -- tr a-z A-Z"))
    }

    pub(crate) fn call(&self, user: &str, words: &str) -> Finished {
        let call = self.words("call", user);
        self.house.run(&format!("{call} --timeout 50s {words}"))
    }

    /// What it tells a user of itself.
    pub(crate) fn info(&self, user: &str) -> Value {
        let info = self.house.run(&self.words("info --json", user));
        serde_json::from_str(&info.stdout).unwrap_or_else(|error| panic!("{error}: {info:?}"))
    }

    pub(crate) fn await_workers(&self, user: &str, number: usize) {
        let there = poll(|| (self.info(user)["info"]["workers"] == number).then_some(()));
        assert!(there.is_some(), "{}", self.info(user));
    }
}

/// Where a process listens.
pub(crate) fn bound(process: &Process) -> String {
    let line = process.stderr_line("bound ");
    line.strip_prefix("bound ").unwrap().to_owned()
}

/// It failed with this exit code and one sentence, in which these words stand.
pub(crate) fn one_sentence(ended: &Finished, code: i32, words: &[&str]) {
    assert_eq!(ended.code, Some(code), "{ended:?}");
    assert_eq!(ended.stdout, "", "{ended:?}");
    let sentence = ended.stderr.strip_prefix("scale0: ");
    let sentence = sentence.unwrap_or_else(|| panic!("{ended:?}"));
    assert_eq!(sentence.lines().count(), 1, "{ended:?}");
    for word in words {
        assert!(sentence.contains(word), "no `{word}`: {ended:?}");
    }
}

/// What this comes to, and that it took no longer.
pub(crate) fn within<T>(most: Duration, act: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let done = act();
    let took = begun.elapsed();
    assert!(took <= most, "it took {took:?}, {most:?} are allowed");
    done
}

/// The value in quotes behind a name in a key file.
pub(crate) fn key(text: &str, name: &str) -> String {
    let line = text.lines().find(|line| line.trim().starts_with(name));
    line.unwrap().split('"').nth(1).unwrap().to_owned()
}
