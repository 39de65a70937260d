//! Futures in seeded runs: with virtual time, and in many orders.

use std::future::{pending, poll_fn};
use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::Poll;
use std::time::Duration;

use futures_util::future::{Either, join_all, select};
use sylvan::testing::{self, Plan};
use sylvan::{block_on, thread, time};
use sylvan_workspace::text_of;

use crate::support::Signal;

const HOUR: Duration = Duration::from_secs(3600);

/// A future that comes when so much time of the run is over.
async fn sleep(duration: Duration) {
    thread::spawn(move || thread::sleep(duration)).await.unwrap();
}

#[sylvan::test(seeds = 100)]
fn waits_for_futures_take_virtual_time() {
    let begun = time::now();
    let naps = (1..=5).map(|hours| sleep(HOUR * hours));
    block_on(join_all(naps));
    assert_eq!(time::now() - begun, HOUR * 5);
}

#[sylvan::test(seeds = 100, strategy = "pct")]
fn select_goes_by_virtual_time() {
    let (long, short) = (Box::pin(sleep(HOUR * 2)), Box::pin(sleep(HOUR)));
    let begun = time::now();
    let Either::Right(((), long)) = block_on(select(long, short)) else {
        panic!("an hour is shorter than two");
    };
    assert_eq!(time::now() - begun, HOUR);
    block_on(long);
    assert_eq!(time::now() - begun, HOUR * 2);
}

#[sylvan::test(seeds = 200)]
fn wake_is_not_lost_in_any_order() {
    let signals: Vec<_> = (0..3).map(|_| Signal::new()).collect();
    let threads: Vec<_> = signals
        .iter()
        .map(|signal| {
            let signal = signal.clone();
            thread::spawn(move || signal.set())
        })
        .collect();
    let waits = signals.iter().map(|signal| signal.wait());
    block_on(join_all(waits));
    for thread in threads {
        block_on(thread).unwrap();
    }
}

#[sylvan::test(seeds = 200)]
fn wait_that_ends_for_nothing_asks_the_future_no_more() {
    let signal = Signal::new();
    let other = signal.clone();
    let sets = thread::spawn(move || {
        thread::sleep(HOUR);
        other.set();
    });
    block_on(signal.wait());
    assert_eq!(signal.polls(), 2);
    sets.join().unwrap();
}

#[sylvan::test(seeds = 100)]
fn cancellation_meets_the_wake() {
    let (signal, drops) = (Signal::new(), Arc::new(AtomicUsize::new(0)));
    let waits = {
        let (signal, drops) = (signal.clone(), drops.clone());
        thread::spawn(move || {
            let _count = sylvan_workspace::OnDrop(|| _ = drops.fetch_add(1, SeqCst));
            block_on(signal.wait());
        })
    };
    let sets = thread::spawn(move || signal.set());
    waits.cancel().unwrap();
    let result = waits.join();
    sets.join().unwrap();
    assert!(result.is_ok() || result.unwrap_err().is::<thread::Cancelled>());
    assert!(drops.load(SeqCst) <= 1);
}

#[test]
fn run_in_which_a_future_never_comes_says_who_waits_for_it() {
    let result = catch_unwind(|| Plan::new().run(1, || block_on(pending::<()>())));
    let text = text_of(&*result.unwrap_err()).to_owned();
    assert!(text.contains("nothing can move any more"), "{text}");
    assert!(text.contains("waiting for a future at tests/futures/under_seeds.rs:"), "{text}");
}

#[test]
fn seed_repeats_the_order_of_awaited_threads() {
    let order = |seed| {
        testing::run_seeded(seed, || {
            let order = Arc::new(std::sync::Mutex::new(Vec::new()));
            let threads = (0..6).map(|n| {
                let order = order.clone();
                thread::spawn(move || {
                    thread::yield_now();
                    order.lock().unwrap().push(n);
                })
            });
            let threads: Vec<_> = threads.map(IntoFuture::into_future).collect();
            block_on(join_all(threads));
            // Whoever asks once more is woken by nobody.
            block_on(poll_fn(|_| Poll::Ready(())));
            Arc::into_inner(order).unwrap().into_inner().unwrap()
        })
    };
    let orders: Vec<Vec<i32>> = (0..20).map(order).collect();
    assert_eq!(orders, (0..20).map(order).collect::<Vec<_>>());
    assert!(orders.iter().any(|other| *other != orders[0]));
}
