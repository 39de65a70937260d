//! User code that runs in the midst of an operation, and threads that share a worker: expressions
//! of `select!`, destructors of messages and of kernel threads, wakers that poll at once.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, Wake, Waker};

use sylvan::channel::{Receiver, Select, Sender, bounded, select, unbounded};
use sylvan::thread;
use sylvan_workspace::{Counts, OnDrop, everywhere, in_every_runtime, on_foreign_thread, until};

use crate::support::{Ledger, fail, is_offered, is_wanted};

/// Fails to write a message.
fn write() -> u8 {
    fail()
}

#[test]
fn message_whose_expression_panics_is_not_sent_and_the_receiver_waits_on() {
    everywhere(|_| {
        for capacity in [0, 1] {
            let (sender, receiver) = bounded(capacity);
            thread::scope(|scope| {
                let receives = scope.spawn(|| receiver.recv().unwrap());
                for _ in 0..3 {
                    let panicked = catch_unwind(AssertUnwindSafe(|| {
                        select! { send(sender, write()) -> _ => unreachable!("it has panicked") }
                    }));
                    assert!(panicked.is_err());
                }
                select! { send(sender, 7) -> sent => sent.unwrap() }
                assert_eq!(receives.join().unwrap(), 7);
            });
        }
    });
}

#[test]
fn message_whose_expression_waits_is_sent_when_it_has_come() {
    in_every_runtime(|_| {
        let ((sender, receiver), (give, from)) = (bounded(0), bounded(0));
        thread::scope(|scope| {
            let passes = || select! { send(sender, from.recv().unwrap()) -> sent => sent.unwrap() };
            let first = scope.spawn(passes);
            let receives = scope.spawn(|| receiver.recv().unwrap());
            // Waits for the message, and the receiver for it.
            until(|| is_wanted(&give));
            first.cancel().unwrap();
            assert!(first.join().is_err());
            assert!(!receives.is_finished());
            let second = scope.spawn(passes);
            give.send(8).unwrap();
            second.join().unwrap();
            assert_eq!(receives.join().unwrap(), 8);
        });
    });
}

/// Whether a thread panics is its own matter, also while a neighbour waits in the midst of a panic.
#[test]
fn operation_dropped_by_mistake_beside_one_who_unwinds_panics_and_in_its_own_unwinding_does_not() {
    everywhere(|_| {
        let ((sender, receiver), (go, goes)) = (bounded::<u8>(1), bounded::<()>(0));
        let unwinds = AtomicBool::new(false);
        thread::scope(|scope| {
            let panics = scope.spawn(|| {
                let _last = OnDrop(|| {
                    unwinds.store(true, SeqCst);
                    goes.recv().unwrap();
                    let mut select = Select::new();
                    select.recv(&receiver);
                    // A second panic would end the process.
                    drop(select.select());
                });
                fail();
            });
            until(|| unwinds.load(SeqCst) && is_wanted(&go));
            let mistake = catch_unwind(AssertUnwindSafe(|| {
                let mut select = Select::new();
                select.send(&sender);
                drop(select.select());
            }));
            assert!(mistake.is_err(), "the neighbour's panic was taken for this thread's");
            sender.send(1).unwrap();
            go.send(()).unwrap();
            assert!(panics.join().is_err());
        });
        assert_eq!(receiver.try_recv(), Ok(1));
    });
}

#[test]
fn messages_that_hold_ends_of_their_own_channel_go_with_the_last_receiver() {
    struct Holds<'a>(Sender<Holds<'a>>, #[expect(dead_code, reason = "dropped")] Counts<'a>);
    impl Drop for Holds<'_> {
        fn drop(&mut self) {
            assert!(self.0.try_send(Holds(self.0.clone(), Counts(&IGNORED))).is_err_and(|it| {
                // Not dropped here, or it would go on for ever.
                std::mem::forget(it.into_inner());
                true
            }));
        }
    }
    static IGNORED: AtomicUsize = AtomicUsize::new(0);
    everywhere(|_| {
        for capacity in [Some(3), None] {
            let drops = AtomicUsize::new(0);
            let (sender, receiver) = capacity.map_or_else(unbounded, bounded);
            for _ in 0..3 {
                assert!(sender.try_send(Holds(sender.clone(), Counts(&drops))).is_ok());
            }
            drop(sender);
            drop(receiver);
            assert_eq!(drops.load(SeqCst), 3);
        }
    });
}

std::thread_local! {
    static KEPT: RefCell<Vec<Box<dyn std::any::Any>>> = const { RefCell::new(Vec::new()) };
}

fn keep(value: impl std::any::Any) {
    KEPT.with_borrow_mut(|kept| kept.push(Box::new(value)));
}

