//! Bugs about how threads end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};

use sylvan::thread;

use crate::{Twin, expect_found};

#[test]
fn join_that_races_a_panic() {
    expect_found("ends::join_that_races_a_panic", "the supervisor falls with it", |twin| {
        let (failed, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (flag, stopped) = (failed.clone(), stop.clone());
        let worker = thread::spawn(move || {
            thread::yield_now();
            if !stopped.load(SeqCst) {
                flag.store(true, SeqCst);
                // Not through the panic hook: the seeds that pass need not print it.
                std::panic::resume_unwind(Box::new("the worker has failed"));
            }
        });
        match twin {
            Twin::Broken => {
                // It may still fail between the look and the join.
                if !failed.load(SeqCst) {
                    thread::yield_now();
                    worker.join().expect("the supervisor falls with it");
                }
            }
            Twin::Mended => {
                thread::yield_now();
                stop.store(true, SeqCst);
                assert_eq!(worker.join().is_err(), failed.load(SeqCst));
            }
        }
    });
}

#[test]
fn cancel_that_races_a_finish() {
    expect_found("ends::cancel_that_races_a_finish", "the job was done twice", |twin| {
        let done = Arc::new(AtomicU32::new(0));
        let inner = done.clone();
        let worker = thread::spawn(move || {
            thread::yield_now();
            inner.fetch_add(1, SeqCst);
            thread::yield_now();
        });
        thread::yield_now();
        worker.cancel().unwrap();
        let ended = worker.join();
        let undone = match twin {
            // A cancellation asks; it does not say how far the thread had come.
            Twin::Broken => ended.is_err(),
            Twin::Mended => done.load(SeqCst) == 0,
        };
        if undone {
            done.fetch_add(1, SeqCst);
        }
        assert!(done.load(SeqCst) < 2, "the job was done twice");
    });
}
