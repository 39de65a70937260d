//! Waiters that go without having got anything, and what that leaves to those who stay: at a
//! barrier, a semaphore, an event and a wait group, green threads and kernel threads together.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use sylvan::sync::{Barrier, Event, Semaphore, WaitGroup};
use sylvan::thread::{self, JoinHandle};
use sylvan::{Mapping, Runtime};
use sylvan_workspace::{
    Wait, in_child, in_every_runtime, leave_waiting, outside, until, with_time_enough,
};

use sylvan_workspace::settle;

/// A kernel thread that no runtime knows.
struct Foreign<T>(std::thread::JoinHandle<T>);

impl<T: Send + 'static> Foreign<T> {
    fn spawn(f: impl FnOnce() -> T + Send + 'static) -> Foreign<T> {
        let registered = outside();
        Foreign(std::thread::spawn(move || {
            let value = f();
            drop(registered);
            value
        }))
    }

    /// Waits without keeping other threads from the worker.
    fn join(self) -> T {
        until(|| self.0.is_finished());
        self.0.join().unwrap()
    }
}

/// Threads that wait at `barrier` and tell whether they led.
fn arrive(barrier: &Arc<Barrier>) -> JoinHandle<bool> {
    let barrier = barrier.clone();
    thread::spawn(move || barrier.wait().is_leader())
}

/// Fails unless nobody has arrived at a barrier for three.
fn expect_fresh(barrier: &Arc<Barrier>) {
    let first_two = [arrive(barrier), arrive(barrier)];
    settle();
    assert!(first_two.iter().all(|thread| !thread.is_finished()));
    let mut leaders = usize::from(barrier.wait().is_leader());
    for thread in first_two {
        leaders += usize::from(thread.join().unwrap());
    }
    assert_eq!(leaders, 1);
}

#[test]
fn cancelled_arrival_at_a_barrier_is_taken_back_and_a_newcomer_opens_it() {
    in_every_runtime(|_| {
        let barrier = Arc::new(Barrier::new(4));
        for _ in 0..3 {
            let foreign = {
                let barrier = barrier.clone();
                Foreign::spawn(move || barrier.wait().is_leader())
            };
            let (cancelled, stays) = (arrive(&barrier), arrive(&barrier));
            settle();
            cancelled.cancel().unwrap();
            assert!(cancelled.join().is_err(), "three do not open a barrier for four");
            let newcomer = arrive(&barrier);
            settle();
            assert!(!stays.is_finished() && !newcomer.is_finished(), "one has gone");
            let mut leaders = usize::from(barrier.wait().is_leader());
            leaders += usize::from(foreign.join());
            for thread in [stays, newcomer] {
                leaders += usize::from(thread.join().unwrap());
            }
            assert_eq!(leaders, 1);
        }
    });
}

#[test]
fn cancellation_that_meets_the_opening_of_a_barrier_leaves_no_arrival_behind() {
    in_every_runtime(|_| {
        let barrier = Arc::new(Barrier::new(3));
        for round in 0..20 {
            let threads = [arrive(&barrier), arrive(&barrier)];
            let cancelled = arrive(&barrier);
            for _ in 0..round % 5 {
                thread::yield_now();
            }
            cancelled.cancel().unwrap();
            let _ = cancelled.join();
            // Needed if the arrival was taken back; else it waits alone, until it is cancelled too.
            let newcomer = arrive(&barrier);
            for thread in threads {
                thread.join().unwrap();
            }
            newcomer.cancel().unwrap();
            let _ = newcomer.join();
            expect_fresh(&barrier);
        }
    });
}

#[test]
fn cancelled_request_for_many_lets_those_behind_it_have_their_permits() {
    in_every_runtime(|_| {
        let semaphore = Arc::new(Semaphore::new(2));
        for _ in 0..5 {
            let big = {
                let semaphore = semaphore.clone();
                thread::spawn(move || drop(semaphore.acquire_many_owned(3)))
            };
            // There are two, which nobody gets while somebody waits.
            until(|| semaphore.try_acquire().is_none());
            let green = {
                let semaphore = semaphore.clone();
                thread::spawn(move || drop(semaphore.acquire_many_owned(2)))
            };
            let foreign = {
                let semaphore = semaphore.clone();
                Foreign::spawn(move || drop(semaphore.acquire()))
            };
            settle();
            assert!(!green.is_finished() && !foreign.0.is_finished(), "the big one was passed");
            big.cancel().unwrap();
            green.join().unwrap();
            foreign.join();
            assert!(big.join().is_err());
            assert!(semaphore.try_acquire_many(2).is_some(), "nobody waits any more");
        }
    });
}

