//! `WaitGroup`: waits until all of its clones have gone.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use sylvan::sync::WaitGroup;
use sylvan::thread;
use sylvan_workspace::everywhere;

use super::settle;

#[test]
fn alone_it_does_not_wait() {
    everywhere(|_| {
        WaitGroup::new().wait();
        WaitGroup::default().wait();
        let group = WaitGroup::new();
        drop(group.clone());
        group.wait();
    });
}

#[test]
fn waits_until_everybody_is_done() {
    everywhere(|_| {
        let (group, done) = (WaitGroup::new(), Arc::new(AtomicUsize::new(0)));
        for _ in 0..10 {
            let (group, done) = (group.clone(), done.clone());
            // Not joined before the wait is over: the group is all that is waited for.
            thread::spawn(move || {
                thread::yield_now();
                done.fetch_add(1, SeqCst);
                drop(group);
            });
        }
        group.wait();
        assert_eq!(done.load(SeqCst), 10);
    });
}

#[test]
fn one_clone_that_lives_keeps_it_waiting() {
    everywhere(|_| {
        let group = WaitGroup::new();
        let (first, second) = (group.clone(), group.clone());
        thread::scope(|scope| {
            let waiting = scope.spawn(move || group.wait());
            settle();
            drop(first);
            settle();
            assert!(!waiting.is_finished());
            drop(second);
            waiting.join().unwrap();
        });
    });
}

#[test]
fn clone_of_a_clone_counts() {
    everywhere(|_| {
        let group = WaitGroup::new();
        let child = group.clone();
        let grandchild = child.clone();
        drop(child);
        thread::scope(|scope| {
            let waiting = scope.spawn(move || group.wait());
            settle();
            assert!(!waiting.is_finished());
            drop(grandchild);
            waiting.join().unwrap();
        });
    });
}

#[test]
fn several_wait_for_each_other() {
    everywhere(|_| {
        let (group, arrived) = (WaitGroup::new(), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..5 {
                let (group, arrived) = (group.clone(), &arrived);
                scope.spawn(move || {
                    arrived.fetch_add(1, SeqCst);
                    group.wait();
                    assert_eq!(arrived.load(SeqCst), 5);
                });
            }
            settle();
            drop(group);
        });
    });
}

#[test]
fn panic_is_an_end_too() {
    everywhere(|_| {
        let group = WaitGroup::new();
        let inner = group.clone();
        let panics = thread::spawn(move || {
            let _group = inner;
            std::panic::resume_unwind(Box::new(()));
        });
        group.wait();
        assert!(panics.join().is_err());
    });
}

#[test]
fn debug_names_it() {
    everywhere(|_| {
        let group = WaitGroup::new();
        let text = format!("{group:?}");
        assert!(text.starts_with("WaitGroup"), "{text}");
    });
}
