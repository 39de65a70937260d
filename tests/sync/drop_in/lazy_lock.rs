//! `LazyLock`: made at the first look, poisoned by a panic.
#![forbid(unsafe_code)]

use super::panics::{expect_failure, fail, fail_here, panic_of};
use super::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use super::sync::{LazyLock, Mutex};
use super::{everywhere, thread, until};

const POISONED: &str = "LazyLock instance has previously been poisoned";

fn poisoned() -> LazyLock<i32> {
    let lazy: LazyLock<i32> = LazyLock::new(|| fail());
    fail_here(|| {
        LazyLock::force(&lazy);
    });
    lazy
}

#[test]
fn value_is_made_at_the_first_look_and_once() {
    everywhere(|| {
        let runs = AtomicUsize::new(0);
        let lazy = LazyLock::new(|| {
            runs.fetch_add(1, SeqCst);
            String::from("made")
        });
        assert_eq!(runs.load(SeqCst), 0);
        assert_eq!(lazy.len(), 4);
        assert_eq!(*lazy, "made");
        let forced: &String = LazyLock::force(&lazy);
        assert!(std::ptr::eq(forced, &*lazy));
        assert_eq!(runs.load(SeqCst), 1);
    });
}

#[test]
fn one_initialiser_runs_and_all_get_its_value() {
    everywhere(|| {
        let runs = AtomicUsize::new(0);
        let lazy = LazyLock::new(|| {
            thread::yield_now();
            runs.fetch_add(1, SeqCst) + 1
        });
        thread::scope(|scope| {
            for number in 0..8 {
                let lazy = &lazy;
                scope.spawn(move || match number % 2 {
                    0 => assert_eq!(**lazy, 1),
                    _ => assert_eq!(*LazyLock::force(lazy), 1),
                });
            }
        });
        assert_eq!(runs.load(SeqCst), 1);
    });
}

#[test]
fn others_wait_for_the_initialiser() {
    everywhere(|| {
        let (begun, go) = (AtomicBool::new(false), AtomicBool::new(false));
        let lazy = LazyLock::new(|| {
            begun.store(true, SeqCst);
            until(|| go.load(SeqCst));
            1
        });
        thread::scope(|scope| {
            scope.spawn(|| assert_eq!(*lazy, 1));
            until(|| begun.load(SeqCst));
            let waiting: [_; 3] = std::array::from_fn(|_| scope.spawn(|| *lazy));
            for _ in 0..50 {
                thread::yield_now();
            }
            assert!(waiting.iter().all(|waiting| !waiting.is_finished()));
            assert_eq!(LazyLock::get(&lazy), None);
            go.store(true, SeqCst);
            for waiting in waiting {
                assert_eq!(waiting.join().unwrap(), 1);
            }
        });
    });
}

#[test]
fn get_gives_what_is_there_and_makes_nothing() {
    everywhere(|| {
        let mut lazy = LazyLock::new(|| 1);
        assert_eq!(LazyLock::get(&lazy), None);
        assert_eq!(LazyLock::get_mut(&mut lazy), None);
        LazyLock::force(&lazy);
        assert_eq!(LazyLock::get(&lazy), Some(&1));
        *LazyLock::get_mut(&mut lazy).unwrap() += 1;
        assert_eq!(*lazy, 2);
    });
}

#[test]
fn owner_makes_and_changes_it_without_a_lock() {
    everywhere(|| {
        let mut lazy = LazyLock::new(|| vec![1]);
        LazyLock::force_mut(&mut lazy).push(2);
        lazy.push(3);
        assert_eq!(*lazy, [1, 2, 3]);
        let mut other = LazyLock::new(|| 1);
        *other += 1;
        assert_eq!(*other, 2);
    });
}

#[test]
fn panic_poisons_for_good() {
    everywhere(|| {
        let mut lazy = poisoned();
        for _ in 0..2 {
            assert_eq!(panic_of(|| *lazy), POISONED);
            assert_eq!(panic_of(|| *LazyLock::force(&lazy)), POISONED);
        }
        assert_eq!(LazyLock::get(&lazy), None);
        assert_eq!(LazyLock::get_mut(&mut lazy), None);
        assert_eq!(panic_of(|| *LazyLock::force_mut(&mut lazy)), POISONED);
        assert_eq!(panic_of(|| *lazy += 1), POISONED);
        assert_eq!(format!("{lazy:?}"), "LazyLock(<uninit>)");
    });
}

