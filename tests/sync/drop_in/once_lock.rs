//! `OnceLock`: set once, by hand or by an initialiser, and read by everybody.
#![forbid(unsafe_code)]

use sylvan_workspace::Counts;

use super::panics::{expect_failure, fail, fail_here};
use super::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use super::sync::{Arc, OnceLock};
use super::{everywhere, settle, thread, until};

#[test]
fn first_set_counts_and_the_second_gives_its_value_back() {
    everywhere(|| {
        let mut cell = OnceLock::new();
        assert_eq!(cell.get(), None);
        assert_eq!(cell.get_mut(), None);
        assert_eq!(cell.set(String::from("a")), Ok(()));
        assert_eq!(cell.set(String::from("b")), Err(String::from("b")));
        assert_eq!(cell.get().map(String::as_str), Some("a"));
        assert_eq!(cell.get_or_init(|| unreachable!("it is set")), "a");
        cell.get_mut().unwrap().push('c');
        assert_eq!(cell.wait(), "ac");
        assert_eq!(cell.into_inner(), Some(String::from("ac")));
        assert_eq!(OnceLock::<u8>::new().into_inner(), None);
    });
}

#[test]
fn take_empties_it_for_the_next_value() {
    everywhere(|| {
        let mut cell = OnceLock::new();
        assert_eq!(cell.take(), None);
        assert_eq!(*cell.get_or_init(|| 1), 1);
        assert_eq!(cell.take(), Some(1));
        assert_eq!((cell.take(), cell.get()), (None, None));
        assert_eq!(cell.set(2), Ok(()));
        assert_eq!(cell.into_inner(), Some(2));
    });
}

#[test]
fn one_initialiser_runs_and_all_get_its_value() {
    everywhere(|| {
        let (cell, runs) = (OnceLock::new(), AtomicUsize::new(0));
        thread::scope(|scope| {
            for number in 0..8 {
                let (cell, runs) = (&cell, &runs);
                scope.spawn(move || {
                    let mine = cell.get_or_init(|| {
                        runs.fetch_add(1, SeqCst);
                        thread::yield_now();
                        number
                    });
                    assert!(std::ptr::eq(mine, cell.get().unwrap()));
                });
            }
        });
        assert_eq!(runs.load(SeqCst), 1);
        assert!(*cell.get().unwrap() < 8);
    });
}

#[test]
fn one_of_many_sets_counts() {
    everywhere(|| {
        let cell = OnceLock::new();
        thread::scope(|scope| {
            let threads: [_; 6] = std::array::from_fn(|number| {
                let cell = &cell;
                scope.spawn(move || cell.set(number))
            });
            let mut winners = Vec::new();
            for (number, thread) in threads.into_iter().enumerate() {
                match thread.join().unwrap() {
                    Ok(()) => winners.push(number),
                    Err(back) => assert_eq!(back, number),
                }
            }
            assert_eq!(winners, [*cell.get().unwrap()]);
        });
    });
}

/// The cell, whether its initialiser has begun, and whether it may end.
type Shared = (OnceLock<i32>, AtomicBool, AtomicBool);

/// Begins an initialiser in a thread, lets `meanwhile` start others, and then ends it.
fn during_an_initialiser<'scope, 'env, T>(
    scope: &'scope thread::Scope<'scope, 'env>,
    shared: &'env Shared,
    end: fn() -> i32,
    meanwhile: impl FnOnce() -> T,
) -> T {
    let (cell, begun, go) = shared;
    let first = scope.spawn(move || {
        cell.get_or_init(|| {
            begun.store(true, SeqCst);
            until(|| go.load(SeqCst));
            end()
        });
    });
    until(|| begun.load(SeqCst));
    assert_eq!(cell.get(), None, "a value was seen before it was there");
    let others = meanwhile();
    for _ in 0..50 {
        thread::yield_now();
    }
    go.store(true, SeqCst);
    if let Err(payload) = first.join() {
        expect_failure(Err(payload));
    }
    others
}

#[test]
fn others_wait_for_the_initialiser() {
    everywhere(|| {
        let shared = Shared::default();
        let (cell, ..) = &shared;
        thread::scope(|scope| {
            let (init, set, wait) = during_an_initialiser(
                scope,
                &shared,
                || 1,
                || {
                    let init = scope.spawn(|| *cell.get_or_init(|| unreachable!("it ran twice")));
                    let set = scope.spawn(|| cell.set(2));
                    (init, set, scope.spawn(|| *cell.wait()))
                },
            );
            assert_eq!(init.join().unwrap(), 1);
            assert_eq!(set.join().unwrap(), Err(2));
            assert_eq!(wait.join().unwrap(), 1);
        });
    });
}

#[test]
fn panic_in_the_initialiser_leaves_it_empty_for_the_next() {
    everywhere(|| {
        let mut cell: OnceLock<i32> = OnceLock::new();
        for _ in 0..2 {
            fail_here(|| {
                cell.get_or_init(|| fail());
            });
            assert_eq!((cell.get(), format!("{cell:?}")), (None, "OnceLock(<uninit>)".to_owned()));
        }
        assert_eq!(cell.get_mut(), None);
        assert_eq!(cell.take(), None);
        fail_here(|| {
            cell.get_or_init(|| fail());
        });
        assert_eq!(*cell.get_or_init(|| 3), 3);
        assert_eq!(*cell.wait(), 3);

        let cell = OnceLock::new();
        fail_here(|| {
            cell.get_or_init(|| fail());
        });
        assert_eq!(cell.set(4), Ok(()));
        assert_eq!(cell.into_inner(), Some(4));
    });
}

