//! Bugs about who may touch what, and in which order locks are taken.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};

use sylvan::thread::{self, Thread};

use crate::{Twin, expect_found};

#[test]
fn lost_update() {
    expect_found("locks::lost_update", "left: 1", |twin| {
        let number = AtomicU32::new(0);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| match twin {
                    Twin::Broken => {
                        let read = number.load(SeqCst);
                        // Stands for any call that may wait.
                        thread::yield_now();
                        number.store(read + 1, SeqCst);
                    }
                    Twin::Mended => {
                        thread::yield_now();
                        number.fetch_add(1, SeqCst);
                    }
                });
            }
        });
        assert_eq!(number.load(SeqCst), 2);
    });
}

/// A lock of park and unpark: first come, first served, and handed over by the one who leaves.
#[derive(Default)]
struct Lock {
    held: AtomicBool,
    waiting: Mutex<VecDeque<Thread>>,
}

impl Lock {
    #[track_caller]
    fn lock(&self) {
        while self.held.swap(true, SeqCst) {
            self.waiting.lock().unwrap().push_back(thread::current());
            if self.held.load(SeqCst) {
                thread::park();
            }
        }
        // Others may have their turns here, as in every call that may wait.
        thread::yield_now();
    }

    fn unlock(&self) {
        self.held.store(false, SeqCst);
        if let Some(next) = self.waiting.lock().unwrap().pop_front() {
            next.unpark();
        }
    }
}

#[test]
fn locks_taken_in_two_orders() {
    expect_found("locks::locks_taken_in_two_orders", "nothing can move any more", |twin| {
        let (first, second) = (Lock::default(), Lock::default());
        let transfer = |from: &Lock, to: &Lock| {
            from.lock();
            to.lock();
            to.unlock();
            from.unlock();
        };
        thread::scope(|scope| {
            scope.spawn(|| transfer(&first, &second));
            scope.spawn(|| match twin {
                Twin::Broken => transfer(&second, &first),
                Twin::Mended => transfer(&first, &second),
            });
        });
    });
}
