//! Faults on purpose: spawns that fail, stacks that cannot be had, timers that are late.

use std::io::ErrorKind;
use std::time::Duration;

use sylvan::testing::{self, Faults, Plan};
use sylvan::{join, thread, time};

#[test]
fn refused_spawns_say_so_and_the_rest_goes_on() {
    let (mut refused, mut ran) = (0, 0);
    for seed in 0..20 {
        Plan::new().faults(Faults::none().spawns(3)).run(seed, || {
            (0..30)
                .filter_map(|_| match thread::Builder::new().spawn(|| 1) {
                    Ok(thread) => Some(thread),
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::WouldBlock);
                        assert!(error.to_string().contains(&format!("on purpose (seed {seed})")));
                        None
                    }
                })
                .collect::<Vec<_>>()
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .sum::<usize>()
        });
        let ended = Plan::new().faults(Faults::none().spawns(3)).run(seed, || {
            let threads: Vec<_> =
                (0..30).filter_map(|_| thread::Builder::new().spawn(|| ()).ok()).collect();
            threads.len()
        });
        refused += 30 - ended;
        ran += ended;
    }
    assert!(refused > 100 && ran > 200, "{refused} refused, {ran} ran");
}

#[test]
fn plain_spawn_panics_where_a_spawn_is_refused() {
    testing::run_seeded(1, || {
        testing::inject(Faults::none().spawns(1));
        let caught = std::panic::catch_unwind(|| thread::spawn(|| ()));
        let payload = caught.expect_err("it must panic");
        let text = sylvan_workspace::text_of(&*payload);
        assert!(text.starts_with("failed to spawn thread: a thread was refused"), "{text}");
        testing::inject(Faults::none());
        thread::spawn(|| ()).join().unwrap();
    });
}

#[sylvan::test(seeds = 50)]
fn join_never_fails_for_want_of_a_thread() {
    testing::inject(Faults::none().spawns(1));
    let (left, right) = join(thread::yield_now, || 2);
    assert_eq!((left, right), ((), 2));
}

#[test]
fn refused_stacks_reach_the_joiner_as_errors() {
    let mut refused = 0;
    for seed in 0..20 {
        refused += Plan::new().faults(Faults::none().stacks(2)).run(seed, || {
            // Not the first thread itself, which has its stack already if we are here.
            let threads: Vec<_> = (0..20).map(|_| thread::spawn(thread::yield_now)).collect();
            threads
                .into_iter()
                .filter_map(|thread| thread.join().err())
                .inspect(|payload| {
                    let error = payload.downcast_ref::<std::io::Error>().expect("the reason");
                    assert_eq!(error.kind(), ErrorKind::OutOfMemory);
                    assert!(error.to_string().contains("a stack was refused on purpose"));
                })
                .count()
        });
        testing::run_seeded(seed, || {
            testing::inject(Faults::none().stacks(1));
            assert!(thread::spawn(|| ()).join().is_err());
        });
    }
    assert!(refused > 0);
}

#[test]
fn late_timers_are_never_early_and_not_later_than_asked() {
    let second = Duration::from_secs(1);
    let mut lateness = Vec::new();
    for seed in 0..50 {
        lateness.push(Plan::new().faults(Faults::none().late_timers(second)).run(seed, || {
            let begun = time::now();
            thread::sleep(10 * second);
            time::now() - begun - 10 * second
        }));
    }
    assert!(lateness.iter().all(|&late| late <= second), "{lateness:?}");
    lateness.sort_unstable();
    lateness.dedup();
    assert!(lateness.len() > 40, "each is drawn: {lateness:?}");
}
