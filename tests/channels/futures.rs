//! Futures of channels that are polled by hand: dropped at any point, polled too often, moved, and
//! their wakers used when all is over.
#![forbid(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use sylvan::channel::{Select, after, bounded, never, tick, unbounded};
use sylvan::thread;
use sylvan_workspace::{everywhere, in_every_runtime, until};

use crate::support::{HOUR, Ledger, is_offered, is_wanted, poll_once};

/// Counts how often it is woken.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Bell {
    fn rings(&self) -> usize {
        self.0.load(SeqCst)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Bell>) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[test]
fn future_dropped_after_its_message_was_taken_does_not_drop_it_again() {
    everywhere(|_| {
        for capacity in [0, 1] {
            let ledger = Ledger::new(2);
            let (sender, receiver) = bounded(capacity);
            if capacity == 1 {
                sender.send(ledger.letter(0)).ok().unwrap();
            } else {
                drop(ledger.letter(0));
            }
            let mut future = Box::pin(sender.send_async(ledger.letter(1)));
            assert!(poll_once(future.as_mut()).is_pending());
            let first = receiver.recv().ok().unwrap();
            // With room for one it lies in the channel, else the receiver has it.
            drop(future);
            assert_eq!(ledger.drops(1), 0);
            drop((first, sender));
            assert_eq!(receiver.iter().count(), capacity);
            ledger.expect_all_gone();
        }
    });
}

#[test]
fn message_in_the_hands_of_a_dropped_future_goes_to_the_next_in_its_place() {
    everywhere(|_| {
        for capacity in [Some(0), Some(1), None] {
            let ledger = Ledger::new(2);
            let (sender, receiver) = capacity.map_or_else(unbounded, bounded);
            let mut first = Box::pin(receiver.recv_async());
            let mut second = Box::pin(receiver.recv_async());
            assert!(poll_once(first.as_mut()).is_pending());
            assert!(poll_once(second.as_mut()).is_pending());
            sender.try_send(ledger.letter(0)).ok().unwrap();
            assert!(receiver.is_empty(), "the first one has it");
            drop(first);
            assert!(receiver.is_empty(), "the second one has it");
            drop(second);
            assert_eq!((receiver.len(), ledger.drops(0)), (1, 0));
            if capacity.is_none() {
                sender.send(ledger.letter(1)).ok().unwrap();
            } else {
                drop(ledger.letter(1));
            }
            assert_eq!(receiver.recv().unwrap().number, 0, "in front of later ones");
            drop((sender, receiver));
            ledger.expect_all_gone();
        }
    });
}

#[test]
fn future_that_was_chosen_by_a_select_and_is_dropped_leaves_the_message_to_others() {
    everywhere(|_| {
        let ledger = Ledger::new(2);
        let (sender, receiver) = bounded(0);
        for (number, is_polled_again) in [(0, false), (1, true)] {
            let mut future = Box::pin(receiver.recv_async());
            assert!(poll_once(future.as_mut()).is_pending());
            let mut select = Select::new();
            select.send(&sender);
            let operation = select.try_select().unwrap();
            if is_polled_again {
                assert!(poll_once(future.as_mut()).is_pending(), "nothing was written yet");
            }
            drop(future);
            operation.send(&sender, ledger.letter(number)).ok().unwrap();
            assert_eq!(receiver.try_recv().unwrap().number, number);
        }
        ledger.expect_all_gone();
    });
}

#[test]
fn future_that_was_refused_by_a_select_is_woken_and_waits_on() {
    everywhere(|_| {
        let (sender, receiver) = bounded(0);
        for is_polled_again in [false, true] {
            let bell = Arc::<Bell>::default();
            let waker = Waker::from(bell.clone());
            let mut context = Context::from_waker(&waker);
            let mut future = pin!(receiver.recv_async());
            assert!(future.as_mut().poll(&mut context).is_pending());
            let refused = catch_unwind(AssertUnwindSafe(|| {
                let mut select = Select::new();
                select.send(&sender);
                let operation = select.try_select().unwrap();
                assert_eq!(bell.rings(), 1, "it was chosen");
                if is_polled_again {
                    assert!(future.as_mut().poll(&mut context).is_pending());
                }
                drop(operation);
            }));
            assert!(refused.is_err());
            assert_eq!(bell.rings(), 1 + usize::from(is_polled_again), "it was refused");
            assert!(future.as_mut().poll(&mut context).is_pending());
            sender.try_send(7).unwrap();
            assert_eq!(future.as_mut().poll(&mut context), Poll::Ready(Ok(7)));
        }
    });
}

