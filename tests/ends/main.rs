//! How threads, and parts of their runs, end before they are done: by deadlines, cancellations,
//! groups and races, on every shape of runtime.
//!
//! A deadline has to cut off any call that waits, whatever it waits for, and nothing else; it has
//! to find everybody who works for the code that it bounds; and who is cut off must leave locks,
//! permits and messages as if he had never come. Here every kind of wait is cut off, by
//! every kind of deadline, and what it waited for is used afterwards.
//!
//! Under seeds time is virtual, so that a deadline and what it races with come at the same instant,
//! in an order that the seed decides. On the mappings time is real, and deadlines are short.
//!
//! What no test here may do: sleep to wait for a state, or assert how long something took at most,
//! except on a virtual clock.
#![forbid(unsafe_code)]

mod corners;
mod deadlines;
mod groups;
mod inherit;
mod joins;
mod limits;
mod nested;
mod order;
mod own_bugs;
mod races;
mod reasons;
mod requests;
mod scopes;
mod shields;
mod staging;
mod trees;
mod waits;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use sylvan::thread;
use sylvan::time::Elapsed;

/// Longer than any test.
const HOUR: Duration = Duration::from_secs(3600);

/// After so long a deadline passes that a test waits for.
const SOON: Duration = Duration::from_millis(5);

/// Fails unless the deadline has passed.
#[track_caller]
fn expect_elapsed<T>(outcome: Result<T, Elapsed>) -> Elapsed {
    match outcome {
        Ok(_) => panic!("it was not cut off"),
        Err(elapsed) => elapsed,
    }
}

/// Runs `f`, which is to be unwound, and goes on with what has unwound it.
#[track_caller]
fn expect_unwound<T>(f: impl FnOnce() -> T) -> Box<dyn std::any::Any + Send> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(_) => panic!("it was not unwound"),
        Err(payload) => payload,
    }
}

/// Waits until the deadline in force has passed, without being cut off by it: computes for so long,
/// or, where time is virtual, moves the clock.
fn outlast_deadline() {
    while !thread::cancelled() {
        pass_time();
    }
}

/// Lets the clock go on: the virtual one stands still as long as somebody can run.
fn pass_time() {
    if sylvan::testing::seed().is_some() {
        sylvan::testing::advance(Duration::from_millis(1));
    } else {
        std::hint::spin_loop();
    }
}
