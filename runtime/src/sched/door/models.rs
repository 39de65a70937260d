//! What loom models of waits share: a deadline, and somebody who cancels.
#![forbid(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use loom::thread;

use crate::clock;
use crate::sched::door;
use crate::task::{CancelReason, HeaderRef, current};

/// A time that is over when it likes, as any is in a model.
pub(crate) const SOME_TIME: Duration = Duration::from_secs(3600);

/// A deadline of that kind.
pub(crate) fn some_time() -> Option<Instant> {
    clock::deadline_in(SOME_TIME)
}

/// The current thread, for somebody who cancels it.
pub(crate) fn myself() -> HeaderRef {
    HeaderRef::new(&current::me())
}

/// A thread that cancels the current one.
pub(crate) fn spawn_canceller() -> thread::JoinHandle<()> {
    let me = myself();
    thread::spawn(move || door::cancel(&me, &CancelReason::of_model()))
}

/// Whether `wait` was ended by a cancellation.
pub(crate) fn ends_cancelled(wait: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(wait)).is_err()
}
