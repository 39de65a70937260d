//! The values of `sylvan::thread_local!` that one thread has. Each thread makes its own on first
//! use, keeps them at one address until it ends, and then drops them, newest first.
//!
//! How: every key of the program takes a number when it is first used anywhere; a thread has a
//! table that leads from number to value. Each value lies in a box of its own, since the table
//! grows while references to values are out. Values with a destructor stand in a second list, in
//! the order in which they were made; those without one stay readable until the table itself goes,
//! as in std, where a plain counter can be used by every destructor.
//!
//! Initialisers and destructors are user code: they may wait, panic, and use any key, their own
//! included. So no borrow of the table is ever held while they run. The table is HOME-ONLY, with
//! one exception: its last part, which runs no user code, may be freed by whoever frees the
//! thread's header.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::mem;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::task::packet::drop_quietly;

/// All values of one thread.
pub(crate) struct Locals {
    table: RefCell<Table>,
}

/// The identity of one thread-local variable. Its type parameter is invariant: the values of a key
/// are read as exactly the type as which they were stored.
pub(crate) struct Key<T: 'static> {
    /// 0 until the first use, then a number that no other key has: the invariant UNIQUE-NUMBER.
    number: AtomicUsize,
    value: PhantomData<fn(T) -> T>,
}

struct Table {
    /// Indexed by key number less one.
    slots: Vec<Slot>,
    /// What `run_destructors` drops, oldest first.
    with_destructor: Vec<Stored>,
    /// What has nothing to drop; only its memory is given back, with the table.
    without_destructor: Vec<Stored>,
    /// The destructors have run: no value that would need another one is made any more.
    closed: bool,
}

#[derive(Clone, Copy)]
enum Slot {
    Absent,
    /// The value's address. Its type is that of the key with this number (UNIQUE-NUMBER).
    Alive(NonNull<u8>),
    /// Its destructor has started.
    Destroyed,
}

/// Owns one boxed value of a type that only `free` knows.
struct Stored {
    number: usize,
    value: NonNull<u8>,
    free: unsafe fn(NonNull<u8>),
}

impl<T: 'static> Key<T> {
    pub(crate) const fn new() -> Key<T> {
        Key { number: AtomicUsize::new(0), value: PhantomData }
    }

    #[inline]
    fn number(&self) -> usize {
        // ORDERING: Relaxed; the number is all there is to see, and a key's one field has one
        // order of changes: once taken, every thread that sees any number sees this one.
        match self.number.load(Ordering::Relaxed) {
            0 => self.take_number(),
            number => number,
        }
    }

    #[cold]
    fn take_number(&self) -> usize {
        // ORDERING: Relaxed; uniqueness comes from the addition being one step.
        let mine = LAST_NUMBER.fetch_add(1, Ordering::Relaxed) + 1;
        // ORDERING: Relaxed for both, as in `number`. Who loses the race wastes a number.
        match self.number.compare_exchange(0, mine, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => mine,
            Err(number) => number,
        }
    }
}

impl Locals {
    pub(crate) const fn new() -> Locals {
        Locals {
            table: RefCell::new(Table {
                slots: Vec::new(),
                with_destructor: Vec::new(),
                without_destructor: Vec::new(),
                closed: false,
            }),
        }
    }

    /// This thread's value of `key`, which `init` makes at the first use; nothing once its
    /// destructor has started.
    ///
    /// The value stays where it is until its destructor starts or, if it has none, until this
    /// table is dropped. A caller that gives references to user code must end them before it
    /// returns: see `initialise` for what relies on that.
    #[inline]
    pub(crate) fn value<T>(&self, key: &Key<T>, init: impl FnOnce() -> T) -> Option<NonNull<T>> {
        let number = key.number();
        match self.slot(number) {
            Slot::Alive(value) => Some(value.cast()),
            Slot::Absent => self.initialise(number, init),
            Slot::Destroyed => None,
        }
    }

    /// Drops every value that has a destructor, newest first, those included that the destructors
    /// make meanwhile. It comes to an end: each key is destroyed at most once. A destructor's
    /// panic is reported by the panic hook and ends there, and the other values are dropped all
    /// the same (std aborts the process).
    ///
    /// SUSPENDS where a destructor does; so it runs on the thread's own stack, as its last act.
    pub(crate) fn run_destructors(&self) {
        while let Some(stored) = self.take_newest() {
            drop_quietly(stored);
        }
    }

    #[inline]
    fn slot(&self, number: usize) -> Slot {
        self.table.borrow().slots.get(number - 1).copied().unwrap_or(Slot::Absent)
    }

    /// Runs `init` and keeps what it makes. Should `init` have used the same key, the value that
    /// this made is replaced and dropped, as in std. No reference to it is left: each one ended
    /// with a call that was made from `init`, and `init` has returned.
    #[cold]
    fn initialise<T>(&self, number: usize, init: impl FnOnce() -> T) -> Option<NonNull<T>> {
        if mem::needs_drop::<T>() && self.table.borrow().closed {
            return None;
        }
        let value = NonNull::from(Box::leak(Box::new(init())));
        let stored = Stored { number, value: value.cast(), free: free::<T> };
        let replaced = self.table.borrow_mut().store(stored, mem::needs_drop::<T>());
        // Its destructor is user code and finds the table whole and the new value in place.
        drop(replaced);
        Some(value)
    }

