//! Sizes: 500 lines a file, 70 a function, 100 columns a line, in all Rust files.
//!
//! The limits are soft: what is over one stands in a list here with its present size, and may not
//! grow. What has become smaller by more than ten, or fits the limit, fails too, until its entry
//! is corrected; so the lists are ratchets. Ten, because a correction for every line removed would
//! be in the way of removing it.

use std::collections::BTreeMap;

use crate::settle;
use crate::{files, rust};

/// What is limited: its unit, the limit, the list of what is over it, and what to do about more.
struct Limit {
    unit: &'static str,
    most: usize,
    list_name: &'static str,
    list: &'static [(&'static str, usize)],
    advice: &'static str,
}

const FILES: Limit = Limit {
    unit: "lines",
    most: 500,
    list_name: "FILES",
    list: &[("tests/behaviour/cancel.rs", 691)],
    advice: "split it where its explanation splits",
};

/// From `fn` to the last brace; a name in the list is `path: function`.
const FUNCTIONS: Limit = Limit {
    unit: "lines",
    most: 70,
    list_name: "FUNCTIONS",
    list: &[],
    advice: "give a part of it a name",
};

/// Of each file, the widest line.
const COLUMNS: Limit = Limit {
    unit: "columns",
    most: 100,
    list_name: "COLUMNS",
    list: &[],
    advice: "break the line; rustfmt leaves comments, strings and macros as they are",
};

/// What is measured: its name in the list, where it stands, and its size.
struct Measured {
    name: String,
    at: String,
    size: usize,
}

/// Compares what was measured with the limit and with the list of what is over it.
fn check(limit: &Limit, measured: &[Measured]) {
    let Limit { unit, most, list_name, list, advice } = limit;
    let allowed: BTreeMap<_, _> = list.iter().copied().collect();
    let mut largest: BTreeMap<&str, usize> = BTreeMap::new();
    let mut findings = Vec::new();
    for Measured { name, at, size } in measured {
        let known = largest.entry(name).or_default();
        *known = (*known).max(*size);
        match allowed.get(&**name) {
            None if size > most => {
                findings.push(format!("{at}: {size} {unit}, and {most} are the most: {advice}"));
            }
            Some(listed) if size > listed => findings.push(format!(
                "{at}: grown from {listed} {unit} to {size}, and over the limit of {most} already: \
                 {advice}"
            )),
            _ => {}
        }
    }
    for (name, listed) in *list {
        let at = format!("tests/tidy/sizes.rs: {list_name}: \"{name}\"");
        match largest.get(name) {
            None => findings.push(format!("{at} is gone: remove the entry")),
            Some(size) if size <= most => {
                findings.push(format!("{at} has only {size} {unit}: remove the entry"));
            }
            Some(size) if size + 10 < *listed => {
                findings.push(format!("{at} has shrunk to {size} {unit}: write that number"));
            }
            Some(_) => {}
        }
    }
    settle(&findings);
}

#[test]
fn files_are_no_longer_than_the_limit_or_their_listed_size() {
    let measured = files::rust().map(|file| Measured {
        name: file.path.clone(),
        at: format!("{}:1", file.path),
        size: file.text.lines().count(),
    });
    check(&FILES, &measured.collect::<Vec<_>>());
}

#[test]
fn functions_are_no_longer_than_the_limit_or_their_listed_size() {
    let mut measured = Vec::new();
    for file in files::rust() {
        for (name, range) in rust::functions(&file.code) {
            let at = format!("{}: `{name}`", file.at(range.start));
            let size = file.code[range].lines().count();
            measured.push(Measured { name: format!("{}: {name}", file.path), at, size });
        }
    }
    assert!(measured.len() > 500, "only {} functions were found", measured.len());
    check(&FUNCTIONS, &measured);
}

#[test]
fn lines_are_no_wider_than_the_limit_or_their_listed_size() {
    let mut measured = Vec::new();
    for file in files::rust() {
        measured.extend(file.text.lines().enumerate().map(|(n, line)| Measured {
            name: file.path.clone(),
            at: format!("{}:{}", file.path, n + 1),
            size: line.chars().count(),
        }));
    }
    check(&COLUMNS, &measured);
}
