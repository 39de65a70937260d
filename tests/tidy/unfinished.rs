//! No marks of unfinished work: what is left to do is an issue, where it can be found and closed.

use crate::{files, rust, settle};

/// Put together here, so that this file does not find itself.
const MARKS: [&str; 5] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("X", "XX"),
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
];

#[test]
fn text_files_hold_no_marks_of_unfinished_work() {
    let mut findings = Vec::new();
    for file in files::all() {
        for mark in MARKS {
            for at in rust::words(&file.text, mark) {
                findings.push(format!("{}: `{mark}`: finish it, or file an issue", file.at(at)));
            }
        }
    }
    settle(&findings);
}
