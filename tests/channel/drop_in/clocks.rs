//! `after`, `at`, `tick` and `never`: receivers without a sender.
#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use super::channel::{
    Receiver, RecvTimeoutError, Select, TryRecvError, after, at, never, select, tick, unbounded,
};
use super::{everywhere, now, thread};

const MOMENT: Duration = Duration::from_millis(3);
const LONG: Duration = Duration::from_secs(3600);

#[test]
fn after_sends_the_instant_of_its_end_once() {
    everywhere(|| {
        let start = now();
        let clock = after(MOMENT);
        let fired = clock.recv().unwrap();
        assert!(fired >= start + MOMENT && now() >= fired);
        assert_eq!(clock.try_recv(), Err(TryRecvError::Empty));
        let start = now();
        assert_eq!(clock.recv_timeout(MOMENT), Err(RecvTimeoutError::Timeout));
        assert!(now() - start >= MOMENT);
        let deadline = now() + MOMENT;
        assert_eq!(clock.recv_deadline(deadline), Err(RecvTimeoutError::Timeout));
        assert!(now() >= deadline);
    });
}

#[test]
fn at_sends_the_instant_that_it_was_given() {
    everywhere(|| {
        let when = now() + MOMENT;
        let clock = at(when);
        assert_eq!(clock.recv(), Ok(when));
        assert!(now() >= when);
        assert_eq!(clock.try_recv(), Err(TryRecvError::Empty));
        // An instant of the past is there at once, under its own name.
        let clock = at(when);
        assert_eq!(clock.try_recv(), Ok(when));
        assert_eq!(clock.try_recv(), Err(TryRecvError::Empty));
        let clock = at(when);
        assert_eq!(clock.recv_timeout(Duration::ZERO), Ok(when));
    });
}

#[test]
fn clock_that_has_time_left_is_empty() {
    everywhere(|| {
        for clock in [after(LONG), at(now() + LONG), tick(LONG)] {
            assert_eq!(clock.try_recv(), Err(TryRecvError::Empty));
            let start = now();
            assert_eq!(clock.recv_timeout(MOMENT), Err(RecvTimeoutError::Timeout));
            assert!(now() - start >= MOMENT);
            assert_eq!(clock.recv_deadline(start), Err(RecvTimeoutError::Timeout));
        }
    });
}

#[test]
fn receive_whose_limit_comes_later_gets_the_instant() {
    everywhere(|| {
        for clock in [after(MOMENT), at(now() + MOMENT), tick(MOMENT)] {
            let fired = clock.recv_timeout(LONG).unwrap();
            assert!(now() >= fired);
        }
        let when = now() + MOMENT;
        assert_eq!(at(when).recv_deadline(now() + LONG), Ok(when));
        assert_eq!(at(when).recv_timeout(Duration::MAX), Ok(when));
    });
}

#[test]
fn ticks_come_at_least_a_period_apart() {
    everywhere(|| {
        let start = now();
        let clock = tick(MOMENT);
        let mut last = start;
        for _ in 0..5 {
            let fired = clock.recv().unwrap();
            assert!(fired >= last + MOMENT, "{:?}", fired - last);
            assert!(now() >= fired);
            last = fired;
        }
    });
}

#[test]
fn ticks_that_nobody_takes_are_not_kept() {
    everywhere(|| {
        let clock = tick(MOMENT);
        let fired = clock.recv().unwrap();
        thread::sleep(10 * MOMENT);
        assert_eq!((clock.len(), clock.is_full()), (1, true));
        let late = clock.try_recv().unwrap();
        assert!(late >= fired + MOMENT);
        // The next one counts from when the last was taken, not from when it was due.
        let next = clock.recv().unwrap();
        assert!(next >= late + MOMENT);
        assert!(next >= fired + 11 * MOMENT);
    });
}

