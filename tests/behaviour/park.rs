//! Parking, sleeping, yielding: permits are kept, taken once, and by nothing but a park.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use sylvan::{thread, time};
use sylvan_workspace::{everywhere, in_every_runtime, on_foreign_thread, outside, until};

/// So long that a test which waits for it is aborted by the watchdog.
const FOR_EVER: Duration = Duration::from_secs(3600);
const MOMENT: Duration = Duration::from_millis(2);

#[test]
fn unpark_before_park_returns_at_once() {
    everywhere(|_| {
        thread::current().unpark();
        thread::park();
        thread::current().unpark();
        thread::park_timeout(FOR_EVER);
    });
}

#[test]
fn two_unparks_are_one_permit() {
    everywhere(|_| {
        thread::current().unpark();
        thread::current().unpark();
        thread::park();
        let start = time::now();
        thread::park_timeout(MOMENT);
        assert!(time::now() - start >= MOMENT, "the second permit was kept");
    });
}

#[test]
fn unpark_after_park_wakes() {
    everywhere(|_| {
        let parked = thread::spawn(thread::park);
        // Lets it park first, on the shapes where that takes a turn.
        thread::yield_now();
        parked.thread().unpark();
        parked.join().unwrap();
    });
}

#[test]
fn park_without_permit_never_returns_by_itself() {
    in_every_runtime(|_| {
        let returned = Arc::new(AtomicBool::new(false));
        let inner = returned.clone();
        let parked = thread::spawn(move || {
            thread::park();
            inner.store(true, SeqCst);
        });
        for _ in 0..200 {
            thread::yield_now();
            assert!(!returned.load(SeqCst));
        }
        parked.thread().unpark();
        parked.join().unwrap();
    });
}

#[test]
fn ping_pong_loses_no_permit() {
    everywhere(|shape| {
        let rounds = if shape.is_green() { 5000 } else { 500 };
        let turn = Arc::new(AtomicUsize::new(0));
        let main = thread::current();
        let seen = turn.clone();
        let other = thread::spawn(move || {
            for round in 0..rounds {
                while seen.load(SeqCst) != 2 * round + 1 {
                    thread::park();
                }
                seen.store(2 * round + 2, SeqCst);
                main.unpark();
            }
        });
        for round in 0..rounds {
            turn.store(2 * round + 1, SeqCst);
            other.thread().unpark();
            while turn.load(SeqCst) != 2 * round + 2 {
                thread::park();
            }
        }
        other.join().unwrap();
    });
}

#[test]
fn permit_is_kept_over_other_waits() {
    everywhere(|_| {
        thread::current().unpark();
        thread::sleep(MOMENT);
        thread::yield_now();
        let start = time::now();
        thread::spawn(thread::yield_now).join().unwrap();
        thread::scope(|scope| {
            scope.spawn(thread::yield_now);
        });
        sylvan::join(thread::yield_now, thread::yield_now);
        thread::park_timeout(FOR_EVER);
        assert!(time::now() - start < FOR_EVER);
    });
}

#[test]
fn unpark_during_a_sleep_does_not_end_the_sleep_and_is_kept() {
    everywhere(|_| {
        let slept = thread::spawn(|| {
            let start = time::now();
            thread::sleep(10 * MOMENT);
            assert!(time::now() - start >= 10 * MOMENT, "the permit ended a sleep");
            thread::park();
        });
        for _ in 0..100 {
            thread::yield_now();
            slept.thread().unpark();
        }
        slept.join().unwrap();
    });
}

#[test]
fn park_timeout_without_permit_waits_its_time() {
    everywhere(|_| {
        let start = time::now();
        thread::park_timeout(MOMENT);
        assert!(time::now() - start >= MOMENT);
        thread::park_timeout(Duration::ZERO);
    });
}

#[test]
fn zero_timeout_takes_the_permit_that_is_there() {
    everywhere(|_| {
        thread::current().unpark();
        thread::park_timeout(Duration::ZERO);
        let start = time::now();
        thread::park_timeout(MOMENT);
        assert!(time::now() - start >= MOMENT, "the permit was left");
    });
}

