//! `scale0 info`

use serde_json::Value;

use crate::call::builder;
use crate::commands::InfoArguments;
use crate::exit::{Failed, Outcome};
use crate::logging::{Level, Logging};
use crate::output::print;
use crate::units::Wait;

pub(crate) fn run(arguments: InfoArguments, log: &Logging) -> Outcome {
    log.start(Level::Warn);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let report = runtime.block_on(ask(&arguments))?;
    print(if arguments.json {
        format!("{report:#}\n")
    } else {
        tables(&report)
    })
}

/// Everything the broker tells, as one JSON object with a key for each of its services.
async fn ask(arguments: &InfoArguments) -> Result<Value, Failed> {
    let Wait(timeout) = arguments.timeout;
    let client = builder(&arguments.connect)?
        .default_ttl(timeout)
        .stay()
        .build()
        .map_err(Failed::error)?;
    let mut report = serde_json::Map::new();
    for key in ["info", "services", "workers", "queues"] {
        let reply = client.call(&format!("s0.{key}"), ()).await?;
        let body = reply.body().first().unwrap_or_default();
        let value: Value = serde_json::from_slice(body).map_err(Failed::error)?;
        // The lists stand under their own name already.
        let value = match value {
            Value::Object(mut object) if key != "queues" && object.contains_key(key) => {
                object.remove(key).unwrap_or_default()
            }
            whole => whole,
        };
        report.insert(key.to_owned(), value);
    }
    Ok(Value::Object(report))
}

fn tables(report: &Value) -> String {
    let info = &report["info"];
    let mut text = format!(
        "scale0 {} up {}{}\n{} connections, {} workers, {} services, {} tasks queued, {} in flight, {} bytes held\n",
        plain(&info["version"]),
        uptime(info["uptime_ms"].as_u64().unwrap_or(0)),
        if info["draining"] == true {
            ", draining"
        } else {
            ""
        },
        info["connections"],
        info["workers"],
        info["services"],
        info["queued"],
        info["in_flight"],
        info["held_bytes"],
    );
    section(
        &mut text,
        "SERVICES",
        &report["services"],
        &[
            "name",
            "workers",
            "ready",
            "ejected",
            "policy",
            "queued",
            "in_flight",
            "done",
        ],
    );
    section(
        &mut text,
        "WORKERS",
        &report["workers"],
        &[
            "address",
            "name",
            "dialect",
            "services",
            "state",
            "ejected",
            "capacity",
            "in_flight",
            "done",
            "silent_ms",
        ],
    );
    section(
        &mut text,
        "QUEUES",
        report["queues"].get("queues").unwrap_or(&Value::Null),
        &[
            "service",
            "queued",
            "queued_bytes",
            "lines",
            "oldest_ms",
            "in_flight",
            "workers",
        ],
    );
    counters(&mut text, &info["counters"]);
    text
}

fn section(text: &mut String, title: &str, rows: &Value, columns: &[&str]) {
    text.push('\n');
    text.push_str(title);
    text.push('\n');
    let Some(rows) = rows.as_array().filter(|rows| !rows.is_empty()) else {
        text.push_str("none\n");
        return;
    };
    let cells: Vec<Vec<String>> = std::iter::once(
        columns
            .iter()
            .map(|column| column.replace('_', " "))
            .collect(),
    )
    .chain(
        rows.iter()
            .map(|row| columns.iter().map(|column| plain(&row[*column])).collect()),
    )
    .collect();
    let width = |column: usize| {
        cells
            .iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    for row in &cells {
        let line: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
    }
}

fn counters(text: &mut String, counters: &Value) {
    text.push_str("\nCOUNTERS\n");
    let Some(counters) = counters.as_object() else {
        return;
    };
    for (name, value) in counters {
        let value = match value {
            Value::Object(errors) if errors.is_empty() => "none".to_owned(),
            Value::Object(errors) => errors
                .iter()
                .map(|(code, count)| format!("{code}: {count}"))
                .collect::<Vec<_>>()
                .join(", "),
            other => plain(other),
        };
        text.push_str(&format!("{:<22}{value}\n", name.replace('_', " ")));
    }
}

/// A cell: strings without quotes, lists with spaces. Whatever the broker lets through, what would
/// move a terminal's cursor is shown and not done.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.chars().fold(String::new(), |mut shown, c| {
            if c.is_control() {
                shown.extend(c.escape_default());
            } else {
                shown.push(c);
            }
            shown
        }),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(" "),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

fn uptime(millis: u64) -> String {
    let seconds = millis / 1000;
    match (
        seconds / 86_400,
        seconds / 3600 % 24,
        seconds / 60 % 60,
        seconds % 60,
    ) {
        (0, 0, 0, s) => format!("{s} s"),
        (0, 0, m, s) => format!("{m} min {s} s"),
        (0, h, m, _) => format!("{h} h {m} min"),
        (d, h, ..) => format!("{d} d {h} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_move_the_cursor_is_shown_and_not_done() {
        let cell = plain(&Value::from(vec!["a\u{1b}[2J\nb", "\u{9b}é"]));
        assert_eq!(cell, "a\\u{1b}[2J\\nb \\u{9b}é");
    }
}
