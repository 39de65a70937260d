//! Threads that a shutdown leaves behind while they wait at a channel: they take no place and no
//! message along. All of it in child processes, which the leak ends with.
#![forbid(unsafe_code)]

use std::time::Duration;

use sylvan::channel::{Receiver, Select, Sender, bounded};
use sylvan_workspace::{Wait, in_child, leave_kept, leave_waiting, with_time_enough};

use crate::support::{HOUR, Ledger, Letter, is_offered, is_wanted, poll_once};
use crate::ways::{Kind, to_receive, to_send};

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
            let (sender, receiver) = with_time_enough(|time| {
                let (sender, receiver) = bounded(0);
                let (waits, call) = (receiver.clone(), take.call);
                let wait: Wait = Box::new(move || _ = call(&waits));
                leave_waiting(time, vec![wait]).then_some((sender, receiver))
            });
            expect_free(&sender, &receiver, &Ledger::new(1));
        }
        for give in to_send::<Letter>().into_iter().filter(|way| way.kind != Kind::Future) {
            let (sender, receiver, ledger) = with_time_enough(|time| {
                let ((sender, receiver), ledger) = (bounded(0), Ledger::new(2));
                let (waits, letters, call) = (sender.clone(), ledger.clone(), give.call);
                let wait: Wait = Box::new(move || _ = call(&waits, letters.letter(1)));
                leave_waiting(time, vec![wait]).then_some((sender, receiver, ledger))
            });
            assert_eq!(ledger.drops(1), 0, "it is leaked with its thread");
            drop(ledger.letter(1));
            expect_free(&sender, &receiver, &ledger);
        }
        println!("all is free");
    });
    child.expect_success();
    assert!(child.stdout.contains("all is free"), "{}", child.stdout);
}

#[test]
fn message_in_the_hands_of_a_leaked_thread_goes_to_another_one() {
    const NAME: &str = "leaked::message_in_the_hands_of_a_leaked_thread_goes_to_another_one";
    let child = in_child(NAME, &[], || {
        for take in to_receive::<Letter>().into_iter().filter(|way| way.kind != Kind::Future) {
            if take.kind == Kind::Ready {
                continue;
            }
            let (_sender, receiver, ledger) = with_time_enough(|time| {
                let ((sender, receiver), ledger) = (bounded(0), Ledger::new(1));
                let (waits, call) = (receiver.clone(), take.call);
                let wait: Wait = Box::new(move || _ = call(&waits));
                let send = || sender.try_send(ledger.letter(0)).is_ok();
                leave_kept(time, vec![wait], send).then_some((sender, receiver, ledger))
            });
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
            with_time_enough(|time| give_up_what_was_chosen(time, by_select).then_some(()));
        }
        println!("all is given up");
    });
    child.expect_success();
    assert!(child.stdout.contains("all is given up"), "{}", child.stdout);
}

fn give_up_what_was_chosen(time: Duration, by_select: bool) -> bool {
    let ledger = Ledger::new(1);
    let (sender, receiver) = bounded::<Letter>(0);
    let (probe, probed) = bounded::<()>(0);
    let waits = sender.clone();
    let wait: Wait = Box::new(move || {
        let mut select = Select::new();
        select.send(&waits);
        select.recv(&probed);
        let _ = select.select();
        unreachable!("it is leaked");
    });
    let mut future = Box::pin(receiver.recv_async());
    let mut select = Select::new();
    select.recv(&receiver);
    let mut operation = None;
    let choose = || {
        if by_select {
            operation = select.try_select().ok();
            operation.is_some()
        } else {
            is_wanted(&probe) && poll_once(future.as_mut()).is_pending()
        }
    };
    if !leave_kept(time, vec![wait], choose) {
        return false;
    }
    std::thread::scope(|scope| {
        scope.spawn(|| sender.send(ledger.letter(0)).ok().unwrap());
        let got = match operation {
            Some(operation) => operation.recv(&receiver),
            None => sylvan::block_on(future),
        };
        assert_eq!(got.unwrap().number, 0);
    });
    ledger.expect_all_gone();
    true
}