#[test]
fn timeout_beyond_every_clock_waits_for_the_permit() {
    everywhere(|_| {
        let parked = thread::spawn(|| thread::park_timeout(Duration::MAX));
        thread::yield_now();
        parked.thread().unpark();
        parked.join().unwrap();
    });
}

#[test]
fn wake_that_lands_as_the_timer_fires_is_not_lost() {
    // Whoever wins, the permit is either taken by this park or still there for the next.
    in_every_runtime(|shape| {
        let rounds = if shape.is_green() { 300 } else { 100 };
        let taken = Arc::new(AtomicUsize::new(0));
        for round in 0..rounds {
            let inner = taken.clone();
            let go = Arc::new(AtomicBool::new(false));
            let started = go.clone();
            let timeout = Duration::from_micros(20 * (round % 10) as u64);
            let parked = thread::spawn(move || {
                started.store(true, SeqCst);
                thread::park_timeout(timeout);
                // If the permit came late it is there now or comes; if it was taken, the
                // spawner gives another one.
                inner.fetch_add(1, SeqCst);
                thread::park();
            });
            until(|| go.load(SeqCst));
            // By the real clock: a virtual one does not move while somebody runs.
            let end = Instant::now() + timeout;
            while Instant::now() < end {
                std::hint::spin_loop();
            }
            parked.thread().unpark();
            until(|| taken.load(SeqCst) == round + 1);
            parked.thread().unpark();
            parked.join().unwrap();
        }
    });
}

#[test]
fn sleep_is_never_shorter() {
    everywhere(|_| {
        for micros in [0, 1, 50, 1000, 3000] {
            let start = time::now();
            thread::sleep(Duration::from_micros(micros));
            assert!(time::now() - start >= Duration::from_micros(micros));
        }
    });
}

#[test]
fn sleep_until_the_past_returns() {
    everywhere(|_| {
        thread::sleep_until(time::now());
        if let Some(past) = time::now().checked_sub(Duration::from_secs(1)) {
            thread::sleep_until(past);
        }
        let deadline = time::now() + MOMENT;
        thread::sleep_until(deadline);
        assert!(time::now() >= deadline);
    });
}

#[test]
fn sleepers_wake_in_the_order_of_their_deadlines() {
    in_every_runtime(|shape| {
        if shape.is_parallel() {
            // Across workers the order of two wakes is nobody's promise.
            return;
        }
        let order = Arc::new(std::sync::Mutex::new(Vec::new()));
        let start = time::now() + MOMENT;
        let threads: Vec<_> = [3, 1, 2, 0]
            .map(|place| {
                let order = order.clone();
                thread::spawn(move || {
                    thread::sleep_until(start + place * 5 * MOMENT);
                    order.lock().unwrap().push(place);
                })
            })
            .into();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3]);
    });
}

#[test]
fn many_sleepers_all_wake() {
    in_every_runtime(|shape| {
        let count = if shape.is_green() { 2000 } else { 100 };
        let woken = Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = (0..count)
            .map(|n| {
                let woken = woken.clone();
                thread::spawn(move || {
                    thread::sleep(Duration::from_micros(n % 7000));
                    woken.fetch_add(1, SeqCst);
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(woken.load(SeqCst), count as usize);
    });
}

#[test]
fn foreign_kernel_thread_wakes_and_is_woken() {
    in_every_runtime(|_| {
        let (me, registered) = (thread::current(), outside());
        let slot = Arc::new(OnceLock::new());
        let inner = slot.clone();
        let kernel = std::thread::spawn(move || {
            assert!(inner.set(thread::current()).is_ok());
            for _ in 0..100 {
                thread::park();
                me.unpark();
            }
            drop(registered);
        });
        until(|| slot.get().is_some());
        let foreign = slot.get().unwrap();
        for _ in 0..100 {
            foreign.unpark();
            thread::park();
        }
        kernel.join().unwrap();
    });
}

#[test]
fn stds_permit_and_sylvans_are_two() {
    on_foreign_thread(|| {
        std::thread::current().unpark();
        let start = time::now();
        thread::park_timeout(MOMENT);
        assert!(time::now() - start >= MOMENT, "std's permit ended a park of sylvan's");
        std::thread::park();
        thread::current().unpark();
        thread::park();
    });
}
