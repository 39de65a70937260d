//! `SYLVAN_SHUFFLE`: debug builds shuffle what is ready, so that nobody comes to rely on an order.
//!
//! Each case is a process of its own, for the variable is read when a runtime is built.
#![forbid(unsafe_code)]

use std::sync::{Arc, Mutex};

use sylvan::{Mapping, Runtime, thread};
use sylvan_workspace::{in_child, longest_gap_of_yields};

/// The order in which twenty threads go on that were made ready at once.
fn order() -> Vec<usize> {
    let order = Arc::new(Mutex::new(Vec::new()));
    let threads: Vec<_> = (0..20)
        .map(|number| {
            let order = order.clone();
            thread::spawn(move || {
                thread::park();
                order.lock().unwrap().push(number);
            })
        })
        .collect();
    // All of them have parked when all others have had a turn.
    for _ in 0..200 {
        thread::yield_now();
    }
    for thread in &threads {
        thread.thread().unpark();
    }
    for thread in threads {
        thread.join().unwrap();
    }
    let order = order.lock().unwrap();
    order.clone()
}

fn order_under(test: &str, seed: &str) -> String {
    let variables = [("SYLVAN_SHUFFLE", seed)];
    let variables = if seed.is_empty() { &[][..] } else { &variables[..] };
    let child = in_child(test, variables, || {
        let runtime = Runtime::builder().mapping(Mapping::ManyToOne).build().unwrap();
        println!("shuffle {:?}", runtime.config().shuffle);
        println!("order {:?}", runtime.run(order));
    });
    child.expect_success();
    let said = if seed.is_empty() { "None".to_owned() } else { format!("Some({seed})") };
    assert!(child.stdout.contains(&format!("shuffle {said}")), "{}", child.stdout);
    let line = child.stdout.lines().find(|line| line.starts_with("order ")).expect("printed");
    line.to_owned()
}

#[test]
fn debug_builds_shuffle_by_the_seed() {
    let test = "debug_builds_shuffle_by_the_seed";
    let [plain, again, first, second, repeated] =
        ["", "", "1", "2", "1"].map(|seed| order_under(test, seed));
    assert_eq!(plain, again, "one worker without a seed keeps its order");
    if cfg!(debug_assertions) {
        assert_ne!(first, plain);
        assert_ne!(first, second);
        assert_eq!(first, repeated, "the same seed, the same order");
    } else {
        assert_eq!(first, plain, "release builds do not shuffle");
    }
}

#[test]
fn release_builds_say_that_they_do_not_shuffle() {
    let test = "release_builds_say_that_they_do_not_shuffle";
    let child = in_child(test, &[("SYLVAN_SHUFFLE", "1")], || {
        for _ in 0..2 {
            drop(Runtime::builder().build().unwrap());
        }
    });
    child.expect_success();
    let said = child.stderr.matches("SYLVAN_SHUFFLE is set, but only debug builds").count();
    assert_eq!(said, if cfg!(debug_assertions) { 0 } else { 1 }, "{}", child.stderr);
}

#[test]
fn shuffled_queue_keeps_the_fairness_bound() {
    let test = "shuffled_queue_keeps_the_fairness_bound";
    in_child(test, &[("SYLVAN_SHUFFLE", "7")], || {
        let runtime = Runtime::builder().mapping(Mapping::ManyToOne).build().unwrap();
        runtime.run(|| {
            let longest = longest_gap_of_yields(30);
            assert!(longest <= 4 * 31 + 61, "a thread waited for {longest} turns");
        });
    })
    .expect_success();
}

#[test]
fn shuffled_workers_lose_nothing() {
    let test = "shuffled_workers_lose_nothing";
    for workers in ["2", "4"] {
        in_child(test, &[("SYLVAN_SHUFFLE", "3"), ("SYLVAN_WORKERS", workers)], || {
            let sum = sylvan::run(|| {
                let threads: Vec<_> = (0..500_u64)
                    .map(|number| {
                        thread::spawn(move || {
                            thread::yield_now();
                            thread::spawn(move || number).join().unwrap()
                        })
                    })
                    .collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).sum::<u64>()
            });
            assert_eq!(sum, 124_750);
        })
        .expect_success();
    }
}
