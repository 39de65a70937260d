//! Shows that a program built with `panic = "abort"` runs, and that what needs to unwind says so.
//!
//! The profile is a property of a whole build, so the program is a crate of its own. It is copied
//! into the target folder beside the workspace's lock file, so that it takes the same versions and
//! fetches nothing, and built there by Cargo.
//!
//! What this file must never do: pass without looking. Where Cargo cannot build the program, the
//! tests fail.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use support::Child;

/// The program, built once.
fn program() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(build).clone()
}

fn build() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let given = root.join("tests/crates/panic_abort");
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("panic_abort");
    fs::create_dir_all(copy.join("src")).expect("the target folder is Cargo's gift to tests");
    let manifest = fs::read_to_string(given.join("Cargo.toml")).unwrap();
    let runtime = root.join("runtime");
    let manifest = manifest.replace("../../../runtime", runtime.to_str().expect("UTF-8"));
    fs::write(copy.join("Cargo.toml"), manifest).unwrap();
    fs::copy(root.join("Cargo.lock"), copy.join("Cargo.lock")).unwrap();
    fs::copy(given.join("src/main.rs"), copy.join("src/main.rs")).unwrap();

    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--manifest-path"]).arg(copy.join("Cargo.toml"));
    cargo.arg("--target-dir").arg(copy.join("target"));
    // Flags of this build, such as a sanitizer's, would not fit the other profile.
    for flags in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET"] {
        cargo.env_remove(flags);
    }
    let output = cargo.output().expect("Cargo is there");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    copy.join("target/debug/panic-abort")
}

fn run(case: &str, mapping: &str) -> support::Ended {
    Child::of(program(), vec![case.to_owned(), mapping.to_owned()]).run()
}

#[test]
fn threads_waits_scopes_and_arms_work_without_unwinding() {
    for mapping in ["1:1", "n:1", "m:n"] {
        let ended = run("works", mapping).exited_with(0).prints(&["works"]);
        ended.does_not_say("sylvan:");
    }
}

#[test]
fn cancel_gives_an_error_that_names_the_profile_setting() {
    for mapping in ["1:1", "n:1", "m:n"] {
        let ended = run("cancel", mapping).exited_with(0);
        let whole = "threads cannot be cancelled: cancellation unwinds them";
        let ended = ended.prints(&[&format!("cancel: {whole}"), &format!("scope: {whole}")]);
        ended.prints(&["panic = \"abort\" in its profile"]).does_not_say("panicked");
    }
}

#[test]
fn deadlines_refuse_to_call_and_name_the_profile_setting() {
    for mapping in ["1:1", "n:1", "m:n"] {
        let ended = run("deadlines", mapping).exited_with(0);
        let why = "no deadline can end calls: cancellation unwinds them, and this program was \
                   built with panic = \"abort\" in its profile";
        ended.prints(&[&format!("timeout: {why}"), &format!("deadline: {why}")]);
    }
}

#[test]
fn groups_and_races_wait_until_all_have_ended() {
    for mapping in ["1:1", "n:1", "m:n"] {
        run("groups", mapping).exited_with(0).prints(&["groups work"]);
    }
}

#[test]
fn a_shutdown_leaks_what_waits_and_says_why() {
    for mapping in ["1:1", "m:n"] {
        let ended = run("leak", mapping).exited_with(0).prints(&["went on"]);
        ended.says(&["the runtime 'aborting' was shut down", "panic = \"abort\"", "thread 'left'"]);
    }
    // The kernel thread of the leaked one is the caller's.
    run("leak", "n:1").aborted().says(&["panic = \"abort\"", "thread 'left'", "sylvan: fatal"]);
}

#[test]
fn a_main_that_leaves_a_thread_under_n_to_1_exits_with_its_own_code() {
    let ended = run("main", "n:1").exited_with(0).prints(&["the body ended"]);
    ended.says(&["thread 'left'"]).does_not_say("fatal");
}

#[test]
fn a_panic_aborts_after_its_message() {
    for mapping in ["n:1", "m:n"] {
        run("panic", mapping).aborted().says(&["green thread '<unnamed>'", "the end"]);
    }
    run("panic", "1:1").aborted().says(&["the end"]);
}

#[test]
fn overflows_are_reported_by_whom_they_concern() {
    // The process's first thread keeps std's own report.
    let ended = run("overflow", "m:n").aborted();
    ended.says(&["thread 'main'", "has overflowed its stack"]).does_not_say("SYLVAN_STACK_SIZE");
    for mapping in ["n:1", "m:n"] {
        let ended = run("green_overflow", mapping).aborted();
        ended.says(&["thread 'deep' (green thread ", "has overflowed", "SYLVAN_STACK_SIZE"]);
    }
}
