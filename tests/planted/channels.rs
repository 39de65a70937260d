//! Bugs in programs that use channels correctly, but for one thing: a message is lost or delivered
//! twice, or the end of the other side is missed.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use sylvan::channel::{
    RecvTimeoutError, SendTimeoutError, Sender, TryRecvError, bounded, never, select, unbounded,
};
use sylvan::thread;
use sylvan::time::Duration;

use crate::{Twin, expect_found};

/// Under a seed it lasts exactly so long.
const PAUSE: Duration = Duration::from_millis(1);

/// Stands for anything between two steps that may wait.
fn log() {
    thread::yield_now();
}

#[test]
fn stop_that_overtakes_messages() {
    expect_found("channels::stop_that_overtakes_messages", "right: 2", |twin| {
        let (messages, inbox) = bounded(2);
        let (stop, stopped) = bounded::<()>(0);
        let receiver = thread::spawn(move || {
            let mut received = 0;
            loop {
                select! {
                    recv(inbox) -> message => {
                        message.expect("the sender waits for this thread");
                        received += 1;
                    }
                    recv(stopped) -> _ => break,
                }
            }
            match twin {
                Twin::Broken => received,
                Twin::Mended => received + inbox.try_iter().count(),
            }
        });
        for message in 0..2 {
            messages.send(message).unwrap();
        }
        drop(stop);
        assert_eq!(receiver.join().unwrap(), 2);
    });
}

#[test]
fn end_of_one_taken_for_the_end_of_both() {
    expect_found("channels::end_of_one_taken_for_the_end_of_both", "right: 4", |twin| {
        let ((left, mut from_left), (right, mut from_right)) = (bounded(1), bounded(1));
        for sender in [left, right] {
            thread::spawn(move || (0..2).for_each(|message| sender.send(message).unwrap()));
        }
        let (mut received, mut open) = (0, 2);
        while open > 0 {
            let (message, source) = select! {
                recv(from_left) -> message => (message, &mut from_left),
                recv(from_right) -> message => (message, &mut from_right),
            };
            match (message, twin) {
                (Ok(_), _) => received += 1,
                (Err(_), Twin::Broken) => open = 0,
                (Err(_), Twin::Mended) => {
                    open -= 1;
                    *source = never();
                }
            }
        }
        assert_eq!(received, 4);
    });
}

#[test]
fn end_told_by_a_flag() {
    expect_found("channels::end_told_by_a_flag", "right: 1", |twin| {
        let (sender, receiver) = unbounded();
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let done = &done;
            scope.spawn(move || {
                thread::sleep(PAUSE);
                sender.send("the last one").unwrap();
                done.store(true, SeqCst);
            });
            let mut received = 0;
            loop {
                match receiver.recv_timeout(PAUSE) {
                    Ok(_) => received += 1,
                    Err(RecvTimeoutError::Disconnected) => break,
                    Err(RecvTimeoutError::Timeout) => {
                        log();
                        // The last message may have come since the timeout.
                        if twin == Twin::Broken && done.load(SeqCst) {
                            break;
                        }
                    }
                }
            }
            assert_eq!(received, 1);
        });
    });
}

#[test]
fn message_dropped_with_the_timeout() {
    expect_found("channels::message_dropped_with_the_timeout", "right: 2", |twin| {
        let (sender, receiver) = bounded(0);
        let counter = thread::spawn(move || {
            let read = |_| thread::sleep(PAUSE);
            receiver.iter().map(read).count()
        });
        for patience in [PAUSE / 2, PAUSE * 2] {
            let sender = sender.clone();
            thread::spawn(move || {
                let mut message = "for the counter";
                while let Err(error) = sender.send_timeout(message, patience) {
                    match (twin, error) {
                        (Twin::Mended, SendTimeoutError::Timeout(back)) => message = back,
                        _ => return,
                    }
                }
            });
        }
        drop(sender);
        assert_eq!(counter.join().unwrap(), 2);
    });
}

