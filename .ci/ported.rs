//! What stands in for std and crossbeam-channel while `.ci/ported` runs the latter's own tests.
//!
//! The script compiles this file as the library of a scratch package, and has its tests import
//! from here. The feature `green` says whose threads and locks they get, `reference` that the
//! channels are crossbeam-channel's, which shows that a failure is not the script's. The shape of
//! the runtime comes from the environment, as it does for every program.
//!
//! It must not soften a test: no method here that catches, retries or waits where the original
//! does not.
#![forbid(unsafe_code)]
#![allow(missing_docs, reason = "the script is the only user")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(feature = "reference")]
pub use crossbeam_channel as channel;
#[cfg(not(feature = "reference"))]
pub use sylvan::channel;

#[cfg(not(feature = "green"))]
pub use std::{sync, thread, thread_local};
#[cfg(feature = "green")]
pub use sylvan::{sync, thread, thread_local};

#[cfg(feature = "reference")]
pub use std::sync::mpsc;
#[cfg(not(feature = "reference"))]
pub use sylvan::sync::mpsc;

/// Runs the body of a test, which is the only one of this process, as a thread of a runtime. The
/// shutdown cancels what the body has left behind.
pub fn inside(body: fn()) {
    #[cfg(not(feature = "green"))]
    body();
    #[cfg(feature = "green")]
    {
        let runtime = sylvan::Runtime::builder().build().expect("the runtime can be built");
        runtime.run(|| {
            body();
            HAS_ENDED.store(true, Ordering::SeqCst);
        });
    }
}

/// Whether all that still happens is the shutdown.
static HAS_ENDED: AtomicBool = AtomicBool::new(false);

/// What a test calls instead of `abort` when one of its threads has failed. What is cancelled after
/// the test's end, or fails for it lacks a partner that was, has not.
pub fn thread_failed() {
    if !HAS_ENDED.load(Ordering::SeqCst) {
        std::process::abort();
    }
}

/// `crossbeam_utils::thread::scope` on top of std's or sylvan's: closures get an argument, and a
/// panic of any thread is an error.
pub fn scope<'env, F, R>(body: F) -> thread::Result<R>
where
    F: for<'scope> FnOnce(Scope<'scope, 'env>) -> R,
{
    catch_unwind(AssertUnwindSafe(|| thread::scope(|scope| body(Scope(scope)))))
}

#[derive(Clone, Copy)]
pub struct Scope<'scope, 'env: 'scope>(&'scope thread::Scope<'scope, 'env>);

impl<'scope> Scope<'scope, '_> {
    pub fn spawn<F, T>(&self, body: F) -> thread::ScopedJoinHandle<'scope, T>
    where
        F: FnOnce(()) -> T + Send + 'scope,
        T: Send + 'scope,
    {
        self.0.spawn(|| body(()))
    }
}
