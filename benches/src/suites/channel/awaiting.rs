//! The channels of peers whose tasks are futures: tokio's, async-channel and flume.
//!
//! The counterpart of `blocking`: the same calls, awaited. smol shows async-channel as
//! `smol::channel`.
#![forbid(unsafe_code)]

use std::future::Future;

use super::ALIVE;

/// A library's channels of one kind, with numbers as messages.
pub(super) trait Channel: 'static {
    type Sender: Clone + Send + Sync + 'static;
    type Receiver: Send + 'static;

    /// The receiver must live.
    fn send(sender: &Self::Sender, message: usize) -> impl Future<Output = ()> + Send;
    /// Nothing once the channel is empty and has no sender.
    fn recv(receiver: &mut Self::Receiver) -> impl Future<Output = Option<usize>> + Send;
}

/// Channels whose senders wait while so many messages lie in them.
pub(super) trait Bounded: Channel {
    /// Those without rendezvous have one place where others have none.
    const CAPACITY_MIN: usize = 1;

    fn bounded(capacity: usize) -> (Self::Sender, Self::Receiver);
}

/// Channels whose senders never wait.
pub(super) trait Unbounded: Channel {
    fn unbounded() -> (Self::Sender, Self::Receiver);
}

pub(super) struct BoundedOfTokio;

impl Channel for BoundedOfTokio {
    type Sender = tokio::sync::mpsc::Sender<usize>;
    type Receiver = tokio::sync::mpsc::Receiver<usize>;

    #[inline]
    async fn send(sender: &Self::Sender, message: usize) {
        sender.send(message).await.expect(ALIVE);
    }

    #[inline]
    fn recv(receiver: &mut Self::Receiver) -> impl Future<Output = Option<usize>> + Send {
        receiver.recv()
    }
}

impl Bounded for BoundedOfTokio {
    fn bounded(capacity: usize) -> (Self::Sender, Self::Receiver) {
        tokio::sync::mpsc::channel(capacity)
    }
}

pub(super) struct UnboundedOfTokio;

impl Channel for UnboundedOfTokio {
    type Sender = tokio::sync::mpsc::UnboundedSender<usize>;
    type Receiver = tokio::sync::mpsc::UnboundedReceiver<usize>;

    #[inline]
    async fn send(sender: &Self::Sender, message: usize) {
        sender.send(message).expect(ALIVE);
    }

    #[inline]
    fn recv(receiver: &mut Self::Receiver) -> impl Future<Output = Option<usize>> + Send {
        receiver.recv()
    }
}

impl Unbounded for UnboundedOfTokio {
    fn unbounded() -> (Self::Sender, Self::Receiver) {
        tokio::sync::mpsc::unbounded_channel()
    }
}

pub(super) struct OfAsyncChannel;

impl Channel for OfAsyncChannel {
    type Sender = async_channel::Sender<usize>;
    type Receiver = async_channel::Receiver<usize>;

    #[inline]
    async fn send(sender: &Self::Sender, message: usize) {
        sender.send(message).await.expect(ALIVE);
    }

    #[inline]
    async fn recv(receiver: &mut Self::Receiver) -> Option<usize> {
        receiver.recv().await.ok()
    }
}

impl Bounded for OfAsyncChannel {
    fn bounded(capacity: usize) -> (Self::Sender, Self::Receiver) {
        async_channel::bounded(capacity)
    }
}

impl Unbounded for OfAsyncChannel {
    fn unbounded() -> (Self::Sender, Self::Receiver) {
        async_channel::unbounded()
    }
}

pub(super) struct OfFlume;

impl Channel for OfFlume {
    type Sender = flume::Sender<usize>;
    type Receiver = flume::Receiver<usize>;

    #[inline]
    async fn send(sender: &Self::Sender, message: usize) {
        sender.send_async(message).await.expect(ALIVE);
    }

    #[inline]
    async fn recv(receiver: &mut Self::Receiver) -> Option<usize> {
        receiver.recv_async().await.ok()
    }
}

impl Bounded for OfFlume {
    const CAPACITY_MIN: usize = 0;

    fn bounded(capacity: usize) -> (Self::Sender, Self::Receiver) {
        flume::bounded(capacity)
    }
}

impl Unbounded for OfFlume {
    fn unbounded() -> (Self::Sender, Self::Receiver) {
        flume::unbounded()
    }
}
