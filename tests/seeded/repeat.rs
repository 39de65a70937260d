//! The same seed and the same program give the same run, to the last switch.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use sylvan::testing::{Plan, Strategy, Trace};
use sylvan::{join, thread};
use sylvan_workspace::Random;

const STRATEGIES: [Strategy; 3] =
    [Strategy::Random, Strategy::Pct { depth: 1 }, Strategy::Pct { depth: 4 }];

/// A program with something of everything; its value depends on the order in which things happen.
fn program() -> Vec<u64> {
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let note = |what: u64| order.lock().unwrap().push(what);
    thread::scope(|scope| {
        for number in 0..6 {
            scope.spawn(move || {
                for round in 0..4 {
                    thread::yield_now();
                    note(100 * number + round);
                    thread::sleep(Duration::from_micros(7 * (number + 1)));
                }
            });
        }
        let parked = scope.spawn(|| {
            thread::park();
            note(1000);
        });
        let cancelled = scope.spawn(thread::park);
        let (left, right) = join(
            || {
                thread::yield_now();
                note(2000);
                1
            },
            || {
                note(2001);
                2
            },
        );
        note(left + right);
        parked.thread().unpark();
        cancelled.cancel().unwrap();
        assert!(cancelled.join().is_err());
        let local = thread::spawn_local(|| thread::park_timeout(Duration::from_millis(1)));
        local.join().unwrap();
    });
    order.lock().unwrap().clone()
}

fn traced(strategy: Strategy, seed: u64) -> (Vec<u64>, Trace) {
    Plan::new().strategy(strategy).trace(seed, program)
}

#[test]
fn same_seed_gives_the_same_run_to_the_last_switch() {
    for strategy in STRATEGIES {
        for seed in 0..40 {
            let (first, first_trace) = traced(strategy, seed);
            let (second, second_trace) = traced(strategy, seed);
            assert_eq!(first, second, "{strategy}, seed {seed}");
            assert_eq!(
                first_trace.to_string(),
                second_trace.to_string(),
                "{strategy}, seed {seed}"
            );
            assert_eq!(first_trace, second_trace, "{strategy}, seed {seed}");
            assert!(first_trace.len() > 50, "{first_trace}");
        }
    }
}

#[test]
fn same_seed_gives_the_same_run_beside_other_runs() {
    // Numbers of threads, stacks and addresses are shared by the process; the course is not.
    let alone: Vec<Trace> = (0..8).map(|seed| traced(Strategy::Random, seed).1).collect();
    std::thread::scope(|scope| {
        for (seed, trace) in (0..).zip(&alone) {
            scope.spawn(move || {
                for _ in 0..20 {
                    assert_eq!(traced(Strategy::Random, seed).1, *trace);
                }
            });
        }
    });
}

#[test]
fn seeds_give_different_orders() {
    for strategy in STRATEGIES {
        let mut orders: Vec<_> = (0..40).map(|seed| traced(strategy, seed).0).collect();
        orders.sort();
        orders.dedup();
        assert!(orders.len() > 30, "only {} orders under {strategy}", orders.len());
    }
}

#[test]
fn all_orders_of_few_threads_are_reached() {
    // Three threads, each with one switch: 3! orders of the first halves times those of the others.
    for strategy in [Strategy::Random, Strategy::Pct { depth: 3 }] {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..400 {
            seen.insert(Plan::new().strategy(strategy).run(seed, || {
                let order = Arc::new(AtomicU64::new(0));
                let threads: Vec<_> = (1..=3)
                    .map(|digit| {
                        let order = order.clone();
                        thread::spawn(move || {
                            order.fetch_update(SeqCst, SeqCst, |n| Some(10 * n + digit)).unwrap()
                        })
                    })
                    .collect();
                for thread in threads {
                    thread.join().unwrap();
                }
                order.load(SeqCst)
            }));
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [123, 132, 213, 231, 312, 321]);
    }
}

#[test]
fn threads_are_numbered_from_zero_in_each_run() {
    let numbers = || {
        let own = format!("{:?}", thread::current().id());
        let other = thread::spawn(|| format!("{:?}", thread::current().id())).join().unwrap();
        (own, other)
    };
    for seed in 0..3 {
        let (own, other) = sylvan::testing::run_seeded(seed, numbers);
        assert_eq!((own.as_str(), other.as_str()), ("ThreadId(0)", "ThreadId(1)"));
    }
}

#[test]
#[cfg_attr(feature = "sanitizer", ignore = "AddressSanitizer keeps local variables elsewhere")]
fn frames_lie_at_the_same_place_of_a_page_in_each_run() {
    fn place() -> usize {
        let local = 0_u64;
        std::ptr::from_ref(std::hint::black_box(&local)).addr() & 0xfff
    }
    let places = |seed| {
        sylvan::testing::run_seeded(seed, || {
            let threads: Vec<_> = (0..20).map(|_| thread::spawn(place)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        })
    };
    // Another seed as well: the colour goes by the number of the thread, not by who came first.
    let first = places(1);
    assert_eq!(first, places(1));
    assert_eq!(first, places(2));
    let mut colours = first.clone();
    colours.sort_unstable();
    colours.dedup();
    assert!(colours.len() >= 16, "{colours:?}");
}

#[test]
fn seed_is_told_to_the_program_for_its_own_data() {
    assert_eq!(sylvan::testing::seed(), None);
    let data = |seed| {
        sylvan::testing::run_seeded(seed, || {
            Random::new(sylvan::testing::seed().expect("this is a run")).number()
        })
    };
    assert_eq!(data(5), data(5));
    assert_ne!(data(5), data(6));
}

#[test]
fn children_run_in_place_under_some_seeds_and_not_under_others() {
    let mut in_place = 0;
    for seed in 0..40 {
        let (_, trace) = Plan::new().trace(seed, || {
            thread::scope(|scope| {
                scope.spawn(|| ());
            });
        });
        in_place += u32::from(trace.to_string().contains("on the stack of"));
    }
    assert!((5..=35).contains(&in_place), "{in_place} of 40");
}

#[test]
fn waits_that_look_again_are_woken_for_nothing_now_and_then() {
    let mut woken = 0;
    for seed in 0..100 {
        let (_, trace) = Plan::new().trace(seed, program);
        woken += trace.to_string().matches("is woken for nothing").count();
    }
    assert!(woken > 20, "{woken}");
}

#[test]
fn park_returns_without_a_permit_only_where_that_was_asked_for() {
    let parks = |plan: Plan| {
        (0..100_u64)
            .filter(|&seed| {
                plan.run(seed, || {
                    let parked = thread::spawn(|| {
                        thread::park();
                        thread::park();
                    });
                    parked.thread().unpark();
                    thread::sleep(Duration::from_secs(1));
                    let early = parked.is_finished();
                    parked.thread().unpark();
                    parked.join().unwrap();
                    early
                })
            })
            .count()
    };
    assert_eq!(parks(Plan::new()), 0);
    assert!(parks(Plan::new().spurious_parks(true)) > 0);
}
