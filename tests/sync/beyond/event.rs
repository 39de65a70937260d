//! `Event`: set for everybody until it is reset by hand.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use sylvan::sync::Event;
use sylvan::{thread, time};
use sylvan_workspace::{everywhere, in_every_runtime};

use super::{FOR_EVER, MOMENT, settle};

#[test]
fn set_and_reset_show() {
    everywhere(|_| {
        let event = Event::new();
        assert!(!event.is_set());
        event.set();
        assert!(event.is_set());
        event.set();
        assert!(event.is_set());
        event.reset();
        assert!(!event.is_set());
        event.reset();
        assert!(!event.is_set());
    });
}

#[test]
fn wait_on_a_set_one_returns_and_leaves_it_set() {
    everywhere(|_| {
        let event = Event::new();
        event.set();
        for _ in 0..2 {
            event.wait();
            assert!(event.wait_timeout(Duration::ZERO));
            assert!(event.wait_timeout(Duration::MAX));
            assert!(event.wait_until(time::now() - MOMENT));
        }
        assert!(event.is_set());
    });
}

#[test]
fn set_lets_everybody_go_who_waits() {
    everywhere(|_| {
        let (event, gone) = (Event::new(), AtomicUsize::new(0));
        thread::scope(|scope| {
            for number in 0..8 {
                let (event, gone) = (&event, &gone);
                scope.spawn(move || {
                    match number % 4 {
                        0 => event.wait(),
                        1 => assert!(event.wait_timeout(FOR_EVER)),
                        2 => assert!(event.wait_timeout(Duration::MAX)),
                        _ => assert!(event.wait_until(time::now() + FOR_EVER)),
                    }
                    assert!(event.is_set());
                    gone.fetch_add(1, SeqCst);
                });
            }
            settle();
            assert_eq!(gone.load(SeqCst), 0);
            event.set();
        });
        assert_eq!(gone.load(SeqCst), 8);
    });
}

#[test]
fn reset_one_is_waited_for_again() {
    everywhere(|_| {
        let event = Event::new();
        for _ in 0..3 {
            thread::scope(|scope| {
                let waiting = scope.spawn(|| event.wait());
                settle();
                assert!(!waiting.is_finished());
                event.set();
                waiting.join().unwrap();
            });
            event.reset();
        }
    });
}

#[test]
fn timeouts_end_with_their_time_and_not_before() {
    everywhere(|_| {
        let event = Event::new();
        assert!(!event.wait_timeout(Duration::ZERO));
        assert!(!event.wait_until(time::now() - MOMENT));
        let start = time::now();
        assert!(!event.wait_timeout(MOMENT));
        assert!(time::now() - start >= MOMENT);
        let deadline = time::now() + MOMENT;
        assert!(!event.wait_until(deadline));
        assert!(time::now() >= deadline);
        assert!(!event.is_set());
    });
}

#[test]
fn what_was_done_before_set_is_seen_behind_wait() {
    use std::sync::atomic::Ordering::Relaxed;
    everywhere(|_| {
        let (event, value) = (Event::new(), AtomicUsize::new(0));
        thread::scope(|scope| {
            scope.spawn(|| {
                event.wait();
                assert_eq!(value.load(Relaxed), 5);
            });
            value.store(5, Relaxed);
            event.set();
        });
    });
}

#[test]
fn set_that_meets_the_end_of_the_time_is_told_as_what_won() {
    in_every_runtime(|_| {
        for round in 0..20 {
            let event = Event::new();
            let patience = Duration::from_micros(50 * round);
            thread::scope(|scope| {
                let timed = scope.spawn(|| event.wait_timeout(patience) && event.is_set());
                // Hangs if the timer takes its wake away.
                scope.spawn(|| event.wait());
                thread::sleep(patience);
                event.set();
                // Either is right; but it has to come back.
                timed.join().unwrap();
            });
            assert!(event.wait_timeout(Duration::ZERO));
        }
    });
}

#[test]
fn statics_need_no_initialiser_and_debug_names_it() {
    static EVENT: Event = Event::new();
    everywhere(|_| {
        EVENT.reset();
        thread::scope(|scope| {
            scope.spawn(|| EVENT.wait());
            EVENT.set();
        });
        let text = format!("{EVENT:?}");
        assert!(text.starts_with("Event"), "{text}");
    });
}