#[test]
fn copies_of_a_clock_share_its_instants() {
    everywhere(|| {
        let clock = after(MOMENT);
        let copy = clock.clone();
        let got: Vec<_> = thread::scope(|scope| {
            let threads =
                [clock, copy].map(|clock| scope.spawn(move || clock.recv_timeout(10 * MOMENT)));
            threads.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert_eq!(got.iter().filter(|result| result.is_ok()).count(), 1);
        let clock = tick(MOMENT);
        let copies: Vec<_> = (0..4).map(|_| clock.clone()).collect();
        let mut instants: Vec<Instant> = thread::scope(|scope| {
            let threads: Vec<_> = copies
                .into_iter()
                .map(|clock| scope.spawn(move || clock.recv().unwrap()))
                .collect();
            threads.into_iter().map(|one| one.join().unwrap()).collect()
        });
        instants.sort_unstable();
        assert!(instants.windows(2).all(|pair| pair[1] - pair[0] >= MOMENT), "{instants:?}");
    });
}

#[test]
fn never_sends_nothing_and_is_no_lost_channel() {
    everywhere(|| {
        let none = never::<String>();
        assert_eq!(none.try_recv(), Err(TryRecvError::Empty));
        let start = now();
        assert_eq!(none.recv_timeout(MOMENT), Err(RecvTimeoutError::Timeout));
        assert!(now() - start >= MOMENT);
        let deadline = now() + MOMENT;
        assert_eq!(none.clone().recv_deadline(deadline), Err(RecvTimeoutError::Timeout));
        assert!(now() >= deadline);
        assert_eq!(none.try_iter().next(), None);
    });
}

#[test]
fn time_that_no_clock_can_tell_is_never() {
    everywhere(|| {
        for clock in [after(Duration::MAX), tick(Duration::MAX)] {
            assert!(clock.is_empty());
            assert_eq!(clock.recv_timeout(MOMENT), Err(RecvTimeoutError::Timeout));
        }
    });
}

#[test]
fn clocks_of_zero_are_ready_at_once() {
    everywhere(|| {
        after(Duration::ZERO).recv().unwrap();
        let clock = tick(Duration::ZERO);
        for _ in 0..10 {
            clock.recv().unwrap();
        }
        assert!(clock.try_recv().is_ok());
    });
}

#[test]
fn selection_waits_for_the_nearest_clock() {
    everywhere(|| {
        let (_s, r) = unbounded::<i32>();
        let start = now();
        let fired = select! {
            recv(r) -> _ => unreachable!(),
            recv(after(LONG)) -> _ => unreachable!(),
            recv(after(MOMENT)) -> fired => fired.unwrap(),
            recv(never::<i32>()) -> _ => unreachable!(),
            recv(tick(LONG)) -> _ => unreachable!(),
        };
        assert!(fired >= start + MOMENT && now() >= fired);
    });
}

#[test]
fn selection_takes_from_a_clock_once() {
    everywhere(|| {
        let clocks: [Receiver<Instant>; 2] = [after(MOMENT), at(now() + MOMENT)];
        let mut choice = Select::new();
        for clock in &clocks {
            choice.recv(clock);
        }
        let mut seen = [false; 2];
        for _ in 0..2 {
            let operation = choice.select();
            let index = operation.index();
            operation.recv(&clocks[index]).unwrap();
            assert!(!std::mem::replace(&mut seen[index], true));
        }
        assert!(choice.try_select().is_err());
        assert!(choice.select_timeout(MOMENT).is_err());
        assert!(choice.ready_timeout(MOMENT).is_err());
    });
}

#[test]
fn selection_takes_each_tick() {
    everywhere(|| {
        let mut last = now();
        let clock = tick(MOMENT);
        let mut choice = Select::new();
        choice.recv(&clock);
        for _ in 0..3 {
            let fired = choice.select().recv(&clock).unwrap();
            assert!(now() >= fired && fired >= last);
            last = fired;
        }
        assert_eq!(choice.ready(), 0);
        assert!(clock.try_recv().is_ok());
    });
}
