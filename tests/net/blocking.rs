//! The pool for blocking calls, as far as it can be seen before it has a public face: who waits
//! stops nobody else, may leave at any time, and gets what the work gives.
//!
//! A call that takes as long as a test wants is a gate: the work waits at a channel of std's.
#![forbid(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use sylvan::__private::doors::{pool_threads, run_on_pool};
use sylvan::testing::{self, Plan};
use sylvan::{thread, time};
use sylvan_workspace::{
    Random, Shape, everywhere, in_child, in_every_runtime, text_of, until, with_every_runtime,
};

const HOUR: Duration = Duration::from_secs(3600);

/// How far a piece of work has come, and the way to let it go on.
struct Gate {
    begun: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
    open: mpsc::Sender<()>,
}

/// Work that begins, waits at the gate and gives a value.
fn gated<T: Send + 'static>(value: T) -> (Gate, impl FnOnce() -> T + Send + 'static) {
    let (open, opened) = mpsc::channel::<()>();
    let (begun, ended) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let gate = Gate { begun: begun.clone(), ended: ended.clone(), open };
    let work = move || {
        begun.store(true, SeqCst);
        // It is opened by a message or by the end of the test.
        let _ = opened.recv();
        ended.store(true, SeqCst);
        value
    };
    (gate, work)
}

impl Gate {
    fn has_begun(&self) -> bool {
        self.begun.load(SeqCst)
    }

    /// Lets the work end and waits for that.
    fn open_and_wait(self) {
        assert!(!self.ended.load(SeqCst), "nobody has opened the gate");
        self.open.send(()).expect("the work is at the gate");
        until(|| self.ended.load(SeqCst));
    }
}

/// Says on which kernel thread it was dropped.
struct Dropped(mpsc::Sender<Option<String>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let name = std::thread::current().name().map(str::to_owned);
        let _ = self.0.send(name);
    }
}

#[test]
fn others_of_the_same_worker_run_while_one_waits() {
    in_every_runtime(|_| {
        let (gate, work) = gated(7);
        thread::scope(|scope| {
            let waits = scope.spawn(move || run_on_pool(work).unwrap());
            until(|| gate.has_begun());
            // With one worker all of this would stand still if the work ran on it.
            let others: Vec<_> = (0..4).map(|n| scope.spawn(move || n)).collect();
            let sum: i32 = others.into_iter().map(|other| other.join().unwrap()).sum();
            assert_eq!(sum, 6);
            assert!(!waits.is_finished());
            gate.open_and_wait();
            assert_eq!(waits.join().unwrap(), 7);
        });
    });
}

#[test]
fn deadline_cuts_the_waiter_off_and_the_work_goes_on() {
    everywhere(|shape| {
        let (dropped, drops) = mpsc::channel();
        let (gate, work) = gated(Dropped(dropped));
        let in_time = thread::scope(|scope| {
            let limit = Duration::from_millis(5);
            let waits = scope.spawn(move || time::timeout(limit, || run_on_pool(work).map(drop)));
            if matches!(shape, Shape::Seeded(_)) {
                // While a thread of the run waits for the pool, its clock moves by hand only.
                testing::wait_until_all_parked();
                testing::advance(limit);
            }
            waits.join().unwrap()
        });
        let message = in_time.expect_err("the gate is closed").to_string();
        assert!(message.contains("resolving a name"), "{message}");
        assert!(message.contains("blocking.rs"), "{message}");
        assert!(drops.try_recv().is_err(), "the work has not ended");
        until(|| gate.has_begun());
        gate.open_and_wait();
        // The kernel thread that nobody waits for drops the result.
        assert_eq!(drops.recv().unwrap().as_deref(), Some("sylvan-blocking"));
    });
}

#[test]
fn cancelled_waiter_leaves_at_once_and_the_result_is_dropped() {
    in_every_runtime(|_| {
        let (dropped, drops) = mpsc::channel();
        let (gate, work) = gated(Dropped(dropped));
        let waits = thread::spawn(move || run_on_pool(work).map(drop));
        until(|| gate.has_begun());
        waits.cancel().unwrap();
        assert!(waits.join().unwrap_err().is::<thread::Cancelled>());
        gate.open_and_wait();
        assert_eq!(drops.recv().unwrap().as_deref(), Some("sylvan-blocking"));
    });
}

#[test]
fn shielded_waiter_stays_and_is_cut_off_afterwards() {
    in_every_runtime(|_| {
        let (gate, work) = gated(7);
        let given = Arc::new(AtomicUsize::new(0));
        let waits = {
            let given = given.clone();
            thread::spawn(move || {
                thread::shield(|| given.store(run_on_pool(work).unwrap(), SeqCst));
                thread::yield_now();
                unreachable!("a cancellation was lost");
            })
        };
        until(|| gate.has_begun());
        waits.cancel().unwrap();
        gate.open_and_wait();
        assert!(waits.join().unwrap_err().is::<thread::Cancelled>());
        assert_eq!(given.load(SeqCst), 7);
    });
}

