//! The table and the chart that a run leaves behind.

use std::fmt::Write as _;

use super::case::{Case, Kind};
use super::chart::{Bars, Panel};
use super::run::{Line, Outcome, Plan};
use super::who::Who;
use super::{machine, marks};
use crate::Failure;

pub struct Report<'a> {
    plan: &'a Plan,
    lines: Vec<Line>,
    when: String,
}

const HEAD: &str = "| case | broker | broker CPU µs/task | tasks/s | p50 µs | p99 µs | generator CPU µs/task | errors |
|---|---|---:|---:|---:|---:|---:|---|";

impl<'a> Report<'a> {
    pub fn new(plan: &'a Plan, lines: Vec<Line>) -> Self {
        Self {
            plan,
            lines,
            when: machine::date(),
        }
    }

    /// `brokers.md` and `brokers.svg`; the project's README shows them, with the same date.
    pub fn write(&self) -> Result<(), Failure> {
        self.plan.write("brokers", &self.table(), &self.chart())?;
        let Some(out) = &self.plan.out else {
            return Ok(());
        };
        let readme = out.join("../../README.md");
        let old = std::fs::read_to_string(&readme).unwrap_or_default();
        match renewed(&old, &self.summary()) {
            Some(new) => Ok(std::fs::write(&readme, new)?),
            None => Ok(()),
        }
    }

    /// One row for each case, one column for each broker, and where that was.
    fn summary(&self) -> String {
        let brokers = self
            .plan
            .brokers
            .iter()
            .filter(|who| **who != Who::Scale0Spin);
        let brokers: Vec<Who> = brokers.copied().collect();
        let names: Vec<&str> = brokers.iter().map(|who| who.name()).collect();
        let mut text = format!(
            "| tasks/s (broker CPU µs per task) | {} |\n|---|{}\n",
            names.join(" | "),
            "---:|".repeat(names.len()),
        );
        for case in self.cases().into_iter().filter(Case::flows) {
            let _ = write!(text, "| **{}**: {} |", case.name, case.title());
            for who in &brokers {
                let mut lines = self.lines.iter();
                let line = lines.find(|line| line.case == case && line.who == *who);
                let run = line
                    .and_then(|line| line.outcome.as_ref().ok())
                    .map(|one| one.run);
                let _ = match run {
                    None => write!(text, " |"),
                    Some(run) if run.errors() > 0 => write!(text, " with errors |"),
                    Some(run) => write!(text, " {} ({}) |", grouped(run.rate), micros(run.cpu)),
                };
            }
            text += "\n";
        }
        format!("{text}\n{}: {}", self.when, self.plan.about("brokers"))
    }

    fn cases(&self) -> Vec<Case> {
        let mut cases: Vec<Case> = self.lines.iter().map(|line| line.case).collect();
        cases.dedup();
        cases
    }

    fn table(&self) -> String {
        let mut text = format!("# Brokers side by side, {}\n\n", self.when);
        text += &self.plan.about("brokers");
        text += "\n![tasks per second](brokers.svg)\n\n";
        text += "What is measured, and how to read it: [peers/README.md](../peers/README.md#brokers).\n\n";
        let flows: Vec<&Line> = self.lines.iter().filter(|line| line.case.flows()).collect();
        self.rows(&mut text, &flows);
        for (kind, title) in [
            (Kind::Paced, "Latency at 70 % of the broker's own maximum"),
            (Kind::Memory, "Memory"),
        ] {
            let lines: Vec<&Line> = self
                .lines
                .iter()
                .filter(|line| line.case.kind == kind)
                .collect();
            if lines.is_empty() {
                continue;
            }
            let _ = write!(text, "\n## {title}\n\n");
            match kind {
                Kind::Memory => memory(&mut text, &lines),
                _ => paced(&mut text, &lines),
            }
        }
        let marks = marks::table(&self.lines);
        if !marks.is_empty() {
            text += "\n## Marks\n\n| case | broker | what | asked | is | |\n|---|---|---|---|---:|---|\n";
            marks.iter().for_each(|row| text += &format!("{row}\n"));
        }
        let cases = self.cases();
        let best: Vec<String> = cases
            .iter()
            .filter_map(|case| marks::best(&self.lines, case))
            .collect();
        if !best.is_empty() {
            text += "\n## Ours against the best of the others\n\nRates want to be above 1, CPU times below.\n\n";
            text += "| case | tasks/s, ours / theirs | whose | broker CPU per task, ours / theirs | whose |\n|---|---:|---|---:|---|\n";
            best.iter().for_each(|row| text += &format!("{row}\n"));
        }
        text
    }

    fn rows(&self, text: &mut String, lines: &[&Line]) {
        *text += HEAD;
        *text += "\n";
        let mut last = "";
        for line in lines {
            let case = match line.case.name == last {
                true => String::new(),
                false => format!("**{}**: {}", line.case.name, line.case.title()),
            };
            last = line.case.name;
            let name = line.who.name();
            let _ = match &line.outcome {
                Err(error) => writeln!(text, "| {case} | {name} | | | | | | failed: {error} |"),
                Ok(Outcome { run, .. }) => writeln!(
                    text,
                    "| {case} | {name} | {} | {} | {:.0} | {:.0} | {} | {} |",
                    micros(run.cpu),
                    grouped(run.rate),
                    run.p50,
                    run.p99,
                    micros(run.own),
                    errors(&line.outcome),
                ),
            };
        }
    }

