//! The channels of peers whose threads block, behind the few calls that the rows need.
//!
//! A row's work is written once against these traits, so that all peers do the same. The calls are
//! generic and inlined; there is no table in between.
#![forbid(unsafe_code)]

use std::marker::PhantomData;

use super::ALIVE;

/// A library's channels of one kind, with numbers as messages.
pub(super) trait Channel: 'static {
    type Sender: Clone + Send + 'static;
    type Receiver: Send + 'static;

    /// The receiver must live.
    fn send(sender: &Self::Sender, message: usize);
    /// Nothing once the channel is empty and has no sender.
    fn recv(receiver: &Self::Receiver) -> Option<usize>;
}

/// Channels whose senders wait while so many messages lie in them.
pub(super) trait Bounded: Channel {
    fn bounded(capacity: usize) -> (Self::Sender, Self::Receiver);
}

/// Channels whose senders never wait.
pub(super) trait Unbounded: Channel {
    fn unbounded() -> (Self::Sender, Self::Receiver);
}

/// Unbounded channels that stand in for bounded ones, where a peer has no others. The cell's name
/// must say so.
pub(super) struct Endless<C>(PhantomData<C>);

impl<C: Unbounded> Channel for Endless<C> {
    type Sender = C::Sender;
    type Receiver = C::Receiver;

    #[inline]
    fn send(sender: &Self::Sender, message: usize) {
        C::send(sender, message);
    }

    #[inline]
    fn recv(receiver: &Self::Receiver) -> Option<usize> {
        C::recv(receiver)
    }
}

impl<C: Unbounded> Bounded for Endless<C> {
    fn bounded(_capacity: usize) -> (Self::Sender, Self::Receiver) {
        C::unbounded()
    }
}

/// What all of them do alike.
macro_rules! ends {
    ($family:ident, $sender:ty, $receiver:ty) => {
        pub(super) struct $family;

        impl Channel for $family {
            type Sender = $sender;
            type Receiver = $receiver;

            #[inline]
            fn send(sender: &Self::Sender, message: usize) {
                sender.send(message).expect(ALIVE);
            }

            #[inline]
            fn recv(receiver: &Self::Receiver) -> Option<usize> {
                receiver.recv().ok()
            }
        }
    };
}

macro_rules! bounded {
    ($family:ident, $($make:ident)::+) => {
        impl Bounded for $family {
            fn bounded(capacity: usize) -> (Self::Sender, Self::Receiver) {
                $($make)::+(capacity)
            }
        }
    };
}

macro_rules! unbounded {
    ($family:ident, $($make:ident)::+) => {
        impl Unbounded for $family {
            fn unbounded() -> (Self::Sender, Self::Receiver) {
                $($make)::+()
            }
        }
    };
}

ends!(OfSylvan, sylvan::channel::Sender<usize>, sylvan::channel::Receiver<usize>);
bounded!(OfSylvan, sylvan::channel::bounded);
unbounded!(OfSylvan, sylvan::channel::unbounded);

ends!(OfCrossbeam, crossbeam_channel::Sender<usize>, crossbeam_channel::Receiver<usize>);
bounded!(OfCrossbeam, crossbeam_channel::bounded);
unbounded!(OfCrossbeam, crossbeam_channel::unbounded);

ends!(OfFlume, flume::Sender<usize>, flume::Receiver<usize>);
bounded!(OfFlume, flume::bounded);
unbounded!(OfFlume, flume::unbounded);

ends!(BoundedOfStd, std::sync::mpsc::SyncSender<usize>, std::sync::mpsc::Receiver<usize>);
bounded!(BoundedOfStd, std::sync::mpsc::sync_channel);

ends!(UnboundedOfStd, std::sync::mpsc::Sender<usize>, std::sync::mpsc::Receiver<usize>);
unbounded!(UnboundedOfStd, std::sync::mpsc::channel);

// may has no bounded channel.
ends!(OfMay, may::sync::mpsc::Sender<usize>, may::sync::mpsc::Receiver<usize>);
unbounded!(OfMay, may::sync::mpsc::channel);

// Its receivers, unlike those of the former, can be cloned.
ends!(SharedOfMay, may::sync::mpmc::Sender<usize>, may::sync::mpmc::Receiver<usize>);
unbounded!(SharedOfMay, may::sync::mpmc::channel);
