//! When, where and what was measured.

use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// Today, as 2026-11-21.
pub fn date() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH);
    day(seconds.map_or(0, |passed| passed.as_secs() / 86_400))
}

/// The date of a day since 1970-01-01: years begin in March, so that leap days come last.
fn day(days: u64) -> String {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02}")
}

/// Processor, number of them, and kernel.
pub fn machine() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text
        .lines()
        .find(|line| line.starts_with("model name"))
        .and_then(|line| line.split(": ").nth(1))
        .unwrap_or("unknown processor");
    let count = text
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let name = rustix::system::uname();
    let release = name.release().to_string_lossy();
    // What is behind the second number is the distributor's.
    let release: Vec<&str> = release.splitn(3, '.').take(2).collect();
    format!(
        "{count} × {}, {} {}, loopback",
        model.split_whitespace().collect::<Vec<_>>().join(" "),
        name.sysname().to_string_lossy(),
        release.join("."),
    )
}

/// What of the repository was built.
pub fn commit() -> String {
    let git = |words: &[&str]| {
        let output = Command::new("git")
            .args(words)
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
            .output();
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        text.unwrap_or_default()
    };
    let head = git(&["rev-parse", "--short", "HEAD"]);
    match git(&["status", "--porcelain", "--", "../../src"]).is_empty() {
        _ if head.is_empty() => "unknown".to_owned(),
        true => head,
        false => format!("{head} with changes"),
    }
}

#[cfg(test)]
mod tests {
    use super::day;

    #[test]
    fn days_have_their_dates() {
        assert_eq!(day(0), "1970-01-01");
        assert_eq!(day(11_016), "2000-02-29");
        assert_eq!(day(11_017), "2000-03-01");
        assert_eq!(day(20_778), "2026-11-21");
        assert_eq!(day(20_818), "2026-12-31");
    }
}
