//! `Semaphore`: counts, the order of service, time, and refusals.
#![forbid(unsafe_code)]

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use sylvan::sync::Semaphore;
use sylvan::{thread, time};
use sylvan_workspace::{everywhere, in_every_runtime, until};

use super::{FOR_EVER, MOMENT, panic_of, settle};

#[test]
fn permits_are_counted_down_and_up() {
    everywhere(|_| {
        let semaphore = Semaphore::new(5);
        assert_eq!(semaphore.available_permits(), 5);
        let one = semaphore.acquire();
        assert_eq!((one.num_permits(), semaphore.available_permits()), (1, 4));
        let three = semaphore.acquire_many(3);
        assert_eq!((three.num_permits(), semaphore.available_permits()), (3, 1));
        assert!(semaphore.try_acquire_many(2).is_none());
        assert_eq!(semaphore.available_permits(), 1);
        let last = semaphore.try_acquire_many(1).unwrap();
        assert!(semaphore.try_acquire().is_none());
        drop(three);
        assert_eq!(semaphore.available_permits(), 3);
        assert_eq!(semaphore.try_acquire().unwrap().num_permits(), 1);
        drop((one, last));
        assert_eq!(semaphore.available_permits(), 5);
    });
}

#[test]
fn nothing_is_asked_and_given_without_a_wait() {
    everywhere(|_| {
        let semaphore = Semaphore::new(0);
        assert_eq!(semaphore.acquire_many(0).num_permits(), 0);
        assert_eq!(semaphore.try_acquire_many(0).unwrap().num_permits(), 0);
        assert_eq!(semaphore.available_permits(), 0);
    });
}

#[test]
fn no_more_are_inside_than_there_are_permits_and_as_many_can_be() {
    everywhere(|_| {
        let (semaphore, inside) = (Semaphore::new(3), AtomicUsize::new(0));
        let most = AtomicUsize::new(0);
        thread::scope(|scope| {
            for number in 0..6 {
                let (semaphore, inside, most) = (&semaphore, &inside, &most);
                scope.spawn(move || {
                    for _ in 0..10 {
                        let _permit = semaphore.acquire();
                        let now = inside.fetch_add(1, SeqCst) + 1;
                        assert!(now <= 3, "{now} are inside");
                        most.fetch_max(now, SeqCst);
                        if number < 3 {
                            // Comes true only if three are let in at once.
                            until(|| most.load(SeqCst) == 3);
                        } else {
                            thread::yield_now();
                        }
                        inside.fetch_sub(1, SeqCst);
                    }
                });
            }
        });
        assert_eq!((most.load(SeqCst), semaphore.available_permits()), (3, 3));
    });
}

#[test]
fn acquire_waits_for_a_permit_that_comes_back() {
    everywhere(|_| {
        let semaphore = Semaphore::new(1);
        thread::scope(|scope| {
            let permit = semaphore.acquire();
            let waiting = scope.spawn(|| semaphore.acquire().num_permits());
            settle();
            assert!(!waiting.is_finished());
            drop(permit);
            assert_eq!(waiting.join().unwrap(), 1);
        });
        assert_eq!(semaphore.available_permits(), 1);
    });
}

#[test]
fn added_permits_serve_as_many_as_they_are() {
    everywhere(|_| {
        let (semaphore, served) = (Semaphore::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..5 {
                scope.spawn(|| {
                    semaphore.acquire().forget();
                    served.fetch_add(1, SeqCst);
                });
            }
            settle();
            assert_eq!(served.load(SeqCst), 0);
            semaphore.add_permits(3);
            until(|| served.load(SeqCst) == 3);
            settle();
            assert_eq!(served.load(SeqCst), 3);
            semaphore.add_permits(2);
        });
        assert_eq!((served.load(SeqCst), semaphore.available_permits()), (5, 0));
    });
}

