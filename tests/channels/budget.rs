//! Turns: what never waits never switches, and what may wait shares its worker although there is
//! nothing to wait for.
#![forbid(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use sylvan::channel::{Receiver, Select, Sender, after, at, bounded, never, tick};
use sylvan::channel::{select, select_biased, unbounded};
use sylvan::{thread, time};
use sylvan_workspace::{OnDrop, everywhere, in_every_runtime, until};

use crate::support::{HOUR, is_offered, is_wanted, poll_once};

/// Longer than a slice.
const LONG: Duration = Duration::from_micros(500);

/// Calls `call` for longer than a slice lasts, at least a thousand times.
fn often(mut call: impl FnMut()) {
    let start = Instant::now();
    let mut calls = 0;
    while calls < 1_000 || start.elapsed() < LONG {
        call();
        calls += 1;
    }
}

#[test]
fn calls_that_never_wait_never_switch() {
    in_every_runtime(|shape| {
        if !shape.is_many_to_one() {
            return;
        }
        let (turns, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(SeqCst) {
                    turns.fetch_add(1, SeqCst);
                    thread::yield_now();
                }
            });
            // Also if an assertion fails.
            let _stops = OnDrop(|| stop.store(true, SeqCst));
            until(|| turns.load(SeqCst) > 0);
            let without_switch = |what: &str, call: &mut dyn FnMut()| {
                let before = turns.load(SeqCst);
                often(call);
                assert_eq!(turns.load(SeqCst), before, "{what} has let others run");
                thread::yield_now();
            };
            never_switch(&without_switch);
        });
    });
}

fn never_switch(without_switch: &dyn Fn(&str, &mut dyn FnMut())) {
    let (one, other) = (bounded(1), unbounded());
    let (full, _kept) = bounded(0);
    let (_open, empty) = bounded::<u8>(0);
    without_switch("try_send and try_recv", &mut || {
        one.0.try_send(1).unwrap();
        assert!(one.0.try_send(1).is_err() && full.try_send(1).is_err());
        assert_eq!(one.1.try_recv(), Ok(1));
        assert!(one.1.try_recv().is_err() && empty.try_recv().is_err());
    });
    without_switch("unbounded send and try_iter", &mut || {
        other.0.send(1).unwrap();
        assert_eq!(other.1.try_iter().count(), 1);
    });
    without_switch("try_select, its completion, and try_ready", &mut || {
        let mut select = Select::new();
        select.send(&one.0);
        select.recv(&empty);
        assert!(select.try_ready().is_ok());
        select.try_select().unwrap().send(&one.0, 1).unwrap();
        assert!(select.try_ready().is_err() && select.try_select().is_err());
        let mut select = Select::new();
        select.recv(&one.1);
        assert_eq!(select.try_select().unwrap().recv(&one.1), Ok(1));
    });
    without_switch("select! with a default", &mut || {
        select! {
            recv(one.1) -> _ => unreachable!("it is empty"),
            send(full, 1) -> _ => unreachable!("nobody receives"),
            default => (),
        }
        select_biased! {
            send(one.0, 1) -> sent => sent.unwrap(),
            default => unreachable!("there is room"),
        }
        assert_eq!(one.1.try_recv(), Ok(1));
    });
    without_switch("timers", &mut || {
        assert!(after(Duration::ZERO).try_recv().is_ok() && tick(HOUR).try_recv().is_err());
        assert!(never::<u8>().try_recv().is_err());
    });
    without_switch("making, cloning and dropping", &mut || {
        let (sender, receiver) = bounded(2);
        sender.clone().try_send(receiver.clone().len()).unwrap();
        drop(receiver);
        assert!(sender.try_send(1).unwrap_err().is_disconnected());
    });
    without_switch("polls of futures", &mut || {
        let mut receives = Box::pin(one.1.recv_async());
        assert!(poll_once(receives.as_mut()).is_pending());
        assert!(poll_once(Box::pin(one.0.send_async(1)).as_mut()).is_ready());
        assert!(poll_once(receives.as_mut()).is_ready());
        drop(one.1.recv_async());
    });
}

/// Runs `release` with a lock of std's held, when somebody waits for it in `wait` and then wants
/// that lock. If the release let other threads of the worker run, they would block it for ever.
fn with_std_lock_held(
    is_waiting: impl Fn() -> bool,
    release: impl FnOnce(),
    wait: impl FnOnce() + Send,
) {
    let std_lock = Mutex::new(());
    thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            wait();
            drop(std_lock.lock().unwrap());
        });
        until(is_waiting);
        let held = std_lock.lock().unwrap();
        release();
        drop(held);
        waiter.join().unwrap();
    });
}

