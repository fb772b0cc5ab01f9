//! Instructions that fixed scripts take, against those on record:
//! `cargo bench --no-default-features --bench instructions`.
//!
//! They are counted by valgrind (callgrind), so they are the same in every run, however busy the
//! machine: this is no timed test. Each script runs twice, a few times and many times; the
//! difference is what one more costs, without the beginning and the end. More than [`TOLERANCE`]
//! above the record is an error (exit code 1). `-- --record` writes the record anew; say in the
//! commit why it grew.
//!
//! Compilers and processors differ by a little (copies and ciphers choose their instructions by
//! the processor), other architectures by much: those are counted, and not compared.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a benchmark may"
)]

mod scripts;

use std::fmt::Write;
use std::path::Path as File;
use std::process::{Command, ExitCode};

use scale0::limits::Limits;
use scale0::protocol::{Reading, read, scale0::Header};
use scale0::session::Heard;
use scale0::wire::{Message, Piece, SocketType};

use scripts::{NOW, Path, SPOKEN, Tongue, drain, pair, question, task_header};

/// How much above the record is too much.
const TOLERANCE: f64 = 0.04;
/// Repeats whose difference is counted.
const FEW: usize = 10;
const MANY: usize = 30;
/// Messages, headers or tasks of one repeat, where the script does not say.
const BATCH: usize = 200;

/// What is counted, and what for one of it is given.
struct Script {
    name: &'static str,
    of: &'static str,
    /// Runs so many repeats; returns the things done in each.
    run: fn(usize) -> usize,
}

const SCRIPTS: [Script; 12] = [
    Script {
        name: "codec: decode",
        of: "message of 64 B",
        run: decode,
    },
    Script {
        name: "codec: encode",
        of: "message of 64 B",
        run: encode,
    },
    Script {
        name: "S0 header: read",
        of: "header",
        run: header_read,
    },
    Script {
        name: "S0 header: write",
        of: "header",
        run: header_write,
    },
    Script {
        name: "sniff: S0/1",
        of: "message",
        run: |n| sniff(n, 0),
    },
    Script {
        name: "sniff: S0/1 REQ",
        of: "message",
        run: |n| sniff(n, 1),
    },
    Script {
        name: "sniff: MDP/0.1",
        of: "message",
        run: |n| sniff(n, 2),
    },
    Script {
        name: "sniff: MDP/0.2",
        of: "message",
        run: |n| sniff(n, 3),
    },
    Script {
        name: "broker decision",
        of: "task, 64 workers of capacity 8",
        run: decide,
    },
    Script {
        name: "whole path: S0/1",
        of: "task, 4 clients × 128, 4 workers × 128",
        run: |n| whole(n, Path::new(Tongue::Scale0, 4, 128, 4, 128)),
    },
    Script {
        name: "whole path: S0/1, one",
        of: "task, 1 client × 64, 64 workers",
        run: |n| whole(n, Path::new(Tongue::Scale0, 1, 64, 64, 1)),
    },
    Script {
        name: "whole path: MDP/0.1",
        of: "task, 1 client × 64, 64 workers",
        run: |n| whole(n, Path::new(Tongue::Majordomo, 1, 64, 64, 1)),
    },
];

fn decode(repeats: usize) -> usize {
    let (mut dealer, mut router) = pair();
    let (header, body) = (task_header().frame(), Message::single(&[7; 64]));
    let mut wire = Vec::new();
    for _ in 0..BATCH {
        dealer
            .send(NOW, &[Piece::Part(&header), Piece::Parts(&body)])
            .unwrap();
    }
    drain(&mut dealer, &mut wire);
    for _ in 0..repeats {
        let mut input = &wire[..];
        let mut messages = 0;
        while let Some(heard) = router.receive(NOW, &mut input).unwrap() {
            messages += usize::from(matches!(heard, Heard::Message(_)));
        }
        assert_eq!(messages, BATCH);
    }
    BATCH
}

fn encode(repeats: usize) -> usize {
    let (mut dealer, _) = pair();
    let (header, body) = (task_header().frame(), Message::single(&[7; 64]));
    let mut wire = Vec::new();
    for _ in 0..repeats {
        for _ in 0..BATCH {
            dealer
                .send(NOW, &[Piece::Part(&header), Piece::Parts(&body)])
                .unwrap();
        }
        wire.clear();
        drain(&mut dealer, &mut wire);
        assert!(wire.len() > BATCH * 64);
    }
    BATCH
}

fn header_read(repeats: usize) -> usize {
    let (frame, limits) = (task_header().frame(), Limits::default());
    for _ in 0..repeats * BATCH {
        let frame = std::hint::black_box(&frame);
        let read = Header::read(frame, &limits).unwrap();
        std::hint::black_box(&read);
    }
    BATCH
}

fn header_write(repeats: usize) -> usize {
    let header = task_header();
    for _ in 0..repeats * BATCH {
        let header = std::hint::black_box(&header);
        header.with_frame(|frame| {
            std::hint::black_box(frame);
        });
    }
    BATCH
}