#[test]
fn panic_under_force_mut_poisons_as_well() {
    everywhere(|| {
        let mut lazy: LazyLock<i32> = LazyLock::new(|| fail());
        fail_here(|| {
            LazyLock::force_mut(&mut lazy);
        });
        assert_eq!(panic_of(|| *lazy), POISONED);
        assert_eq!(panic_of(|| *LazyLock::force_mut(&mut lazy)), POISONED);
    });
}

#[test]
fn waiters_of_an_initialiser_that_panics_are_told() {
    everywhere(|| {
        let (begun, go) = (AtomicBool::new(false), AtomicBool::new(false));
        let lazy: LazyLock<i32, _> = LazyLock::new(|| {
            begun.store(true, SeqCst);
            until(|| go.load(SeqCst));
            fail()
        });
        thread::scope(|scope| {
            let first = scope.spawn(|| {
                LazyLock::force(&lazy);
            });
            until(|| begun.load(SeqCst));
            let waiting: [_; 3] = std::array::from_fn(|_| scope.spawn(|| panic_of(|| *lazy)));
            for _ in 0..50 {
                thread::yield_now();
            }
            go.store(true, SeqCst);
            expect_failure(first.join());
            for waiting in waiting {
                assert_eq!(waiting.join().unwrap(), POISONED);
            }
        });
    });
}

#[test]
fn initialiser_of_one_may_need_another() {
    everywhere(|| {
        let inner = LazyLock::new(|| 1);
        let outer = LazyLock::new(|| *inner + 1);
        assert_eq!(*outer, 2);
    });
}

#[test]
fn made_by_default_and_by_a_function_pointer() {
    everywhere(|| {
        let lazy = LazyLock::<Vec<u8>>::default();
        assert_eq!(LazyLock::get(&lazy), None);
        assert!(lazy.is_empty());
        fn five() -> i32 {
            5
        }
        let lazy: LazyLock<i32, fn() -> i32> = LazyLock::new(five);
        assert_eq!(*lazy, 5);
    });
}

#[test]
fn debug_shows_the_value_or_that_there_is_none() {
    everywhere(|| {
        let lazy = LazyLock::new(|| "a");
        assert_eq!(format!("{lazy:?}"), "LazyLock(<uninit>)");
        assert_eq!(format!("{lazy:#?}"), "LazyLock(\n    <uninit>,\n)");
        LazyLock::force(&lazy);
        assert_eq!(format!("{lazy:?}"), r#"LazyLock("a")"#);
        assert_eq!(format!("{lazy:#?}"), "LazyLock(\n    \"a\",\n)");
    });
}

#[test]
fn closure_or_value_is_dropped_once() {
    struct Counts<'a>(&'a AtomicUsize);
    impl Drop for Counts<'_> {
        fn drop(&mut self) {
            self.0.fetch_add(1, SeqCst);
        }
    }
    everywhere(|| {
        let (closures, values) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let make = || {
            let closure = Counts(&closures);
            LazyLock::new(|| {
                let _used_up = closure;
                Counts(&values)
            })
        };
        let counts = || (closures.load(SeqCst), values.load(SeqCst));
        drop(make());
        assert_eq!(counts(), (1, 0), "a closure that never ran");
        let lazy = make();
        LazyLock::force(&lazy);
        assert_eq!(counts(), (2, 0));
        drop(lazy);
        assert_eq!(counts(), (2, 1));

        let closure = Counts(&closures);
        let lazy: LazyLock<i32, _> = LazyLock::new(|| {
            let _used_up = closure;
            fail()
        });
        fail_here(|| {
            LazyLock::force(&lazy);
        });
        assert_eq!(counts(), (3, 1));
        drop(lazy);
        assert_eq!(counts(), (3, 1), "a poisoned one has nothing to drop");
    });
}

#[test]
fn statics_are_made_when_they_are_needed() {
    static NAMES: LazyLock<Mutex<Vec<String>>> =
        LazyLock::new(|| Mutex::new(vec![String::from("first")]));
    everywhere(|| {
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| assert_eq!(NAMES.lock().unwrap()[0], "first"));
            }
        });
        let forced: &'static Mutex<Vec<String>> = LazyLock::force(&NAMES);
        assert!(!forced.lock().unwrap().is_empty());
    });
}
