//! Tests that end their process, or that count what belongs to a whole process, run in a child.
//!
//! The test binary starts itself again for that one test. The test function is both sides: in the
//! parent `run` returns what the child left behind, in the child it returns `None` and the
//! function goes on with its body.
//!
//! A child must never start a child: the variable that marks it sees to that.
#![forbid(unsafe_code)]

use std::process::{Command, Output};

/// Runs the test of this path (such as `stack::tests::name`) in a child process.
pub(crate) fn run(test: &str, variables: &[(&str, &str)]) -> Option<Output> {
    if std::env::var_os(MARK).is_some() {
        return None;
    }
    let program = std::env::current_exe().expect("the test binary knows where it is");
    let mut command = Command::new(program);
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(MARK, "1");
    command.envs(variables.iter().copied());
    Some(command.output().expect("the test binary can be started again"))
}

/// Runs the test in a child and requires that the child's half of it passed.
///
/// Returns true in the parent, where nothing is left to do.
pub(crate) fn passes(test: &str, variables: &[(&str, &str)]) -> bool {
    let Some(output) = run(test, variables) else { return false };
    let (out, errors) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "child of {test} failed\n{out}\n{errors}");
    assert!(out.contains("1 passed"), "the child ran no test called {test}\n{out}");
    eprint!("{errors}");
    true
}

/// Returns output as text.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const MARK: &str = "SYLVAN_TEST_CHILD";
