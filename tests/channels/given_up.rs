//! Operations that a select has chosen and that nobody completes: dropped by a panic or by mistake,
//! or forgotten.
#![forbid(unsafe_code)]

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

use sylvan::channel::{Receiver, Select, SelectedOperation, Sender, bounded};
use sylvan::{testing, thread};
use sylvan_workspace::{everywhere, in_every_runtime, text_of, until};

use crate::support::{Ledger, Letter, fail, is_offered, is_wanted, settle};
use crate::ways::{Kind, to_receive, to_send};

/// Waits until sending on `sender` was chosen.
fn choose_to_send<T>(sender: &Sender<T>) -> SelectedOperation<'_> {
    let mut select = Select::new();
    select.send(sender);
    select.select()
}

/// Waits until receiving from `receiver` was chosen.
fn choose_to_receive<T>(receiver: &Receiver<T>) -> SelectedOperation<'_> {
    let mut select = Select::new();
    select.recv(receiver);
    select.select()
}

/// Unwinds with the operation that was chosen.
fn unwind_with<'a>(choose: impl FnOnce() -> SelectedOperation<'a>) {
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let _operation = choose();
        fail();
    }));
    assert_eq!(text_of(&*unwound.unwrap_err()), "expected in a test");
}

#[test]
fn sender_that_unwinds_between_choice_and_message_leaves_the_receiver_none_the_worse() {
    everywhere(|_| {
        for take in to_receive::<Letter>() {
            let ledger = Ledger::new(1);
            let (sender, receiver) = bounded(0);
            thread::scope(|scope| {
                let first = scope.spawn(|| (take.call)(&receiver).unwrap().number);
                unwind_with(|| choose_to_send(&sender));
                assert!(!first.is_finished(), "nothing was sent: {}", take.name);
                sender.send(ledger.letter(0)).ok().unwrap();
                assert_eq!(first.join().unwrap(), 0, "{}", take.name);
            });
            ledger.expect_all_gone();
        }
    });
}

#[test]
fn receiver_that_was_refused_keeps_its_place() {
    everywhere(|_| {
        for take in to_receive::<Letter>() {
            // A select that has to begin anew stands behind those who have come meanwhile.
            if !matches!(take.kind, Kind::Plain | Kind::Future) {
                continue;
            }
            let ledger = Ledger::new(2);
            let (sender, receiver) = bounded(0);
            thread::scope(|scope| {
                let first = scope.spawn(|| (take.call)(&receiver).unwrap().number);
                until(|| is_wanted(&sender));
                let operation = choose_to_send(&sender);
                let second = scope.spawn(|| receiver.recv().unwrap().number);
                until(|| is_wanted(&sender));
                unwind_with(|| operation);
                settle();
                for number in 0..2 {
                    sender.send(ledger.letter(number)).ok().unwrap();
                }
                let got = (first.join().unwrap(), second.join().unwrap());
                // Where threads are parallel the first may come back after the second was served.
                assert!(got == (0, 1) || got == (1, 0), "{got:?}");
                assert!(got == (0, 1) || testing::seed().is_none(), "{}", take.name);
            });
            ledger.expect_all_gone();
        }
    });
}

#[test]
fn receiver_that_unwinds_between_choice_and_message_leaves_it_in_the_channel() {
    everywhere(|_| {
        for give in to_send::<Letter>() {
            let ledger = Ledger::new(1);
            let (sender, receiver) = bounded(0);
            thread::scope(|scope| {
                let sends = scope.spawn(|| (give.call)(&sender, ledger.letter(0)).is_ok());
                unwind_with(|| choose_to_receive(&receiver));
                assert!(sends.join().unwrap(), "{}", give.name);
                assert_eq!(receiver.len(), 1, "{}", give.name);
                assert_eq!(ledger.drops(0), 0);
                assert_eq!(receiver.recv().unwrap().number, 0);
            });
            ledger.expect_all_gone();
        }
    });
}

#[test]
fn receiver_that_unwinds_hands_the_message_to_one_who_waits() {
    everywhere(|_| {
        for take in to_receive::<Letter>() {
            let ledger = Ledger::new(1);
            let (sender, receiver) = bounded(1);
            sender.send(ledger.letter(0)).ok().unwrap();
            thread::scope(|scope| {
                let operation = choose_to_receive(&receiver);
                assert!(receiver.is_empty(), "it has been chosen");
                let next = scope.spawn(|| (take.call)(&receiver).unwrap().number);
                settle();
                assert!(!next.is_finished(), "{}", take.name);
                unwind_with(|| operation);
                assert_eq!(next.join().unwrap(), 0, "{}", take.name);
            });
            ledger.expect_all_gone();
        }
    });
}

#[test]
fn room_of_a_sender_that_unwinds_goes_to_the_one_who_waits() {
    everywhere(|_| {
        for give in to_send::<Letter>() {
            let ledger = Ledger::new(1);
            let (sender, receiver) = bounded(1);
            thread::scope(|scope| {
                let operation = choose_to_send(&sender);
                assert!(sender.is_empty());
                assert!(sender.try_send(ledger.letter(0)).is_err(), "the room is kept");
                let next = Ledger::new(1);
                let letter = next.letter(0);
                let sends = scope.spawn(|| (give.call)(&sender, letter).is_ok());
                settle();
                assert!(!sends.is_finished(), "{}", give.name);
                unwind_with(|| operation);
                assert!(sends.join().unwrap(), "{}", give.name);
                assert_eq!(receiver.recv().unwrap().number, 0);
                next.expect_all_gone();
            });
            ledger.expect_all_gone();
        }
    });
}

