//! The programs of all brokers: built, compiled, found, or fetched from Debian and PyPI into the
//! folder of this program. What cannot be had is left out, and that is said.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::who::{SPIN, Who};
use crate::{Failure, keys};

pub struct Programs {
    pub peers: PathBuf,
    pub scale0: PathBuf,
    /// It was built from here just now.
    pub built: bool,
    /// Ours knows `--spin`.
    pub spins: bool,
    pub proxy: Option<PathBuf>,
    pub nats: Option<PathBuf>,
    pub gearmand: Option<PathBuf>,
    pub python: Option<PathBuf>,
}

/// gearmand and what it links, as Debian 12 names it.
const GEARMAND: [&str; 13] = [
    "gearman-job-server",
    "libgearman8",
    "libboost-program-options1.74.0",
    "libevent-2.1-7",
    "libevent-pthreads-2.1-7",
    "libhashkit2",
    "libhiredis0.14",
    "libmariadb3",
    "libmemcached11",
    "libmemcachedutil2",
    "libpq5",
    "libsqlite3-0",
    "libtokyocabinet9",
];
const PYTHON: [&str; 3] = ["majortomo==0.2.0", "pyzmq==27.3.0", "six==1.17.0"];

impl Programs {
    /// All that `wanted` need.
    pub fn find(scale0: Option<PathBuf>, wanted: &[Who]) -> Result<Self, Failure> {
        let peers = std::env::current_exe()?;
        let wants = |who: Who| wanted.contains(&who);
        let built = scale0.is_none();
        let scale0 = match scale0 {
            Some(path) => path,
            None => build()?,
        };
        let debs = peers.with_file_name("peers-debs");
        let mut found = Self {
            spins: wants(Who::Scale0Spin) && spins(&scale0),
            scale0,
            built,
            proxy: None,
            nats: None,
            gearmand: None,
            python: None,
            peers,
        };
        if wants(Who::Scale0Spin) && !found.spins {
            leave_out(Who::Scale0Spin, "this scale0 has no flag --spin");
        }
        if wants(Who::Proxy) {
            found.proxy = compile(&found.peers.with_file_name("peers-proxy"));
        }
        if wants(Who::Nats) {
            found.nats =
                installed("nats-server").or_else(|| fetch(&debs, &["nats-server"], "nats-server"));
            if found.nats.is_none() {
                leave_out(
                    Who::Nats,
                    "neither installed nor to be had by apt-get download",
                );
            }
        }
        if wants(Who::Gearmand) {
            found.gearmand = installed("gearmand").or_else(|| fetch(&debs, &GEARMAND, "gearmand"));
            if found.gearmand.is_none() {
                leave_out(
                    Who::Gearmand,
                    "neither installed nor to be had by apt-get download",
                );
            }
        }
        if wants(Who::Majortomo) {
            found.python = python(&found.peers.with_file_name("peers-python"));
            if found.python.is_none() {
                leave_out(Who::Majortomo, "pip cannot install it");
            }
        }
        Ok(found)
    }

    pub fn has(&self, who: Who) -> bool {
        match who {
            Who::Scale0 | Who::Scale0Mdp | Who::Relay => true,
            Who::Scale0Spin => self.spins,
            Who::Proxy => self.proxy.is_some(),
            Who::Nats => self.nats.is_some(),
            Who::Gearmand => self.gearmand.is_some(),
            Who::Majortomo => self.python.is_some(),
        }
    }

    /// What it says of its version.
    pub fn version(&self, who: Who) -> Option<String> {
        let says = |program: &Path| {
            let output = Command::new(program).arg("--version").output().ok()?;
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            Some(text.trim().lines().next()?.replace(": v", " "))
        };
        match who {
            Who::Scale0 => says(&self.scale0),
            Who::Proxy => says(self.proxy.as_deref()?),
            Who::Nats => says(self.nats.as_deref()?),
            // With an address behind it.
            Who::Gearmand => Some(
                says(self.gearmand.as_deref()?)?
                    .split(" - ")
                    .next()?
                    .to_owned(),
            ),
            Who::Majortomo => Some(PYTHON[..2].join(", ").replace("==", " ")),
            _ => None,
        }
    }

