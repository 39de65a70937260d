//! Who drops messages, when, and in which order.
#![forbid(unsafe_code)]

use std::sync::Mutex;
use std::time::Duration;

use super::channel::{Receiver, Select, Sender, bounded, select, unbounded};
use super::{everywhere, settle, thread};

const MOMENT: Duration = Duration::from_millis(3);

/// A message that writes its number down when it is dropped.
struct Noted<'a>(&'a Mutex<Vec<i32>>, i32);

impl Drop for Noted<'_> {
    fn drop(&mut self) {
        self.0.lock().unwrap().push(self.1);
    }
}

/// What was dropped, in this order, since somebody last asked.
fn dropped(book: &Mutex<Vec<i32>>) -> Vec<i32> {
    std::mem::take(&mut *book.lock().unwrap())
}

#[test]
fn message_that_was_received_is_dropped_once_by_its_receiver() {
    everywhere(|| {
        let book = Mutex::new(Vec::new());
        for (s, r) in [bounded(2), unbounded()] {
            for number in 0..40 {
                s.send(Noted(&book, number)).unwrap();
                let message = r.recv().unwrap();
                assert_eq!(dropped(&book), []);
                drop(message);
                assert_eq!(dropped(&book), [number]);
            }
            drop((s, r));
            assert_eq!(dropped(&book), []);
        }
    });
}

#[test]
fn unbounded_channel_drops_its_messages_in_order_when_its_last_receiver_goes() {
    everywhere(|| {
        let book = Mutex::new(Vec::new());
        for count in [1, 30, 31, 32, 100] {
            let (s, r) = unbounded();
            let other = r.clone();
            for number in 0..count {
                s.send(Noted(&book, number)).unwrap();
            }
            drop(r);
            assert_eq!(dropped(&book), []);
            drop(other);
            assert_eq!(dropped(&book), (0..count).collect::<Vec<_>>());
            drop(s);
            assert_eq!(dropped(&book), []);
        }
    });
}

#[test]
fn messages_without_receiver_are_dropped_in_order_when_both_ends_are_gone() {
    fn fill<'a>((s, r): (Sender<Noted<'a>>, Receiver<Noted<'a>>), book: &'a Mutex<Vec<i32>>) {
        // Some are taken first, so that the buffer's beginning is not the first message.
        for number in [-2, -1] {
            s.send(Noted(book, number)).unwrap();
            drop(r.recv().unwrap());
        }
        for number in 0..3 {
            s.send(Noted(book, number)).unwrap();
        }
        drop(s);
        assert_eq!(dropped(book), [-2, -1]);
        drop(r);
        assert_eq!(dropped(book), [0, 1, 2]);
    }
    everywhere(|| {
        let book = Mutex::new(Vec::new());
        fill(bounded(3), &book);
        fill(bounded(4), &book);
        fill(unbounded(), &book);
    });
}

#[test]
fn bounded_channel_without_receivers_has_dropped_its_messages_in_order_at_the_end() {
    everywhere(|| {
        let book = Mutex::new(Vec::new());
        let (s, r) = bounded(3);
        for number in 0..3 {
            s.send(Noted(&book, number)).unwrap();
        }
        drop(r);
        // crossbeam keeps them until the last sender goes; who drops them earlier may.
        drop(s);
        assert_eq!(dropped(&book), [0, 1, 2]);
    });
}

#[test]
fn message_that_was_refused_comes_back_alive() {
    everywhere(|| {
        let book = Mutex::new(Vec::new());
        let (s, r) = bounded(1);
        s.send(Noted(&book, 1)).unwrap();
        let full = s.try_send(Noted(&book, 2)).unwrap_err();
        let late = s.send_timeout(Noted(&book, 3), MOMENT).unwrap_err();
        drop(r);
        let gone = s.send(Noted(&book, 4)).unwrap_err();
        drop(s);
        assert_eq!(dropped(&book), [1]);
        let refused = [full.into_inner(), late.into_inner(), gone.into_inner()];
        assert_eq!(refused.each_ref().map(|message| message.1), [2, 3, 4]);
        drop(refused);
        assert_eq!(dropped(&book), [2, 3, 4]);
    });
}

#[test]
fn message_of_a_sender_that_waits_when_the_receivers_go_comes_back_alive() {
    everywhere(|| {
        let book = Mutex::new(Vec::new());
        for bound in [0, 1] {
            let (s, r) = bounded(bound);
            if bound > 0 {
                s.send(Noted(&book, 0)).unwrap();
            }
            thread::scope(|scope| {
                let waiter = scope.spawn(|| s.send(Noted(&book, 1)).unwrap_err());
                settle();
                drop(r);
                let message = waiter.join().unwrap().into_inner();
                assert_eq!(message.1, 1);
                assert!(!book.lock().unwrap().contains(&1));
            });
            drop(s);
            let mut all = dropped(&book);
            all.sort_unstable();
            assert_eq!(all, if bound > 0 { vec![0, 1] } else { vec![1] });
        }
    });
}

#[test]
fn message_of_a_selection_is_made_and_dropped_by_whoever_has_it() {
    everywhere(|| {
        let book = Mutex::new(Vec::new());
        let ((s1, r1), (s2, r2)) = (bounded(1), unbounded());
        let message = Noted(&book, 1);
        // Moved by the arm that is taken, and by that one only.
        select! {
            send(s1, message) -> result => result.unwrap(),
            recv(r2) -> _ => unreachable!(),
        }
        assert_eq!(dropped(&book), []);
        drop(r1.recv().unwrap());
        assert_eq!(dropped(&book), [1]);
        s2.send(Noted(&book, 2)).unwrap();
        let mut choice = Select::new_biased();
        choice.recv(&r2);
        choice.send(&s1);
        let message = choice.select().recv(&r2).unwrap();
        assert_eq!(dropped(&book), []);
        choice.remove(0);
        choice.select().send(&s1, message).unwrap();
        assert_eq!(dropped(&book), []);
        drop((s1, r1));
        assert_eq!(dropped(&book), [2]);
        drop(s2);
    });
}

#[test]
fn selection_that_finds_its_channel_gone_gives_the_message_back() {
    everywhere(|| {
        let book = Mutex::new(Vec::new());
        for (s, r) in [bounded(0), bounded(1), unbounded()] {
            drop(r);
            let mut choice = Select::new();
            choice.send(&s);
            let error = choice.select().send(&s, Noted(&book, 1)).unwrap_err();
            assert_eq!(dropped(&book), []);
            drop(error);
            assert_eq!(dropped(&book), [1]);
        }
    });
}

#[test]
fn ends_within_messages_go_with_them() {
    everywhere(|| {
        let ((outer_s, outer_r), (inner_s, inner_r)) = (unbounded(), unbounded::<i32>());
        outer_s.send(inner_s).unwrap();
        drop(outer_r);
        assert!(inner_r.recv().is_err());
        drop(outer_s);
    });
}
