//! Other people's ZeroMQ: installed once into the target directory, for whoever comes first.
//!
//! A machine without Python, Node, C (libzmq's or CZMQ's headers) or Java leaves those tests out by
//! the environment variable `SCALE0_WITHOUT`, which names some of `python,node,c,czmq,java`;
//! without it a missing peer is a failure. What Debian has is installed if we may: as root.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::process::Process;

/// A Python with pyzmq and majortomo in it.
pub(crate) struct Python {
    interpreter: PathBuf,
}

/// A Node that finds zeromq.
pub(crate) struct Node {
    modules: PathBuf,
}

impl Python {
    /// `None` if its tests are to be left out.
    pub(crate) fn find() -> Option<Self> {
        static HOME: OnceLock<Result<PathBuf, String>> = OnceLock::new();
        find(
            "python",
            &HOME,
            include_str!("peer/requirements.txt"),
            |home| {
                let venv = ["-m", "venv", "--clear"];
                run(Command::new("python3").args(venv).arg(home))?;
                let install = [
                    "-m",
                    "pip",
                    "install",
                    "--no-input",
                    "--only-binary",
                    ":all:",
                    "-r",
                ];
                let requirements = peer("requirements.txt");
                run(Command::new(home.join("bin/python"))
                    .args(install)
                    .arg(requirements))
            },
        )
        .map(|home| Self {
            interpreter: home.join("bin/python"),
        })
    }

    /// Starts one of our programs in `tests/support/peer`, or another by its path.
    pub(crate) fn start(&self, program: impl AsRef<Path>, arguments: &[&str]) -> Process {
        let program = peer(program);
        Process::start(self.command().arg(program).args(arguments))
    }

    /// Starts a module that is installed.
    pub(crate) fn module(&self, module: &str, arguments: &[&str]) -> Process {
        Process::start(self.command().args(["-m", module]).args(arguments))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.interpreter);
        command.arg("-B").env("PYTHONUNBUFFERED", "1");
        command
    }
}

impl Node {
    /// `None` if its tests are to be left out.
    pub(crate) fn find() -> Option<Self> {
        static HOME: OnceLock<Result<PathBuf, String>> = OnceLock::new();
        find("node", &HOME, include_str!("peer/package.json"), |home| {
            // Whatever is left of an earlier attempt; there may be nothing.
            let _ = std::fs::remove_dir_all(home);
            let prepared = std::fs::create_dir_all(home)
                .and_then(|()| std::fs::copy(peer("package.json"), home.join("package.json")));
            prepared.map_err(|error| format!("{}: {error}", home.display()))?;
            // What zeromq needs comes ready-made in its package: nobody's scripts run.
            let install = ["install", "--ignore-scripts", "--no-audit", "--no-fund"];
            run(Command::new("npm").args(install).current_dir(home))?;
            run(Command::new("node")
                .args(["-e", "require('zeromq')"])
                .current_dir(home))
        })
        .map(|home| Self {
            modules: home.join("node_modules"),
        })
    }

    /// Starts one of our programs in `tests/support/peer`, or another by its path.
    pub(crate) fn start(&self, program: impl AsRef<Path>, arguments: &[&str]) -> Process {
        let mut command = Command::new("node");
        command.env("NODE_PATH", &self.modules);
        Process::start(command.arg(peer(program)).args(arguments))
    }
}

/// Programs that play roles, compiled from our sources against Debian's libraries.
pub(crate) struct Compiled;

impl Compiled {
    /// The C program over libzmq; `None` if its tests are to be left out.
    pub(crate) fn c() -> Option<PathBuf> {
        static HOME: OnceLock<Result<PathBuf, String>> = OnceLock::new();
        let source = include_str!("peer/role.c");
        let home = find("c", &HOME, source, |home| {
            debian(&["gcc", "libc6-dev", "libzmq3-dev"], || {
                cc(home, &["-lzmq"])
            })
        });
        home.map(|home| home.join("role"))
    }

    /// The same over CZMQ.
    pub(crate) fn czmq() -> Option<PathBuf> {
        static HOME: OnceLock<Result<PathBuf, String>> = OnceLock::new();
        let source = include_str!("peer/role.c");
        let home = find("czmq", &HOME, source, |home| {
            let arguments = ["-DCZMQ", "-lczmq", "-lzmq"];
            debian(&["gcc", "libc6-dev", "libczmq-dev"], || {
                cc(home, &arguments)
            })
        });
        home.map(|home| home.join("role"))
    }