    /// The file with the keys of our broker with CURVE.
    pub fn keys(&self) -> Result<PathBuf, Failure> {
        let path = self.peers.with_file_name("peers-curve.key_secret");
        std::fs::write(
            &path,
            format!(
                "metadata\ncurve\n    public-key = \"{}\"\n    secret-key = \"{}\"\n",
                keys::SERVER,
                keys::SERVER_SECRET
            ),
        )?;
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        Ok(path)
    }
}

fn leave_out(who: Who, why: &str) {
    eprintln!("{} is left out: {why}", who.name());
}

/// Our own, as it would be installed.
fn build() -> Result<PathBuf, Failure> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    eprintln!("building scale0");
    let output = Command::new(env!("CARGO"))
        .args(["build", "--release", "--message-format", "json"])
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err("scale0 does not build".into());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let path = text.lines().rev().find_map(|line| {
        let rest = line.split("\"executable\":\"").nth(1)?;
        rest.split('"')
            .next()
            .filter(|path| path.ends_with("/scale0"))
    });
    Ok(path.ok_or("cargo does not say where scale0 is")?.into())
}

fn spins(scale0: &Path) -> bool {
    succeeds(Command::new(scale0).args(["broker", "--check", "--spin", SPIN]))
}

fn compile(program: &Path) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("proxy.c");
    let mut cc = Command::new("cc");
    cc.args(["-O2", "-Wall", "-o"])
        .arg(program)
        .arg(source)
        .arg("-lzmq");
    if succeeds(&mut cc) {
        return Some(program.into());
    }
    leave_out(
        Who::Proxy,
        "its program does not compile (Debian: apt-get install gcc libzmq3-dev)",
    );
    None
}

/// In PATH, or where Debian puts servers.
fn installed(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into()])
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
}

/// Unpacked beside this program, not installed. What it links is found by a script around it.
fn fetch(debs: &Path, packages: &[&str], name: &str) -> Option<PathBuf> {
    let script = debs.join(name);
    if script.exists() {
        return Some(script);
    }
    std::fs::create_dir_all(debs).ok()?;
    eprintln!("fetching {name} from Debian");
    let mut apt = Command::new("apt-get");
    apt.args(["download", "-qq"])
        .args(packages)
        .current_dir(debs);
    if !succeeds(&mut apt) {
        return None;
    }
    for file in std::fs::read_dir(debs).ok()?.filter_map(Result::ok) {
        if file.path().extension().is_some_and(|kind| kind == "deb")
            && !succeeds(
                Command::new("dpkg")
                    .arg("-x")
                    .arg(file.path())
                    .arg(debs.join("root")),
            )
        {
            return None;
        }
    }
    let root = debs.join("root").canonicalize().ok()?;
    let triple = format!("{}-linux-gnu", std::env::consts::ARCH);
    std::fs::write(
        &script,
        format!(
            "#!/bin/sh\nLD_LIBRARY_PATH='{0}/usr/lib/{triple}' exec '{0}/usr/sbin/{name}' \"$@\"\n",
            root.display()
        ),
    )
    .ok()?;
    succeeds(Command::new("chmod").arg("+x").arg(&script)).then_some(script)
}

/// A Python with majortomo.
fn python(home: &Path) -> Option<PathBuf> {
    let (python, done) = (home.join("bin/python"), home.join("installed"));
    if !done.exists() {
        eprintln!("installing majortomo with pip");
        let made = succeeds(Command::new("python3").args(["-m", "venv"]).arg(home))
            && succeeds(
                Command::new(&python)
                    .args(["-m", "pip", "install", "--quiet"])
                    .args(PYTHON),
            );
        if !made {
            return None;
        }
        std::fs::write(done, "").ok()?;
    }
    Some(python)
}

fn succeeds(command: &mut Command) -> bool {
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
