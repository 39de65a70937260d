//! All ways to send and to receive, so that a test can go through them.
//!
//! Two do not meet at capacity 0: `ready`, which is followed by a `try_…`, and a select, for a
//! `try_…` does not wait for a message that has yet to be written. And two that watch for each
//! other would do so for ever.
#![forbid(unsafe_code)]

use sylvan::channel::{Receiver, Select, SendTimeoutError, Sender, TryRecvError, TrySendError};
use sylvan::channel::{bounded, never, select, select_biased, unbounded};

use crate::support::HOUR;

/// How the operation waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Plain,
    Select,
    Ready,
    Future,
}

/// A way to receive: `None` if the channel is disconnected.
pub(crate) struct ToReceive<T> {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) call: fn(&Receiver<T>) -> Option<T>,
}

/// A way to send: the message comes back if the channel is disconnected.
pub(crate) struct ToSend<T> {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) call: fn(&Sender<T>, T) -> Result<(), T>,
}

/// Whether the two meet on a channel of capacity 0.
pub(crate) fn do_meet(one: Kind, other: Kind) -> bool {
    let is_plain = |kind| matches!(kind, Kind::Plain | Kind::Future);
    is_plain(one) || is_plain(other) || (one != Kind::Ready && other != Kind::Ready)
}

/// All ways to receive.
pub(crate) fn to_receive<T>() -> [ToReceive<T>; 8] {
    let way = |name, kind, call| ToReceive { name, kind, call };
    [
        way("recv", Kind::Plain, |from| from.recv().ok()),
        way("recv_timeout", Kind::Plain, |from| from.recv_timeout(HOUR).ok()),
        way("iter", Kind::Plain, |from| from.iter().next()),
        way("Select", Kind::Select, |from| {
            let mut select = Select::new();
            select.recv(from);
            select.select().recv(from).ok()
        }),
        way("select!", Kind::Select, |from| {
            let (full, _kept) = bounded(0);
            let (_open, empty) = unbounded::<u8>();
            select! {
                recv(from) -> message => message.ok(),
                recv(empty) -> _ => unreachable!("nobody sends"),
                send(full, 0_u8) -> _ => unreachable!("nobody receives"),
                default(HOUR) => unreachable!("an hour is long"),
            }
        }),
        way("select_biased!", Kind::Select, |from| {
            select_biased! {
                recv(never::<u8>()) -> _ => unreachable!("never"),
                recv(from) -> message => message.ok(),
            }
        }),
        way("ready", Kind::Ready, |from| {
            let mut select = Select::new();
            select.recv(from);
            loop {
                select.ready();
                match from.try_recv() {
                    Ok(message) => return Some(message),
                    Err(TryRecvError::Disconnected) => return None,
                    Err(TryRecvError::Empty) => (),
                }
            }
        }),
        way("recv_async", Kind::Future, |from| sylvan::block_on(from.recv_async()).ok()),
    ]
}

/// All ways to send.
pub(crate) fn to_send<T>() -> [ToSend<T>; 6] {
    let way = |name, kind, call| ToSend { name, kind, call };
    [
        way("send", Kind::Plain, |to, message| to.send(message).map_err(|e| e.into_inner())),
        way("send_timeout", Kind::Plain, |to, message| {
            to.send_timeout(message, HOUR).map_err(SendTimeoutError::into_inner)
        }),
        way("Select", Kind::Select, |to, message| {
            let mut select = Select::new();
            select.send(to);
            select.select().send(to, message).map_err(|e| e.into_inner())
        }),
        way("select!", Kind::Select, |to, message| {
            let (_open, empty) = bounded::<u8>(0);
            select! {
                recv(empty) -> _ => unreachable!("nobody sends"),
                send(to, message) -> sent => sent.map_err(|e| e.into_inner()),
            }
        }),
        way("ready", Kind::Ready, |to, mut message| {
            let mut select = Select::new();
            select.send(to);
            loop {
                select.ready();
                match to.try_send(message) {
                    Ok(()) => return Ok(()),
                    Err(TrySendError::Disconnected(back)) => return Err(back),
                    Err(TrySendError::Full(back)) => message = back,
                }
            }
        }),
        way("send_async", Kind::Future, |to, message| {
            sylvan::block_on(to.send_async(message)).map_err(|e| e.into_inner())
        }),
    ]
}
