//! `Mutex` and `MutexGuard`: values, exclusion, text, and what they may hold.
#![forbid(unsafe_code)]

use std::any::Any;
use std::cell::Cell;
use std::fmt::Debug;
use std::rc::Rc;

use sylvan_workspace::Counts;

use super::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use super::sync::{Arc, Mutex, MutexGuard, TryLockError};
use super::{everywhere, settle, thread};

#[test]
fn guard_lends_the_value_and_unlocks_when_it_goes() {
    everywhere(|| {
        let mutex = Mutex::new(vec![1]);
        {
            let mut guard = mutex.lock().unwrap();
            assert_eq!(*guard, [1]);
            guard.push(2);
            assert!(mutex.try_lock().is_err());
        }
        assert_eq!(mutex.lock().unwrap().len(), 2);
        let guard: MutexGuard<'_, Vec<i32>> = mutex.lock().unwrap();
        drop(guard);
        assert_eq!(*mutex.try_lock().unwrap(), [1, 2]);
    });
}

#[test]
fn try_lock_fails_while_somebody_holds_the_lock() {
    everywhere(|| {
        let mutex = Mutex::new(0);
        let try_elsewhere = || {
            let tried = || match mutex.try_lock() {
                Ok(_) => true,
                Err(TryLockError::WouldBlock) => false,
                Err(TryLockError::Poisoned(_)) => panic!("nobody has panicked"),
            };
            thread::scope(|scope| scope.spawn(tried).join().unwrap())
        };
        let guard = mutex.lock().unwrap();
        assert!(!try_elsewhere());
        assert!(matches!(mutex.try_lock(), Err(TryLockError::WouldBlock)));
        drop(guard);
        assert!(try_elsewhere());
        let guard = mutex.try_lock().unwrap();
        assert!(!try_elsewhere());
        drop(guard);
        assert!(try_elsewhere());
    });
}

#[test]
fn threads_exclude_each_other() {
    everywhere(|| {
        let (mutex, inside) = (Mutex::new(0), AtomicBool::new(false));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for round in 0..50 {
                        let mut guard = mutex.lock().unwrap();
                        assert!(!inside.swap(true, SeqCst), "somebody else is inside");
                        let before = *guard;
                        if round % 5 == 0 {
                            thread::yield_now();
                        }
                        *guard = before + 1;
                        assert!(inside.swap(false, SeqCst));
                    }
                });
            }
        });
        assert_eq!(*mutex.lock().unwrap(), 8 * 50);
    });
}

#[test]
fn lock_waits_until_the_holder_unlocks() {
    everywhere(|| {
        let (mutex, passed) = (Mutex::new(Vec::new()), AtomicUsize::new(0));
        thread::scope(|scope| {
            let mut guard = mutex.lock().unwrap();
            for number in 0..4 {
                let (mutex, passed) = (&mutex, &passed);
                scope.spawn(move || {
                    mutex.lock().unwrap().push(number);
                    passed.fetch_add(1, SeqCst);
                });
            }
            settle();
            assert_eq!(passed.load(SeqCst), 0);
            guard.push(9);
            drop(guard);
        });
        let mut values = mutex.into_inner().unwrap();
        assert_eq!(values[0], 9, "a waiter was inside while the lock was held");
        values.sort_unstable();
        assert_eq!(values, [0, 1, 2, 3, 9]);
    });
}

#[test]
fn sole_owner_needs_no_lock() {
    everywhere(|| {
        let mut mutex = Mutex::new(String::from("a"));
        mutex.get_mut().unwrap().push('b');
        assert_eq!(*mutex.lock().unwrap(), "ab");
        *mutex.get_mut().unwrap() = String::from("c");
        assert_eq!(mutex.into_inner().unwrap(), "c");
    });
}

