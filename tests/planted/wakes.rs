//! Bugs about waiting and being woken.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sylvan::thread::{self, Thread};
use sylvan::time;

use crate::{Twin, expect_found};

const STUCK: &str = "nothing can move any more";

/// A place where threads leave their handles in order to be woken.
#[derive(Default)]
struct Waiters(Mutex<Vec<Thread>>);

impl Waiters {
    fn enter(&self) {
        self.0.lock().unwrap().push(thread::current());
    }

    fn wake_one(&self) {
        let one = self.0.lock().unwrap().pop();
        if let Some(one) = one {
            one.unpark();
        }
    }

    fn wake_all(&self) {
        for one in std::mem::take(&mut *self.0.lock().unwrap()) {
            one.unpark();
        }
    }
}

#[test]
fn check_then_park() {
    expect_found("wakes::check_then_park", STUCK, |twin| {
        let (ready, waiters) = (AtomicBool::new(false), Waiters::default());
        thread::scope(|scope| {
            scope.spawn(|| {
                if twin == Twin::Mended {
                    waiters.enter();
                }
                if !ready.load(SeqCst) {
                    thread::yield_now();
                    // Between the check and this line the flag may have been set, and nobody was
                    // there to be woken.
                    if twin == Twin::Broken {
                        waiters.enter();
                    }
                    thread::park();
                }
            });
            scope.spawn(|| {
                ready.store(true, SeqCst);
                waiters.wake_one();
            });
        });
    });
}

#[test]
fn missing_notify() {
    expect_found("wakes::missing_notify", STUCK, |twin| {
        let (open, waiters) = (AtomicBool::new(false), Waiters::default());
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !open.load(SeqCst) {
                        waiters.enter();
                        thread::park();
                    }
                });
            }
            scope.spawn(|| {
                open.store(true, SeqCst);
                match twin {
                    // Enough as long as no more than one waits.
                    Twin::Broken => waiters.wake_one(),
                    Twin::Mended => waiters.wake_all(),
                }
            });
        });
    });
}

#[test]
fn notify_before_wait() {
    expect_found("wakes::notify_before_wait", STUCK, |twin| {
        let (sent, waiters) = (AtomicBool::new(false), Waiters::default());
        thread::scope(|scope| {
            scope.spawn(|| {
                if twin == Twin::Mended {
                    sent.store(true, SeqCst);
                }
                // Nobody may be there yet, and then the wake leaves nothing behind.
                waiters.wake_all();
            });
            scope.spawn(|| {
                waiters.enter();
                if !sent.load(SeqCst) {
                    thread::park();
                }
            });
        });
    });
}

#[test]
fn timer_that_races_an_unpark() {
    expect_found("wakes::timer_that_races_an_unpark", "the letter is lost", |twin| {
        let letter = Arc::new(Mutex::new(None));
        let patience = Duration::from_millis(10);
        let inner = letter.clone();
        let receiver = thread::spawn(move || {
            let deadline = time::now() + patience;
            thread::park_timeout(patience);
            let mut letter = inner.lock().unwrap();
            // That the time is over does not say that nothing came.
            let gives_up = match twin {
                Twin::Broken => time::now() >= deadline,
                Twin::Mended => letter.is_none(),
            };
            if gives_up {
                *letter = Some("refused");
                return None;
            }
            letter.take()
        });
        // As late as it gets: at the same instant, in either order.
        thread::sleep(patience);
        let accepted = {
            let mut letter = letter.lock().unwrap();
            let accepted = letter.is_none();
            if accepted {
                *letter = Some("hello");
            }
            accepted
        };
        receiver.thread().unpark();
        let received = receiver.join().unwrap();
        assert_eq!(received.is_some(), accepted, "the letter is lost");
    });
}
