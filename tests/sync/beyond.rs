//! What `sylvan::sync` has beyond std: locks with a deadline, `Semaphore`, `WaitGroup`, `Event`.
#![forbid(unsafe_code)]

mod event;
mod permits;
mod semaphore;
mod timed_mutex;
mod timed_rwlock;
mod wait_group;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use sylvan_workspace::text_of;

use sylvan_workspace::settle;

const MOMENT: Duration = Duration::from_millis(3);
/// So long that a test which waits for it is aborted by the watchdog.
const FOR_EVER: Duration = Duration::from_secs(3600);

/// The text with which `f` panics.
#[track_caller]
fn panic_of<R>(f: impl FnOnce() -> R) -> String {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(_) => panic!("it has to panic"),
        Err(payload) => text_of(&*payload).to_owned(),
    }
}
