//! Channels in seeded runs: the clock is exact, every seed ends, and the same seed gives the same
//! choices.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::time::Duration;

use sylvan::channel::{
    Receiver, Select, Sender, after, at, bounded, never, select, tick, unbounded,
};
use sylvan::testing::{self, Plan, Strategy};
use sylvan::{thread, time};

use crate::support::HOUR;

const MINUTE: Duration = Duration::from_secs(60);

/// How long `f` takes on the virtual clock.
fn took<R>(f: impl FnOnce() -> R) -> (Duration, R) {
    let begun = time::now();
    let value = f();
    (time::now() - begun, value)
}

#[sylvan::test(seeds = 20)]
fn timers_come_when_they_are_due_and_tell_that_instant() {
    let begun = time::now();
    assert_eq!(after(HOUR).recv(), Ok(begun + HOUR));
    assert_eq!(time::now(), begun + HOUR);
    assert_eq!(at(begun + 2 * HOUR).recv(), Ok(begun + 2 * HOUR));
    assert_eq!(time::now(), begun + 2 * HOUR);
    let ticks = tick(MINUTE);
    let begun = time::now();
    for minute in 1..=5 {
        assert_eq!(ticks.recv(), Ok(begun + minute * MINUTE));
        assert_eq!(time::now(), begun + minute * MINUTE);
    }
    // What was missed is left out: one is due at once, and the next a minute later.
    thread::sleep(10 * MINUTE + MINUTE / 2);
    let late = time::now();
    assert_eq!(took(|| ticks.recv().unwrap()), (Duration::ZERO, begun + 6 * MINUTE));
    assert_eq!(took(|| ticks.recv().unwrap()), (MINUTE, late + MINUTE));
}

#[sylvan::test(seeds = 20)]
fn waits_in_vain_take_their_time_to_the_nanosecond() {
    let (sender, receiver) = bounded::<u8>(0);
    let odd = Duration::from_nanos(1_000_000_007);
    assert!(took(|| receiver.recv_timeout(odd)) == (odd, receiver.recv_deadline(time::now())));
    assert_eq!(took(|| sender.send_timeout(1, odd).is_err()), (odd, true));
    let begun = time::now();
    assert!(receiver.recv_deadline(begun + odd).is_err() && time::now() == begun + odd);
    assert_eq!(took(|| never::<u8>().recv_timeout(odd).is_err()), (odd, true));
    assert_eq!(took(|| after(HOUR).recv_timeout(odd).is_err()), (odd, true));
    let mut list = Select::new();
    assert_eq!(took(|| list.select_timeout(odd).is_err()), (odd, true));
    list.recv(&receiver);
    list.send(&sender);
    assert_eq!(took(|| list.select_timeout(odd).is_err()), (odd, true));
    assert_eq!(took(|| list.ready_timeout(odd).is_err()), (odd, true));
    let chosen = took(|| {
        select! {
            recv(receiver) -> _ => unreachable!("nobody sends"),
            send(sender, 1) -> _ => unreachable!("nobody receives"),
            recv(after(odd)) -> it => it.unwrap(),
            default(HOUR) => unreachable!("the timer comes first"),
        }
    });
    assert_eq!(chosen, (odd, time::now()));
    assert_eq!(took(|| sylvan::block_on(after(odd).recv_async()).unwrap()), (odd, time::now()));
}

#[sylvan::test(seeds = 100)]
fn stages_with_little_room_pass_everything_on_in_order() {
    const COUNT: u64 = 30;
    let (first, mut last): (Sender<u64>, Receiver<u64>) = bounded(1);
    thread::scope(|scope| {
        for stage in 0..4 {
            let (next, received) = bounded(stage % 3);
            let from = std::mem::replace(&mut last, received);
            scope.spawn(move || {
                for number in &from {
                    thread::sleep(Duration::from_micros(number % 3));
                    next.send(number + 1).unwrap();
                }
            });
        }
        scope.spawn(move || (0..COUNT).for_each(|number| first.send(number).unwrap()));
        assert!(last.iter().eq(4..COUNT + 4));
    });
}

