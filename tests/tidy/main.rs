//! Keeps what the house rules promise true, where neither compiler nor clippy can look: a rule
//! that nothing checks is kept for a month.
//!
//! How: plain std reads the repository's files, and each rule is a test of its own. A test gathers
//! everything that it finds and ends with one list, each entry with file, line and what to do.
//! What is known to break a rule stands in a list beside that rule, with its reason or its present
//! size; an entry that is needed no longer fails as well, so the lists can only become shorter.
//!
//! What no test here may do: change a file, fetch anything, or look at what Git ignores.
#![forbid(unsafe_code)]

mod clocks;
mod dependencies;
mod documents;
mod files;
mod heads;
mod layers;
mod paths;
mod rust;
mod sizes;
mod switches;
mod unfinished;

/// Ends a test: fails it with everything that it found, if that is anything.
#[track_caller]
fn settle(findings: &[String]) {
    assert!(findings.is_empty(), "{} to mend:\n\n{}\n", findings.len(), findings.join("\n"));
}
