//! Time that jumps when all threads wait.

use std::time::{Duration, Instant};

use sylvan::testing::{self, Plan, Strategy};
use sylvan::{thread, time};

const HOUR: Duration = Duration::from_secs(3600);

#[sylvan::test(seeds = 20)]
fn an_hour_of_sleeps_is_exact() {
    let begun = time::now();
    let threads: Vec<_> = (1..=60)
        .map(|minute| {
            thread::spawn(move || {
                thread::sleep(minute * Duration::from_secs(60));
                time::now()
            })
        })
        .collect();
    for (minute, thread) in (1..).zip(threads) {
        assert_eq!(thread.join().unwrap() - begun, minute * Duration::from_secs(60));
    }
    assert_eq!(time::now() - begun, HOUR);
}

#[test]
fn an_hour_of_sleeps_takes_no_time() {
    // Far more real time would be needed if only one of the sleeps were real.
    let begun = Instant::now();
    testing::run_seeded(1, || (0..1000).for_each(|_| thread::sleep(HOUR)));
    assert!(begun.elapsed() < HOUR);
}

#[sylvan::test(virtual_time, strategy = "pct")]
fn instant_of_std_stays_real() {
    let real = Instant::now();
    thread::sleep(HOUR);
    assert!(real.elapsed() < HOUR);
}

#[sylvan::test(seeds = 20)]
fn clock_stands_still_while_somebody_can_run() {
    let begun = time::now();
    let sleeper = thread::spawn(|| thread::sleep(Duration::from_nanos(1)));
    for _ in 0..1000 {
        thread::yield_now();
    }
    assert!(!sleeper.is_finished());
    assert_eq!(time::now(), begun);
    sleeper.join().unwrap();
    assert_eq!(time::now(), begun + Duration::from_nanos(1));
}

#[sylvan::test(seeds = 20)]
fn timers_fire_in_the_order_of_their_deadlines() {
    let order = std::sync::Mutex::new(Vec::new());
    thread::scope(|scope| {
        for n in [5_u64, 1, 4, 2, 3, 1_000_000_007, 60_000_000_000, 64, 4096] {
            let order = &order;
            scope.spawn(move || {
                thread::sleep(Duration::from_nanos(n));
                order.lock().unwrap().push(n);
            });
        }
    });
    assert!(order.lock().unwrap().is_sorted(), "{order:?}");
}

#[sylvan::test(seeds = 20)]
fn advance_fires_what_is_due_and_nothing_else() {
    let threads: Vec<_> = (1..=4)
        .map(|second| thread::spawn(move || thread::sleep(Duration::from_secs(second))))
        .collect();
    // As long as this kernel thread may act, the clock does not move by itself.
    let registered = testing::outside();
    testing::wait_until_all_parked();
    testing::advance(Duration::from_millis(2500));
    testing::wait_until_all_parked();
    let ended: Vec<bool> = threads.iter().map(thread::JoinHandle::is_finished).collect();
    assert_eq!(ended, [true, true, false, false]);
    testing::advance_to(time::now() + Duration::from_millis(500));
    testing::wait_until_all_parked();
    let ended: Vec<bool> = threads.iter().map(thread::JoinHandle::is_finished).collect();
    assert_eq!(ended, [true, true, true, false]);
    drop(registered);
    for thread in threads {
        thread.join().unwrap();
    }
}

