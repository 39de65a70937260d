//! Operations that a select has chosen and has yet to complete.
//!
//! A select chooses first and learns of the message afterwards: whoever sends writes it only when
//! the operation is completed, and whoever receives has no place of its type before. In between the
//! operation is a *promise*, which lies in the channel under a number, and the select has nothing
//! but that number. So it can be moved, forgotten or dropped as values can, and neither side ever
//! holds a pointer into the other's stack.
//!
//! | promise | what it means | who ends it |
//! |---|---|---|
//! | `Open` | both sides were chosen for each other; the sender owes a message | both |
//! | `Waiting` | the same, and the receiver waits for it | the sender; a receiver that leaves |
//! | `Delivered` | the message is there | the receiver, by taking it |
//! | `Refused` | the sender has gone without sending | the receiver, by seeing that |
//! | `Withdrawn` | the receiver has gone without taking | the sender, by seeing that |
//!
//! Each promise is removed by the side that comes last, and its number is used again then, never
//! before. A select that is forgotten (`mem::forget`) leaves its promise for ever.
#![forbid(unsafe_code)]

use crate::channel::waiter::Waiter;

pub(super) enum Promise<T> {
    Open,
    /// Alive as long as it stands here, for it leaves under the channel's lock.
    Waiting(*const Waiter),
    Delivered(T),
    Refused,
    Withdrawn,
}

impl<T> Promise<T> {
    /// The message, if it is there.
    pub(super) fn delivered(self) -> Option<T> {
        match self {
            Promise::Delivered(message) => Some(message),
            _ => None,
        }
    }
}

pub(super) struct Promises<T> {
    entries: Vec<Entry<T>>,
    /// The first free entry; those behind it are chained.
    free: Option<usize>,
}

enum Entry<T> {
    Taken(Promise<T>),
    Free(Option<usize>),
}

impl<T> Promises<T> {
    pub(super) const fn new() -> Promises<T> {
        Promises { entries: Vec::new(), free: None }
    }

    /// Enters a promise and gives its number.
    pub(super) fn add(&mut self, promise: Promise<T>) -> usize {
        let Some(number) = self.free else {
            self.entries.push(Entry::Taken(promise));
            return self.entries.len() - 1;
        };
        match std::mem::replace(&mut self.entries[number], Entry::Taken(promise)) {
            Entry::Free(next) => self.free = next,
            Entry::Taken(_) => unreachable!("a free entry is free"),
        }
        number
    }

    /// The promise of that number, to be looked at and changed.
    pub(super) fn at(&mut self, number: usize) -> &mut Promise<T> {
        match &mut self.entries[number] {
            Entry::Taken(promise) => promise,
            Entry::Free(_) => unreachable!("{UNKNOWN}"),
        }
    }

    /// Refuses a promise for which a receiver waits, and gives that one.
    pub(super) fn refuse_waiting(&mut self) -> Option<*const Waiter> {
        self.entries.iter_mut().find_map(|entry| match entry {
            Entry::Taken(promise @ Promise::Waiting(_)) => {
                match std::mem::replace(promise, Promise::Withdrawn) {
                    Promise::Waiting(receiver) => Some(receiver),
                    _ => None,
                }
            }
            _ => None,
        })
    }

    /// Removes the promise of that number.
    pub(super) fn remove(&mut self, number: usize) -> Promise<T> {
        match std::mem::replace(&mut self.entries[number], Entry::Free(self.free)) {
            Entry::Taken(promise) => {
                self.free = Some(number);
                promise
            }
            Entry::Free(_) => unreachable!("{UNKNOWN}"),
        }
    }
}

const UNKNOWN: &str = "a promise is there until both sides have seen its end";