    fn chart(&self) -> String {
        let mut panels = Vec::new();
        for case in self.cases().into_iter().filter(Case::flows) {
            let bars = self.lines.iter().filter(|line| line.case == case);
            let bars = bars.filter_map(|line| {
                let run = line.outcome.as_ref().ok()?.run;
                let note = if run.errors() > 0 { " (errors)" } else { "" };
                Some(Bars {
                    name: line.who.name().to_owned(),
                    ours: line.who.is_ours(),
                    floor: line.who == Who::Relay,
                    value: run.rate,
                    label: format!("{}{note}", grouped(run.rate)),
                })
            });
            panels.push(Panel {
                title: case.name.to_owned(),
                subtitle: case.title(),
                bars: bars.collect(),
            });
        }
        let about = format!(
            "Tasks per second, {}, {}; the broker on one processor, the load on another. Each case has its own axis.",
            self.when,
            machine::machine(),
        );
        super::chart::bars("Brokers side by side", &about, &panels)
    }
}

impl Plan {
    /// Where it was, with what, and how often.
    pub fn about(&self, command: &str) -> String {
        let versions: Vec<String> = self
            .brokers
            .iter()
            .filter_map(|who| self.programs.version(*who))
            .collect();
        let commit = match self.programs.built {
            true => format!("commit {}", machine::commit()),
            false => "a scale0 that was built elsewhere".to_owned(),
        };
        let quick = if self.quick { " --quick" } else { "" };
        let s = if self.repeats == 1 { "" } else { "s" };
        format!(
            "`cargo run --release --manifest-path benches/peers/Cargo.toml -- {command}{quick}`: {} repeat{s} of {} ms, interleaved, medians.\n{}; {commit}; {}.\n",
            self.repeats,
            self.run.as_millis(),
            machine::machine(),
            versions.join(", "),
        )
    }
}

const BEGIN: &str = "<!-- `peers brokers` writes what follows -->\n";
const END: &str = "<!-- as far as here -->\n";

/// The page with what is between the two lines replaced.
fn renewed(page: &str, summary: &str) -> Option<String> {
    let (head, rest) = page.split_once(BEGIN)?;
    let (_, tail) = rest.split_once(END)?;
    Some(format!("{head}{BEGIN}\n{summary}\n{END}{tail}"))
}

fn paced(text: &mut String, lines: &[&Line]) {
    *text += "| broker | tasks/s | broker CPU µs/task | p50 µs | p99 µs | p99 / p50 | least of the repeats | errors |\n|---|---:|---:|---:|---:|---:|---:|---|\n";
    for line in lines {
        let name = line.who.name();
        let _ = match &line.outcome {
            Err(error) => writeln!(text, "| {name} | | | | | | | failed: {error} |"),
            Ok(Outcome { run, tail, .. }) => writeln!(
                text,
                "| {name} | {} | {} | {:.0} | {:.0} | {:.1} | {tail:.1} | {} |",
                grouped(run.rate),
                micros(run.cpu),
                run.p50,
                run.p99,
                run.p99 / run.p50.max(1.0),
                errors(&line.outcome),
            ),
        };
    }
}

fn memory(text: &mut String, lines: &[&Line]) {
    *text += "| broker | resident before, MiB | bytes per idle connection, of 10,000 | errors |\n|---|---:|---:|---|\n";
    for line in lines {
        let name = line.who.name();
        let _ = match &line.outcome {
            Err(error) => writeln!(text, "| {name} | | | failed: {error} |"),
            Ok(outcome) => writeln!(
                text,
                "| {name} | {:.1} | {:.0} | {} |",
                outcome.before / 1024.0,
                outcome.each,
                errors(&line.outcome),
            ),
        };
    }
}

fn errors(outcome: &Result<Outcome, String>) -> String {
    let Ok(Outcome { run, .. }) = outcome else {
        return String::new();
    };
    let some = [
        (run.lost, "lost"),
        (run.wrong, "wrong"),
        (run.refused, "refused"),
        (run.closed, "closed"),
        (run.over, "over capacity"),
    ];
    let some: Vec<String> = some
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("**{count} {what}**"))
        .collect();
    some.join(", ")
}

/// 3.42, 13.9, 182.
fn micros(value: f64) -> String {
    match value {
        value if value < 10.0 => format!("{value:.2}"),
        value if value < 100.0 => format!("{value:.1}"),
        value => format!("{value:.0}"),
    }
}

/// 93,900: three digits are as many as mean something.
pub fn grouped(value: f64) -> String {
    let scale = 10_f64.powf((value.max(1.0).log10().floor() - 2.0).max(0.0));
    let digits = format!("{:.0}", (value / scale).round() * scale);
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{BEGIN, END, grouped, micros, renewed};

    #[test]
    fn only_what_is_between_the_lines_is_replaced() {
        let page = format!("a\n{BEGIN}old\n{END}b\n");
        let once = renewed(&page, "new\n").unwrap();
        assert_eq!(once, format!("a\n{BEGIN}\nnew\n\n{END}b\n"));
        assert_eq!(renewed(&once, "new\n").unwrap(), once);
        assert_eq!(renewed("a\n", "new"), None);
    }

    #[test]
    fn numbers_have_the_digits_that_mean_something() {
        assert_eq!(grouped(93_912.0), "93,900");
        assert_eq!(grouped(1_234_567.0), "1,230,000");
        assert_eq!(grouped(999.6), "1,000");
        assert_eq!(grouped(87.4), "87");
        assert_eq!(grouped(0.0), "0");
        assert_eq!(micros(3.456), "3.46");
        assert_eq!(micros(182.4), "182");
    }
}
