//! A seed that fails is printed with the command that replays it, and the variable replays it.

use std::cell::Cell;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use sylvan::{testing, thread};
use sylvan_workspace::{in_child, printed_seed};

/// Two threads add one each, but read and write apart.
fn lost_update() {
    let number = AtomicU64::new(0);
    let add = || {
        let read = number.load(SeqCst);
        thread::yield_now();
        number.store(read + 1, SeqCst);
    };
    thread::scope(|scope| {
        scope.spawn(add);
        scope.spawn(add);
    });
    assert_eq!(number.load(SeqCst), 2, "an update was lost");
}

#[test]
fn printed_seed_replays_the_failure() {
    let test = "replay::printed_seed_replays_the_failure";
    let body = || testing::explore(0..200, lost_update);
    let child = in_child(test, &[], body);
    assert!(!child.status.success(), "one of the seeds shows it");
    assert!(child.stderr.contains("an update was lost"), "{}", child.stderr);
    let said = format!(", under seed {}) panicked:", printed_seed(&child.stderr));
    assert!(child.stderr.contains(&said), "the panic's own line names the seed: {}", child.stderr);
    assert!(!child.stderr.contains("the last steps"), "a course is printed when replayed");
    let seed = printed_seed(&child.stderr);
    let command = format!("SYLVAN_SEED={seed} cargo test -- --exact {test}");
    assert!(child.stderr.contains(&command), "{}", child.stderr);

    let child = in_child(test, &[("SYLVAN_SEED", &seed)], body);
    assert!(!child.status.success(), "the same seed fails again");
    assert_eq!(printed_seed(&child.stderr), seed);
    assert!(child.stderr.contains("the last steps of the run"), "{}", child.stderr);
    assert!(child.stderr.contains("yields"), "{}", child.stderr);
}

#[sylvan::test(seeds = 200)]
#[ignore = "fails on purpose; a test below runs it"]
fn attribute_that_fails() {
    lost_update();
}

#[sylvan::test(seeds = 200)]
#[should_panic(expected = "an update was lost")]
fn one_seed_that_panics_is_enough_for_should_panic() {
    lost_update();
}

#[test]
fn attribute_prints_package_and_path() {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["replay::attribute_that_fails", "--exact", "--ignored"]);
    let output = command.env("RUST_BACKTRACE", "0").output().unwrap();
    assert!(!output.status.success());
    // The harness shows on stdout what a failed test has printed.
    let text = String::from_utf8_lossy(&output.stdout);
    let seed = printed_seed(&text);
    let expected = format!(
        "SYLVAN_SEED={seed} cargo test -p sylvan-workspace -- --exact replay::attribute_that_fails"
    );
    assert!(text.contains(&expected), "{text}");
}

#[test]
fn variable_runs_its_seed_alone() {
    let test = "replay::variable_runs_its_seed_alone";
    in_child(test, &[("SYLVAN_SEED", "123456789")], || {
        let seen = Mutex::new(Vec::new());
        testing::explore(0..5, || seen.lock().unwrap().push(testing::seed()));
        assert_eq!(*seen.lock().unwrap(), [Some(123_456_789)]);
        // A seed that the program names itself stays.
        assert_eq!(testing::run_seeded(3, testing::seed), Some(3));
    })
    .expect_success();
}

#[test]
fn seeds_run_in_order_until_one_fails() {
    let seen = Mutex::new(Vec::new());
    let result = std::panic::catch_unwind(|| {
        testing::explore(3..9, || {
            let seed = testing::seed().unwrap();
            seen.lock().unwrap().push(seed);
            assert_ne!(seed, 6);
        });
    });
    assert!(result.is_err());
    assert_eq!(*seen.lock().unwrap_or_else(|e| e.into_inner()), [3, 4, 5, 6]);
}

#[test]
fn each_run_has_fresh_thread_locals_of_std() {
    std::thread_local!(static COUNT: Cell<u32> = const { Cell::new(0) });
    testing::explore(0..5, || {
        assert_eq!(COUNT.get(), 0);
        COUNT.set(1);
    });
}

#[sylvan::test(mapping = ["1:1", "m:n"], seeds = 3, workers = 2)]
fn mappings_and_seeds_go_together() {
    assert_eq!(thread::spawn(|| 1).join().unwrap(), 1);
}

#[sylvan::test(seeds = 2)]
fn tests_under_seeds_may_return_results() -> Result<(), std::num::ParseIntError> {
    let number: u64 = "5".parse()?;
    assert!(number > testing::seed().unwrap());
    Ok(())
}
