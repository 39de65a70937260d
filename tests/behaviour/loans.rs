//! Joins of threads that nobody has started: the joiner lends its turn to them, and no program can
//! tell that from a wait.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sylvan::thread::{self, Cancelled};
use sylvan_workspace::{in_every_runtime, text_of, until};

/// Threads that join each other, `depth` of them, above one that calls `bottom`.
fn chain(depth: u32, bottom: fn()) -> u32 {
    if depth == 0 {
        bottom();
        return 0;
    }
    1 + thread::spawn(move || chain(depth - 1, bottom)).join().expect("nobody panics")
}

#[test]
fn chain_of_joins_comes_back_whatever_its_last_thread_does() {
    in_every_runtime(|_| {
        let bottoms: [fn(); 5] = [
            || (),
            thread::yield_now,
            || thread::sleep(Duration::from_micros(100)),
            || thread::park_timeout(Duration::from_micros(100)),
            || assert_eq!(thread::scope(|scope| scope.spawn(|| 7).join()).unwrap(), 7),
        ];
        for bottom in bottoms {
            assert_eq!(chain(30, bottom), 30);
        }
    });
}

#[test]
fn chain_of_joins_lets_the_neighbour_run() {
    in_every_runtime(|_| {
        let over = Arc::new(AtomicBool::new(false));
        let neighbour = thread::spawn({
            let over = over.clone();
            move || {
                thread::yield_now();
                over.store(true, SeqCst);
            }
        });
        // Nothing here waits but for threads that end at once.
        while !over.load(SeqCst) {
            assert_eq!(chain(3, || ()), 3);
        }
        neighbour.join().unwrap();
    });
}

#[test]
fn joiner_is_cancelled_while_its_thread_goes_on() {
    in_every_runtime(|_| {
        let (runs, over) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let joiner = thread::spawn({
            let (runs, over) = (runs.clone(), over.clone());
            move || {
                let thread = thread::spawn(move || {
                    runs.store(true, SeqCst);
                    until(|| over.load(SeqCst));
                });
                thread.join()
            }
        });
        until(|| runs.load(SeqCst));
        joiner.cancel().unwrap();
        let payload = joiner.join().expect_err("it was cancelled in its join");
        assert!(payload.is::<Cancelled>());
        over.store(true, SeqCst);
    });
}

/// The cancellation comes before the joined thread has left its stack for the first time.
#[test]
fn joiner_is_cancelled_by_the_thread_that_it_joins() {
    in_every_runtime(|_| {
        let slot: Arc<Mutex<Option<thread::JoinHandle<_>>>> = Arc::default();
        let over = Arc::new(AtomicBool::new(false));
        let joiner = thread::spawn({
            let (slot, over) = (slot.clone(), over.clone());
            move || {
                let thread = thread::spawn(move || {
                    until(|| slot.lock().unwrap().is_some());
                    slot.lock().unwrap().as_ref().unwrap().cancel().unwrap();
                    until(|| over.load(SeqCst));
                });
                thread.join()
            }
        });
        *slot.lock().unwrap() = Some(joiner);
        until(|| slot.lock().unwrap().as_ref().unwrap().is_finished());
        let joiner = slot.lock().unwrap().take().unwrap();
        assert!(joiner.join().expect_err("it was cancelled").is::<Cancelled>());
        over.store(true, SeqCst);
    });
}

#[test]
fn panic_goes_up_a_chain_of_joins() {
    in_every_runtime(|_| {
        let joiner =
            thread::spawn(|| thread::spawn(|| std::panic::resume_unwind(Box::new("x"))).join());
        let payload = joiner.join().unwrap().expect_err("it was unwound");
        assert_eq!(text_of(&*payload), "x");
    });
}
