//! Loom models of the hand-over: a result comes to its waiter or is dropped, once, whatever ends
//! the wait.
//!
//! The threads of a model are kernel threads to the crate, and the door is the real one.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use loom::thread::{self, JoinHandle};

use crate::blocking::hand_over::HandOver;
use crate::primitives::check;
use crate::sched::cut::models::in_cancelled_region;
use crate::sched::door;
use crate::task::{HeaderRef, WaitKind, current};

/// A result whose drops are counted. Loom need not see the count: one thread of a model runs at a
/// time, and it is read at the end.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// The pool thread, which has done its work.
fn completes<T: Send + 'static>(hand_over: &Arc<HandOver<T>>, value: T) -> JoinHandle<()> {
    let there = hand_over.clone();
    thread::spawn(move || there.complete(Ok(value)))
}

fn waits<T>(hand_over: &HandOver<T>) -> T {
    hand_over.wait(door::reason(WaitKind::Resolve)).unwrap_or_else(|_| panic!("it was a value"))
}

#[test]
fn result_reaches_its_waiter() {
    check(|| {
        let here = Arc::new(HandOver::new());
        let pool = completes(&here, 7);
        assert_eq!(waits(&here), 7);
        pool.join().unwrap();
    });
}

#[test]
fn result_that_meets_a_cancellation_is_taken_or_dropped_once() {
    check(|| {
        let drops = Arc::new(AtomicUsize::new(0));
        let here = Arc::new(HandOver::new());
        let pool = completes(&here, Counted(drops.clone()));
        let mut taken = None;
        let cut_off = in_cancelled_region(|| taken = Some(waits(&here)));
        pool.join().unwrap();
        assert_eq!(taken.is_none(), cut_off);
        assert_eq!(drops.load(Ordering::SeqCst), usize::from(cut_off));
        drop(taken);
        drop(here);
        assert_eq!(drops.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn wait_that_was_ended_for_nothing_is_repeated() {
    check(|| {
        let here = Arc::new(HandOver::new());
        let me = HeaderRef::new(&current::me());
        // The number is a guess here; whoever wakes for nothing knows it.
        let next = me.state.next_sequence();
        let disturbs = thread::spawn(move || door::wake(&me, next));
        let pool = completes(&here, 7);
        assert_eq!(waits(&here), 7);
        disturbs.join().unwrap();
        pool.join().unwrap();
    });
}
