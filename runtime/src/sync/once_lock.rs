//! `OnceLock`: std's, for green threads and kernel threads: a value that is set once.
//!
//! The word of `once::raw` says whether the value is there. That the value knows it too, for it is
//! an `Option`, costs a few bytes, and makes the compiler drop it without an `impl Drop`. With one,
//! what the value borrows would have to outlive the lock, unless that said `may_dangle`, which
//! std's alone may.

use std::cell::UnsafeCell;
use std::fmt;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};

use crate::primitives::const_fn;
use crate::sync::once::raw::{RawOnce, Rules};

/// A value that is set once, by hand or by an initialiser, and read by everybody.
///
/// std's, for threads of any kind. Of several threads that want to initialise it one does, and the
/// others wait and let other threads of their workers run meanwhile. If how the value is made is
/// known where the lock is, [`LazyLock`](crate::sync::LazyLock) is shorter.
///
/// An initialiser that panics, or that a cancellation unwinds, leaves it empty, and the next one
/// has its turn. An initialiser that needs the value waits for itself, for ever; in a debug build
/// it panics and says where it was called.
///
/// # Examples
///
/// ```
/// use sylvan::sync::OnceLock;
/// use sylvan::thread;
///
/// static NAME: OnceLock<String> = OnceLock::new();
///
/// assert_eq!(NAME.get(), None);
/// let thread = thread::spawn(|| NAME.get_or_init(|| String::from("first")));
/// assert_eq!(thread.join().unwrap(), "first");
/// assert_eq!(NAME.set(String::from("second")), Err(String::from("second")));
/// ```
pub struct OnceLock<T> {
    once: RawOnce,
    /// Written by the initialiser alone, and read when `once` is completed.
    value: UnsafeCell<Option<T>>,
}

// SAFETY: one thread puts the value in, which another one may drop, and all get shared references.
unsafe impl<T: Sync + Send> Sync for OnceLock<T> {}

impl<T: RefUnwindSafe + UnwindSafe> RefUnwindSafe for OnceLock<T> {}
impl<T: UnwindSafe> UnwindSafe for OnceLock<T> {}

impl<T> OnceLock<T> {
    const_fn! {
        /// Returns one without a value.
        #[must_use]
        #[inline]
        pub const fn new() -> OnceLock<T> {
            OnceLock { once: RawOnce::new(), value: UnsafeCell::new(None) }
        }
    }

