//! Keys and passwords as people make them, and as CZMQ and pyzmq read and write them.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "support/process.rs"]
#[allow(dead_code, reason = "shared with other tests, which use the rest")]
mod process;

#[path = "support/peers.rs"]
#[allow(dead_code, reason = "shared with other tests, which use the rest")]
mod peers;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use bytes::Bytes;
use peers::Python;
use process::{Finished, Process, scale0};
use scale0::auth::{Authenticator, Authorized, Passwords, Request, public_key, read_pair};
use scale0::security::{Credentials, Verdict};
use tempfile::TempDir;

fn run(command: &mut Command) -> Finished {
    Process::start(command).finish()
}

/// `scale0` in this directory.
fn at(directory: &TempDir, arguments: &[&str]) -> Command {
    let mut command = scale0();
    command.current_dir(directory).args(arguments);
    command
}

/// `scale0 passwd` with a password on stdin.
fn passwd(directory: &TempDir, arguments: &[&str], stdin: &[u8]) -> Finished {
    use std::io::Write;
    let mut child = at(directory, &[&["passwd"][..], arguments].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may have refused its arguments before it reads.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    let output = child.wait_with_output().unwrap();
    Finished {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn mode(path: impl AsRef<Path>) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// What stands between the quotes behind `name`.
fn value<'a>(text: &'a str, name: &str) -> &'a str {
    let line = text.lines().find(|line| line.trim().starts_with(name));
    line.unwrap().split('"').nth(1).unwrap()
}

fn plain(user: &str, password: &str) -> Request {
    Request {
        credentials: Credentials::Plain {
            user: Bytes::copy_from_slice(user.as_bytes()),
            password: password.as_bytes().to_vec().into(),
        },
        address: None,
    }
}

#[test]
fn keygen_prints_a_pair_that_belongs_together() {
    let directory = tempfile::tempdir().unwrap();
    let first = run(&mut at(&directory, &["keygen"]));
    assert_eq!((first.code, &*first.stderr), (Some(0), ""));
    let lines: Vec<&str> = first.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{first:?}");
    // What it prints is a certificate, too; to read it is to compare its halves.
    let file = directory.path().join("printed");
    fs::write(&file, &first.stdout).unwrap();
    let (pair, _) = read_pair(&file).unwrap();
    assert_eq!(pair.public.to_string(), value(lines[0], "public-key"));
    assert_eq!(*pair.secret.to_z85(), value(lines[1], "secret-key"));
    let second = run(&mut at(&directory, &["keygen"]));
    assert_ne!(first.stdout, second.stdout);
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
}

#[test]
fn keygen_writes_a_public_file_and_one_for_its_owner_only() {
    let directory = tempfile::tempdir().unwrap();
    let mut generous = Command::new("sh");
    let line = "umask 022; exec \"$0\" keygen --out keys.d/al.ice";
    generous.args(["-c", line, env!("CARGO_BIN_EXE_scale0")]);
    fs::create_dir(directory.path().join("keys.d")).unwrap();
    let made = run(generous.current_dir(&directory));
    assert_eq!((made.code, &*made.stderr), (Some(0), ""));
    assert!(
        made.stdout
            .contains("keys.d/al.ice.key_secret: the secret key")
    );
    let [public, secret] =
        ["al.ice.key", "al.ice.key_secret"].map(|file| directory.path().join("keys.d").join(file));
    assert_eq!((mode(&public), mode(&secret)), (0o644, 0o600));
    let (pair, notice) = read_pair(&secret).unwrap();
    assert!(notice.is_none());
    assert_eq!(public_key(public.to_str().unwrap()).unwrap(), pair.public);
    let shown = fs::read_to_string(&public).unwrap();
    assert!(!shown.contains(&**pair.secret.to_z85()));
    assert!(!made.stdout.contains(&**pair.secret.to_z85()));
}

#[test]
fn a_secret_is_never_open_to_others_not_even_for_a_moment() {
    // Whatever the umask allows, the file is made with its mode: nothing is taken away later.
    let directory = tempfile::tempdir().unwrap();
    let line = "umask 0; exec \"$0\" keygen --out a";
    let mut made = Command::new("sh");
    made.args(["-c", line, env!("CARGO_BIN_EXE_scale0")]);
    assert_eq!(run(made.current_dir(&directory)).code, Some(0));
    assert_eq!(mode(directory.path().join("a.key_secret")), 0o600);
    assert_eq!(mode(directory.path().join("a.key")), 0o644);
}

#[test]
fn keygen_never_overwrites_and_says_what_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    for there in ["a.key", "a.key_secret"] {
        let path = directory.path().join(there);
        fs::write(&path, "mine").unwrap();
        let failed = run(&mut at(&directory, &["keygen", "--out", "a"]));
        let sentence = format!(
            "scale0: {there} exists already and is never overwritten: choose another name, or move it away\n"
        );
        assert_eq!((failed.code, failed.stderr), (Some(1), sentence));
        assert_eq!(fs::read(&path).unwrap(), b"mine");
        fs::remove_file(&path).unwrap();
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
    }
    let nowhere = run(&mut at(&directory, &["keygen", "--out", "no/a"]));
    assert_eq!(nowhere.code, Some(1));
    assert!(
        nowhere
            .stderr
            .starts_with("scale0: no/a.key cannot be written: No such file"),
        "{nowhere:?}"
    );
    let nameless = run(&mut at(&directory, &["keygen", "--out", ".."]));
    assert_eq!(nameless.code, Some(2), "{nameless:?}");
}

