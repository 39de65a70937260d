//! `RwLock` and its guards: values, sharing, exclusion, `downgrade`, text.
#![forbid(unsafe_code)]

use std::fmt::Debug;

use sylvan_workspace::Counts;

use super::sync::atomic::{AtomicBool, AtomicIsize, AtomicUsize, Ordering::SeqCst};
use super::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError};
use super::{everywhere, settle, thread, until};

fn is_free<T>(lock: &RwLock<T>) -> bool {
    lock.try_write().is_ok()
}

#[test]
fn guards_lend_the_value_and_unlock_when_they_go() {
    everywhere(|| {
        let lock = RwLock::new(vec![1]);
        assert_eq!(*lock.read().unwrap(), [1]);
        lock.write().unwrap().push(2);
        assert_eq!(*lock.try_read().unwrap(), [1, 2]);
        lock.try_write().unwrap().push(3);
        let guard: RwLockReadGuard<'_, Vec<i32>> = lock.read().unwrap();
        drop(guard);
        let guard: RwLockWriteGuard<'_, Vec<i32>> = lock.write().unwrap();
        drop(guard);
        assert!(is_free(&lock));
    });
}

#[test]
fn try_calls_fail_for_whom_the_holder_excludes() {
    everywhere(|| {
        let lock = RwLock::new(0);
        let first = lock.read().unwrap();
        let second = lock.try_read().unwrap();
        assert!(matches!(lock.try_write(), Err(TryLockError::WouldBlock)));
        drop(first);
        assert!(matches!(lock.try_write(), Err(TryLockError::WouldBlock)));
        drop(second);
        let writer = lock.try_write().unwrap();
        assert!(matches!(lock.try_read(), Err(TryLockError::WouldBlock)));
        assert!(matches!(lock.try_write(), Err(TryLockError::WouldBlock)));
        thread::scope(|scope| {
            assert!(scope.spawn(|| lock.try_read().is_err()).join().unwrap());
            assert!(scope.spawn(|| lock.try_write().is_err()).join().unwrap());
        });
        drop(writer);
        assert!(lock.try_read().is_ok());
        assert!(is_free(&lock));
    });
}

#[test]
fn readers_are_inside_together() {
    everywhere(|| {
        let (lock, inside) = (RwLock::new(5), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    let guard = lock.read().unwrap();
                    inside.fetch_add(1, SeqCst);
                    // Comes true only if no reader keeps another one out.
                    until(|| inside.load(SeqCst) == 6);
                    assert_eq!(*guard, 5);
                });
            }
        });
        assert!(is_free(&lock));
    });
}

#[test]
fn writers_exclude_everybody() {
    everywhere(|| {
        // Below zero: a writer is inside; above: so many readers.
        let (lock, inside) = (RwLock::new(0), AtomicIsize::new(0));
        thread::scope(|scope| {
            for number in 0..8 {
                let (lock, inside) = (&lock, &inside);
                scope.spawn(move || {
                    for round in 0..40 {
                        if (number + round) % 4 == 0 {
                            let mut guard = lock.write().unwrap();
                            assert_eq!(inside.fetch_sub(1, SeqCst), 0);
                            let before = *guard;
                            thread::yield_now();
                            *guard = before + 1;
                            inside.fetch_add(1, SeqCst);
                        } else {
                            let guard = lock.read().unwrap();
                            assert!(inside.fetch_add(1, SeqCst) >= 0, "a writer is inside");
                            let before = *guard;
                            if round % 3 == 0 {
                                thread::yield_now();
                            }
                            assert_eq!(*guard, before);
                            inside.fetch_sub(1, SeqCst);
                        }
                    }
                });
            }
        });
        assert_eq!(lock.into_inner().unwrap(), 80);
    });
}

#[test]
fn readers_and_writers_wait_until_the_writer_unlocks() {
    everywhere(|| {
        let (lock, passed) = (RwLock::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            let mut guard = lock.write().unwrap();
            for _ in 0..3 {
                scope.spawn(|| {
                    assert!(*lock.read().unwrap() >= 100);
                    passed.fetch_add(1, SeqCst);
                });
                scope.spawn(|| {
                    let mut guard = lock.write().unwrap();
                    assert!(*guard >= 100);
                    *guard += 1;
                    passed.fetch_add(1, SeqCst);
                });
            }
            settle();
            assert_eq!(passed.load(SeqCst), 0);
            *guard = 100;
            drop(guard);
        });
        assert_eq!(lock.into_inner().unwrap(), 103);
    });
}