#[test]
fn forgotten_guard_leaves_the_lock_held_but_not_for_its_owner() {
    everywhere(|| {
        let mut mutex = Mutex::new(1);
        std::mem::forget(mutex.lock().unwrap());
        assert!(matches!(mutex.try_lock(), Err(TryLockError::WouldBlock)));
        *mutex.get_mut().unwrap() += 1;
        assert!(matches!(mutex.try_lock(), Err(TryLockError::WouldBlock)));
        assert_eq!(mutex.into_inner().unwrap(), 2);
    });
}

#[test]
fn guards_go_in_any_order_and_into_fields() {
    struct Held<'a> {
        first: MutexGuard<'a, i32>,
        second: Option<MutexGuard<'a, i32>>,
    }
    everywhere(|| {
        let (one, two) = (Mutex::new(1), Mutex::new(2));
        let mut held = Held { first: one.lock().unwrap(), second: Some(two.lock().unwrap()) };
        std::mem::swap(&mut *held.first, held.second.as_mut().unwrap());
        assert!(one.try_lock().is_err());
        drop(held.second.take());
        assert_eq!(*two.try_lock().unwrap(), 1);
        assert!(one.try_lock().is_err());
        drop(held);
        assert_eq!(*one.try_lock().unwrap(), 2);
    });
}

#[test]
fn guard_may_be_kept_over_a_wait() {
    everywhere(|| {
        let mutex = Mutex::new(0);
        thread::scope(|scope| {
            let guard = mutex.lock().unwrap();
            // Waits for a thread that does not need the lock, with the lock in hand.
            scope.spawn(thread::yield_now).join().unwrap();
            let waiting = scope.spawn(|| *mutex.lock().unwrap());
            thread::yield_now();
            drop(guard);
            assert_eq!(waiting.join().unwrap(), 0);
        });
    });
}