#[tokio::test]
async fn passwd_adds_and_changes_users_whom_a_server_admits() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("passwords");
    let alice = ["--file", "passwords", "--user", "alice"];
    let added = passwd(&directory, &alice, b"secret one\n");
    assert_eq!(
        (added.code, &*added.stdout, &*added.stderr),
        (Some(0), "passwords: alice was added\n", "")
    );
    assert_eq!(mode(&file), 0o600);
    let bob = passwd(
        &directory,
        &["--file", "passwords", "--user", "bob"],
        b"two",
    );
    assert_eq!(bob.code, Some(0), "{bob:?}");
    let changed = passwd(&directory, &alice, b"secret three\r\n");
    assert_eq!(
        changed.stdout,
        "passwords: alice has another password now\n"
    );
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(text.lines().count(), 2);
    assert!(
        text.starts_with("alice:$argon2id$v=19$m=19456,t=2,p=1$"),
        "{text}"
    );
    let passwords = Passwords::open(&file, |notice| panic!("{notice}")).unwrap();
    for (user, password, admitted) in [
        ("alice", "secret three", true),
        ("alice", "secret one", false),
        ("bob", "two", true),
        ("bob", "secret three", false),
    ] {
        let verdict = passwords.check(plain(user, password)).await;
        assert_eq!(matches!(verdict, Verdict::Admit(_)), admitted, "{user}");
    }
}

#[test]
fn passwd_says_what_is_wrong_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("hosts"), "127.0.0.1 localhost\n").unwrap();
    let long = [b'x'; 256];
    let cases: [(&str, &str, &[u8], &str); 6] = [
        ("new", "alice", b"", "the password is empty"),
        ("new", "alice", b"\nsecret\n", "the password is empty"),
        ("new", "alice", &long, "a password has at most 255 bytes"),
        ("new", "a:b", b"secret", "a user's name has 1 to 255 bytes"),
        ("hosts", "alice", b"secret", "hosts line 1: not `user:hash`"),
        (
            "no/new",
            "alice",
            b"secret",
            "no/new cannot be written: No such file",
        ),
    ];
    for (file, user, password, sentence) in cases {
        let failed = passwd(&directory, &["--file", file, "--user", user], password);
        assert_eq!(failed.code, Some(1), "{failed:?}");
        let said = failed.stderr.strip_prefix("scale0: ").unwrap();
        assert!(said.starts_with(sentence), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(!said.contains("secret"), "{said}");
    }
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
    let left = fs::read_to_string(directory.path().join("hosts")).unwrap();
    assert_eq!(left, "127.0.0.1 localhost\n");
}