    fn take_newest(&self) -> Option<Stored> {
        let mut table = self.table.borrow_mut();
        let newest = table.with_destructor.pop();
        match &newest {
            Some(stored) => table.slots[stored.number - 1] = Slot::Destroyed,
            None => table.closed = true,
        }
        newest
    }
}

impl Drop for Locals {
    /// Gives memory back and runs no user code, so any kernel thread may do it. A value whose
    /// destructor did not run by now belongs to a thread that was given up, and is leaked with it.
    fn drop(&mut self) {
        self.table.get_mut().with_destructor.drain(..).for_each(mem::forget);
    }
}

impl Table {
    /// Puts a value in its slot, and gives back the one that lay there.
    fn store(&mut self, stored: Stored, has_destructor: bool) -> Option<Stored> {
        let index = stored.number - 1;
        if index >= self.slots.len() {
            self.slots.resize(index + 1, Slot::Absent);
        }
        let before = mem::replace(&mut self.slots[index], Slot::Alive(stored.value));
        let list = match has_destructor {
            true => &mut self.with_destructor,
            false => &mut self.without_destructor,
        };
        match before {
            Slot::Absent => {
                list.push(stored);
                None
            }
            Slot::Alive(_) => {
                // It was made during the initialisation that ends now, so it stands near the end.
                let place = list.iter_mut().rfind(|other| other.number == stored.number);
                let place = place.expect("a value that is alive stands in its list");
                Some(mem::replace(place, stored))
            }
            Slot::Destroyed => unreachable!("destructors ran while a value was being made"),
        }
    }
}

impl Drop for Stored {
    fn drop(&mut self) {
        // SAFETY: S1: `value` and `free` were stored as a pair, and this is the one owner.
        unsafe { (self.free)(self.value) }
    }
}

/// Drops a boxed `T` and gives its memory back.
///
/// # Safety
///
/// - S1: `value` is a leaked `Box<T>`, which the caller owns and gives up.
unsafe fn free<T>(value: NonNull<u8>) {
    // SAFETY: S1.
    drop(unsafe { Box::from_raw(value.cast::<T>().as_ptr()) });
}

