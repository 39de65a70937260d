//! `LazyLock`: std's, for green threads and kernel threads: a value that is made when it is needed.
//!
//! The closure and the value lie in one place, and the word of `once::raw` says which of them is
//! there, or that neither is: a closure that was unwound is used up.

use std::cell::UnsafeCell;
use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::panic::{Location, RefUnwindSafe, UnwindSafe};

use crate::primitives::const_fn;
use crate::sync::once::raw::{RawOnce, Rules, State};

/// A value that is made at the first look.
///
/// std's, for threads of any kind. Of several threads that look first one makes the value, and the
/// others wait and let other threads of their workers run meanwhile. If how the value is made is
/// only known where it is needed, take [`OnceLock`](crate::sync::OnceLock).
///
/// It is poisoned, for good, by a closure that panics, and also by one that a cancellation unwinds:
/// the closure is used up in either case. A closure that looks at the value waits for itself, for
/// ever; in a debug build it panics and says where it was called.
///
/// # Examples
///
/// ```
/// use sylvan::sync::LazyLock;
/// use sylvan::thread;
///
/// static SQUARES: LazyLock<Vec<u32>> = LazyLock::new(|| (0..10).map(|n| n * n).collect());
///
/// let thread = thread::spawn(|| SQUARES[3]);
/// assert_eq!(thread.join().unwrap(), 9);
/// assert_eq!(SQUARES.len(), 10);
/// ```
pub struct LazyLock<T, F = fn() -> T> {
    once: RawOnce,
    data: UnsafeCell<Data<T, F>>,
}

/// While `once` is incomplete the closure, when it is completed the value, else nothing.
#[repr(C)]
union Data<T, F> {
    closure: ManuallyDrop<F>,
    value: ManuallyDrop<T>,
}

// SAFETY: one thread calls the closure and puts the value in, which another one may drop, and all
// get shared references to the value. Nobody gets one to the closure.
unsafe impl<T: Sync + Send, F: Send> Sync for LazyLock<T, F> {}

impl<T: RefUnwindSafe + UnwindSafe, F: UnwindSafe> RefUnwindSafe for LazyLock<T, F> {}
impl<T: UnwindSafe, F: UnwindSafe> UnwindSafe for LazyLock<T, F> {}

impl<T, F: FnOnce() -> T> LazyLock<T, F> {
    const_fn! {
        /// Returns one whose value `f` will make.
        #[inline]
        pub const fn new(f: F) -> LazyLock<T, F> {
            let data = Data { closure: ManuallyDrop::new(f) };
            LazyLock { once: RawOnce::new(), data: UnsafeCell::new(data) }
        }
    }

    /// Returns the value, and makes it if nobody has.
    ///
    /// # Blocking
    ///
    /// Waits as long as another thread makes the value; a cancellation ends the wait, and is
    /// delivered here also if there is nothing to wait for. Other threads may have their turns in
    /// any case. None of this holds if the value is there already: then the call is one look. A
    /// kernel thread blocks.
    ///
    /// # Panics
    ///
    /// If the closure panics, if it is poisoned, and, in a debug build, if the current thread makes
    /// the value.
    ///
    /// # Examples
    ///
    /// ```
    /// use sylvan::sync::LazyLock;
    ///
    /// let lazy = LazyLock::new(|| 7);
    /// assert_eq!(LazyLock::get(&lazy), None);
    /// assert_eq!(*LazyLock::force(&lazy), 7);
    /// assert_eq!(LazyLock::get(&lazy), Some(&7));
    /// ```
    #[inline]
    #[track_caller]
    pub fn force(this: &LazyLock<T, F>) -> &T {
        if !this.once.is_completed() {
            this.make(Location::caller());
        }
        // SAFETY: it is completed: the value is there, nobody writes it any more, and what was
        // written is seen.
        unsafe { &*this.value() }
    }

