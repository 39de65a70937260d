//! Who holds a lock, in debug builds: so that a thread that waits for itself is told so.
//!
//! std leaves open what happens to a thread that takes a lock it holds already: it may panic or
//! wait for ever. Here it waits for ever in a release build, where a lock is four bytes and knows
//! its waiters only; in a debug build it panics and says where the lock was taken. Reports of debug
//! builds name the holder too.
#![forbid(unsafe_code)]

use std::num::NonZeroU64;
use std::panic::Location;
#[cfg(debug_assertions)]
use std::sync::{Mutex, MutexGuard};

#[cfg(debug_assertions)]
use crate::task::current;

/// Of no size in a release build.
#[derive(Default)]
pub(super) struct Holder {
    /// One, or several readers.
    #[cfg(debug_assertions)]
    by: Mutex<Vec<(NonZeroU64, &'static Location<'static>)>>,
}

#[cfg(debug_assertions)]
impl Holder {
    pub(super) const fn new() -> Holder {
        Holder { by: Mutex::new(Vec::new()) }
    }

    /// The current thread has got the lock.
    pub(super) fn enter(&self, site: &'static Location<'static>) {
        self.by().push((current::me().id, site));
    }

    /// It is about to release it.
    pub(super) fn leave(&self) {
        let (me, mut by) = (current::me().id, self.by());
        // A thread that was leaked while it was handed the lock has not entered.
        if let Some(place) = by.iter().rposition(|(thread, _)| *thread == me) {
            by.swap_remove(place);
        }
    }

    /// The number of the thread that holds the lock, or of one of them.
    pub(super) fn thread(&self) -> Option<NonZeroU64> {
        self.by().first().map(|(thread, _)| *thread)
    }

    /// Called by a thread that is about to wait for `what` others hold, or run.
    pub(super) fn refuse_recursion(&self, what: &str, site: &'static Location<'static>) {
        let me = current::me().id;
        let since = self.by().iter().find(|(thread, _)| *thread == me).map(|(_, since)| *since);
        if let Some(since) = since {
            panic!(
                "a thread waits at {site} for {what} itself, since {since}; it would wait for \
                 ever, as it does in a release build"
            );
        }
    }

    fn by(&self) -> MutexGuard<'_, Vec<(NonZeroU64, &'static Location<'static>)>> {
        self.by.lock().unwrap_or_else(|e| e.into_inner())
    }
}

#[cfg(not(debug_assertions))]
impl Holder {
    pub(super) const fn new() -> Holder {
        Holder {}
    }

    #[inline(always)]
    pub(super) fn enter(&self, _site: &'static Location<'static>) {}

    #[inline(always)]
    pub(super) fn leave(&self) {}

    pub(super) fn thread(&self) -> Option<NonZeroU64> {
        None
    }

    pub(super) fn refuse_recursion(&self, _what: &str, _site: &'static Location<'static>) {}
}