    /// The class path of the program over Debian's JeroMQ.
    pub(crate) fn java() -> Option<String> {
        static HOME: OnceLock<Result<PathBuf, String>> = OnceLock::new();
        let source = include_str!("peer/Old.java");
        let home = find("java", &HOME, source, |home| {
            debian(&["default-jdk-headless", "libjeromq-java"], || {
                prepare(home)?;
                let mut javac = Command::new("javac");
                javac.args(["-cp", JEROMQ, "-d"]).arg(home);
                run(javac.arg(peer("Old.java")))
            })
        });
        home.map(|home| format!("{JEROMQ}:{}", home.display()))
    }
}

fn cc(home: &Path, arguments: &[&str]) -> Result<(), String> {
    prepare(home)?;
    let mut cc = Command::new("cc");
    cc.args(["-O1", "-o"]).arg(home.join("role"));
    run(cc.arg(peer("role.c")).args(arguments))
}

/// Builds, and if that does not work and we may, once more with these packages installed.
fn debian(packages: &[&str], build: impl Fn() -> Result<(), String>) -> Result<(), String> {
    let Err(error) = build() else {
        return Ok(());
    };
    let root = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    if !root {
        return Err(format!(
            "{error}\nthese Debian packages may help: {packages:?}"
        ));
    }
    let apt = |arguments: &[&str]| {
        let mut apt = Command::new("apt-get");
        apt.env("DEBIAN_FRONTEND", "noninteractive");
        // Another one may be at it.
        run(apt
            .args(["-o", "DPkg::Lock::Timeout=300", "-y"])
            .args(arguments))
    };
    let install = [&["install", "--no-install-recommends"], packages].concat();
    apt(&install).or_else(|_| apt(&["update"]).and_then(|()| apt(&install)))?;
    build()
}

fn prepare(home: &Path) -> Result<(), String> {
    std::fs::create_dir_all(home).map_err(|error| format!("{}: {error}", home.display()))
}

/// A file of ours; an absolute path stays what it is.
fn peer(file: impl AsRef<Path>) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/support/peer")
        .join(file)
}

/// Where a kind of peer is installed, once for all test binaries and runs.
fn find(
    kind: &str,
    home: &OnceLock<Result<PathBuf, String>>,
    source: &str,
    install: impl Fn(&Path) -> Result<(), String>,
) -> Option<PathBuf> {
    if left_out(kind) {
        println!("left out: {VARIABLE} names {kind}");
        return None;
    }
    let home = home.get_or_init(|| {
        // With an explicit target the directory for temporary files lies a level deeper.
        let inside = Path::new(env!("CARGO_TARGET_TMPDIR")).ancestors();
        let target = inside
            .filter(|path| path.join("CACHEDIR.TAG").exists())
            .last();
        once(&target.unwrap().join("peers"), kind, source, install)
    });
    match home {
        Ok(home) => Some(home.clone()),
        Err(error) => {
            panic!("no {kind} to test with; {VARIABLE}={kind} leaves these tests out\n{error}")
        }
    }
}

/// Installs unless the stamp says that just this is there already. The lock makes other test
/// binaries wait meanwhile.
fn once(
    peers: &Path,
    kind: &str,
    source: &str,
    install: impl Fn(&Path) -> Result<(), String>,
) -> Result<PathBuf, String> {
    let home = peers.join(kind);
    let stamp = home.join("stamp");
    // A virtual environment that was moved does not work.
    let wanted = format!("{}\n{source}", home.display());
    let locked = std::fs::create_dir_all(peers)
        .and_then(|()| File::create(peers.join(format!("{kind}.lock"))))
        .and_then(|file| file.lock().map(|()| file));
    let lock = locked.map_err(|error| format!("{}: {error}", peers.display()))?;
    if std::fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(home);
    }
    install(&home)?;
    std::fs::write(&stamp, wanted).map_err(|error| format!("{}: {error}", stamp.display()))?;
    drop(lock);
    Ok(home)
}

fn left_out(kind: &str) -> bool {
    let typed = std::env::var(VARIABLE).unwrap_or_default();
    let mut words = typed
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty());
    if let Some(word) = words.clone().find(|word| !KINDS.contains(word)) {
        panic!("{VARIABLE} knows {KINDS:?}, not `{word}`");
    }
    words.any(|word| word == kind)
}

/// Runs a command to its end; its output is for the case that it fails.
fn run(command: &mut Command) -> Result<(), String> {
    let output = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    ))
}

const VARIABLE: &str = "SCALE0_WITHOUT";
const KINDS: [&str; 5] = ["python", "node", "c", "czmq", "java"];
/// Where Debian has it.
const JEROMQ: &str = "/usr/share/java/jeromq.jar";