#[test]
fn writer_waits_until_the_last_reader_unlocks() {
    everywhere(|| {
        let (lock, wrote) = (RwLock::new(0), AtomicBool::new(false));
        thread::scope(|scope| {
            let (first, second) = (lock.read().unwrap(), lock.read().unwrap());
            scope.spawn(|| {
                *lock.write().unwrap() = 1;
                wrote.store(true, SeqCst);
            });
            settle();
            drop(first);
            settle();
            assert!(!wrote.load(SeqCst));
            assert_eq!(*second, 0);
            drop(second);
        });
        assert_eq!(*lock.read().unwrap(), 1);
    });
}

#[test]
fn sole_owner_needs_no_lock() {
    everywhere(|| {
        let mut lock = RwLock::new(1);
        *lock.get_mut().unwrap() += 1;
        std::mem::forget(lock.write().unwrap());
        *lock.get_mut().unwrap() += 1;
        assert!(matches!(lock.try_read(), Err(TryLockError::WouldBlock)));
        assert_eq!(lock.into_inner().unwrap(), 3);
    });
}

#[test]
fn forgotten_reader_keeps_writers_out_and_lets_readers_in() {
    everywhere(|| {
        let lock = RwLock::new(1);
        std::mem::forget(lock.read().unwrap());
        assert!(matches!(lock.try_write(), Err(TryLockError::WouldBlock)));
        assert_eq!(*lock.try_read().unwrap(), 1);
    });
}

#[test]
fn downgrade_keeps_the_value_and_lets_readers_in() {
    everywhere(|| {
        let lock = RwLock::new(0);
        let mut writer = lock.write().unwrap();
        *writer = 1;
        let reader: RwLockReadGuard<'_, i32> = RwLockWriteGuard::downgrade(writer);
        assert_eq!(*reader, 1);
        assert_eq!(*lock.try_read().unwrap(), 1);
        assert!(matches!(lock.try_write(), Err(TryLockError::WouldBlock)));
        thread::scope(|scope| {
            scope.spawn(|| assert_eq!(*lock.try_read().unwrap(), 1));
        });
        drop(reader);
        assert!(is_free(&lock));
    });
}

#[test]
fn downgrade_wakes_readers_that_wait() {
    everywhere(|| {
        let lock = RwLock::new(0);
        thread::scope(|scope| {
            let mut writer = lock.write().unwrap();
            let readers: [_; 4] =
                std::array::from_fn(|_| scope.spawn(|| assert_eq!(*lock.read().unwrap(), 1)));
            settle();
            *writer = 1;
            let reader = RwLockWriteGuard::downgrade(writer);
            // They come in while this guard is still there.
            for waiting in readers {
                waiting.join().unwrap();
            }
            assert_eq!(*reader, 1);
        });
        assert!(is_free(&lock));
    });
}

#[test]
fn no_writer_comes_between_a_write_and_its_downgrade() {
    everywhere(|| {
        let lock = RwLock::new(0);
        thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        let mut writer = lock.write().unwrap();
                        *writer += 1;
                        let written = *writer;
                        let reader = RwLockWriteGuard::downgrade(writer);
                        assert_eq!(*reader, written);
                        thread::yield_now();
                        assert_eq!(*reader, written);
                    }
                });
            }
        });
        assert_eq!(lock.into_inner().unwrap(), 120);
    });
}

#[test]
fn writer_that_waits_gets_the_lock_after_a_downgrade() {
    everywhere(|| {
        let lock = RwLock::new(0);
        thread::scope(|scope| {
            let mut writer = lock.write().unwrap();
            scope.spawn(|| {
                let mut guard = lock.write().unwrap();
                assert_eq!(*guard, 1);
                *guard = 2;
            });
            settle();
            *writer = 1;
            let reader = RwLockWriteGuard::downgrade(writer);
            settle();
            assert_eq!(*reader, 1);
            drop(reader);
        });
        assert_eq!(lock.into_inner().unwrap(), 2);
    });
}

