//! Threads that a shutdown leaves behind while they wait at a channel: they take no place and no
//! message along. All of it in child processes, which the leak ends with.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use sylvan::channel::{Receiver, Select, Sender, bounded};
use sylvan::{Mapping, Runtime, thread};
use sylvan_workspace::{OnDrop, in_child};

use crate::support::{HOUR, Ledger, Letter, is_offered, is_wanted, poll_once};
use crate::ways::{Kind, to_receive, to_send};

fn runtime(workers: usize) -> Runtime {
    let builder = Runtime::builder().mapping(Mapping::ManyToMany).workers(workers);
    builder.shutdown_timeout(Duration::from_millis(50)).build().unwrap()
}

/// Spawns a thread that waits in `wait` while it unwinds, so that it cannot be unwound from there.
/// Returns when it has begun.
fn cling(runtime: &Runtime, wait: impl Fn() + Send + 'static) {
    let (begun, begins) = std::sync::mpsc::channel();
    drop(runtime.handle().spawn(move || {
        let _waits = OnDrop(wait);
        begun.send(()).unwrap();
        thread::park();
    }));
    begins.recv().unwrap();
}

/// A message goes from one kernel thread to another, which nobody disturbs.
fn expect_free(sender: &Sender<Letter>, receiver: &Receiver<Letter>, ledger: &Ledger) {
    assert!(!is_wanted(sender) && !is_offered(receiver), "somebody is left in a queue");
    std::thread::scope(|scope| {
        scope.spawn(|| sender.send(ledger.letter(0)).ok().unwrap());
        assert_eq!(receiver.recv().unwrap().number, 0);
    });
    ledger.expect_all_gone();
}

#[test]
fn threads_that_are_leaked_where_they_wait_leave_the_queues() {
    const NAME: &str = "leaked::threads_that_are_leaked_where_they_wait_leave_the_queues";
    let child = in_child(NAME, &[], || {
        // A future lies on a stack that stays, and no one can tell that nobody polls it any more.
        for take in to_receive::<Letter>().into_iter().filter(|way| way.kind != Kind::Future) {
            let (sender, receiver) = bounded(0);
            let (runtime, waits) = (runtime(2), receiver.clone());
            cling(&runtime, move || _ = (take.call)(&waits));
            drop(runtime);
            expect_free(&sender, &receiver, &Ledger::new(1));
        }
        for give in to_send::<Letter>().into_iter().filter(|way| way.kind != Kind::Future) {
            let (sender, receiver) = bounded(0);
            let (runtime, waits, ledger) = (runtime(2), sender.clone(), Ledger::new(2));
            let letters = ledger.clone();
            cling(&runtime, move || _ = (give.call)(&waits, letters.letter(1)));
            drop(runtime);
            assert_eq!(ledger.drops(1), 0, "it is leaked with its thread");
            drop(ledger.letter(1));
            expect_free(&sender, &receiver, &ledger);
        }
        println!("all is free");
    });
    child.expect_success();
    assert!(child.stdout.contains("all is free"), "{}", child.stdout);
}

/// Has a thread be woken by `wake` in `wait`, and leaks it before it has gone on: its worker is
/// kept from everything by another thread, until the runtime's time is over.
fn leak_when_woken(
    wait: impl Fn() + Send + 'static,
    is_waiting: impl Fn() -> bool,
    wake: impl FnOnce(),
) {
    let runtime = runtime(1);
    let [hold, held, let_go] = [(); 3].map(|()| Arc::<AtomicBool>::default());
    cling(&runtime, wait);
    let [holds, is_held, goes] = [&hold, &held, &let_go].map(Arc::clone);
    drop(runtime.handle().spawn(move || {
        while !holds.load(SeqCst) {
            // Whatever it is told, for the runtime ends meanwhile.
            let _ = std::panic::catch_unwind(thread::yield_now);
        }
        is_held.store(true, SeqCst);
        // As a call of the system would keep the worker.
        while !goes.load(SeqCst) {
            std::thread::yield_now();
        }
    }));
    let drops = std::thread::spawn(move || drop(runtime));
    while !is_waiting() {
        std::thread::yield_now();
    }
    hold.store(true, SeqCst);
    while !held.load(SeqCst) {
        std::thread::yield_now();
    }
    wake();
    drops.join().unwrap();
    let_go.store(true, SeqCst);
}

#[test]
fn message_in_the_hands_of_a_leaked_thread_goes_to_another_one() {
    const NAME: &str = "leaked::message_in_the_hands_of_a_leaked_thread_goes_to_another_one";
    let child = in_child(NAME, &[], || {
        for take in to_receive::<Letter>().into_iter().filter(|way| way.kind != Kind::Future) {
            if take.kind == Kind::Ready {
                continue;
            }
            let ledger = Ledger::new(1);
            let (sender, receiver) = bounded(0);
            let waits = receiver.clone();
            leak_when_woken(
                move || _ = (take.call)(&waits),
                || is_wanted(&sender),
                || sender.try_send(ledger.letter(0)).ok().unwrap(),
            );
            assert_eq!(receiver.recv_timeout(HOUR).unwrap().number, 0, "{}", take.name);
            ledger.expect_all_gone();
        }
        println!("all was received");
    });
    child.expect_success();
    assert!(child.stdout.contains("all was received"), "{}", child.stdout);
}

#[test]
fn operations_chosen_for_leaked_selects_are_given_up() {
    const NAME: &str = "leaked::operations_chosen_for_leaked_selects_are_given_up";
    let child = in_child(NAME, &[], || {
        // The sender was chosen by a receiver that waits for its message, or by a select.
        for by_select in [false, true] {
            let ledger = Ledger::new(1);
            let (sender, receiver) = bounded::<Letter>(0);
            let (probe, probed) = bounded::<()>(0);
            let waits = sender.clone();
            let wait = move || {
                let mut select = Select::new();
                select.send(&waits);
                select.recv(&probed);
                let _ = select.select();
                unreachable!("it is leaked");
            };
            let mut future = Box::pin(receiver.recv_async());
            let mut select = Select::new();
            select.recv(&receiver);
            let mut operation = None;
            leak_when_woken(
                wait,
                || is_wanted(&probe),
                || match by_select {
                    true => operation = Some(select.try_select().unwrap()),
                    false => assert!(poll_once(future.as_mut()).is_pending()),
                },
            );
            std::thread::scope(|scope| {
                scope.spawn(|| sender.send(ledger.letter(0)).ok().unwrap());
                let got = match operation {
                    Some(operation) => operation.recv(&receiver),
                    None => sylvan::block_on(future),
                };
                assert_eq!(got.unwrap().number, 0);
            });
            ledger.expect_all_gone();
        }
        println!("all is given up");
    });
    child.expect_success();
    assert!(child.stdout.contains("all is given up"), "{}", child.stdout);
}