#[test]
fn waiters_are_served_in_the_order_in_which_they_came() {
    in_every_runtime(|shape| {
        if !shape.is_many_to_one() {
            // Who was first is nobody's to tell where threads come at the same time.
            return;
        }
        let (semaphore, order) = (Semaphore::new(0), Mutex::new(Vec::new()));
        thread::scope(|scope| {
            for (number, permits) in [1, 3, 1, 2, 1].into_iter().enumerate() {
                let (semaphore, order) = (&semaphore, &order);
                scope.spawn(move || {
                    let permit = semaphore.acquire_many(permits);
                    order.lock().unwrap().push(number);
                    permit.forget();
                });
                settle();
            }
            for _ in 0..8 {
                semaphore.add_permits(1);
                settle();
            }
        });
        assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3, 4]);
        assert_eq!(semaphore.available_permits(), 0);
    });
}

#[test]
fn big_request_at_the_front_is_not_passed_by_small_ones() {
    in_every_runtime(|shape| {
        if !shape.is_many_to_one() {
            return;
        }
        let semaphore = Semaphore::new(2);
        thread::scope(|scope| {
            let (first, second) = (semaphore.acquire(), semaphore.acquire());
            let big = scope.spawn(|| drop(semaphore.acquire_many(2)));
            settle();
            let small = scope.spawn(|| drop(semaphore.acquire()));
            settle();
            drop(first);
            settle();
            // One permit is there, and would be enough for the one behind.
            assert!(!big.is_finished() && !small.is_finished());
            assert!(semaphore.try_acquire().is_none(), "who comes last has passed all");
            drop(second);
            big.join().unwrap();
            small.join().unwrap();
        });
        assert_eq!(semaphore.available_permits(), 2);
    });
}

#[test]
fn big_request_is_served_although_small_ones_never_cease() {
    everywhere(|_| {
        let (semaphore, stop) = (Semaphore::new(3), AtomicBool::new(false));
        thread::scope(|scope| {
            for _ in 0..5 {
                scope.spawn(|| {
                    while !stop.load(SeqCst) {
                        let _permit = semaphore.acquire();
                        thread::yield_now();
                    }
                });
            }
            thread::yield_now();
            // At no time are all three free by themselves: it hangs if small ones may pass.
            let all = semaphore.acquire_many(3);
            assert_eq!((all.num_permits(), semaphore.available_permits()), (3, 0));
            stop.store(true, SeqCst);
        });
        assert_eq!(semaphore.available_permits(), 3);
    });
}

#[test]
fn time_over_gives_none_and_not_before() {
    everywhere(|_| {
        let semaphore = Semaphore::new(1);
        let permit = semaphore.try_acquire_for(Duration::ZERO).unwrap();
        assert!(semaphore.try_acquire_for(Duration::ZERO).is_none());
        assert!(semaphore.try_acquire_until(time::now() - MOMENT).is_none());
        let start = time::now();
        assert!(semaphore.try_acquire_for(MOMENT).is_none());
        assert!(time::now() - start >= MOMENT);
        let deadline = time::now() + MOMENT;
        assert!(semaphore.try_acquire_until(deadline).is_none());
        assert!(time::now() >= deadline);
        drop(permit);
        assert!(semaphore.try_acquire_until(time::now() - MOMENT).is_some());
        assert!(semaphore.try_acquire_for(Duration::MAX).is_some());
        assert_eq!(semaphore.available_permits(), 1);
    });
}

#[test]
fn permit_that_comes_in_time_is_had() {
    everywhere(|_| {
        let semaphore = Semaphore::new(0);
        thread::scope(|scope| {
            let waiting = [
                scope.spawn(|| semaphore.try_acquire_for(FOR_EVER).is_some()),
                scope.spawn(|| semaphore.try_acquire_for(Duration::MAX).is_some()),
                scope.spawn(|| semaphore.try_acquire_until(time::now() + FOR_EVER).is_some()),
            ];
            settle();
            assert!(waiting.iter().all(|waiting| !waiting.is_finished()));
            semaphore.add_permits(1);
            for waiting in waiting {
                assert!(waiting.join().unwrap());
            }
        });
        assert_eq!(semaphore.available_permits(), 1);
    });
}