/// The greatest number that a key has taken.
static LAST_NUMBER: AtomicUsize = AtomicUsize::new(0);

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
    use std::rc::Rc;
    use std::sync::Barrier;

    use super::{Key, Locals};

    /// Runs a closure when it is dropped.
    struct OnDrop<'a>(Box<dyn Fn() + 'a>);

    impl Drop for OnDrop<'_> {
        fn drop(&mut self) {
            (self.0)();
        }
    }

    fn noted(log: &Rc<RefCell<Vec<u32>>>, entry: u32) -> OnDrop<'static> {
        let log = log.clone();
        OnDrop(Box::new(move || log.borrow_mut().push(entry)))
    }

    /// The value of a key that holds a number, as a copy.
    fn number(locals: &Locals, key: &Key<u32>, init: impl FnOnce() -> u32) -> Option<u32> {
        let value = locals.value(key, init)?;
        // SAFETY: without a destructor it stays until `locals` is dropped.
        Some(unsafe { value.read() })
    }

    #[test]
    fn value_is_made_once_for_each_thread_and_stays_at_its_address() {
        let keys: Vec<Key<u32>> = (0..500).map(|_| Key::new()).collect();
        let (one, other) = (Locals::new(), Locals::new());
        let first = one.value(&keys[499], || 7).unwrap();
        for (n, key) in (0u32..499).zip(&keys) {
            assert_eq!(number(&one, key, || n), Some(n));
            assert_eq!(number(&other, key, || n + 1_000), Some(n + 1_000));
        }
        assert_eq!(one.value(&keys[499], || unreachable!()), Some(first));
        assert_eq!(number(&one, &keys[0], || unreachable!()), Some(0));
    }

    #[test]
    fn threads_that_race_for_a_key_agree_on_its_number() {
        let keys: Vec<Key<u32>> = (0..200).map(|_| Key::new()).collect();
        let start = Barrier::new(4);
        let seen: Vec<Vec<usize>> = std::thread::scope(|scope| {
            let numbers = || {
                start.wait();
                keys.iter().map(Key::number).collect()
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(numbers)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(seen.iter().all(|numbers| *numbers == seen[0]));
        let mut distinct = seen[0].clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), keys.len());
    }

    #[test]
    fn destructors_run_newest_first_and_each_once() {
        let log = Rc::new(RefCell::new(Vec::new()));
        let keys: [Key<OnDrop>; 3] = [Key::new(), Key::new(), Key::new()];
        let locals = Locals::new();
        for entry in [1, 0, 2] {
            locals.value(&keys[entry as usize], || noted(&log, entry));
        }
        locals.run_destructors();
        locals.run_destructors();
        assert_eq!(*log.borrow(), [2, 0, 1]);
        drop(locals);
        assert_eq!(log.borrow().len(), 3);
    }

    #[test]
    fn key_is_gone_during_and_after_its_own_destructor_and_others_are_not() {
        with_static_table(|locals| {
            static MINE: Key<OnDrop> = Key::new();
            static OLDER: Key<OnDrop> = Key::new();
            static PLAIN: Key<u32> = Key::new();
            let seen = Rc::new(Cell::new(None));
            locals.value(&OLDER, || OnDrop(Box::new(|| ())));
            number(locals, &PLAIN, || 5);
            let noted_seen = seen.clone();
            locals.value(&MINE, || {
                OnDrop(Box::new(move || {
                    let mine = locals.value(&MINE, || unreachable!()).is_some();
                    let older = locals.value(&OLDER, || unreachable!()).is_some();
                    noted_seen.set(Some((mine, older, number(locals, &PLAIN, || 0))));
                }))
            });
            locals.run_destructors();
            assert_eq!(seen.get(), Some((false, true, Some(5))));
            assert!(locals.value(&MINE, || unreachable!()).is_none());
            assert_eq!(number(locals, &PLAIN, || 0), Some(5));
        });
    }

    #[test]
    fn values_made_by_destructors_are_dropped_too_and_none_is_made_afterwards() {
        with_static_table(|locals| {
            static CHAIN: [Key<OnDrop>; 4] = [Key::new(), Key::new(), Key::new(), Key::new()];
            static LATE: Key<OnDrop> = Key::new();
            fn make(locals: &'static Locals, log: Rc<RefCell<Vec<usize>>>, link: usize) {
                locals.value(&CHAIN[link], || {
                    OnDrop(Box::new(move || {
                        log.borrow_mut().push(link);
                        if link + 1 < CHAIN.len() {
                            make(locals, log.clone(), link + 1);
                        }
                    }))
                });
            }
            let log = Rc::new(RefCell::new(Vec::new()));
            make(locals, log.clone(), 0);
            locals.run_destructors();
            assert_eq!(*log.borrow(), [0, 1, 2, 3]);
            assert!(locals.value(&LATE, || unreachable!()).is_none());
        });
    }

    #[test]
    fn initialiser_that_uses_its_own_key_replaces_the_inner_value_and_drops_it() {
        let log = Rc::new(RefCell::new(Vec::new()));
        let (before, key): (Key<OnDrop>, Key<OnDrop>) = (Key::new(), Key::new());
        let locals = Locals::new();
        let outer = locals.value(&key, || {
            assert!(locals.value(&key, || noted(&log, 1)).is_some());
            locals.value(&before, || noted(&log, 3));
            noted(&log, 2)
        });
        assert_eq!(*log.borrow(), [1]);
        assert_eq!(locals.value(&key, || unreachable!()), outer);
        locals.run_destructors();
        // The outer value stands where the inner one stood: the key was first used before 3.
        assert_eq!(*log.borrow(), [1, 3, 2]);
    }

    #[test]
    fn initialiser_that_panics_leaves_the_key_unused() {
        let key = Key::new();
        let locals = Locals::new();
        let failed = catch_unwind(AssertUnwindSafe(|| {
            locals.value(&key, || resume_unwind(Box::new(())));
        }));
        assert!(failed.is_err());
        assert_eq!(number(&locals, &key, || 3), Some(3));
    }

    #[test]
    fn destructor_that_panics_does_not_keep_the_others_from_running() {
        let log = Rc::new(RefCell::new(Vec::new()));
        let keys: [Key<OnDrop>; 3] = [Key::new(), Key::new(), Key::new()];
        let locals = Locals::new();
        locals.value(&keys[0], || noted(&log, 0));
        locals.value(&keys[1], || OnDrop(Box::new(|| resume_unwind(Box::new("expected")))));
        locals.value(&keys[2], || noted(&log, 2));
        locals.run_destructors();
        assert_eq!(*log.borrow(), [2, 0]);
    }

    #[test]
    fn values_of_a_thread_that_was_given_up_are_leaked_not_dropped() {
        // Without a size, so that a leak checker finds nothing to report.
        struct Forbidden;
        impl Drop for Forbidden {
            fn drop(&mut self) {
                panic!("the destructor ran");
            }
        }
        let key = Key::new();
        let locals = Locals::new();
        assert!(locals.value(&key, || Forbidden).is_some());
        drop(locals);
    }

    /// Lends a table to a test whose destructors refer to it.
    fn with_static_table(test: impl FnOnce(&'static Locals)) {
        struct Table(*mut Locals);
        impl Drop for Table {
            fn drop(&mut self) {
                // SAFETY: made by `Box::into_raw`; the test has returned or failed.
                drop(unsafe { Box::from_raw(self.0) });
            }
        }
        let table = Table(Box::into_raw(Box::new(Locals::new())));
        // SAFETY: freed only by `table`; what refers to it was dropped by the destructors' run, or
        // is leaked.
        test(unsafe { &*table.0 });
    }
}