/// Loops over selects with work, ticks and an end; gives what it has seen, in order.
fn observe(work: &Receiver<u32>, quit: &Receiver<()>) -> Vec<u32> {
    let ticks = tick(Duration::from_micros(10));
    let mut seen = Vec::new();
    loop {
        select! {
            recv(work) -> it => match it {
                Ok(it) => seen.push(it),
                Err(_) => return seen,
            },
            recv(ticks) -> _ => seen.push(1_000),
            recv(quit) -> _ => seen.push(2_000),
            default(Duration::from_micros(7)) => seen.push(3_000),
        }
        if seen.len() > 60 {
            return seen;
        }
    }
}

/// A program that depends on everything that is left to chance.
fn program() -> Vec<u32> {
    let (send_work, work) = bounded(0);
    let (send_quit, quit) = unbounded();
    thread::scope(|scope| {
        for number in 0..3 {
            let send_work = send_work.clone();
            scope.spawn(move || {
                for round in 0..5 {
                    thread::sleep(Duration::from_micros(u64::from(number) * 3));
                    if send_work.send(100 * number + round).is_err() {
                        return;
                    }
                }
            });
        }
        drop(send_work);
        scope.spawn(move || (0..4).for_each(|_| send_quit.send(()).unwrap()));
        let (same, quits) = (work.clone(), quit.clone());
        let other = scope.spawn(move || observe(&same, &quits));
        let mut all = observe(&work, &quit);
        all.push(10_000);
        all.extend(other.join().unwrap());
        // Whoever has not been heard goes now.
        drop(work);
        all
    })
}

#[test]
fn same_seed_gives_the_same_choices_and_others_give_others() {
    for strategy in [Strategy::Random, Strategy::Pct { depth: 3 }] {
        let mut courses = BTreeSet::new();
        for seed in 0..30 {
            let run = || Plan::new().strategy(strategy).trace(seed, program);
            let (first, second) = (run(), run());
            assert_eq!(first.0, second.0, "{strategy}, seed {seed}");
            assert_eq!(first.1, second.1, "{strategy}, seed {seed}");
            courses.insert(first.0);
        }
        assert!(courses.len() > 15, "{strategy}: {} courses in 30 runs", courses.len());
    }
}

#[sylvan::test(seeds = 200)]
fn worker_threads_that_are_told_to_quit_do_so_at_once() {
    let (jobs, from) = bounded::<Duration>(2);
    let (stop, stops) = bounded::<()>(0);
    let done = thread::scope(|scope| {
        let workers = [(); 3].map(|()| {
            scope.spawn(|| {
                let mut done = 0;
                loop {
                    select! {
                        recv(stops) -> _ => return done,
                        recv(from) -> job => match job {
                            Ok(job) => select! {
                                recv(stops) -> _ => return done,
                                recv(after(job)) -> _ => done += 1,
                            },
                            Err(_) => return done,
                        },
                    }
                }
            })
        });
        for minute in 1..=10 {
            jobs.send(minute * MINUTE).unwrap();
        }
        let stopped = time::now();
        drop(stop);
        let done = workers.map(|worker| worker.join().unwrap());
        assert_eq!(time::now(), stopped, "nobody has finished its job first");
        done
    });
    assert!(done.iter().sum::<u32>() <= 10);
}

#[test]
fn message_that_comes_at_the_deadline_is_received_by_some_seeds_and_not_by_others() {
    const TIME: Duration = Duration::from_millis(5);
    let mut received = 0;
    for seed in 0..100 {
        received += testing::run_seeded(seed, || {
            let (sender, receiver) = bounded(1);
            let sends = thread::spawn(move || {
                thread::sleep(TIME);
                sender.send(1).unwrap();
            });
            let got = receiver.recv_timeout(TIME);
            let late = receiver.recv_timeout(TIME);
            sends.join().unwrap();
            assert!(got.is_ok() != late.is_ok(), "{got:?} {late:?}");
            usize::from(got.is_ok())
        });
    }
    assert!((1..100).contains(&received), "{received} of 100");
}
