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
use std::sync::Mutex;

#[cfg(debug_assertions)]
use crate::task::current;

/// Of no size in a release build.
#[derive(Default)]
pub(super) struct Holder {
    #[cfg(debug_assertions)]
    by: Mutex<Option<(NonZeroU64, &'static Location<'static>)>>,
}

#[cfg(debug_assertions)]
impl Holder {
    pub(super) const fn new() -> Holder {
        Holder { by: Mutex::new(None) }
    }

    /// The current thread has got the lock.
    pub(super) fn enter(&self, site: &'static Location<'static>) {
        self.set(Some((current::me().id, site)));
    }

    /// It is about to release it.
    pub(super) fn leave(&self) {
        self.set(None);
    }

    fn set(&self, by: Option<(NonZeroU64, &'static Location<'static>)>) {
        *self.by.lock().unwrap_or_else(|e| e.into_inner()) = by;
    }

    fn get(&self) -> Option<(NonZeroU64, &'static Location<'static>)> {
        *self.by.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// The number of the thread that holds the lock.
    pub(super) fn thread(&self) -> Option<NonZeroU64> {
        self.get().map(|(thread, _)| thread)
    }

    /// Called by a thread that is about to wait for the lock.
    pub(super) fn refuse_recursion(&self, what: &str, site: &'static Location<'static>) {
        if let Some((thread, since)) = self.get()
            && thread == current::me().id
        {
            panic!(
                "a thread waits at {site} for a {what} that it holds itself, since {since}; it \
                 would wait for ever, as it does in a release build"
            );
        }
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