#[test]
fn permit_that_meets_a_cancellation_is_not_lost() {
    in_every_runtime(|_| {
        let semaphore = Arc::new(Semaphore::new(0));
        for round in 0..60 {
            let take_one = |_| {
                let semaphore = semaphore.clone();
                thread::spawn(move || drop(semaphore.acquire()))
            };
            let [cancelled, stays] = [0, 1].map(take_one);
            if round % 2 == 0 {
                settle();
            }
            let add_one = {
                let semaphore = semaphore.clone();
                move || semaphore.add_permits(1)
            };
            // From the same worker, from another one, or from outside.
            match round % 3 {
                0 => {
                    add_one();
                    cancelled.cancel().unwrap();
                }
                1 => {
                    let adds = thread::spawn(add_one);
                    cancelled.cancel().unwrap();
                    adds.join().unwrap();
                }
                _ => {
                    let adds = Foreign::spawn(add_one);
                    cancelled.cancel().unwrap();
                    adds.join();
                }
            }
            // Hangs if the permit went with the one that is gone.
            stays.join().unwrap();
            let _ = cancelled.join();
            assert_eq!(semaphore.available_permits(), 1);
            assert_eq!(semaphore.forget_permits(2), 1);
        }
    });
}

#[test]
fn time_that_is_over_meanwhile_takes_no_permits_from_a_crowd() {
    in_every_runtime(|_| {
        let semaphore = Arc::new(Semaphore::new(3));
        let threads: Vec<_> = (0..100)
            .map(|number| {
                let semaphore = semaphore.clone();
                thread::spawn(move || {
                    let patience = Duration::from_micros(10 * (number % 7));
                    for _ in 0..3 {
                        let permit = match number % 3 {
                            0 => semaphore.try_acquire_for(patience),
                            1 => Some(semaphore.acquire()),
                            _ => Some(semaphore.acquire_many(3)),
                        };
                        thread::yield_now();
                        drop(permit);
                    }
                })
            })
            .collect();
        for thread in threads.iter().step_by(5) {
            thread.cancel().unwrap();
        }
        for (number, thread) in threads.into_iter().enumerate() {
            assert!(thread.join().is_ok() || number % 5 == 0);
        }
        assert!(semaphore.try_acquire_many(3).is_some(), "all are there, and nobody waits");
    });
}

#[test]
fn release_to_a_crowd_larger_than_a_batch_serves_everybody_and_in_order() {
    in_every_runtime(|shape| {
        const CROWD: usize = 150;
        let (semaphore, served) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
        let threads: Vec<_> = (0..CROWD)
            .map(|_| {
                let (semaphore, served) = (semaphore.clone(), served.clone());
                let thread = thread::spawn(move || {
                    semaphore.acquire().forget();
                    served.fetch_add(1, SeqCst)
                });
                if shape.is_many_to_one() {
                    settle();
                }
                thread
            })
            .collect();
        for thread in threads.iter().step_by(3) {
            thread.cancel().unwrap();
        }
        semaphore.add_permits(CROWD);
        let places: Vec<_> = threads.into_iter().filter_map(|thread| thread.join().ok()).collect();
        assert!(places.len() >= CROWD - CROWD / 3);
        assert_eq!(semaphore.available_permits(), CROWD - served.load(SeqCst));
        if shape == sylvan_workspace::Shape::ManyToOne {
            assert!(places.is_sorted(), "{places:?}");
        }
    });
}

#[test]
fn cancelled_waiter_of_an_event_goes_and_the_others_are_let_go() {
    in_every_runtime(|_| {
        let event = Arc::new(Event::new());
        for round in 0..10 {
            let wait = |_| {
                let event = event.clone();
                thread::spawn(move || event.wait())
            };
            let [cancelled, meets, stays] = [0, 1, 2].map(wait);
            let foreign = {
                let event = event.clone();
                Foreign::spawn(move || event.wait())
            };
            settle();
            cancelled.cancel().unwrap();
            assert!(cancelled.join().is_err(), "it is not set in round {round}");
            assert!(!stays.is_finished());
            let sets = {
                let event = event.clone();
                Foreign::spawn(move || event.set())
            };
            meets.cancel().unwrap();
            sets.join();
            // Those who came too late to wait find it set.
            stays.join().unwrap();
            foreign.join();
            let _ = meets.join();
            event.reset();
            assert!(!event.is_set());
        }
    });
}

