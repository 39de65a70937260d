//! Keeps `std::thread::panicking()` true per green thread when a destructor waits.
//!
//! std counts panics per kernel thread, and several green threads share one. A thread that waits
//! in a destructor while it unwinds leaves the count at 1 behind: its neighbours look as if they
//! were panicking, so their locks are poisoned, their cancellations withheld, and a panic of
//! theirs may abort the process. std offers no way to set the count, but panicking changes it:
//! a *ballast fiber* begins to unwind (the count goes up) and suspends in a destructor; resumed
//! again it ends its unwinding (the count goes down), on whatever kernel thread that happens.
//!
//! So a worker that must take the count down resumes ballast that went up elsewhere, on a helper
//! kernel thread; and takes it up again by making new ballast, which it keeps for the next time.
//! A round costs some 25 µs, and only waits during unwinding pay it. Where the panic strategy is
//! abort, nothing ever unwinds and nothing here is called.
//!
//! A ballast fiber holds nothing but its own frames, so that it may be resumed on another kernel
//! thread than it began on, the one exception to that rule in this crate.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::NonNull;
use std::sync::Mutex;

use crate::fiber::{Fiber, Resume, Suspended};
use crate::stack::{Class, Pool};

/// How far the count was taken down.
#[must_use]
struct Swapped(usize);

/// Ballast that is up: each raises the count of the kernel thread that made it.
static RISEN: Mutex<Vec<Risen>> = Mutex::new(Vec::new());

struct Risen(NonNull<Fiber>);

// SAFETY: see the file's comment: the fiber's frames belong to no kernel thread.
unsafe impl Send for Risen {}

/// How many the helper makes at once.
const BATCH: usize = 4;

/// Calls `suspend`, during which neighbours run, without letting them see that the current thread
/// unwinds, if it does.
// SUSPENDS
#[inline(always)]
pub(crate) fn keep_apart(suspend: impl FnOnce()) {
    let swapped = std::thread::panicking().then(swap_out);
    suspend();
    if let Some(swapped) = swapped {
        swap_in(swapped);
    }
}

/// Takes the count of this kernel thread down to zero, for the thread that is about to wait.
#[cold]
fn swap_out() -> Swapped {
    let mut count = 0;
    while std::thread::panicking() {
        let ballast = take();
        // SAFETY: it is suspended, so alive.
        let fiber = unsafe { ballast.0.as_ref() };
        // SAFETY: S1: ours by the take; see the file's comment for why it need not be at home.
        let ended = unsafe { fiber.resume(Resume::Run) };
        if ended.is_some() {
            crate::os::abort_with("a ballast fiber did not end");
        }
        // SAFETY: it has returned, and nobody else knows it.
        drop(unsafe { Fiber::into_stack(ballast.0) });
        count += 1;
    }
    Swapped(count)
}

/// Takes the count up again, for the thread that goes on unwinding.
#[cold]
fn swap_in(swapped: Swapped) {
    for _ in 0..swapped.0 {
        let ballast = rise();
        RISEN.lock().unwrap_or_else(|e| e.into_inner()).push(ballast);
    }
}

fn take() -> Risen {
    loop {
        if let Some(ballast) = RISEN.lock().unwrap_or_else(|e| e.into_inner()).pop() {
            return ballast;
        }
        // Joined at once, so that even N:1 has one kernel thread before and after. It blocks the
        // worker for about the time of a kernel thread's start.
        let helper = std::thread::Builder::new().name("sylvan-ballast".to_owned());
        let made = helper.spawn(|| (0..BATCH).map(|_| rise()).collect::<Vec<_>>());
        match made.map(std::thread::JoinHandle::join) {
            Ok(Ok(ballast)) => RISEN.lock().unwrap_or_else(|e| e.into_inner()).extend(ballast),
            _ => crate::os::abort_with(
                "a destructor waits while unwinding, and no kernel thread can be had to keep \
                 std's panic count apart",
            ),
        }
    }
}

/// Makes one: the count of this kernel thread is higher by one afterwards.
fn rise() -> Risen {
    let stack = match Pool::new().take(Class::DEFAULT) {
        Ok(stack) => stack,
        Err(_) => crate::os::abort_with(
            "a destructor waits while unwinding, and no stack can be had to keep std's panic \
             count apart",
        ),
    };
    let fiber = Fiber::new(stack, unwind_and_suspend);
    // SAFETY: just made.
    let risen = unsafe { fiber.as_ref() };
    // SAFETY: S1: nobody is inside.
    let left = unsafe { risen.resume(Resume::Run) };
    if left != Some(Suspended::Resting) {
        crate::os::abort_with("a ballast fiber did not rise");
    }
    Risen(fiber)
}

fn unwind_and_suspend(fiber: &Fiber) {
    struct SuspendOnDrop<'a>(&'a Fiber);
    impl Drop for SuspendOnDrop<'_> {
        fn drop(&mut self) {
            // SAFETY: we run on the fiber.
            unsafe { self.0.suspend(Suspended::Resting) };
        }
    }
    let caught = catch_unwind(AssertUnwindSafe(|| {
        let _suspend = SuspendOnDrop(fiber);
        resume_unwind(Box::new(()));
    }));
    debug_assert!(caught.is_err());
}