#[test]
fn debug_shows_the_value_or_that_it_is_locked() {
    everywhere(|| {
        let lock = RwLock::new("text");
        let shown = r#"RwLock { data: "text", poisoned: false, .. }"#;
        assert_eq!(format!("{lock:?}"), shown);
        let reader = lock.read().unwrap();
        assert_eq!(format!("{lock:?}"), shown, "readers share with those who print");
        assert_eq!(format!("{reader:?} {reader} {reader:>6}"), r#""text" text   text"#);
        drop(reader);
        let writer = lock.write().unwrap();
        assert_eq!(format!("{lock:?}"), "RwLock { data: <locked>, poisoned: false, .. }");
        let lines = "RwLock {\n    data: <locked>,\n    poisoned: false,\n    ..\n}";
        assert_eq!(format!("{lock:#?}"), lines);
        assert_eq!(format!("{writer:?} {writer} {writer:>6}"), r#""text" text   text"#);
        drop(writer);
        assert!(is_free(&lock), "printing has left it locked");
    });
}

#[test]
fn made_by_default_and_by_from() {
    everywhere(|| {
        assert_eq!(RwLock::<u32>::default().into_inner().unwrap(), 0);
        assert_eq!(RwLock::from("value").into_inner().unwrap(), "value");
        let lock: RwLock<Option<i32>> = Some(1).into();
        assert_eq!(*lock.read().unwrap(), Some(1));
    });
}

#[test]
fn holds_what_has_no_size_of_its_own() {
    trait Animal: Send + Sync {
        fn legs(&self) -> u32;
        fn grow(&mut self);
    }
    struct Dog(u32);
    impl Animal for Dog {
        fn legs(&self) -> u32 {
            self.0
        }
        fn grow(&mut self) {
            self.0 += 1;
        }
    }
    everywhere(|| {
        let array: Arc<RwLock<[i32; 3]>> = Arc::new(RwLock::new([1, 2, 3]));
        let slice: Arc<RwLock<[i32]>> = array.clone();
        thread::scope(|scope| {
            scope.spawn(|| slice.write().unwrap()[1] = 7);
        });
        assert_eq!(*array.read().unwrap(), [1, 7, 3]);
        assert_eq!(slice.try_read().unwrap().len(), 3);
        let reader = RwLockWriteGuard::downgrade(slice.try_write().unwrap());
        assert_eq!(format!("{reader:?}"), "[1, 7, 3]");

        let mut animal: Box<RwLock<dyn Animal>> = Box::new(RwLock::new(Dog(4)));
        animal.write().unwrap().grow();
        animal.get_mut().unwrap().grow();
        assert_eq!(animal.read().unwrap().legs(), 6);
        assert!(!animal.is_poisoned());
        animal.clear_poison();
        let debug: &RwLock<dyn Debug> = &RwLock::new(6);
        assert_eq!(format!("{debug:?}"), "RwLock { data: 6, poisoned: false, .. }");
    });
}

#[test]
fn read_guard_may_stand_for_one_of_a_shorter_life() {
    // As std's, it is covariant in what it lends.
    fn shorter<'a>(
        guard: RwLockReadGuard<'a, &'static str>,
        _until: &'a str,
    ) -> RwLockReadGuard<'a, &'a str> {
        guard
    }
    everywhere(|| {
        let (lock, text) = (RwLock::new("static"), String::from("short"));
        assert_eq!(*shorter(lock.read().unwrap(), &text), "static");
    });
}

#[test]
fn value_is_dropped_once_and_may_borrow_from_what_comes_later() {
    everywhere(|| {
        let drops = AtomicUsize::new(0);
        drop(RwLock::new(Counts(&drops)));
        drop(RwLock::new(Counts(&drops)).into_inner().unwrap());
        assert_eq!(drops.load(SeqCst), 2);
        let lock = RwLock::new(None);
        let text = String::from("later");
        *lock.write().unwrap() = Some(&text[..]);
        assert_eq!(*lock.read().unwrap(), Some("later"));
    });
}

#[test]
fn statics_need_no_initialiser() {
    static NUMBER: RwLock<usize> = RwLock::new(0);
    everywhere(|| {
        let before = *NUMBER.read().unwrap();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| *NUMBER.write().unwrap() += 1);
            }
        });
        assert_eq!(*NUMBER.read().unwrap(), before + 4);
        let row: [RwLock<Option<u8>>; 2] = [const { RwLock::new(None) }; 2];
        *row[0].write().unwrap() = Some(1);
        assert_eq!(*row[1].read().unwrap(), None);
    });
}
