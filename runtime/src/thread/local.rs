//! Thread-local variables of green threads. A green thread shares its kernel thread, and so std's
//! thread-locals, with thousands of others; here each has values of its own.
//!
//! How: `thread_local!` declares statics of type `LocalKey`, which hold an initialiser and a key.
//! The values themselves lie in the current thread's table, see `task::locals`; this file finds
//! that table and lends the value for the time of a closure. A kernel thread has a table too, so
//! the same variable works everywhere.
//!
//! It must never let a reference outlive the closure that it was lent to: tables rely on that when
//! a value is replaced, and no value outlives its thread.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fmt;

use crate::task::current;
use crate::task::locals::Key;

/// A variable of which every thread, green or kernel, has its own value.
///
/// Made by [`thread_local!`](crate::thread_local!). The methods are those of std's `LocalKey`. The
/// value is made at a thread's first use of it, and dropped when the thread ends.
///
/// A reference that [`with`](LocalKey::with) lends may be held while the thread waits: no other
/// thread can reach the value.
///
/// # Examples
///
/// ```
/// use std::cell::RefCell;
///
/// sylvan::thread_local! {
///     static NAMES: RefCell<Vec<String>> = RefCell::new(Vec::new());
/// }
///
/// NAMES.with_borrow_mut(|names| names.push("here".to_string()));
/// let other = sylvan::thread::spawn(|| NAMES.with_borrow(|names| names.len()));
/// assert_eq!(other.join().unwrap(), 0);
/// assert_eq!(NAMES.take(), ["here"]);
/// ```
pub struct LocalKey<T: 'static> {
    key: Key<T>,
    init: fn() -> T,
}

/// The error of [`LocalKey::try_with`]: the value is being destroyed or was destroyed already.
#[non_exhaustive]
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AccessError;