/// Both sides are selects that have been chosen for each other.
#[test]
fn both_sides_that_unwind_leave_the_channel_as_it_was() {
    everywhere(|_| {
        for sender_first in [false, true] {
            let ledger = Ledger::new(1);
            let (sender, receiver) = bounded(0);
            let (gone, goes) = bounded::<()>(0);
            thread::scope(|scope| {
                let other = scope.spawn(|| {
                    unwind_with(|| {
                        let operation = choose_to_receive(&receiver);
                        if sender_first {
                            goes.recv().unwrap();
                        }
                        operation
                    });
                    if !sender_first {
                        goes.recv().unwrap();
                    }
                });
                unwind_with(|| {
                    let operation = choose_to_send(&sender);
                    if !sender_first {
                        gone.send(()).unwrap();
                    }
                    operation
                });
                if sender_first {
                    gone.send(()).unwrap();
                }
                other.join().unwrap();
                assert!(!is_wanted(&sender) && !is_offered(&receiver));
                let sends = scope.spawn(|| sender.send(ledger.letter(0)).is_ok());
                assert_eq!(receiver.recv().unwrap().number, 0);
                assert!(sends.join().unwrap());
            });
            ledger.expect_all_gone();
        }
    });
}

#[test]
fn operation_that_is_dropped_by_mistake_panics_and_is_given_up() {
    everywhere(|_| {
        let ledger = Ledger::new(2);
        let (sender, receiver) = bounded(1);
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(choose_to_send(&sender))));
        let text = "dropped `SelectedOperation` without completing the operation";
        assert_eq!(text_of(&*dropped.unwrap_err()), text);
        sender.send(ledger.letter(0)).ok().unwrap();
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(choose_to_receive(&receiver))));
        assert_eq!(text_of(&*dropped.unwrap_err()), text);
        assert_eq!(receiver.recv().unwrap().number, 0);
        sender.send(ledger.letter(1)).ok().unwrap();
        drop((sender, receiver));
        ledger.expect_all_gone();
    });
}

#[test]
fn forgotten_operations_leave_the_channel_usable_for_others() {
    everywhere(|_| {
        let ledger = Ledger::new(6);
        // Room that is kept for ever: messages still go from hand to hand.
        let (sender, receiver) = bounded(1);
        mem::forget(choose_to_send(&sender));
        thread::scope(|scope| {
            let sends = scope.spawn(|| {
                (0..2).for_each(|number| sender.send(ledger.letter(number)).ok().unwrap());
            });
            (0..2).for_each(|number| assert_eq!(receiver.recv().unwrap().number, number));
            sends.join().unwrap();
        });
        drop((sender, receiver));
        // A message that was chosen and is not received goes with the channel.
        let (sender, receiver) = bounded(1);
        sender.send(ledger.letter(2)).ok().unwrap();
        mem::forget(choose_to_receive(&receiver));
        sender.send(ledger.letter(3)).ok().unwrap();
        assert_eq!(receiver.recv().unwrap().number, 3);
        assert_eq!(ledger.drops(2), 0);
        drop((sender, receiver));
        assert_eq!(ledger.drops(2), 1);
        // The same at capacity 0, for a sender that has gone on.
        let (sender, receiver) = bounded(0);
        thread::scope(|scope| {
            let sends = scope.spawn(|| sender.send(ledger.letter(4)).is_ok());
            mem::forget(choose_to_receive(&receiver));
            assert!(sends.join().unwrap());
            let sends = scope.spawn(|| sender.send(ledger.letter(5)).is_ok());
            assert_eq!(receiver.recv().unwrap().number, 5);
            assert!(sends.join().unwrap());
        });
        drop((sender, receiver));
        ledger.expect_all_gone();
    });
}

#[test]
fn receiver_that_was_chosen_by_a_forgotten_operation_can_be_cancelled() {
    in_every_runtime(|_| {
        let ledger = Ledger::new(1);
        let (sender, receiver) = bounded::<Letter>(0);
        thread::scope(|scope| {
            let chosen = scope.spawn(|| receiver.recv().is_ok());
            mem::forget(choose_to_send(&sender));
            let next = scope.spawn(|| receiver.recv().unwrap().number);
            sender.send(ledger.letter(0)).ok().unwrap();
            assert_eq!(next.join().unwrap(), 0, "the first one was chosen already");
            assert!(!chosen.is_finished());
            chosen.cancel().unwrap();
            assert!(chosen.join().is_err());
        });
        ledger.expect_all_gone();
    });
}

#[test]
fn receiver_that_a_forgotten_select_owes_a_message_hears_of_the_end() {
    everywhere(|_| {
        for comes_first in [false, true] {
            let (sender, receiver) = bounded::<u8>(0);
            let receives = thread::spawn(move || receiver.recv());
            settle();
            if comes_first {
                // It is chosen, and waits for the message.
                mem::forget(choose_to_send(&sender));
                settle();
            } else {
                // It may not have looked yet when the sender goes.
                mem::forget(choose_to_send(&sender));
            }
            drop(sender);
            assert!(receives.join().unwrap().is_err());
        }
    });
}