#[test]
fn a_terminal_is_asked_twice_and_shows_nothing() {
    let Some(python) = Python::find() else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("passwords");
    let ask = |first: &str, second: &str| {
        let arguments = [
            env!("CARGO_BIN_EXE_scale0"),
            file.to_str().unwrap(),
            first,
            second,
        ];
        python.start("terminal.py", &arguments).finish()
    };
    let differ = ask("secret one", "secret two");
    assert!(
        differ.stdout.contains("the two passwords differ"),
        "{differ:?}"
    );
    assert!(
        differ.stdout.contains("exit 1") && !file.exists(),
        "{differ:?}"
    );
    let same = ask("secret one", "secret one");
    assert!(same.stdout.contains("exit 0"), "{same:?}");
    assert!(same.stdout.contains("echo True"), "{same:?}");
    assert!(
        fs::read_to_string(&file)
            .unwrap()
            .starts_with("alice:$argon2id$")
    );
    for shown in [differ.stdout, same.stdout] {
        assert!(shown.contains("Password for alice:"), "{shown}");
        assert!(!shown.contains("secret"), "{shown}");
    }
}

#[test]
fn pyzmq_reads_our_keys_and_we_read_those_of_pyzmq() {
    let Some(python) = Python::find() else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let made = run(&mut at(&directory, &["keygen", "--out", "ours"]));
    assert_eq!(made.code, Some(0), "{made:?}");
    let path = directory.path().to_str().unwrap();
    let done = python.start("certificates.py", &[path, "theirs"]).finish();
    assert_eq!(done.code, Some(0), "{done:?}");
    let told: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();

    let (ours, _) = read_pair(&directory.path().join("ours.key_secret")).unwrap();
    let public = ours.public.to_string();
    assert_eq!(told["ours"]["public"], serde_json::json!([public, null]));
    assert_eq!(told["ours"]["secret"][0], public);
    assert_eq!(told["ours"]["secret"][1], **ours.secret.to_z85());

    let (theirs, notice) = read_pair(&directory.path().join("theirs.key_secret")).unwrap();
    assert_eq!(told["theirs"]["secret"][0], theirs.public.to_string());
    assert_eq!(told["theirs"]["secret"][1], **theirs.secret.to_z85());
    // Theirs is as open as the umask lets it be.
    let open = mode(directory.path().join("theirs.key_secret")) & 0o077 != 0;
    assert_eq!(notice.is_some(), open);

    // One directory for both: load_certificates finds what Authorized finds.
    let authorized = Authorized::open(directory.path(), |notice| panic!("{notice}")).unwrap();
    let mut known = told["directory"].as_array().unwrap().clone();
    known.sort_by_key(ToString::to_string);
    let mut keys = [ours.public, theirs.public].map(|key| key.to_string());
    keys.sort();
    assert_eq!(known, keys);
    for (name, key) in [("ours", ours.public), ("theirs", theirs.public)] {
        let user = scale0::security::User {
            name: Bytes::from_static(name.as_bytes()),
            key: Some(key),
        };
        assert!(authorized.admits_still(&user), "{name}");
    }
}

#[test]
fn the_commands_explain_themselves() {
    for (command, words) in [
        ("keygen", ["--out", "never overwritten", "0600", "Z85"]),
        ("passwd", ["--file", "--user", "stdin", "Argon2id"]),
    ] {
        let help = run(scale0().args([command, "--help"]));
        assert_eq!(help.code, Some(0));
        for word in words {
            assert!(help.stdout.contains(word), "{word}: {}", help.stdout);
        }
    }
    let missing = run(scale0().args(["passwd", "--user", "alice"]));
    assert_eq!(missing.code, Some(2), "{missing:?}");
}