#[test]
fn waker_of_a_future_may_be_used_when_future_and_channel_are_gone() {
    everywhere(|_| {
        let bell = Arc::<Bell>::default();
        let waker = Waker::from(bell.clone());
        let mut context = Context::from_waker(&waker);
        let (sender, receiver) = bounded(0);
        {
            let mut receives = pin!(receiver.recv_async());
            assert!(receives.as_mut().poll(&mut context).is_pending());
        }
        {
            let mut sends = pin!(sender.send_async(1));
            assert!(sends.as_mut().poll(&mut context).is_pending());
        }
        assert!(!is_wanted(&sender) && !is_offered(&receiver), "they have left");
        drop((sender, receiver));
        waker.wake_by_ref();
        assert_eq!(bell.rings(), 1, "nobody but us");
        drop(waker);
        assert_eq!(Arc::strong_count(&bell), 1, "the channel has kept none");
    });
}

#[test]
fn only_the_latest_waker_is_woken() {
    everywhere(|_| {
        let (sender, receiver) = bounded(0);
        let bells = [(); 3].map(|()| Arc::<Bell>::default());
        let mut receives = pin!(receiver.recv_async());
        for bell in &bells {
            let waker = Waker::from(bell.clone());
            assert!(receives.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        sender.try_send(1).unwrap();
        assert_eq!(bells.each_ref().map(|bell| bell.rings()), [0, 0, 1]);
        assert_eq!(poll_once(receives.as_mut()), Poll::Ready(Ok(1)));
        assert!(bells.iter().all(|bell| Arc::strong_count(bell) == 1), "none is kept");
    });
}

#[test]
fn future_polled_after_it_was_ready_receives_anew_or_panics_and_harms_nobody() {
    everywhere(|_| {
        let (sender, receiver) = bounded(1);
        sender.send(1).unwrap();
        let mut receives = Box::pin(receiver.recv_async());
        assert_eq!(poll_once(receives.as_mut()), Poll::Ready(Ok(1)));
        assert!(poll_once(receives.as_mut()).is_pending());
        sender.try_send(2).unwrap();
        assert_eq!(poll_once(receives.as_mut()), Poll::Ready(Ok(2)));

        let mut sends = Box::pin(sender.send_async(3));
        assert_eq!(poll_once(sends.as_mut()), Poll::Ready(Ok(())));
        let again = catch_unwind(AssertUnwindSafe(|| poll_once(sends.as_mut()).is_ready()));
        assert!(again.is_err(), "its message is sent once");
        drop((receives, sends));
        assert_eq!(receiver.try_recv(), Ok(3));
        sender.send(4).unwrap();
        assert_eq!(receiver.recv(), Ok(4));
    });
}

#[test]
fn futures_of_a_disconnected_channel_are_ready_and_give_the_message_back() {
    everywhere(|_| {
        let (sender, receiver) = bounded::<i32>(0);
        let bell = Arc::<Bell>::default();
        let waker = Waker::from(bell.clone());
        let mut context = Context::from_waker(&waker);
        let mut sends = pin!(sender.send_async(7));
        assert!(sends.as_mut().poll(&mut context).is_pending());
        drop(receiver);
        assert_eq!(bell.rings(), 1);
        let Poll::Ready(Err(error)) = sends.as_mut().poll(&mut context) else {
            panic!("nobody receives any more")
        };
        assert_eq!(error.into_inner(), 7);

        let (sender, receiver) = bounded::<i32>(0);
        let mut receives = pin!(receiver.recv_async());
        assert!(receives.as_mut().poll(&mut context).is_pending());
        drop(sender);
        assert_eq!(bell.rings(), 2);
        for _ in 0..2 {
            assert!(matches!(receives.as_mut().poll(&mut context), Poll::Ready(Err(_))));
        }
    });
}

/// A waker that panics. The hook tells of it, and that is all.
struct Broken;

impl Wake for Broken {
    fn wake(self: Arc<Broken>) {
        crate::support::fail();
    }
}

#[test]
fn waker_that_panics_keeps_nobody_else_from_hearing_of_the_end() {
    everywhere(|_| {
        // More than are woken in one go.
        const COUNT: usize = 100;
        for end_of_senders in [false, true] {
            let (sender, receiver) = bounded::<usize>(0);
            let bell = Arc::<Bell>::default();
            let wakers = [Waker::from(Arc::new(Broken)), Waker::from(bell.clone())];
            let waker_of = |number: usize| &wakers[usize::from(number != 0)];
            let ended = if end_of_senders {
                let mut waiting: Vec<_> =
                    (0..COUNT).map(|_| Box::pin(receiver.recv_async())).collect();
                for (number, future) in waiting.iter_mut().enumerate() {
                    let mut context = Context::from_waker(waker_of(number));
                    assert!(future.as_mut().poll(&mut context).is_pending());
                }
                catch_unwind(AssertUnwindSafe(|| drop(sender)))
            } else {
                let mut waiting: Vec<_> =
                    (0..COUNT).map(|number| Box::pin(sender.send_async(number))).collect();
                for (number, future) in waiting.iter_mut().enumerate() {
                    let mut context = Context::from_waker(waker_of(number));
                    assert!(future.as_mut().poll(&mut context).is_pending());
                }
                catch_unwind(AssertUnwindSafe(|| drop(receiver)))
            };
            assert!(ended.is_ok(), "whoever wakes is not to blame");
            assert_eq!(bell.rings(), COUNT - 1, "the others were forgotten");
        }
    });
}

#[test]
fn future_moves_between_threads_from_poll_to_poll() {
    in_every_runtime(|_| {
        let (sender, receiver) = bounded(0);
        thread::scope(|scope| {
            let mut future = Box::pin(receiver.recv_async());
            for _ in 0..5 {
                let polls = scope.spawn(move || {
                    assert!(poll_once(future.as_mut()).is_pending());
                    future
                });
                future = polls.join().unwrap();
            }
            scope.spawn(|| sender.send(1).unwrap());
            until(|| !is_offered(&receiver) && !is_wanted(&sender));
            let ends = scope.spawn(move || poll_once(future.as_mut()));
            assert_eq!(ends.join().unwrap(), Poll::Ready(Ok(1)));
        });
    });
}

#[test]
fn future_of_a_timer_and_of_never_are_dropped_while_they_wait() {
    in_every_runtime(|_| {
        let (timer, none) = (after(HOUR), never::<u8>());
        let mut of_timer = Box::pin(timer.recv_async());
        let mut of_none = Box::pin(none.recv_async());
        for _ in 0..2 {
            assert!(poll_once(of_timer.as_mut()).is_pending());
            assert!(poll_once(of_none.as_mut()).is_pending());
        }
        // The thread that sleeps for it ends as well; the fixture counts.
        drop((of_timer, of_none));
    });
}

/// A waker is the user's: its destructor may wait, and others need not wait for that.
#[test]
fn waker_of_a_timers_future_is_dropped_without_a_lock() {
    struct Task;
    impl Wake for Task {
        fn wake(self: Arc<Task>) {}
    }
    impl Drop for Task {
        fn drop(&mut self) {
            // Until the timer has come, whose thread wants to wake then.
            thread::sleep(Duration::from_millis(5));
        }
    }
    in_every_runtime(|_| {
        let timer = after(Duration::from_millis(1));
        let mut future = Box::pin(timer.recv_async());
        {
            let waker = Waker::from(Arc::new(Task));
            assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        let _ = poll_once(future.as_mut());
    });
}

#[test]
fn tick_that_many_futures_wait_for_wakes_as_long_as_one_waits() {
    in_every_runtime(|_| {
        let ticks = tick(Duration::from_micros(20));
        let left = AtomicUsize::new(400);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok() {
                        sylvan::block_on(ticks.recv_async()).unwrap();
                    }
                });
            }
        });
    });
}