/// Declares variables of which every thread, green or kernel, has its own value.
///
/// The syntax is that of std's `thread_local!`, and each variable is a
/// [`LocalKey`](crate::thread::LocalKey). Values are made at a thread's first use of them, with
/// `const { … }` from a constant, and are dropped when the thread ends, the newest first.
///
/// Use it instead of std's for what belongs to one logical thread. std's variables are shared by
/// all green threads that run on one kernel thread, which is right for caches, and wrong for
/// anything that is set before a wait and read after it.
///
/// Differences from std's:
///
/// - A panic in a value's destructor is reported and ends there. std aborts the process.
/// - On a kernel thread that sylvan did not start, a destructor that runs at the thread's end finds
///   the other variables gone already.
/// - The arms of [`join`](fn@crate::join) are not threads: an arm that runs in place uses its
///   parent's values, one that was stolen has its own.
///
/// # Examples
///
/// ```
/// use std::cell::{Cell, RefCell};
///
/// sylvan::thread_local! {
///     /// How many requests this thread has served.
///     pub static SERVED: Cell<u32> = const { Cell::new(0) };
///
///     static BUFFER: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(4096));
/// }
///
/// SERVED.set(SERVED.get() + 1);
/// BUFFER.with_borrow_mut(|buffer| buffer.extend_from_slice(b"hello"));
/// assert_eq!(SERVED.get(), 1);
/// assert_eq!(BUFFER.with_borrow(|buffer| buffer.len()), 5);
/// ```
#[macro_export]
macro_rules! thread_local {
    () => {};

    (
        $(#[$attr:meta])* $vis:vis static $name:ident: $t:ty = const $init:block $(; $($rest:tt)*)?
    ) => {
        // Inline, not an item with a name: the user's block would see that name.
        $(#[$attr])*
        $vis static $name: $crate::thread::LocalKey<$t> =
            $crate::thread::LocalKey::new(|| -> $t { const { $init } });
        $($crate::thread_local!($($rest)*);)?
    };

    ($(#[$attr:meta])* $vis:vis static $name:ident: $t:ty = $init:expr $(; $($rest:tt)*)?) => {
        $(#[$attr])*
        $vis static $name: $crate::thread::LocalKey<$t> =
            $crate::thread::LocalKey::new(|| -> $t { $init });
        $($crate::thread_local!($($rest)*);)?
    };
}

impl<T: 'static> LocalKey<T> {
    /// What `thread_local!` expands to.
    #[doc(hidden)]
    pub const fn new(init: fn() -> T) -> LocalKey<T> {
        LocalKey { key: Key::new(), init }
    }

    /// Calls `f` with this thread's value, which is made first if this is the first use.
    ///
    /// Neither is a switch point, unless `f` or the initialiser calls one.
    ///
    /// # Panics
    ///
    /// Panics if the value is being destroyed or was destroyed already, and passes on a panic of
    /// the initialiser, after which the value is still to be made. An initialiser may use its own
    /// variable: the value that this made is dropped, and the outer one stays.
    pub fn with<F, R>(&'static self, f: F) -> R
    where
        F: FnOnce(&T) -> R,
    {
        match self.try_with(f) {
            Ok(result) => result,
            Err(error) => destroyed(error),
        }
    }

    /// Calls `f` with this thread's value, as [`with`](LocalKey::with) does, if there still is one.
    ///
    /// For destructors, which may run when the value is gone.
    ///
    /// # Errors
    ///
    /// [`AccessError`] if the value is being destroyed or was destroyed already; `f` is not called.
    ///
    /// # Panics
    ///
    /// Passes on a panic of the initialiser.
    pub fn try_with<F, R>(&'static self, f: F) -> Result<R, AccessError>
    where
        F: FnOnce(&T) -> R,
    {
        self.lend(self.init, f)
    }

    /// As `try_with`, but `init` makes the value if there is none yet.
    fn lend<R>(
        &'static self,
        init: impl FnOnce() -> T,
        f: impl FnOnce(&T) -> R,
    ) -> Result<R, AccessError> {
        let locals = current::locals().ok_or(AccessError)?;
        // SAFETY: the table of the current thread lives as long as the thread runs, and this call
        // is part of it.
        let locals = unsafe { locals.as_ref() };
        let value = locals.value(&self.key, init).ok_or(AccessError)?;
        // SAFETY: the value stays until its destructor, which is among the last acts of the
        // thread, or until `initialise` replaces it, which no such `f` can see. Only this thread
        // reaches it, and only by shared references.
        let value = unsafe { value.as_ref() };
        Ok(f(value))
    }

    /// Makes `value` this thread's value if there is none yet; else calls `f` with the one that
    /// there is, and `value`. The initialiser does not run.
    fn initialise_or(&'static self, value: T, f: impl FnOnce(&T, T)) {
        let value = Cell::new(Some(value));
        let init = || value.take().expect("a value is made at most once");
        let lent = self.lend(init, |present| {
            if let Some(value) = value.take() {
                f(present, value);
            }
        });
        lent.unwrap_or_else(|error| destroyed(error));
    }
}

impl<T: 'static> LocalKey<Cell<T>> {
    /// Sets this thread's value. The initialiser does not run, even if this is the first use.
    ///
    /// # Panics
    ///
    /// Panics if the value is being destroyed or was destroyed already.
    pub fn set(&'static self, value: T) {
        self.initialise_or(Cell::new(value), |cell, value| cell.set(value.into_inner()));
    }

    /// Returns a copy of this thread's value.
    ///
    /// # Panics
    ///
    /// As [`with`](LocalKey::with).
    pub fn get(&'static self) -> T
    where
        T: Copy,
    {
        self.with(Cell::get)
    }

    /// Takes this thread's value and leaves `T::default()`.
    ///
    /// # Panics
    ///
    /// As [`with`](LocalKey::with).
    pub fn take(&'static self) -> T
    where
        T: Default,
    {
        self.with(Cell::take)
    }

    /// Sets this thread's value and returns the old one.
    ///
    /// # Panics
    ///
    /// As [`with`](LocalKey::with).
    pub fn replace(&'static self, value: T) -> T {
        self.with(|cell| cell.replace(value))
    }
}

impl<T: 'static> LocalKey<RefCell<T>> {
    /// Calls `f` with a shared borrow of this thread's value.
    ///
    /// # Panics
    ///
    /// As [`with`](LocalKey::with), and if the value is borrowed mutably.
    pub fn with_borrow<F, R>(&'static self, f: F) -> R
    where
        F: FnOnce(&T) -> R,
    {
        self.with(|cell| f(&cell.borrow()))
    }

    /// Calls `f` with a mutable borrow of this thread's value.
    ///
    /// # Panics
    ///
    /// As [`with`](LocalKey::with), and if the value is borrowed.
    pub fn with_borrow_mut<F, R>(&'static self, f: F) -> R
    where
        F: FnOnce(&mut T) -> R,
    {
        self.with(|cell| f(&mut cell.borrow_mut()))
    }

    /// Sets this thread's value. The initialiser does not run, even if this is the first use.
    ///
    /// # Panics
    ///
    /// Panics if the value is borrowed, is being destroyed, or was destroyed already.
    pub fn set(&'static self, value: T) {
        self.initialise_or(RefCell::new(value), |cell, value| {
            *cell.borrow_mut() = value.into_inner();
        });
    }

    /// Takes this thread's value and leaves `T::default()`.
    ///
    /// # Panics
    ///
    /// As [`with`](LocalKey::with), and if the value is borrowed.
    pub fn take(&'static self) -> T
    where
        T: Default,
    {
        self.with(RefCell::take)
    }

    /// Sets this thread's value and returns the old one.
    ///
    /// # Panics
    ///
    /// As [`with`](LocalKey::with), and if the value is borrowed.
    pub fn replace(&'static self, value: T) -> T {
        self.with(|cell| cell.replace(value))
    }
}

impl<T: 'static> fmt::Debug for LocalKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKey").finish_non_exhaustive()
    }
}

impl fmt::Debug for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessError").finish()
    }
}

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("already destroyed")
    }
}

impl Error for AccessError {}

#[cold]
#[track_caller]
fn destroyed(error: AccessError) -> ! {
    panic!("cannot access a thread-local value during or after its destruction: {error:?}");
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::panic::catch_unwind;
    use std::rc::Rc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;

    use super::{AccessError, LocalKey};

    crate::thread_local! {}

    crate::thread_local! {
        /// Documented, visible, and made from a constant.
        pub(super) static CONSTANT: Cell<u32> = const { Cell::new(4) };
        static LAZY: RefCell<Vec<Rc<u32>>> = RefCell::new(vec![Rc::new(1)]);
        #[allow(dead_code)]
        static ELIDED: Cell<&str> = const { Cell::new("elided") };
        static COERCED: Box<dyn Fn(u32) -> u32> = Box::new(|n| n + 1)
    }

    /// Runs on a kernel thread of its own, whose values are made anew and dropped at its end.
    fn on_new_thread<R: Send>(test: impl FnOnce() -> R + Send) -> R {
        thread::scope(|scope| scope.spawn(test).join()).unwrap()
    }

    #[test]
    fn every_form_of_declaration_gives_its_initial_value() {
        on_new_thread(|| {
            assert_eq!(CONSTANT.get(), 4);
            assert_eq!(LAZY.with_borrow(|values| *values[0]), 1);
            assert_eq!(ELIDED.get(), "elided");
            assert_eq!(COERCED.with(|add_one| add_one(1)), 2);
        });
    }

    #[test]
    fn constant_initialiser_sees_no_name_of_the_macro() {
        const INIT: u32 = 9;
        crate::thread_local!(
            static LOCAL: u32 = const { INIT + 1 };
        );
        on_new_thread(|| assert_eq!(LOCAL.with(|value| *value), 10));
    }

    #[test]
    fn threads_have_values_of_their_own() {
        on_new_thread(|| {
            CONSTANT.set(8);
            LAZY.with_borrow_mut(Vec::clear);
            on_new_thread(|| {
                assert_eq!(CONSTANT.get(), 4);
                assert_eq!(LAZY.with_borrow(Vec::len), 1);
            });
            assert_eq!(CONSTANT.get(), 8);
            assert_eq!(LAZY.with_borrow(Vec::len), 0);
        });
    }

    #[test]
    fn cell_and_ref_cell_methods_do_as_their_namesakes() {
        on_new_thread(|| {
            assert_eq!(CONSTANT.replace(5), 4);
            assert_eq!(CONSTANT.take(), 5);
            assert_eq!(CONSTANT.get(), 0);
            assert_eq!(LAZY.replace(Vec::new()).len(), 1);
            LAZY.set(vec![Rc::new(2), Rc::new(3)]);
            assert_eq!(LAZY.take().len(), 2);
            assert_eq!(LAZY.take().len(), 0);
        });
    }

    #[test]
    fn set_as_first_use_does_not_run_the_initialiser() {
        crate::thread_local! {
            static CELL: Cell<u32> = panic!("the initialiser ran");
            static REF_CELL: RefCell<u32> = panic!("the initialiser ran");
        }
        on_new_thread(|| {
            CELL.set(1);
            REF_CELL.set(2);
            CELL.set(CELL.get() + 2);
            REF_CELL.set(REF_CELL.with_borrow(|value| value + 2));
            assert_eq!((CELL.get(), REF_CELL.take()), (3, 4));
        });
    }

    #[test]
    fn initialiser_that_panicked_runs_again() {
        static CALLS: AtomicU32 = AtomicU32::new(0);
        crate::thread_local! {
            // ORDERING: Relaxed; one thread counts.
            static SECOND_TIME: u32 = match CALLS.fetch_add(1, Ordering::Relaxed) {
                0 => std::panic::resume_unwind(Box::new("expected")),
                n => n,
            };
        }
        on_new_thread(|| {
            assert!(catch_unwind(|| SECOND_TIME.with(|_| ())).is_err());
            assert_eq!(SECOND_TIME.with(|value| *value), 1);
        });
    }

    #[test]
    fn value_is_dropped_at_the_end_of_its_thread_and_is_gone_meanwhile() {
        static DROPS: AtomicU32 = AtomicU32::new(0);
        struct Probe;
        impl Drop for Probe {
            fn drop(&mut self) {
                assert_eq!(PROBE.try_with(|_| ()), Err(AccessError));
                // ORDERING: Relaxed; read after the join.
                DROPS.fetch_add(1, Ordering::Relaxed);
            }
        }
        crate::thread_local!(static PROBE: Probe = const { Probe });
        // A scope's end does not wait for destructors of thread-locals, a joined handle does.
        thread::spawn(|| PROBE.with(|_| ())).join().unwrap();
        // ORDERING: Relaxed; the join orders it.
        assert_eq!(DROPS.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn key_is_shared_by_threads_whatever_its_values_are() {
        fn is_sync_and_send<K: Sync + Send>(_: &K) {}
        static KEY: LocalKey<Rc<u32>> = LocalKey::new(|| Rc::new(0));
        is_sync_and_send(&KEY);
        assert_eq!(
            format!("{KEY:?} {AccessError:?}: {AccessError}"),
            "LocalKey { .. } AccessError: already destroyed"
        );
    }
}
