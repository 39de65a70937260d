//! `select!` and `select_biased!`: which arm is taken, and when the default is.
#![forbid(unsafe_code)]

use std::time::Duration;

use super::channel::{RecvError, bounded, never, select, select_biased, unbounded};
use super::{everywhere, now, settle, thread};

const MOMENT: Duration = Duration::from_millis(3);
/// So long that a test which waits for it is aborted by the watchdog.
const FOR_EVER: Duration = Duration::from_secs(3600);

#[test]
fn default_is_taken_if_nothing_is_ready_and_only_then() {
    everywhere(|| {
        let ((s1, r1), (s2, r2)) = (bounded(1), unbounded::<i32>());
        for _ in 0..20 {
            select! {
                recv(r1) -> _ => unreachable!(),
                recv(r2) -> _ => unreachable!(),
                default => {}
            }
            s1.send(1).unwrap();
            select! {
                recv(r2) -> _ => unreachable!(),
                send(s1, 2) -> _ => unreachable!(),
                recv(r1) -> message => assert_eq!(message, Ok(1)),
                default => unreachable!(),
            }
        }
        drop(s2);
        select! {
            recv(r1) -> _ => unreachable!(),
            recv(r2) -> message => assert_eq!(message, Err(RecvError)),
            default => unreachable!(),
        }
    });
}

#[test]
fn default_with_a_limit_is_taken_after_it_and_not_before() {
    everywhere(|| {
        let ((s1, _r1), none) = (bounded(1), never::<i32>());
        s1.send(0).unwrap();
        let start = now();
        select! {
            recv(none) -> _ => unreachable!(),
            send(s1, 1) -> _ => unreachable!(),
            default(MOMENT) => assert!(now() - start >= MOMENT),
        }
        let start = now();
        select! {
            recv(none) -> _ => unreachable!(),
            default(MOMENT) => assert!(now() - start >= MOMENT),
        }
        let start = now();
        select! { default(MOMENT) => assert!(now() - start >= MOMENT) }
        let taken = select! {
            recv(none) -> _ => false,
            send(s1, 1) -> _ => false,
            default(Duration::ZERO) => true,
        };
        assert!(taken);
    });
}

#[test]
fn what_comes_in_time_is_taken_instead_of_the_default() {
    everywhere(|| {
        for patience in [FOR_EVER, Duration::MAX] {
            for (s, r) in [bounded(0), bounded(1), unbounded()] {
                thread::scope(|scope| {
                    let waiter = scope.spawn(|| {
                        let one = select! {
                            recv(r) -> message => message.unwrap(),
                            default(patience) => unreachable!(),
                        };
                        let two = select! {
                            recv(r) -> message => message.unwrap(),
                            recv(never::<i32>()) -> _ => unreachable!(),
                            default(patience) => unreachable!(),
                        };
                        (one, two)
                    });
                    settle();
                    s.send(1).unwrap();
                    settle();
                    s.send(2).unwrap();
                    assert_eq!(waiter.join().unwrap(), (1, 2));
                });
            }
        }
    });
}

#[test]
fn default_is_not_taken_while_a_partner_waits() {
    everywhere(|| {
        let (s, r) = bounded(0);
        thread::scope(|scope| {
            let waiter = scope.spawn(|| s.send(1));
            let mut rounds = 0;
            loop {
                select! {
                    recv(r) -> message => break assert_eq!(message, Ok(1)),
                    recv(never::<i32>()) -> _ => unreachable!(),
                    default => rounds += 1,
                }
                // Not for ever: the watchdog looks at that.
                thread::yield_now();
            }
            assert_eq!(waiter.join().unwrap(), Ok(()), "after {rounds} rounds");
        });
    });
}

#[test]
fn biased_selection_takes_the_first_arm_that_is_ready() {
    everywhere(|| {
        let channels: Vec<_> = (0..3).map(|_| unbounded::<i32>()).collect();
        let [(s0, r0), (s1, r1), (s2, r2)] = &channels[..] else { unreachable!() };
        let first = || {
            select_biased! {
                recv(r0) -> _ => 0,
                recv(r1) -> _ => 1,
                recv(r2) -> _ => 2,
                default => 3,
            }
        };
        for _ in 0..20 {
            assert_eq!(first(), 3);
            for s in [s2, s1, s0, s2] {
                s.send(1).unwrap();
            }
            assert_eq!([first(), first(), first(), first(), first()], [0, 1, 2, 2, 3]);
        }
        let (full, room) = (bounded(0).0, s0);
        for _ in 0..20 {
            select_biased! {
                recv(never::<i32>()) -> _ => unreachable!(),
                send(full, 1) -> result => assert!(result.is_err()),
                send(room, 1) -> _ => unreachable!(),
            }
        }
        assert!(r0.is_empty());
    });
}

#[test]
fn every_arm_that_is_ready_is_taken_at_times() {
    everywhere(|| {
        let ((s1, r1), (s2, r2)) = (unbounded(), unbounded());
        for _ in 0..100 {
            s1.send(1).unwrap();
        }
        let mut taken = [0; 3];
        for _ in 0..100 {
            select! {
                recv(r1) -> _ => taken[0] += 1,
                send(s2, 2) -> _ => taken[1] += 1,
                recv(r2) -> _ => taken[2] += 1,
            }
        }
        // Each is ready at least every third time or so; that one is never taken is less likely
        // than 1 in 10^8.
        assert!(taken.iter().all(|count| *count > 0), "{taken:?}");
    });
}

#[test]
fn rendezvous_with_oneself_is_none() {
    everywhere(|| {
        let (s, r) = bounded(0);
        select! {
            send(s, 1) -> _ => unreachable!(),
            recv(r) -> _ => unreachable!(),
            default => {}
        }
        select! {
            send(s, 1) -> _ => unreachable!(),
            recv(r) -> _ => unreachable!(),
            default(MOMENT) => {}
        }
    });
}

#[test]
fn requests_and_answers_go_through_selections_on_both_sides() {
    everywhere(|| {
        let ((ask, asked), (answer, answers), (stop, stopped)) =
            (bounded::<i32>(0), bounded(0), bounded::<()>(0));
        thread::scope(|scope| {
            let serving = scope.spawn(move || {
                let mut served = 0;
                loop {
                    select! {
                        recv(asked) -> number => {
                            served += 1;
                            answer.send(2 * number.unwrap()).unwrap();
                        }
                        recv(stopped) -> _ => return served,
                    }
                }
            });
            for number in 0..50 {
                select! {
                    send(ask, number) -> result => result.unwrap(),
                    recv(answers) -> _ => unreachable!(),
                }
                select! {
                    recv(answers) -> message => assert_eq!(message, Ok(2 * number)),
                    recv(never::<()>()) -> _ => unreachable!(),
                }
            }
            drop(stop);
            assert_eq!(serving.join().unwrap(), 50);
        });
    });
}