fn sniff(repeats: usize, language: usize) -> usize {
    let message = question(SPOKEN[language]);
    let limits = Limits::default();
    for _ in 0..repeats * BATCH {
        let reading = read(message.clone(), SocketType::Dealer, &limits);
        assert!(matches!(std::hint::black_box(reading), Reading::Word(_)));
    }
    BATCH
}

fn decide(repeats: usize) -> usize {
    let mut broker = scripts::broker(64, 8);
    let body = Message::single(&[7; 64]);
    let mut out = Vec::new();
    for id in 0..repeats * BATCH {
        scripts::decide(&mut broker, id as u64 + 1, &body, &mut out);
    }
    BATCH
}

fn whole(repeats: usize, mut path: Path) -> usize {
    for _ in 0..repeats {
        path.round();
    }
    path.tasks()
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [word, script, repeats] = &words[..]
        && word == "play"
    {
        let script: usize = script.parse().expect("the number of a script");
        let done = (SCRIPTS[script].run)(repeats.parse().expect("a number of repeats"));
        println!("{done}");
        return ExitCode::SUCCESS;
    }
    match count_all(words.iter().any(|word| word == "--record")) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("instructions: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether nothing costs more than it may.
fn count_all(record: bool) -> Result<bool, String> {
    let file = File::new(env!("CARGO_MANIFEST_DIR")).join("benches/results/instructions.md");
    let known = match std::fs::read_to_string(&file) {
        Ok(text) => parse(&text)?,
        Err(_) if record => Vec::new(),
        Err(error) => return Err(format!("{}: {error}", file.display())),
    };
    let comparable = cfg!(target_arch = "x86_64");
    let (mut table, mut good) = (String::new(), true);
    for (number, script) in SCRIPTS.iter().enumerate() {
        let (few, _) = count(number, FEW)?;
        let (many, each) = count(number, MANY)?;
        let cost = (many - few) / ((MANY - FEW) * each) as f64;
        let (name, of) = (script.name, script.of);
        let _ = writeln!(table, "| {name} | {of} | {cost:.0} |");
        let before = known.iter().find(|(known, _)| known == name);
        let verdict = match before.map(|(_, before)| cost / before - 1.0) {
            _ if !comparable => "recorded on another architecture: not compared".to_owned(),
            None if record => "new".to_owned(),
            None => {
                good = false;
                "NOT ON RECORD: run it with `-- --record`".to_owned()
            }
            Some(change) => {
                let percent = format!("{:+.1} %", change * 100.0);
                match change {
                    _ if record => percent,
                    change if change > TOLERANCE => {
                        good = false;
                        format!("{percent}: MORE THAN IT MAY BE")
                    }
                    change if change < -TOLERANCE => {
                        format!("{percent}: less, record it with `-- --record`")
                    }
                    _ => percent,
                }
            }
        };
        println!("{name:22} {cost:7.0} per {of}: {verdict}");
    }
    if record {
        std::fs::write(&file, format!("{HEAD}{table}")).map_err(|error| error.to_string())?;
        println!("recorded in {}", file.display());
    }
    Ok(good)
}

const HEAD: &str = "# Instructions, on record

Counted by callgrind; `cargo bench --no-default-features --bench instructions` compares, with `-- --record` it writes this
file. The load of a whole path is in its figure: it writes replies, and reads nothing.

| script | instructions per | |
|---|---|---:|
";

/// Names and figures of the table.
fn parse(text: &str) -> Result<Vec<(String, f64)>, String> {
    let rows = text.lines().skip_while(|line| !line.starts_with("|---"));
    let row = |line: &str| {
        let mut cells = line.split('|').map(str::trim).skip(1);
        let name = cells.next()?.to_owned();
        Some((name, cells.nth(1)?.parse().ok()?))
    };
    rows.skip(1)
        .map(|line| row(line).ok_or_else(|| format!("not a row of the record: {line}")))
        .collect()
}

/// All instructions of a script with so many repeats, and the things done in each.
fn count(script: usize, repeats: usize) -> Result<(f64, usize), String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let file = own.with_extension("callgrind");
    let run = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(own)
        .args(["play", &script.to_string(), &repeats.to_string()])
        .output()
        .map_err(|error| format!("valgrind: {error}; Debian has it as valgrind"))?;
    let counted = std::fs::read_to_string(&file).unwrap_or_default();
    let _ = std::fs::remove_file(&file);
    let total = counted
        .lines()
        .find_map(|line| line.strip_prefix("summary: ")?.trim().parse().ok());
    let done = String::from_utf8_lossy(&run.stdout).trim().parse().ok();
    let (Some(total), Some(done), true) = (total, done, run.status.success()) else {
        let said = String::from_utf8_lossy(&run.stderr);
        return Err(format!("{}: {said}", SCRIPTS[script].name));
    };
    Ok((total, done))
}
