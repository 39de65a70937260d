//! `block_on` alone, with futures that the tests make themselves.

use std::cell::Cell;
use std::future::{pending, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::task::{Poll, Waker};

use sylvan::sync::Mutex;
use sylvan::thread::{self, Cancelled};
use sylvan::{block_on, testing};
use sylvan_workspace::{OnDrop, everywhere, in_every_runtime, outside, text_of, until};

use crate::support::Signal;

/// Waits until the future that wakes itself again and again has been asked to come.
async fn spin_until(flag: &AtomicBool, polls: &AtomicUsize) {
    poll_fn(|context| {
        polls.fetch_add(1, SeqCst);
        if flag.load(SeqCst) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[test]
fn future_that_is_ready_gives_what_it_borrows_and_what_is_not_send() {
    everywhere(|_| {
        let here = Rc::new(Cell::new(1));
        let there = block_on(async {
            here.set(here.get() + 1);
            &here
        });
        assert_eq!(there.get(), 2);
        assert_eq!(block_on(ready("at once")), "at once");
    });
}

#[test]
fn wake_out_of_the_poll_itself_is_followed_by_another_poll() {
    everywhere(|_| {
        for by_clone in [false, true] {
            let mut polls = 0;
            block_on(poll_fn(|context| {
                polls += 1;
                if polls == 3 {
                    return Poll::Ready(());
                }
                let clone = by_clone.then(|| context.waker().clone());
                match clone {
                    Some(clone) => clone.wake(),
                    None => context.waker().wake_by_ref(),
                }
                Poll::Pending
            }));
            assert_eq!(polls, 3);
        }
    });
}

#[test]
fn wake_of_another_thread_ends_the_wait() {
    everywhere(|_| {
        let signal = Signal::new();
        let other = signal.clone();
        let other = thread::spawn(move || {
            until(|| other.polls() > 0);
            other.set();
        });
        block_on(signal.wait());
        other.join().unwrap();
    });
}

#[test]
fn wake_of_a_kernel_thread_ends_the_wait() {
    everywhere(|_| {
        let signal = Signal::new();
        let (other, registered) = (signal.clone(), outside());
        let other = std::thread::spawn(move || {
            while other.polls() == 0 {
                std::thread::yield_now();
            }
            other.set();
            drop(registered);
        });
        block_on(signal.wait());
        other.join().unwrap();
    });
}

#[test]
fn later_polls_are_given_the_waker_that_was_cloned() {
    everywhere(|_| {
        let mut kept: Option<Waker> = None;
        let mut polls = 0;
        block_on(poll_fn(|context| {
            polls += 1;
            let kept = kept.get_or_insert_with(|| context.waker().clone());
            assert!(polls == 1 || kept.will_wake(context.waker()));
            assert!(kept.will_wake(&kept.clone()));
            kept.wake_by_ref();
            if polls == 4 { Poll::Ready(()) } else { Poll::Pending }
        }));
    });
}

#[test]
fn waker_may_be_used_when_its_thread_has_ended() {
    everywhere(|_| {
        let take_waker = || {
            block_on(poll_fn(|context| Poll::Ready(context.waker().clone())));
            // A second one, of a call that has waited.
            let mut kept = None;
            block_on(poll_fn(|context| {
                let is_first = kept.is_none();
                let waker = kept.get_or_insert_with(|| context.waker().clone()).clone();
                if is_first {
                    thread::spawn(move || waker.wake());
                    return Poll::Pending;
                }
                Poll::Ready(())
            }));
            kept.unwrap()
        };
        let waker = thread::spawn(take_waker).join().unwrap();
        waker.wake_by_ref();
        // While others wait, who may have got the dead thread's place in memory.
        let signal = Signal::new();
        let waiting = {
            let signal = signal.clone();
            thread::spawn(move || block_on(signal.wait()))
        };
        until(|| signal.polls() == 1);
        let other = waker.clone();
        waker.wake();
        let registered = outside();
        let kernel = std::thread::spawn(move || {
            other.wake_by_ref();
            drop(other);
            drop(registered);
        });
        kernel.join().unwrap();
        thread::yield_now();
        assert_eq!(signal.polls(), 1);
        signal.set();
        waiting.join().unwrap();
    });
}

#[test]
fn future_that_wakes_itself_for_ever_shares_its_worker() {
    in_every_runtime(|_| {
        let flag = Arc::new(AtomicBool::new(false));
        let polls = Arc::new(AtomicUsize::new(0));
        let spins = {
            let (flag, polls) = (flag.clone(), polls.clone());
            thread::spawn(move || block_on(spin_until(&flag, &polls)))
        };
        // Of two that are stuck without each other's turns.
        for _ in 0..5 {
            let before = polls.load(SeqCst);
            until(|| polls.load(SeqCst) > before);
        }
        flag.store(true, SeqCst);
        spins.join().unwrap();
    });
}

#[test]
fn future_that_wakes_itself_for_ever_can_be_cancelled() {
    in_every_runtime(|_| {
        let polls = Arc::new(AtomicUsize::new(0));
        let drops = Arc::new(AtomicUsize::new(0));
        let spins = {
            let (polls, drops) = (polls.clone(), drops.clone());
            thread::spawn(move || {
                let count = OnDrop(move || _ = drops.fetch_add(1, SeqCst));
                block_on(async move {
                    let _count = count;
                    spin_until(&AtomicBool::new(false), &polls).await;
                });
            })
        };
        until(|| polls.load(SeqCst) > 0);
        spins.cancel().unwrap();
        assert!(spins.join().unwrap_err().is::<Cancelled>());
        assert_eq!(drops.load(SeqCst), 1);
    });
}

#[test]
fn cancellation_of_the_wait_drops_the_future_once() {
    in_every_runtime(|_| {
        let signal = Signal::new();
        let drops = Arc::new(AtomicUsize::new(0));
        let waits = {
            let (signal, drops) = (signal.clone(), drops.clone());
            thread::spawn(move || {
                let count = OnDrop(move || _ = drops.fetch_add(1, SeqCst));
                block_on(async move {
                    let _count = count;
                    signal.wait().await;
                });
            })
        };
        until(|| signal.polls() == 1);
        waits.cancel().unwrap();
        assert!(waits.join().unwrap_err().is::<Cancelled>());
        assert_eq!(drops.load(SeqCst), 1);
        // Its waker is still there.
        signal.set();
    });
}

#[test]
fn cancelled_thread_does_not_ask_its_future() {
    in_every_runtime(|_| {
        let polls = Arc::new(AtomicUsize::new(0));
        let asks = {
            let polls = polls.clone();
            thread::spawn(move || {
                while !thread::cancelled() {
                    let _ = catch_unwind(thread::yield_now);
                }
                block_on(spin_until(&AtomicBool::new(true), &polls));
            })
        };
        asks.cancel().unwrap();
        assert!(asks.join().unwrap_err().is::<Cancelled>());
        assert_eq!(polls.load(SeqCst), 0);
    });
}

#[test]
fn future_that_nobody_wakes_is_ended_by_a_cancellation() {
    in_every_runtime(|_| {
        let waits = thread::spawn(|| block_on(pending::<()>()));
        thread::yield_now();
        waits.cancel().unwrap();
        assert!(waits.join().unwrap_err().is::<Cancelled>());
    });
}

#[test]
fn poll_may_call_block_on_again() {
    everywhere(|_| {
        let (outer, inner) = (Signal::new(), Signal::new());
        let sets = {
            let (outer, inner) = (outer.clone(), inner.clone());
            thread::spawn(move || {
                until(|| inner.polls() > 0);
                // The outer call is in its poll and must remember it.
                outer.set();
                inner.set();
            })
        };
        let nested = poll_fn(|context| {
            let mut outer = std::pin::pin!(outer.wait());
            let polled = outer.as_mut().poll(context);
            block_on(inner.wait());
            polled
        });
        block_on(nested);
        sets.join().unwrap();
    });
}

#[test]
fn poll_may_wait_for_a_lock() {
    everywhere(|_| {
        let (lock, holds) = (Arc::new(Mutex::new(0)), Arc::new(AtomicBool::new(false)));
        let signal = Signal::new();
        let holder = {
            let (lock, holds, signal) = (lock.clone(), holds.clone(), signal.clone());
            thread::spawn(move || {
                let mut guard = lock.lock().unwrap();
                holds.store(true, SeqCst);
                until(|| signal.polls() > 0);
                signal.set();
                *guard += 1;
            })
        };
        until(|| holds.load(SeqCst));
        let sum = poll_fn(|context| {
            let mut waits = std::pin::pin!(signal.wait());
            let polled = waits.as_mut().poll(context);
            let value = *lock.lock().unwrap();
            polled.map(|()| value)
        });
        assert_eq!(block_on(sum), 1);
        holder.join().unwrap();
    });
}

#[test]
fn panic_of_a_poll_goes_through_and_the_thread_goes_on() {
    everywhere(|_| {
        let drops = AtomicUsize::new(0);
        let result = catch_unwind(AssertUnwindSafe(|| {
            let count = OnDrop(|| _ = drops.fetch_add(1, SeqCst));
            let mut polls = 0;
            block_on(poll_fn(|context| {
                let _is_moved_in = &count;
                polls += 1;
                if polls == 2 {
                    resume_unwind(Box::new("expected in a test"));
                }
                context.waker().wake_by_ref();
                Poll::<()>::Pending
            }));
        }));
        assert_eq!(text_of(&*result.unwrap_err()), "expected in a test");
        assert_eq!(drops.load(SeqCst), 1);
        assert_eq!(block_on(ready(5)), 5);
    });
}

/// A number that one changes and another one waits for.
#[derive(Default)]
struct Turn {
    number: AtomicUsize,
    waker: std::sync::Mutex<Option<Waker>>,
}

impl Turn {
    fn pass(&self) {
        self.number.fetch_add(1, SeqCst);
        let waker = self.waker.lock().unwrap().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    async fn until(&self, number: usize) {
        poll_fn(|context| {
            if self.number.load(SeqCst) < number {
                *self.waker.lock().unwrap() = Some(context.waker().clone());
                if self.number.load(SeqCst) < number {
                    return Poll::Pending;
                }
            }
            Poll::Ready(())
        })
        .await;
    }
}

#[test]
fn wakes_that_race_with_the_end_of_a_poll_are_not_lost() {
    everywhere(|_| {
        let rounds = if testing::seed().is_some() { 100 } else { 2000 };
        let there = Arc::new([Turn::default(), Turn::default()]);
        let other = {
            let there = there.clone();
            thread::spawn(move || {
                for round in 1..=rounds {
                    block_on(there[0].until(round));
                    there[1].pass();
                }
            })
        };
        for round in 1..=rounds {
            there[0].pass();
            block_on(there[1].until(round));
        }
        other.join().unwrap();
    });
}