#[test]
fn sent_again_when_the_answer_was_late() {
    let symptom = "a job was done twice";
    expect_found("channels::sent_again_when_the_answer_was_late", symptom, |twin| {
        let (jobs, inbox) = unbounded::<(u32, Sender<u32>)>();
        let worker = thread::spawn(move || {
            let mut done = Vec::new();
            for (job, answers) in inbox {
                if twin == Twin::Broken || !done.contains(&job) {
                    thread::sleep(PAUSE);
                    done.push(job);
                }
                // Who has given up does not hear it.
                let _ = answers.send(job);
            }
            done.len()
        });
        for (job, patience) in [(0, PAUSE * 3), (1, PAUSE * 3 / 2)] {
            let jobs = jobs.clone();
            thread::spawn(move || {
                let (answers, outcome) = unbounded();
                jobs.send((job, answers.clone())).unwrap();
                if outcome.recv_timeout(patience).is_err() {
                    // No answer does not say that nothing was or will be done.
                    jobs.send((job, answers)).unwrap();
                }
            });
        }
        drop(jobs);
        assert_eq!(worker.join().unwrap(), 2, "a job was done twice");
    });
}

#[test]
fn sent_again_to_all_when_one_was_full() {
    let symptom = "a reader has something twice";
    expect_found("channels::sent_again_to_all_when_one_was_full", symptom, |twin| {
        let (source, messages) = unbounded();
        (0..2).for_each(|message| source.send(message).unwrap());
        drop(source);
        let mut readers = Vec::new();
        let senders = [(); 2].map(|()| {
            let (sender, receiver) = bounded(1);
            readers.push(thread::spawn(move || receiver.iter().count()));
            sender
        });
        for message in messages {
            let has_room = |sender: &Sender<u32>| sender.try_send(message).is_ok();
            match twin {
                Twin::Broken => {
                    while senders.each_ref().map(has_room) != [true; 2] {
                        thread::sleep(PAUSE);
                    }
                }
                Twin::Mended => senders.iter().for_each(|sender| sender.send(message).unwrap()),
            }
        }
        drop(senders);
        for reader in readers {
            assert_eq!(reader.join().unwrap(), 2, "a reader has something twice");
        }
    });
}

#[test]
fn receiver_that_leaves_after_the_look() {
    let symptom = "the receiver has not said";
    expect_found("channels::receiver_that_leaves_after_the_look", symptom, |twin| {
        let ((numbers, inbox), (enough, told)) = (bounded(1), unbounded());
        thread::spawn(move || {
            let sum: u32 = inbox.iter().take(2).sum();
            enough.send(sum).unwrap();
        });
        for number in 1.. {
            if !told.is_empty() {
                break;
            }
            log();
            let sent = numbers.send(number);
            match twin {
                Twin::Broken => sent.expect("the receiver has not said that it leaves"),
                Twin::Mended if sent.is_err() => break,
                Twin::Mended => (),
            }
        }
        assert_eq!(told.recv(), Ok(3));
    });
}

#[test]
fn sender_that_leaves_without_a_wake() {
    let symptom = "nothing can move any more";
    expect_found("channels::sender_that_leaves_without_a_wake", symptom, |twin| {
        let (sender, receiver) = unbounded();
        let poller = thread::spawn(move || {
            let mut received = 0;
            loop {
                match receiver.try_recv() {
                    Ok(()) => received += 1,
                    Err(TryRecvError::Empty) => thread::park(),
                    Err(TryRecvError::Disconnected) => return received,
                }
            }
        });
        sender.send(()).unwrap();
        poller.thread().unpark();
        log();
        drop(sender);
        if twin == Twin::Mended {
            poller.thread().unpark();
        }
        assert_eq!(poller.join().unwrap(), 1);
    });
}

#[test]
fn seen_by_two_and_there_for_one() {
    let symptom = "nothing can move any more";
    expect_found("channels::seen_by_two_and_there_for_one", symptom, |twin| {
        let (sender, receiver) = unbounded();
        sender.send(7).unwrap();
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| match twin {
                    Twin::Broken if receiver.is_empty() => (),
                    Twin::Broken => {
                        log();
                        assert_eq!(receiver.recv(), Ok(7));
                    }
                    Twin::Mended => assert_eq!(receiver.try_recv().unwrap_or(7), 7),
                });
            }
        });
        drop(sender);
    });
}
