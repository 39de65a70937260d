//! Two things of std that the library takes in one place only: thread-locals, which the threads
//! of one worker share, and the clock, in whose place a virtual one can be put.

use crate::{files, rust, settle};

/// What stands in one place, how it is found, that place, and what to do elsewhere.
struct Rule {
    what: &'static str,
    find: fn(&str) -> Vec<usize>,
    place: &'static str,
    instead: &'static str,
}

const RULES: [Rule; 2] = [
    Rule {
        what: "std::thread_local!",
        find: thread_locals,
        place: "task/current.rs",
        instead: "declare it there, behind a function that returns no address, or take \
                  `crate::thread_local!`",
    },
    Rule {
        what: "Instant::now",
        find: |code| rust::words(code, "Instant::now").collect(),
        place: "clock.rs",
        instead: "call `crate::clock`",
    },
];

/// The macro of std is the one that is not called as this crate's.
fn thread_locals(code: &str) -> Vec<usize> {
    let calls = rust::words(code, "thread_local").filter(|at| {
        let is_call = code[at + "thread_local".len()..].starts_with('!');
        is_call && !code[..*at].ends_with("crate::")
    });
    calls.collect()
}

/// Further files that may: which, what, and why.
const EXCEPTIONS: [(&str, &str, &str); 3] = [
    (
        "stack/guard.rs",
        "Instant::now",
        "it lies below the clock, and how often the kernel is asked for its list of mappings must \
         not depend on a virtual one",
    ),
    ("stack/tests.rs", "Instant::now", "measures what a stack costs in real time"),
    ("os/tests.rs", "Instant::now", "measures that the kernel waits in real time"),
];

#[test]
fn thread_locals_and_clock_of_std_are_touched_in_one_place() {
    let mut findings = Vec::new();
    let mut used = vec![false; EXCEPTIONS.len()];
    for (file, path) in files::library() {
        for Rule { what, find, place, instead } in RULES.iter().filter(|rule| path != rule.place) {
            for at in find(&file.code) {
                match EXCEPTIONS.iter().position(|(p, w, _)| *p == path && w == what) {
                    Some(n) => used[n] = true,
                    None => findings.push(format!(
                        "{}: `{what}` outside runtime/src/{place}: {instead}",
                        file.at(at)
                    )),
                }
            }
        }
    }
    for ((path, word, _), _) in EXCEPTIONS.iter().zip(used).filter(|(_, used)| !used) {
        findings.push(format!(
            "tests/tidy/clocks.rs: {path} holds no `{word}`: remove that entry of EXCEPTIONS"
        ));
    }
    settle(&findings);
}