#[test]
fn debug_shows_the_value_or_that_it_is_locked() {
    everywhere(|| {
        let mutex = Mutex::new("text");
        assert_eq!(format!("{mutex:?}"), r#"Mutex { data: "text", poisoned: false, .. }"#);
        let lines = "Mutex {\n    data: \"text\",\n    poisoned: false,\n    ..\n}";
        assert_eq!(format!("{mutex:#?}"), lines);
        let guard = mutex.lock().unwrap();
        // std 1.95 puts the word in quotation marks here, and not for `RwLock`; older ones do not.
        let text = format!("{mutex:?}").replace("\"<locked>\"", "<locked>");
        assert_eq!(text, "Mutex { data: <locked>, poisoned: false, .. }");
        assert_eq!(format!("{guard:?} {guard} {guard:>6}"), r#""text" text   text"#);
        drop(guard);
        assert!(mutex.try_lock().is_ok(), "printing has left it locked");
    });
}

#[test]
fn debug_of_an_owned_value_and_of_an_unsized_one() {
    everywhere(|| {
        let mutex: Box<Mutex<[u8]>> = Box::new(Mutex::new([1, 2]));
        assert_eq!(format!("{mutex:?}"), "Mutex { data: [1, 2], poisoned: false, .. }");
        let guard = mutex.lock().unwrap();
        assert_eq!(format!("{guard:?}"), "[1, 2]");
    });
}

#[test]
fn made_by_default_and_by_from() {
    everywhere(|| {
        assert_eq!(Mutex::<u32>::default().into_inner().unwrap(), 0);
        assert_eq!(Mutex::from("value").into_inner().unwrap(), "value");
        let mutex: Mutex<Option<i32>> = Some(1).into();
        assert_eq!(*mutex.lock().unwrap(), Some(1));
    });
}

#[test]
fn holds_what_has_no_size_of_its_own() {
    trait Animal: Send {
        fn legs(&mut self) -> u32;
    }
    struct Dog(u32);
    impl Animal for Dog {
        fn legs(&mut self) -> u32 {
            self.0 += 1;
            self.0
        }
    }
    everywhere(|| {
        let array: Arc<Mutex<[i32; 3]>> = Arc::new(Mutex::new([1, 2, 3]));
        let slice: Arc<Mutex<[i32]>> = array.clone();
        thread::scope(|scope| {
            scope.spawn(|| slice.lock().unwrap()[1] = 7);
        });
        assert_eq!(*array.lock().unwrap(), [1, 7, 3]);
        assert_eq!(slice.try_lock().unwrap().iter().sum::<i32>(), 11);

        let mut animal: Box<Mutex<dyn Animal>> = Box::new(Mutex::new(Dog(4)));
        assert_eq!(animal.lock().unwrap().legs(), 5);
        assert_eq!(animal.get_mut().unwrap().legs(), 6);
        assert!(!animal.is_poisoned());
        animal.clear_poison();

        let any: &Mutex<dyn Any> = &Mutex::new(5_i32);
        assert_eq!(any.lock().unwrap().downcast_ref::<i32>(), Some(&5));
        let debug: &Mutex<dyn Debug> = &Mutex::new(6);
        assert_eq!(format!("{debug:?}"), "Mutex { data: 6, poisoned: false, .. }");
        let mut text = Mutex::new(*b"abc");
        let unsized_text: &mut Mutex<[u8]> = &mut text;
        unsized_text.get_mut().unwrap().reverse();
        assert_eq!(text.into_inner().unwrap(), *b"cba");
    });
}

#[test]
fn value_is_dropped_once() {
    everywhere(|| {
        let drops = AtomicUsize::new(0);
        drop(Mutex::new(Counts(&drops)));
        assert_eq!(drops.load(SeqCst), 1);
        let inner = Mutex::new(Counts(&drops)).into_inner().unwrap();
        assert_eq!(drops.load(SeqCst), 1);
        drop(inner);
        assert_eq!(drops.load(SeqCst), 2);
        let mutex = Mutex::new(Counts(&drops));
        *mutex.lock().unwrap() = Counts(&drops);
        assert_eq!(drops.load(SeqCst), 3);
        drop(mutex);
        assert_eq!(drops.load(SeqCst), 4);
    });
}

#[test]
fn value_may_borrow_from_what_is_declared_after_the_lock() {
    everywhere(|| {
        let mutex = Mutex::new(None);
        let text = String::from("later");
        *mutex.lock().unwrap() = Some(&text[..]);
        assert_eq!(*mutex.lock().unwrap(), Some("later"));
    });
}

#[test]
fn values_that_stay_on_one_thread_are_welcome() {
    everywhere(|| {
        let mutex = Mutex::new(Rc::new(Cell::new(1)));
        let other = mutex.lock().unwrap().clone();
        other.set(2);
        assert_eq!(mutex.lock().unwrap().get(), 2);
    });
}

#[test]
fn statics_need_no_initialiser() {
    static NUMBER: Mutex<usize> = Mutex::new(0);
    static NAMES: Mutex<Vec<String>> = Mutex::new(Vec::new());
    everywhere(|| {
        let before = *NUMBER.lock().unwrap();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| *NUMBER.lock().unwrap() += 1);
            }
        });
        assert_eq!(*NUMBER.lock().unwrap(), before + 4);
        NAMES.lock().unwrap().push(String::from("one"));
        assert!(!NAMES.lock().unwrap().is_empty());
        let row: [Mutex<Option<u8>>; 2] = [const { Mutex::new(None) }; 2];
        *row[0].lock().unwrap() = Some(1);
        assert_eq!(*row[1].lock().unwrap(), None);
    });
}

#[test]
fn lock_dies_with_its_last_owner_although_others_have_waited() {
    everywhere(|| {
        let mutex = Arc::new(Mutex::new(0));
        let guard = mutex.lock().unwrap();
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let mutex = mutex.clone();
                thread::spawn(move || *mutex.lock().unwrap() += 1)
            })
            .collect();
        settle();
        drop(guard);
        let weak = Arc::downgrade(&mutex);
        drop(mutex);
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(weak.upgrade().is_none());
    });
}
