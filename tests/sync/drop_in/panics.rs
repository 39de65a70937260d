//! Panics on purpose, past the panic hook: what is expected need not be printed.
#![forbid(unsafe_code)]

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

pub(super) use sylvan_workspace::OnDrop;
use sylvan_workspace::text_of;

use super::thread;

/// What [`fail`] panics with.
const FAILURE: &str = "on purpose";

/// Panics.
pub(super) fn fail() -> ! {
    resume_unwind(Box::new(FAILURE))
}

/// Runs `f`, which has to call [`fail`], in a thread of its own.
#[track_caller]
pub(super) fn fail_in_a_thread(f: impl FnOnce() + Send) {
    let result = thread::scope(|scope| scope.spawn(f).join());
    expect_failure(result);
}

/// Runs `f`, which has to call [`fail`], here.
#[track_caller]
pub(super) fn fail_here(f: impl FnOnce()) {
    expect_failure(catch_unwind(AssertUnwindSafe(f)));
}

/// Fails unless a thread or a closure was ended by [`fail`].
#[track_caller]
pub(super) fn expect_failure(result: Result<(), Box<dyn Any + Send>>) {
    let payload = result.expect_err("it has to panic");
    assert_eq!(text_of(&*payload), FAILURE);
}

/// The text with which `f` panics.
#[track_caller]
pub(super) fn panic_of<R>(f: impl FnOnce() -> R) -> String {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(_) => panic!("it has to panic"),
        Err(payload) => text_of(&*payload).to_owned(),
    }
}
