//! Loom models of the barrier: all go, one leads, and a cancelled one has not come.
#![forbid(unsafe_code)]

use loom::sync::Arc;
use loom::thread;

use super::Barrier;
use crate::primitives::{AtomicUsize, Ordering, check_within};
use crate::sched::cut::Shield;
use crate::sched::door::models::{ends_cancelled, spawn_canceller};

#[test]
fn all_go_and_one_leads_again_and_again() {
    check_within(2, || {
        let barrier = Arc::new(Barrier::new(2));
        let other = {
            let barrier = barrier.clone();
            thread::spawn(move || [(); 2].map(|()| u32::from(barrier.wait().is_leader())))
        };
        let own = [(); 2].map(|()| u32::from(barrier.wait().is_leader()));
        let other = other.join().unwrap();
        assert_eq!([own[0] + other[0], own[1] + other[1]], [1, 1]);
    });
    check_within(2, || {
        let barrier = Arc::new(Barrier::new(3));
        let others = [(); 2].map(|()| {
            let barrier = barrier.clone();
            thread::spawn(move || u32::from(barrier.wait().is_leader()))
        });
        let own = u32::from(barrier.wait().is_leader());
        assert_eq!(own + others.map(|other| other.join().unwrap()).iter().sum::<u32>(), 1);
    });
}

#[test]
fn next_generation_waits_for_its_own() {
    check_within(1, || {
        let world = Arc::new((Barrier::new(2), AtomicUsize::new(0)));
        let pass = |(barrier, passed): &(Barrier, AtomicUsize)| {
            barrier.wait();
            let passed = passed.fetch_add(1, Ordering::AcqRel) + 1;
            assert!(passed <= 2 * barrier.raw.generation.load(Ordering::Relaxed));
        };
        let others = [(); 3].map(|()| {
            let world = world.clone();
            thread::spawn(move || pass(&world))
        });
        pass(&world);
        for other in others {
            other.join().unwrap();
        }
    });
}

#[test]
fn cancelled_one_has_not_come_or_all_have() {
    check_within(2, || {
        let barrier = Arc::new(Barrier::new(2));
        let canceller = spawn_canceller();
        let other = {
            let barrier = barrier.clone();
            thread::spawn(move || drop(barrier.wait()))
        };
        let mut passed = false;
        ends_cancelled(|| {
            barrier.wait();
            passed = true;
        });
        canceller.join().unwrap();
        if barrier.raw.generation.load(Ordering::Relaxed) == 0 {
            // It has not come.
            assert!(!passed);
            let _shield = Shield::raise();
            barrier.wait();
        }
        other.join().unwrap();
        assert_eq!(barrier.raw.generation.load(Ordering::Relaxed), 1);
        assert_eq!(barrier.raw.arrived.load(Ordering::Relaxed), 0);
    });
}