/// A timeout against the wake of a thread whose own sleep is over at the same instant: whichever of
/// the two timers was armed first, and under both strategies, either one may win.
#[test]
fn timeout_and_wake_at_one_instant_come_in_either_order() {
    for strategy in [Strategy::Random, Strategy::Pct { depth: 3 }] {
        for waker_is_first in [false, true] {
            let mut woken = [0, 0];
            for seed in 0..200 {
                let is_woken = Plan::new().strategy(strategy).run(seed, move || {
                    let begun = time::now();
                    let wakes = |target: thread::Thread| {
                        thread::spawn(move || {
                            thread::sleep_until(begun + HOUR);
                            target.unpark();
                        })
                    };
                    let waits = move || {
                        thread::park_timeout(HOUR);
                        assert_eq!(time::now() - begun, HOUR);
                        // The permit is there still if the time was over first.
                        thread::park_timeout(HOUR);
                        time::now() - begun == 2 * HOUR
                    };
                    if waker_is_first {
                        let waker = wakes(thread::current());
                        testing::wait_until_all_parked();
                        let is_woken = waits();
                        waker.join().unwrap();
                        return is_woken;
                    }
                    let waiter = thread::spawn(waits);
                    testing::wait_until_all_parked();
                    wakes(waiter.thread().clone()).join().unwrap();
                    waiter.join().unwrap()
                });
                woken[usize::from(is_woken)] += 1;
            }
            let rare = woken[0].min(woken[1]);
            assert!(rare >= 10, "{strategy}, waker first: {waker_is_first}: {woken:?}");
        }
    }
}

#[sylvan::test(seeds = 20)]
fn everything_due_has_fired_when_all_are_parked() {
    let sleepers: Vec<_> = (0..50).map(|_| thread::spawn(|| thread::sleep(HOUR))).collect();
    let registered = testing::outside();
    testing::wait_until_all_parked();
    testing::advance(HOUR);
    testing::wait_until_all_parked();
    assert!(sleepers.iter().all(thread::JoinHandle::is_finished));
    drop(registered);
    sleepers.into_iter().for_each(|sleeper| sleeper.join().unwrap());
}

#[test]
fn clock_waits_for_a_registered_kernel_thread() {
    for seed in 0..20 {
        testing::run_seeded(seed, || {
            let parked = thread::current();
            let registered = testing::outside();
            let (go, gone) = std::sync::mpsc::channel::<()>();
            let kernel = std::thread::spawn(move || {
                // Real time passes, in which a virtual hour would be over at once.
                gone.recv().unwrap();
                std::thread::sleep(Duration::from_millis(2));
                parked.unpark();
                drop(registered);
            });
            let begun = time::now();
            go.send(()).unwrap();
            thread::park_timeout(HOUR);
            assert_eq!(time::now(), begun, "the kernel thread came first");
            kernel.join().unwrap();
            thread::park_timeout(HOUR);
            assert_eq!(time::now(), begun + HOUR, "nothing holds the clock any more");
        });
    }
}

#[sylvan::test(seeds = 20)]
fn all_who_wait_until_the_others_do_go_on_together() {
    let begun = time::now();
    let sleeper = thread::spawn(|| thread::sleep(HOUR));
    let threads: Vec<_> = (0..3)
        .map(|_| {
            thread::spawn(move || {
                testing::wait_until_all_parked();
                time::now()
            })
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), begun);
    }
    sleeper.join().unwrap();
}

#[test]
fn without_virtual_time_sleeps_are_real() {
    let begun = Instant::now();
    Plan::new().virtual_time(false).strategy(Strategy::Pct { depth: 2 }).run(1, || {
        let threads: Vec<_> =
            (0..10).map(|_| thread::spawn(|| thread::sleep(Duration::from_millis(5)))).collect();
        for thread in threads {
            thread.join().unwrap();
        }
    });
    assert!(begun.elapsed() >= Duration::from_millis(5));
}

#[sylvan::test(seeds = 10)]
fn far_deadlines_are_reached_and_endless_ones_are_not() {
    let begun = time::now();
    let endless = thread::spawn(|| thread::sleep(Duration::MAX));
    let century = 36_525 * 24 * HOUR;
    thread::sleep(century);
    assert_eq!(time::now() - begun, century);
    assert!(!endless.is_finished());
    endless.cancel().unwrap();
    assert!(endless.join().is_err());
}

#[test]
fn virtual_time_is_the_affair_of_its_run_alone() {
    testing::run_seeded(1, || {
        testing::advance(1000 * HOUR);
        let ahead = time::now();
        let outside = std::thread::spawn(time::now).join().unwrap();
        assert!(outside < ahead, "another kernel thread has the real clock");
    });
    let before = Instant::now();
    assert!(time::now() >= before);
    assert!(time::now() <= Instant::now());
}