    /// Returns the value, and makes it if nobody has. Never waits.
    ///
    /// # Panics
    ///
    /// If the closure panics, and if it is poisoned.
    #[inline]
    #[track_caller]
    pub fn force_mut(this: &mut LazyLock<T, F>) -> &mut T {
        match this.once.state() {
            State::Complete => (),
            State::Incomplete => this.make_alone(),
            State::Poisoned => panic_poisoned(),
        }
        // SAFETY: it is completed: the value is there. It is borrowed as `this` is.
        unsafe { &mut *this.value() }
    }

    // SUSPENDS
    #[cold]
    #[track_caller]
    fn make(&self, site: &'static Location<'static>) {
        let called = self.once.call(RULES, site, &mut |_| {
            // SAFETY: the closure is there, for it was incomplete. Nobody takes it again: whether
            // it returns or is unwound, it will not be incomplete any more.
            let closure = unsafe { self.closure().read() };
            let value = closure();
            // SAFETY: the closure has left, and nobody looks at the place before it is completed.
            unsafe { self.value().write(value) };
        });
        if called.is_err() {
            panic_poisoned();
        }
    }

    #[cold]
    fn make_alone(&mut self) {
        // So it stays if the closure is unwound.
        self.once.set_state(State::Poisoned);
        // SAFETY: the closure is there, for it was incomplete; it is not any more.
        let closure = unsafe { self.closure().read() };
        let value = closure();
        // SAFETY: the closure has left, and the place is ours.
        unsafe { self.value().write(value) };
        self.once.set_state(State::Complete);
    }
}

impl<T, F> LazyLock<T, F> {
    /// Returns the value, if it was made. Never waits.
    #[inline]
    pub fn get(this: &LazyLock<T, F>) -> Option<&T> {
        if !this.once.is_completed() {
            return None;
        }
        // SAFETY: as in `force`.
        Some(unsafe { &*this.value() })
    }

    /// Returns the value, if it was made. Never waits.
    #[inline]
    pub fn get_mut(this: &mut LazyLock<T, F>) -> Option<&mut T> {
        if this.once.state() != State::Complete {
            return None;
        }
        // SAFETY: as in `force_mut`.
        Some(unsafe { &mut *this.value() })
    }

    /// The place of the closure.
    fn closure(&self) -> *mut F {
        self.data.get().cast()
    }

    /// The place of the value.
    #[inline]
    fn value(&self) -> *mut T {
        self.data.get().cast()
    }
}

const RULES: Rules =
    Rules { ignores_poison: false, panic_poisons: true, cancellation_poisons: true };

#[cold]
#[track_caller]
fn panic_poisoned() -> ! {
    // std's words.
    panic!("LazyLock instance has previously been poisoned");
}

impl<T, F> Drop for LazyLock<T, F> {
    fn drop(&mut self) {
        match self.once.state() {
            // SAFETY: the closure is there, and nobody will take it any more.
            State::Incomplete => unsafe { self.closure().drop_in_place() },
            // SAFETY: the value is there, and nobody will look at it any more.
            State::Complete => unsafe { self.value().drop_in_place() },
            State::Poisoned => (),
        }
    }
}

impl<T, F: FnOnce() -> T> Deref for LazyLock<T, F> {
    type Target = T;

    /// Returns the value, and makes it if nobody has.
    ///
    /// # Blocking
    ///
    /// As [`LazyLock::force`].
    ///
    /// # Panics
    ///
    /// As [`LazyLock::force`].
    #[inline]
    #[track_caller]
    fn deref(&self) -> &T {
        LazyLock::force(self)
    }
}

impl<T, F: FnOnce() -> T> DerefMut for LazyLock<T, F> {
    /// Returns the value, and makes it if nobody has.
    ///
    /// # Panics
    ///
    /// As [`LazyLock::force_mut`].
    #[inline]
    #[track_caller]
    fn deref_mut(&mut self) -> &mut T {
        LazyLock::force_mut(self)
    }
}

impl<T: Default> Default for LazyLock<T> {
    fn default() -> LazyLock<T> {
        LazyLock::new(T::default)
    }
}

impl<T: fmt::Debug, F> fmt::Debug for LazyLock<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_tuple("LazyLock");
        match LazyLock::get(self) {
            Some(value) => out.field(value),
            None => out.field(&format_args!("<uninit>")),
        };
        out.finish()
    }
}
