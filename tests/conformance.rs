//! `spec/conformance.md` says what is true: every row of `spec/zmtp.md` and `spec/security.md`
//! stands there, and every test and vector that it names exists.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that is surprised has failed"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

#[test]
fn every_test_that_the_document_names_is_there() {
    let (text, mut files) = (read("spec/conformance.md"), BTreeMap::new());
    let (mut named, mut wrong) = (0, Vec::new());
    for name in quoted(&text).collect::<BTreeSet<_>>() {
        let (file, test) = match name.split_once("::") {
            Some((file, test)) => (file.to_owned(), Some(test)),
            None => match name.strip_prefix("vector ") {
                Some(vector) => (format!("spec/vectors/zmtp/{vector}.hex"), None),
                None => continue,
            },
        };
        named += 1;
        let held = files.entry(file).or_insert_with_key(|file| text_of(file));
        match (held, test) {
            (None, _) => wrong.push(format!("{name}: there is no such file")),
            (Some(held), Some(test)) if !has_test(held, test) => {
                wrong.push(format!("{name}: there is no such test"));
            }
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(named > 150, "only {named} tests are named");
}

#[test]
fn every_row_of_the_specification_has_one_here() {
    let (rows, held) = (specified(), rows("spec/conformance.md"));
    assert!(rows.len() > 80, "only {} rows are specified", rows.len());
    let without: Vec<_> = rows.difference(&held).collect();
    assert!(without.is_empty(), "no line about {without:?}");
    let unknown: Vec<_> = held.difference(&rows).collect();
    assert!(unknown.is_empty(), "nobody specified {unknown:?}");
}

/// A handle in the text that no row explains helps nobody.
#[test]
fn every_handle_in_the_specification_has_its_row() {
    let (text, rows) = (SPECIFIED.map(read).concat(), specified());
    let handles = text.split('[').skip(1).filter_map(|rest| {
        let (handle, _) = rest.split_once(']')?;
        is_row(handle).then(|| handle.to_owned())
    });
    let without: BTreeSet<_> = handles.filter(|handle| !rows.contains(handle)).collect();
    assert!(without.is_empty(), "{without:?}");
}

/// A promise is kept by a test, deferred to what brings it, or given up with its reason.
#[test]
fn every_row_that_holds_names_its_tests() {
    let text = read("spec/conformance.md");
    let without: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("| ") && line.contains(" | holds | "))
        .filter(|line| !line.contains("::") && !line.contains("`vector "))
        .collect();
    assert!(without.is_empty(), "{without:#?}");
}

fn specified() -> BTreeSet<String> {
    SPECIFIED.into_iter().flat_map(rows).collect()
}

/// The first cells of all tables that are handles.
fn rows(file: &str) -> BTreeSet<String> {
    let text = read(file);
    let cells = text
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split_once(" |"));
    cells
        .map(|(cell, _)| cell.to_owned())
        .filter(|cell| is_row(cell))
        .collect()
}

/// `W1`, `D21`.
fn is_row(cell: &str) -> bool {
    let mut letters = cell.chars();
    letters
        .next()
        .is_some_and(|letter| letter.is_ascii_uppercase())
        && !letters.as_str().is_empty()
        && letters.all(|digit| digit.is_ascii_digit())
}

fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// A function, of a property-test macro too, or a line of a macro that makes tests of a table.
fn has_test(text: &str, test: &str) -> bool {
    text.contains(&format!("fn {test}(")) || text.contains(&format!("    {test}: "))
}

fn read(file: &str) -> String {
    text_of(file).unwrap_or_else(|| panic!("{file} cannot be read"))
}

fn text_of(file: &str) -> Option<String> {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).ok()
}

const SPECIFIED: [&str; 2] = ["spec/zmtp.md", "spec/security.md"];