    /// Returns the value, if it is there. Never waits.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        if !self.once.is_completed() {
            return None;
        }
        // SAFETY: it is completed: nobody writes the value any more, and what was written is seen.
        unsafe { &*self.value.get() }.as_ref()
    }

    /// Returns the value, if it is there. Never waits.
    #[inline]
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.value.get_mut().as_mut()
    }

    /// Waits until the value is there, and returns it.
    ///
    /// # Blocking
    ///
    /// Waits until somebody has set or initialised it; a cancellation ends the wait, and is
    /// delivered here also if there is nothing to wait for, unless the value is there already: then
    /// the call is one look. A kernel thread blocks.
    ///
    /// # Panics
    ///
    /// In a debug build, if the current thread runs its initialiser.
    ///
    /// # Examples
    ///
    /// ```
    /// use sylvan::sync::OnceLock;
    /// use sylvan::thread;
    ///
    /// let value = OnceLock::new();
    /// thread::scope(|scope| {
    ///     scope.spawn(|| value.set(7).unwrap());
    ///     assert_eq!(*value.wait(), 7);
    /// });
    /// ```
    #[inline]
    #[track_caller]
    pub fn wait(&self) -> &T {
        match self.get() {
            Some(value) => value,
            None => self.wait_for_value(Location::caller()),
        }
    }

    /// Puts `value` in, if there is none.
    ///
    /// # Blocking
    ///
    /// As [`OnceLock::get_or_init`]. `value` is dropped if a cancellation ends the wait.
    ///
    /// # Errors
    ///
    /// `value`, if there was one.
    ///
    /// # Panics
    ///
    /// In a debug build, if the current thread runs its initialiser.
    ///
    /// # Examples
    ///
    /// ```
    /// use sylvan::sync::OnceLock;
    ///
    /// let cell = OnceLock::new();
    /// assert_eq!(cell.set(1), Ok(()));
    /// assert_eq!(cell.set(2), Err(2));
    /// assert_eq!(cell.get(), Some(&1));
    /// ```
    #[inline]
    #[track_caller]
    pub fn set(&self, value: T) -> Result<(), T> {
        let mut value = Some(value);
        self.get_or_init(|| value.take().expect("an initialiser runs once"));
        match value {
            None => Ok(()),
            Some(value) => Err(value),
        }
    }

    /// Returns the value, which `f` makes if there is none.
    ///
    /// # Blocking
    ///
    /// Waits as long as another thread runs its initialiser; a cancellation ends the wait, and is
    /// delivered here also if there is nothing to wait for. Other threads may have their turns in
    /// any case. None of this holds if the value is there already: then the call is one look. A
    /// kernel thread blocks.
    ///
    /// # Panics
    ///
    /// If `f` panics, which leaves it without a value, and, in a debug build, if the current thread
    /// runs its initialiser.
    ///
    /// # Examples
    ///
    /// ```
    /// use sylvan::sync::OnceLock;
    ///
    /// let cell = OnceLock::new();
    /// assert_eq!(*cell.get_or_init(|| 1), 1);
    /// assert_eq!(*cell.get_or_init(|| unreachable!("it is there")), 1);
    /// ```
    #[inline]
    #[track_caller]
    pub fn get_or_init<F>(&self, f: F) -> &T
    where
        F: FnOnce() -> T,
    {
        match self.get() {
            Some(value) => value,
            None => self.initialise(Location::caller(), f),
        }
    }

    /// Returns the value, if there is one.
    #[inline]
    pub fn into_inner(self) -> Option<T> {
        self.value.into_inner()
    }

    /// Takes the value out, if there is one. The next one can be set then.
    #[inline]
    pub fn take(&mut self) -> Option<T> {
        let value = self.value.get_mut().take()?;
        self.once = RawOnce::new();
        Some(value)
    }

    // SUSPENDS
    #[cold]
    fn initialise<F>(&self, site: &'static Location<'static>, f: F) -> &T
    where
        F: FnOnce() -> T,
    {
        let mut f = Some(f);
        let called = self.once.call(RULES, site, &mut |_| {
            let value = f.take().expect("an initialiser runs once")();
            // SAFETY: nobody reads it before it is completed, and only one initialiser runs.
            unsafe { *self.value.get() = Some(value) };
        });
        called.expect("nothing poisons it");
        self.get().expect("it was set")
    }

    // SUSPENDS
    #[cold]
    fn wait_for_value(&self, site: &'static Location<'static>) -> &T {
        self.once.wait(RULES.ignores_poison, site).expect("nothing poisons it");
        self.get().expect("it was set")
    }
}

const RULES: Rules =
    Rules { ignores_poison: true, panic_poisons: false, cancellation_poisons: false };

impl<T> Default for OnceLock<T> {
    fn default() -> OnceLock<T> {
        OnceLock::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for OnceLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_tuple("OnceLock");
        match self.get() {
            Some(value) => out.field(value),
            None => out.field(&format_args!("<uninit>")),
        };
        out.finish()
    }
}

impl<T: Clone> Clone for OnceLock<T> {
    fn clone(&self) -> OnceLock<T> {
        match self.get() {
            Some(value) => OnceLock::from(value.clone()),
            None => OnceLock::new(),
        }
    }
}

impl<T> From<T> for OnceLock<T> {
    fn from(value: T) -> OnceLock<T> {
        OnceLock { once: RawOnce::completed(), value: UnsafeCell::new(Some(value)) }
    }
}

impl<T: PartialEq> PartialEq for OnceLock<T> {
    fn eq(&self, other: &OnceLock<T>) -> bool {
        self.get() == other.get()
    }
}

impl<T: Eq> Eq for OnceLock<T> {}