#[test]
fn panic_of_the_work_goes_on_in_the_waiter() {
    everywhere(|_| {
        let work = || -> u32 { panic!("the disk is on fire") };
        let payload = catch_unwind(AssertUnwindSafe(|| run_on_pool(work))).unwrap_err();
        assert_eq!(text_of(&*payload), "the disk is on fire");
        assert_eq!(run_on_pool(|| 7).unwrap(), 7, "the pool goes on");
    });
}

#[test]
fn destructor_that_panics_harms_no_pool_thread() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("a bomb goes off where nobody is");
        }
    }
    in_every_runtime(|_| {
        let (gate, work) = gated(Bomb);
        let waits = thread::spawn(move || run_on_pool(work).map(std::mem::forget));
        until(|| gate.has_begun());
        waits.cancel().unwrap();
        assert!(waits.join().is_err());
        gate.open_and_wait();
        for n in 0..100 {
            assert_eq!(run_on_pool(move || n).unwrap(), n);
        }
    });
}

#[test]
fn end_of_the_runtime_does_not_wait_for_the_work() {
    with_every_runtime(|_, runtime| {
        let (gate, work) = gated(7);
        runtime.run(|| {
            thread::spawn(move || run_on_pool(work));
            until(|| gate.has_begun());
        });
        drop(runtime);
        gate.open_and_wait();
    });
}

#[test]
fn virtual_clock_stands_while_a_thread_waits_for_the_pool() {
    for seed in 0..20 {
        Plan::new().run(seed, || {
            let begun = time::now();
            thread::scope(|scope| {
                let sleeper = scope.spawn(|| thread::sleep(HOUR));
                testing::wait_until_all_parked();
                // Real time, in which a clock that may jump would.
                run_on_pool(|| (0..2_000).for_each(|_| std::thread::yield_now())).unwrap();
                assert_eq!(time::now(), begun);
                assert!(!sleeper.is_finished());
            });
            assert_eq!(time::now() - begun, HOUR);
        });
    }
}

#[test]
fn bound_of_the_runtime_is_kept_and_the_rest_queues() {
    let test = "blocking::bound_of_the_runtime_is_kept_and_the_rest_queues";
    let child = in_child(test, &[("SYLVAN_BLOCKING_THREADS", "2")], || {
        in_every_runtime(|_| {
            let (gates, works): (Vec<_>, Vec<_>) = (0..8).map(gated).unzip();
            thread::scope(|scope| {
                let spawn = |work| scope.spawn(move || run_on_pool(work).unwrap());
                let waits: Vec<_> = works.into_iter().map(spawn).collect();
                let running = || gates.iter().filter(|gate| gate.has_begun()).count();
                until(|| running() == 2);
                for _ in 0..100 {
                    thread::yield_now();
                    assert_eq!((running(), pool_threads()), (2, 2));
                }
                for gate in &gates {
                    gate.open.send(()).unwrap();
                }
                for (n, wait) in waits.into_iter().enumerate() {
                    assert_eq!(wait.join().unwrap(), n);
                }
            });
            assert_eq!(pool_threads(), 2);
        });
    });
    child.expect_success();
}

/// What some hundred calls give and what cancellations do to them is taken or dropped, once each.
#[test]
fn calls_that_are_cancelled_at_random_lose_and_double_nothing() {
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, SeqCst);
        }
    }
    const CALLS: usize = 300;
    let seed = testing::seed().unwrap_or_else(|| u64::from(std::process::id()));
    println!("seed {seed}");
    in_every_runtime(|_| {
        let mut random = Random::new(seed);
        let (made, dropped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut taken = 0;
        for _ in 0..CALLS / 10 {
            let spawn = |pauses: u64| {
                let (made, dropped) = (made.clone(), dropped.clone());
                thread::spawn(move || {
                    let work = move || {
                        (0..pauses).for_each(|_| std::thread::yield_now());
                        made.fetch_add(1, SeqCst);
                        Counted(dropped)
                    };
                    run_on_pool(work).unwrap()
                })
            };
            let waits: Vec<_> = (0..10).map(|_| spawn(random.below(20))).collect();
            for handle in &waits {
                (0..random.below(4)).for_each(|_| thread::yield_now());
                if random.below(2) == 0 {
                    handle.cancel().unwrap();
                }
            }
            for handle in waits {
                match handle.join() {
                    Ok(_counted) => taken += 1,
                    Err(payload) => assert!(payload.is::<thread::Cancelled>(), "seed {seed}"),
                }
            }
        }
        assert!(taken > 0, "seed {seed}: all were cancelled");
        until(|| dropped.load(SeqCst) == made.load(SeqCst));
        assert!(made.load(SeqCst) >= taken, "seed {seed}");
    });
}
