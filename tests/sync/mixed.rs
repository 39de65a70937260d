//! Green threads of several runtimes and kernel threads of none, all at the same objects.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use sylvan::sync::{Arc, Barrier, Condvar, Event, Mutex, Once, OnceLock, RwLock, Semaphore};
use sylvan::{Mapping, Runtime, thread};
use sylvan_workspace::Watchdog;

/// Runs `body` at the same time in a thread of each of three runtimes and on two kernel threads of
/// none, and gives what they return.
fn on_all_sides<R: Send>(body: impl Fn(usize) -> R + Sync) -> Vec<R> {
    let _watchdog = Watchdog::new("on all sides");
    let runtimes = [Mapping::ManyToMany, Mapping::ManyToOne, Mapping::OneToOne].map(|mapping| {
        Runtime::builder().mapping(mapping).workers(2).build().expect("the runtime can be built")
    });
    std::thread::scope(|scope| {
        let mut sides = Vec::new();
        for number in 0..SIDES {
            let (body, runtime) = (&body, runtimes.get(number));
            sides.push(scope.spawn(move || match runtime {
                Some(runtime) => runtime.run(|| body(number)),
                None => body(number),
            }));
        }
        sides.into_iter().map(|side| side.join().expect("no side fails")).collect()
    })
}

const SIDES: usize = 5;
const ROUNDS: usize = 200;

/// Runs `body` in four threads of the current side.
fn in_four(body: impl Fn() + Sync) {
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(&body);
        }
    });
}

#[test]
fn mutex_excludes_everybody() {
    let lock = Mutex::new(0);
    on_all_sides(|_| {
        in_four(|| {
            for round in 0..ROUNDS {
                let mut guard = lock.lock().unwrap();
                let before = *guard;
                if round % 16 == 0 {
                    thread::yield_now();
                }
                *guard = before + 1;
            }
        });
    });
    assert_eq!(lock.into_inner().unwrap(), SIDES * 4 * ROUNDS);
}

#[test]
fn rwlock_excludes_everybody_and_shares() {
    let (lock, writes) = (RwLock::new((0, 0)), AtomicUsize::new(0));
    on_all_sides(|_| {
        in_four(|| {
            for round in 0..ROUNDS {
                if round % 5 == 0 {
                    let mut guard = lock.write().unwrap();
                    guard.0 += 1;
                    if round % 10 == 0 {
                        thread::yield_now();
                    }
                    guard.1 += 1;
                    writes.fetch_add(1, SeqCst);
                } else {
                    let guard = lock.read().unwrap();
                    let before = *guard;
                    if round % 16 == 0 {
                        thread::yield_now();
                    }
                    assert_eq!((before.0, before), (before.1, *guard));
                }
            }
        });
    });
    let written = writes.load(SeqCst);
    assert_eq!(lock.into_inner().unwrap(), (written, written));
}

#[test]
fn turns_go_round_by_a_condition_variable() {
    let (turn, changed) = (Mutex::new(0), Condvar::new());
    on_all_sides(|me| {
        for _ in 0..ROUNDS {
            let guard = turn.lock().unwrap();
            let mut guard = changed.wait_while(guard, |turn| *turn % SIDES != me).unwrap();
            *guard += 1;
            drop(guard);
            changed.notify_all();
        }
    });
    assert_eq!(turn.into_inner().unwrap(), SIDES * ROUNDS);
}

#[test]
fn one_initialises_and_all_see_it() {
    for _ in 0..20 {
        let (once, cell, count) = (Once::new(), OnceLock::new(), AtomicUsize::new(0));
        let values = on_all_sides(|me| {
            once.call_once(|| {
                thread::yield_now();
                count.fetch_add(1, SeqCst);
            });
            assert_eq!(count.load(SeqCst), 1);
            *cell.get_or_init(|| {
                thread::yield_now();
                me
            })
        });
        assert!(values.iter().all(|value| Some(value) == cell.get()));
    }
}

#[test]
fn barrier_lets_all_sides_go_together() {
    let (barrier, arrived) = (Barrier::new(SIDES), AtomicUsize::new(0));
    let leaders = on_all_sides(|_| {
        let mut led = 0;
        for round in 1..=ROUNDS {
            arrived.fetch_add(1, SeqCst);
            led += usize::from(barrier.wait().is_leader());
            assert!(arrived.load(SeqCst) >= round * SIDES);
            led += usize::from(barrier.wait().is_leader());
        }
        led
    });
    assert_eq!(leaders.iter().sum::<usize>(), 2 * ROUNDS);
}

#[test]
fn semaphore_lets_in_no_more_than_it_has_permits() {
    let (semaphore, inside) = (Arc::new(Semaphore::new(3)), AtomicUsize::new(0));
    on_all_sides(|_| {
        in_four(|| {
            for round in 0..ROUNDS {
                let permits = 1 + round % 3;
                let permit = semaphore.acquire_many(permits);
                assert!(inside.fetch_add(permits, SeqCst) + permits <= 3);
                if round % 16 == 0 {
                    thread::yield_now();
                }
                inside.fetch_sub(permits, SeqCst);
                drop(permit);
            }
        });
    });
    assert_eq!(semaphore.available_permits(), 3);
}

#[test]
fn event_lets_all_sides_go() {
    let (event, ready) = (Event::new(), AtomicUsize::new(0));
    on_all_sides(|me| {
        if me == 0 {
            while ready.load(SeqCst) < SIDES - 1 {
                thread::yield_now();
            }
            event.set();
        } else {
            ready.fetch_add(1, SeqCst);
            assert!(event.wait_timeout(Duration::MAX));
        }
    });
    assert!(event.is_set());
}
