//! A worker's registry: its threads that have waited and live.
//!
//! A shutdown must find every thread that waits, to cancel it and to say what is left, and a
//! judgement of load must know how many there are. Most threads never wait, so a thread enters at
//! its first wait, and its mailbox is known from then on. An intrusive list, for it must not
//! allocate; HOME-ONLY, so it takes no lock.

use std::ptr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::sched::worker::Core;
use crate::task::Header;

impl Core {
    /// Enters a thread into the registry, at its first wait. HOME-ONLY.
    #[inline]
    pub(crate) fn register(&self, thread: &Header) {
        thread.fiber.set(self.fiber.get());
        self.register_suspended(thread);
    }

    /// The same for a thread that has left its fiber already.
    #[inline]
    pub(super) fn register_suspended(&self, thread: &Header) {
        if thread.registered.get() {
            return;
        }
        self.enter_registry(thread);
        // A child that waits in place keeps its parent waiting, which no door has seen. A shutdown
        // must find the parent all the same: to cancel it, and to report and leak it with the
        // child. A loop, for hundreds may lie on one stack, and what is left of it is the child's.
        let mut child = thread;
        while let Some(parent) = self.parent_in_place(child)
            && !parent.registered.get()
        {
            self.enter_registry(parent);
            child = parent;
        }
    }

    fn enter_registry(&self, thread: &Header) {
        thread.registered.set(true);
        // It has one already if it waits in the destructor of its result, once it had unregistered.
        // ORDERING: Relaxed; written here only, and by this worker.
        if thread.mailbox.load(Ordering::Relaxed).is_null() {
            let mailbox = Arc::into_raw(self.remote().mailbox.clone()).cast_mut();
            // ORDERING: Release; pairs with the Acquire in `schedule`.
            thread.mailbox.store(mailbox, Ordering::Release);
        }
        let first = self.registry.get();
        thread.registry.prev.set(ptr::null());
        thread.registry.next.set(first);
        // SAFETY: threads in the registry live.
        if let Some(first) = unsafe { first.as_ref() } {
            first.registry.prev.set(thread);
        }
        self.registry.set(thread);
        self.count_homed(self.homed.get() + 1);
        self.note_new_home();
    }

    /// The green thread on whose stack `child`, which is at home here, runs, if it does on
    /// another's.
    fn parent_in_place<'a>(&self, child: &'a Header) -> Option<&'a Header> {
        // The flag says it, not a comparison of fibers: those of a parent that is at home
        // elsewhere must not be looked at.
        if !child.in_place.get() {
            return None;
        }
        // SAFETY: a scope outlives its children.
        Some(unsafe { child.scope.get().as_ref() }?.parent())
    }

    /// The opposite of [`Core::register`], at the thread's end.
    #[inline]
    pub(crate) fn unregister(&self, thread: &Header) {
        if !thread.registered.get() {
            return;
        }
        thread.registered.set(false);
        let (prev, next) = (thread.registry.prev.get(), thread.registry.next.get());
        // SAFETY: threads in the registry live.
        match unsafe { prev.as_ref() } {
            Some(prev) => prev.registry.next.set(next),
            None => self.registry.set(next),
        }
        // SAFETY: as above.
        if let Some(next) = unsafe { next.as_ref() } {
            next.registry.prev.set(prev);
        }
        self.count_homed(self.homed.get() - 1);
    }

    fn count_homed(&self, homed: u64) {
        self.homed.set(homed);
        // ORDERING: Relaxed; others read it to judge the load.
        self.remote().counters.homed.store(homed, Ordering::Relaxed);
    }

    /// The threads that have waited here and live.
    pub(crate) fn registered(&self) -> impl Iterator<Item = &Header> {
        // SAFETY: threads in the registry live, and the caller's loop body removes none but the
        // one in hand, whose link is read before.
        let follow = |link: *const Header| unsafe { link.as_ref() };
        let mut next = follow(self.registry.get());
        std::iter::from_fn(move || {
            let this = next?;
            next = follow(this.registry.next.get());
            Some(this)
        })
    }
}