#[test]
fn event_that_is_reset_at_once_wakes_nobody_who_comes_afterwards() {
    in_every_runtime(|_| {
        let event = Arc::new(Event::new());
        for _ in 0..20 {
            // Somebody waits, so that the setter has somebody to wake.
            let waits = {
                let event = event.clone();
                thread::spawn(move || event.wait())
            };
            settle();
            let sets = {
                let event = event.clone();
                Foreign::spawn(move || event.set())
            };
            until(|| event.is_set());
            event.reset();
            // Nobody sets it any more; but the one who has may still be about to wake.
            assert!(!event.wait_timeout(Duration::from_micros(20)));
            sets.join();
            event.set();
            waits.join().unwrap();
            event.reset();
        }
    });
}

#[test]
fn cancelled_waiter_of_a_group_no_longer_counts() {
    in_every_runtime(|_| {
        let group = WaitGroup::new();
        let wait = |_| {
            let group = group.clone();
            thread::spawn(move || group.wait())
        };
        let [cancelled, stays] = [0, 1].map(wait);
        let foreign = {
            let group = group.clone();
            Foreign::spawn(move || group.wait())
        };
        settle();
        cancelled.cancel().unwrap();
        assert!(cancelled.join().is_err());
        settle();
        assert!(!stays.is_finished() && !foreign.0.is_finished());
        // The last one that counts.
        drop(group);
        stays.join().unwrap();
        foreign.join();
    });
}

#[test]
fn two_runtimes_and_a_kernel_thread_share_a_semaphore() {
    in_every_runtime(|_| {
        let (semaphore, inside) = (Arc::new(Semaphore::new(2)), Arc::new(AtomicUsize::new(0)));
        let user = || {
            let (semaphore, inside) = (semaphore.clone(), inside.clone());
            move || {
                for _ in 0..20 {
                    let _permit = semaphore.acquire();
                    let now = inside.fetch_add(1, SeqCst) + 1;
                    assert!(now <= 2, "{now} are inside");
                    thread::yield_now();
                    inside.fetch_sub(1, SeqCst);
                }
            }
        };
        let others = [(); 3].map(|()| user());
        let other = Foreign::spawn(move || {
            let runtime = Runtime::builder().mapping(Mapping::ManyToMany).workers(2);
            runtime.build().unwrap().run(|| {
                for thread in others.map(thread::spawn) {
                    thread.join().unwrap();
                }
            });
        });
        let foreign = Foreign::spawn(user());
        for thread in [(); 3].map(|()| thread::spawn(user())) {
            thread.join().unwrap();
        }
        other.join();
        foreign.join();
        assert!(semaphore.try_acquire_many(2).is_some(), "all are there, and nobody waits");
    });
}

#[test]
fn threads_that_are_leaked_where_they_wait_take_nothing_along() {
    const NAME: &str = "leaving::threads_that_are_leaked_where_they_wait_take_nothing_along";
    let child = in_child(NAME, &[], || {
        let (semaphore, barrier) = with_time_enough(|time| {
            let (semaphore, barrier) = (Arc::new(Semaphore::new(1)), Arc::new(Barrier::new(2)));
            let (wanted, place) = (semaphore.clone(), barrier.clone());
            let waits: Vec<Wait> = vec![
                Box::new(move || wanted.acquire_many(2).forget()),
                Box::new(move || _ = place.wait()),
            ];
            leave_waiting(time, waits).then_some((semaphore, barrier))
        });
        // Waits behind the one who wanted more, or comes when it has been leaked.
        semaphore.acquire().forget();
        let (done, dones) = mpsc::channel();
        let other = barrier.clone();
        std::thread::spawn(move || done.send(other.wait().is_leader()).unwrap());
        let leads = barrier.wait().is_leader();
        assert_ne!(leads, dones.recv().unwrap(), "the one who was leaked has taken part");
        println!("all is there");
    });
    child.expect_success();
    assert!(child.stdout.contains("all is there"), "{}", child.stdout);
}
