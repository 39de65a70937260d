//! Calls that block in the kernel, made by kernel threads that nobody else needs.
//!
//! A call that the kernel gives no readiness for, such as the resolution of a name, stops whoever
//! makes it. Made by a worker it would stop all threads of that worker. So it goes to a *pool
//! thread*, and the thread that wants the result waits at the door meanwhile, as for anything else:
//! `pool` has the kernel threads and what waits for one, `hand_over` brings the result back.
//!
//! *The work owns its data.* A waiter may be cut off at any time, and its frames are gone then,
//! while a call in the kernel cannot be taken back. So work is `'static`, and is never given a
//! pointer into the waiter's stack; it runs to its end, and a result that nobody wants any more is
//! dropped. That holds also for work that had to queue and has not begun when its waiter leaves.
//!
//! No lock is held over the work, nor over a drop of what it gives. A pool thread belongs to no
//! runtime, and no runtime waits for it at its end.
#![forbid(unsafe_code)]

mod hand_over;
#[cfg(all(loom, test))]
mod models;
mod pool;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use crate::blocking::hand_over::HandOver;
use crate::blocking::pool::Pool;
use crate::sched::config;
use crate::sched::door;
use crate::sched::spawn;
use crate::sched::start;
use crate::task::WaitKind;

/// The pool of the process. There is one, however many runtimes there are: what it bounds, kernel
/// threads, is the process's, and an idle thread may serve any of them.
static POOL: Pool = Pool::new(pool::start_thread, pool::IDLE_MAX);

/// Has a pool thread run `work`, and waits for what it gives. A panic of the work goes on here; the
/// hook has seen it on the pool thread.
///
/// The current thread may be cut off before and meanwhile; see the file's comment. Of threads there
/// are no more than the runtime of the current thread allows when one is needed, or the variable
/// `SYLVAN_BLOCKING_THREADS` on a kernel thread of no runtime; beyond that the work queues.
///
/// # Errors
///
/// If no pool thread lives and the system refuses one, if the variable is wrong where it is asked,
/// and in a forked child. The work has not run then and was dropped.
// SUSPENDS
#[track_caller]
pub(crate) fn run<T, F>(kind: WaitKind, work: F) -> io::Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let reason = door::reason(kind);
    start::watch_forks();
    if start::is_forked_child() {
        // Before a queue of the scheduler or the pool's lock is touched: both are copies of what
        // other threads were using.
        return Err(start::forked_error());
    }
    door::switch_point();
    let threads_max = match spawn::member_runtime() {
        Some(shared) => shared.config.blocking_threads,
        None => config::blocking_threads_outside()?,
    };
    let here = Arc::new(HandOver::new());
    let there = here.clone();
    let job = move || there.complete(catch_unwind(AssertUnwindSafe(work)));
    POOL.submit(Box::new(job), threads_max)?;
    match here.wait(reason) {
        Ok(value) => Ok(value),
        Err(payload) => resume_unwind(payload),
    }
}

/// Kernel threads of the pool, those included that are idle.
pub(crate) fn threads() -> usize {
    POOL.threads()
}