#[test]
fn permit_that_meets_the_end_of_the_time_is_not_lost() {
    in_every_runtime(|_| {
        let semaphore = Semaphore::new(2);
        for round in 0..20 {
            let patience = Duration::from_micros(50 * round);
            thread::scope(|scope| {
                let both = semaphore.acquire_many(2);
                for _ in 0..3 {
                    scope.spawn(|| drop(semaphore.try_acquire_for(patience)));
                }
                // Hangs if a permit goes with one whose time is over.
                scope.spawn(|| drop(semaphore.acquire_many(2)));
                thread::sleep(patience);
                drop(both);
            });
            assert_eq!(semaphore.available_permits(), 2);
        }
    });
}

#[test]
fn who_queues_behind_one_whose_time_is_over_is_served() {
    in_every_runtime(|shape| {
        if !shape.is_many_to_one() {
            return;
        }
        let semaphore = Semaphore::new(0);
        thread::scope(|scope| {
            let timed = scope.spawn(|| semaphore.try_acquire_for(MOMENT).is_none());
            settle();
            let plain = scope.spawn(|| semaphore.acquire().forget());
            assert!(timed.join().unwrap());
            semaphore.add_permits(1);
            plain.join().unwrap();
        });
        assert_eq!(semaphore.available_permits(), 0);
    });
}

#[test]
fn forgotten_permits_are_no_more_than_were_there() {
    everywhere(|_| {
        let semaphore = Semaphore::new(5);
        assert_eq!(semaphore.forget_permits(2), 2);
        assert_eq!(semaphore.available_permits(), 3);
        let one = semaphore.acquire();
        assert_eq!(semaphore.forget_permits(10), 2);
        assert_eq!(semaphore.forget_permits(10), 0);
        assert_eq!(semaphore.forget_permits(0), 0);
        drop(one);
        assert_eq!(semaphore.available_permits(), 1);
    });
}

#[test]
fn more_than_the_most_is_refused_with_the_number() {
    everywhere(|_| {
        let most = Semaphore::MAX_PERMITS;
        let semaphore = Semaphore::new(most);
        assert_eq!(semaphore.available_permits(), most);
        let text = panic_of(|| semaphore.add_permits(1));
        assert!(text.contains(&most.to_string()), "{text}");
        assert_eq!(semaphore.available_permits(), most);
        let some = semaphore.acquire_many(10);
        let text = panic_of(|| semaphore.add_permits(11));
        assert!(text.contains("11"), "{text}");
        drop(some);
        assert_eq!(semaphore.available_permits(), most);
        let too_many = most + 1;
        for text in [
            panic_of(|| Semaphore::new(too_many)),
            panic_of(|| Semaphore::new(0).add_permits(too_many)),
            panic_of(|| Semaphore::new(0).add_permits(usize::MAX)),
        ] {
            assert!(text.contains(&most.to_string()), "{text}");
        }
    });
}

#[test]
fn panic_with_a_permit_gives_it_back() {
    everywhere(|_| {
        let semaphore = Semaphore::new(2);
        let panicked = thread::scope(|scope| {
            let panics = scope.spawn(|| {
                let _permits = semaphore.acquire_many(2);
                std::panic::resume_unwind(Box::new(()));
            });
            panics.join().is_err()
        });
        assert!(panicked);
        assert_eq!(semaphore.acquire_many(2).num_permits(), 2);
    });
}

#[test]
fn statics_need_no_initialiser_and_debug_names_it() {
    static SEMAPHORE: Semaphore = Semaphore::new(1);
    everywhere(|_| {
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| drop(SEMAPHORE.acquire()));
            }
        });
        assert_eq!(SEMAPHORE.available_permits(), 1);
        let text = format!("{SEMAPHORE:?}");
        assert!(text.starts_with("Semaphore"), "{text}");
    });
}
