//! The saved context of a fiber, by corosensei, which knows many processors and systems.
//!
//! corosensei's destructor unwinds a suspended coroutine by force, on whatever kernel thread drops
//! it; so the coroutine is held in `ManuallyDrop` and never dropped.

use std::cell::{Cell, UnsafeCell};
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};

use corosensei::{Coroutine, CoroutineResult, Yielder};

use super::segment::View;
use super::{Fiber, Resume, Suspended};
use crate::os;

/// See the file's comment.
pub(super) struct Context {
    coroutine: UnsafeCell<ManuallyDrop<Coroutine<Resume, Suspended, (), View>>>,
    yielder: Cell<*const Yielder<Resume, Suspended>>,
    /// About where the stack pointer was when the fiber was left.
    saved_sp: Cell<usize>,
}

/// Whether a fiber can be left for another one, without a stop outside.
pub(crate) const SWITCHES_DIRECTLY: bool = false;

impl Context {
    /// Prepares the stack from `bottom` up to `base`: at its first resume, `entry` is called with
    /// the fiber at `place`; told to return at once, it is not.
    ///
    /// # Safety
    /// S1: the stack is the caller's to give away, and a fiber, of which the new context is a
    /// part, lies at `place` before the first resume, for as long as the stack is used.
    pub(super) unsafe fn new(
        base: usize,
        bottom: usize,
        place: NonNull<Fiber>,
        entry: fn(&Fiber),
    ) -> Context {
        let view = View::new(base, bottom);
        let coroutine = Coroutine::with_stack(view, move |yielder, how: Resume| {
            if how == Resume::Return {
                return;
            }
            // SAFETY: initialised, and alive as long as the stack on which this closure runs (S1).
            let fiber = unsafe { place.as_ref() };
            fiber.context.yielder.set(yielder);
            entry(fiber);
        });
        Context {
            coroutine: UnsafeCell::new(ManuallyDrop::new(coroutine)),
            yielder: Cell::new(ptr::null()),
            saved_sp: Cell::new(base - SAVED_SP_GUESS_BYTES),
        }
    }

    /// Enters, and comes back when it leaves. `None`: `entry` has returned.
    ///
    /// # Safety
    /// S1: nobody is inside, and it has not returned yet.
    #[inline(always)]
    pub(super) unsafe fn resume(&self, how: Resume) -> Option<Suspended> {
        // SAFETY: nobody else is inside or touches it (S1). The fiber itself never touches its
        // coroutine, only its yielder.
        let coroutine = unsafe { &mut *self.coroutine.get() };
        match coroutine.resume(how) {
            CoroutineResult::Yield(why) => Some(why),
            CoroutineResult::Return(()) => None,
        }
    }

    /// Leaves, and comes back when it is resumed.
    ///
    /// # Safety
    /// S1: the caller runs inside, or on a stack entered from there.
    #[inline(always)]
    pub(super) unsafe fn suspend(&self, why: Suspended) -> Resume {
        self.saved_sp.set(os::stack_pointer());
        // SAFETY: set by the first resume; the yielder lies on this stack, above all frames of
        // ours, until the entry function returns.
        let yielder = unsafe { &*self.yielder.get() };
        yielder.suspend(why)
    }

    /// Not to be had here: a coroutine is left for where it was resumed.
    ///
    /// # Safety
    /// S1: never called, as [`SWITCHES_DIRECTLY`] says.
    pub(super) unsafe fn switch_to(&self, _next: &Context) -> Resume {
        os::abort_with("a coroutine was to be left for another one")
    }

    /// Lets the stack go. Panics if `entry` has not returned.
    ///
    /// # Safety
    /// S1: this is the last use of the context.
    pub(super) unsafe fn finish(&self) {
        // SAFETY: nobody is inside: a caller inside would have suspended.
        let coroutine = unsafe { &mut *self.coroutine.get() };
        // SAFETY: not used again (S1).
        let coroutine = unsafe { ManuallyDrop::take(coroutine) };
        // Not dropped: see the file's comment. Besides the check, this tells sanitizers that the
        // stack is not in use any more.
        coroutine.into_stack();
    }

    /// About where the stack pointer was when the fiber was left; for the prefetch.
    #[inline]
    pub(super) fn saved_sp(&self) -> usize {
        self.saved_sp.get()
    }
}

/// Where the first frames of a fresh fiber will lie, for the first prefetch.
const SAVED_SP_GUESS_BYTES: usize = 256;