#[test]
fn waiters_take_over_when_the_initialiser_panics() {
    everywhere(|| {
        let shared = Shared::default();
        let (cell, ..) = &shared;
        thread::scope(|scope| {
            let (inits, wait) = during_an_initialiser(
                scope,
                &shared,
                || fail(),
                || {
                    let inits = [5, 6].map(|n| scope.spawn(move || *cell.get_or_init(|| n)));
                    (inits, scope.spawn(|| *cell.wait()))
                },
            );
            let values = inits.map(|thread| thread.join().unwrap());
            assert_eq!(values[0], values[1]);
            assert!([5, 6].contains(&values[0]));
            assert_eq!(wait.join().unwrap(), values[0]);
        });
    });
}

#[test]
fn wait_ends_when_somebody_sets_or_initialises() {
    everywhere(|| {
        for by_hand in [true, false] {
            let cell = OnceLock::new();
            thread::scope(|scope| {
                let waiting: [_; 4] = std::array::from_fn(|_| scope.spawn(|| *cell.wait()));
                settle();
                assert!(waiting.iter().all(|waiting| !waiting.is_finished()));
                if by_hand {
                    cell.set(8).unwrap();
                } else {
                    cell.get_or_init(|| 8);
                }
                for waiting in waiting {
                    assert_eq!(waiting.join().unwrap(), 8);
                }
            });
        }
    });
}

#[test]
fn wait_goes_on_although_an_initialiser_has_panicked() {
    everywhere(|| {
        let cell = OnceLock::new();
        thread::scope(|scope| {
            let early = scope.spawn(|| *cell.wait());
            settle();
            fail_here(|| {
                cell.get_or_init(|| fail());
            });
            let late = scope.spawn(|| *cell.wait());
            settle();
            assert!(!early.is_finished() && !late.is_finished());
            cell.set(1).unwrap();
            assert_eq!((early.join().unwrap(), late.join().unwrap()), (1, 1));
        });
    });
}

#[test]
fn initialiser_of_one_may_need_another() {
    everywhere(|| {
        let (outer, inner) = (OnceLock::new(), OnceLock::new());
        let sum = outer.get_or_init(|| inner.get_or_init(|| 1) + 1);
        assert_eq!(*sum, 2);
    });
}

#[test]
fn made_by_default_and_by_from_and_cloned() {
    everywhere(|| {
        assert_eq!(OnceLock::<i32>::default().get(), None);
        let from: OnceLock<_> = OnceLock::from("value");
        assert_eq!(from.get(), Some(&"value"));
        let (empty, full) = (OnceLock::<i32>::new(), OnceLock::from(1));
        let mut copies = (empty.clone(), full.clone());
        assert_eq!((copies.0.get(), copies.1.get()), (None, Some(&1)));
        *copies.1.get_mut().unwrap() = 2;
        assert_eq!(full.get(), Some(&1), "a clone has a value of its own");
        copies.0.set(3).unwrap();
        assert_eq!(empty.get(), None);
    });
}

#[test]
fn compared_by_what_they_hold() {
    everywhere(|| {
        let empty = OnceLock::new;
        assert_eq!(empty(), OnceLock::<i32>::new());
        assert_ne!(OnceLock::from(1), empty());
        assert_eq!(OnceLock::from(1), OnceLock::from(1));
        assert_ne!(OnceLock::from(1), OnceLock::from(2));
    });
}

#[test]
fn debug_shows_the_value_or_that_there_is_none() {
    everywhere(|| {
        let cell = OnceLock::new();
        assert_eq!(format!("{cell:?}"), "OnceLock(<uninit>)");
        assert_eq!(format!("{cell:#?}"), "OnceLock(\n    <uninit>,\n)");
        cell.get_or_init(|| {
            assert_eq!(format!("{cell:?}"), "OnceLock(<uninit>)");
            "a"
        });
        assert_eq!(format!("{cell:?}"), r#"OnceLock("a")"#);
        assert_eq!(format!("{cell:#?}"), "OnceLock(\n    \"a\",\n)");
    });
}

#[test]
fn value_is_dropped_once() {
    everywhere(|| {
        let drops = AtomicUsize::new(0);
        let mut cell = OnceLock::new();
        assert!(cell.set(Counts(&drops)).is_ok());
        drop(cell.set(Counts(&drops)).err().unwrap());
        assert_eq!(drops.load(SeqCst), 1);
        drop(cell.take());
        assert_eq!(drops.load(SeqCst), 2);
        drop(cell);
        assert_eq!(drops.load(SeqCst), 2);
        drop(OnceLock::from(Counts(&drops)));
        assert_eq!(drops.load(SeqCst), 3);
        drop(OnceLock::from(Counts(&drops)).into_inner());
        assert_eq!(drops.load(SeqCst), 4);
        let shared = Arc::new(OnceLock::from(Counts(&drops)));
        drop(shared.clone());
        assert_eq!(drops.load(SeqCst), 4);
        drop(shared);
        assert_eq!(drops.load(SeqCst), 5);
    });
}

#[test]
fn value_may_borrow_from_what_is_declared_after_the_cell() {
    everywhere(|| {
        let cell = OnceLock::new();
        let text = String::from("later");
        cell.set(&text[..]).unwrap();
        assert_eq!(cell.get(), Some(&"later"));
    });
}

#[test]
fn statics_need_no_initialiser() {
    static NUMBER: OnceLock<usize> = OnceLock::new();
    everywhere(|| {
        let number: &'static usize = NUMBER.get_or_init(|| 5);
        assert_eq!(*number, 5);
        let row: [OnceLock<String>; 2] = [const { OnceLock::new() }; 2];
        row[0].set(String::from("a")).unwrap();
        assert_eq!(row[1].get(), None);
    });
}