/// What a kernel thread has in its variables goes when the runtime's own variables may have gone.
#[test]
fn ends_that_are_dropped_as_a_kernel_thread_ends_disconnect() {
    let ledger = Ledger::new(2);
    let (sender, receiver) = bounded::<u8>(0);
    let (other_sender, other_receiver) = unbounded();
    let (last_words, heard) = unbounded();
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| receiver.recv().is_err());
        until(|| is_wanted(&sender));
        let letter = ledger.letter(0);
        scope.spawn(move || {
            keep(sender);
            keep(other_receiver);
            keep(OnDrop(move || {
                last_words.send(1).unwrap();
                assert!(last_words.try_send(2).is_ok());
            }));
        });
        assert!(waits.join().unwrap());
        assert_eq!(heard.iter().sum::<i32>(), 3);
        let back = other_sender.send(letter);
        assert_eq!(back.err().map(|back| back.into_inner().number), Some(0));
    });
    drop(ledger.letter(1));
    ledger.expect_all_gone();
}

#[test]
fn destructor_of_a_kernel_threads_variable_may_send_and_receive() {
    let (sender, receiver) = bounded(0);
    let (there, back) = (sender.clone(), receiver.clone());
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // Known to the runtime before, and as one that it has never seen.
            there.send(1).unwrap();
            keep(OnDrop(move || {
                there.send(2).unwrap();
                assert_eq!(back.recv(), Ok(3));
                select! { recv(back) -> it => assert_eq!(it, Ok(4)) }
            }));
        });
        assert_eq!((receiver.recv(), receiver.recv()), (Ok(1), Ok(2)));
        sender.send(3).unwrap();
        sender.send(4).unwrap();
    });
}

/// A task that is polled by whoever wakes it, on the spot.
struct AtOnce {
    future: Mutex<Option<Pin<Box<dyn Future<Output = u32> + Send>>>>,
    is_woken: AtomicBool,
    output: AtomicUsize,
    me: Weak<AtOnce>,
}

impl AtOnce {
    fn start(future: impl Future<Output = u32> + Send + 'static) -> Arc<AtOnce> {
        let task = Arc::new_cyclic(|me| AtOnce {
            future: Mutex::new(Some(Box::pin(future))),
            is_woken: AtomicBool::new(false),
            output: AtomicUsize::new(0),
            me: me.clone(),
        });
        task.poll();
        task
    }

    /// Polls until it waits for others. If somebody does so already, that one goes on.
    fn poll(&self) {
        let waker = Waker::from(self.me.upgrade().expect("whoever polls has it"));
        self.is_woken.store(true, SeqCst);
        while self.is_woken.load(SeqCst) {
            let Some(mut future) = self.future.lock().unwrap().take() else { return };
            while self.is_woken.swap(false, SeqCst) {
                let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
                if let Poll::Ready(output) = polled {
                    return self.output.store(output as usize, SeqCst);
                }
            }
            *self.future.lock().unwrap() = Some(future);
        }
    }
}

impl Wake for AtOnce {
    fn wake(self: Arc<AtOnce>) {
        self.poll();
    }
}

/// Awaits three messages and sends each on, in the midst of the call that has woken it.
async fn pass_on(from: Receiver<u32>, to: Sender<u32>) -> u32 {
    let mut sum = 0;
    for _ in 0..3 {
        let number = from.recv_async().await.unwrap();
        sum += number;
        to.send_async(number + 1).await.unwrap();
    }
    sum
}

#[test]
fn waker_that_polls_at_once_may_use_the_channel_that_wakes_it() {
    everywhere(|_| {
        for capacity in [0, 1] {
            let ((first, from), (to, last)) = (bounded(capacity), bounded(3));
            let task = AtOnce::start(pass_on(from.clone(), to.clone()));
            // The same channel on both sides: what it sends it would receive itself.
            let circle = AtOnce::start(pass_on(last.clone(), first.clone()));
            first.try_send(1).unwrap();
            // All of it has been done within that call, up to the last message.
            assert_eq!(from.try_recv(), Ok(7));
            let outputs = [&task, &circle].map(|task| task.output.load(SeqCst));
            assert_eq!(outputs, [1 + 3 + 5, 2 + 4 + 6]);
            assert!(!is_offered(&last) && !is_offered(&from));
        }
    });
}

#[test]
fn waker_that_ends_the_channel_in_the_midst_of_a_call_harms_nobody() {
    struct Ends(Mutex<Option<Receiver<u32>>>);
    impl Wake for Ends {
        fn wake(self: Arc<Ends>) {
            drop(self.0.lock().unwrap().take());
        }
    }
    everywhere(|_| {
        on_foreign_thread(|| {
            let (sender, receiver) = bounded(0);
            let kept = receiver.clone();
            let waker = Waker::from(Arc::new(Ends(Mutex::new(Some(kept)))));
            let mut future = Box::pin(receiver.recv_async());
            assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            sender.try_send(1).unwrap();
            drop(future);
            assert_eq!(receiver.try_recv(), Ok(1));
            drop(receiver);
            assert!(sender.try_send(2).unwrap_err().is_disconnected());
        });
    });
}