#[test]
fn lock_of_std_may_be_held_over_what_never_waits() {
    everywhere(|_| {
        let (sender, receiver) = bounded::<u8>(0);
        let choose = || {
            let mut select = Select::new();
            select.send(&sender);
            select.try_select().unwrap()
        };
        let receive = || assert_eq!(receiver.recv(), Ok(1));
        let send = || sender.send(1).unwrap();
        with_std_lock_held(|| is_wanted(&sender), || sender.try_send(1).unwrap(), receive);
        with_std_lock_held(|| is_offered(&receiver), || assert!(receiver.try_recv().is_ok()), send);
        with_std_lock_held(|| is_wanted(&sender), || choose().send(&sender, 1).unwrap(), receive);
        let give_up = || assert!(catch_unwind(AssertUnwindSafe(|| drop(choose()))).is_err());
        let in_vain = || assert!(receiver.recv_timeout(Duration::from_millis(20)).is_err());
        let released = || {
            if is_wanted(&sender) {
                give_up();
            }
        };
        with_std_lock_held(|| true, released, in_vain);

        let (sender, receiver) = bounded::<u8>(0);
        let (waits, begun) = (receiver.clone(), AtomicBool::new(false));
        let end = move || drop((sender, receiver));
        let hear_of_it = || {
            begun.store(true, SeqCst);
            assert!(waits.recv().is_err());
        };
        with_std_lock_held(|| begun.load(SeqCst), end, hear_of_it);
    });
}

/// A channel of each kind, for loops that never have to wait.
struct World {
    one: (Sender<u8>, Receiver<u8>),
    other: (Sender<u8>, Receiver<u8>),
    ticks: Receiver<Instant>,
    none: Receiver<u8>,
}

/// A step of a loop that never has to wait.
type Step = (&'static str, fn(&World));

const STEPS: [Step; 12] = [
    ("recv", |world| {
        world.other.0.send(1).unwrap();
        world.other.1.recv().unwrap();
    }),
    ("send", |world| {
        world.one.0.send(1).unwrap();
        world.one.1.try_recv().unwrap();
    }),
    ("send and recv", |world| {
        world.one.0.send(1).unwrap();
        world.one.1.recv().unwrap();
    }),
    ("iter", |world| {
        world.other.0.send(1).unwrap();
        world.other.1.iter().next().unwrap();
    }),
    ("recv_timeout", |world| {
        assert!(world.other.1.recv_timeout(Duration::ZERO).is_err());
    }),
    ("send_timeout", |world| {
        world.one.0.send_timeout(1, Duration::ZERO).unwrap();
        assert!(world.one.0.send_timeout(1, Duration::ZERO).is_err());
        world.one.1.try_recv().unwrap();
    }),
    ("select", |world| {
        world.one.0.try_send(1).unwrap();
        world.other.0.send(1).unwrap();
        select! {
            recv(world.one.1) -> it => it.unwrap(),
            recv(world.other.1) -> it => it.unwrap(),
        };
        let _ = (world.one.1.try_recv(), world.other.1.try_recv());
    }),
    ("select with a timeout", |world| {
        select! {
            recv(world.one.1) -> _ => unreachable!("it is empty"),
            default(Duration::ZERO) => (),
        }
    }),
    ("ready", |world| {
        let mut select = Select::new();
        select.send(&world.one.0);
        select.ready();
    }),
    ("tick", |world| {
        world.ticks.recv().unwrap();
    }),
    ("never", |world| {
        assert!(world.none.recv_deadline(time::now() - LONG).is_err());
        at(time::now() - LONG).recv().unwrap();
    }),
    ("futures", |world| {
        sylvan::block_on(async {
            world.one.0.send_async(1).await.unwrap();
            world.one.1.recv_async().await.unwrap();
        });
    }),
];

fn world() -> World {
    World { one: bounded(1), other: unbounded(), ticks: tick(Duration::ZERO), none: never() }
}

#[test]
fn loops_over_channels_that_are_always_ready_share_their_worker() {
    everywhere(|_| {
        for (_, step) in STEPS {
            let (stop, world) = (AtomicBool::new(false), world());
            thread::scope(|scope| {
                scope.spawn(|| stop.store(true, SeqCst));
                while !stop.load(SeqCst) {
                    step(&world);
                }
            });
        }
    });
}

#[test]
fn loops_over_channels_that_are_always_ready_can_be_cancelled() {
    in_every_runtime(|_| {
        for (name, step) in STEPS {
            let (rounds, world) = (AtomicUsize::new(0), world());
            thread::scope(|scope| {
                let loops = scope.spawn(|| {
                    loop {
                        step(&world);
                        rounds.fetch_add(1, SeqCst);
                    }
                });
                until(|| rounds.load(SeqCst) > 0);
                loops.cancel().unwrap();
                let ended = loops.join();
                assert!(ended.is_err_and(|payload| payload.is::<thread::Cancelled>()), "{name}");
            });
        }
    });
}
