//! The signatures of crossbeam-channel, written out: a method that is generic where the original is
//! not, takes `self` differently or returns a type of its own does not fit the pointers here.
#![forbid(unsafe_code)]

use std::iter::FusedIterator;
use std::time::{Duration, Instant};

use super::channel::{
    IntoIter, Iter, ReadyTimeoutError, Receiver, RecvError, RecvTimeoutError, Select,
    SelectTimeoutError, SelectedOperation, SendError, SendTimeoutError, Sender, TryIter,
    TryReadyError, TryRecvError, TrySelectError, TrySendError, after, at, bounded, never, tick,
    unbounded,
};

#[test]
fn functions_have_crossbeams_signatures() {
    const NEVER: Receiver<String> = never();
    let _: fn() -> (Sender<String>, Receiver<String>) = unbounded;
    let _: fn(usize) -> (Sender<String>, Receiver<String>) = bounded;
    let _: fn(Duration) -> Receiver<Instant> = after;
    let _: fn(Instant) -> Receiver<Instant> = at;
    let _: fn(Duration) -> Receiver<Instant> = tick;
    let _: fn() -> Receiver<String> = never;
    assert_eq!(NEVER.capacity(), Some(0));
}

#[test]
fn sender_has_crossbeams_signatures() {
    type Ours = Sender<String>;
    type Within = Result<(), SendTimeoutError<String>>;
    let _: fn(&Ours, String) -> Result<(), TrySendError<String>> = Sender::try_send;
    let _: fn(&Ours, String) -> Result<(), SendError<String>> = Sender::send;
    let _: fn(&Ours, String, Duration) -> Within = Sender::send_timeout;
    let _: fn(&Ours, String, Instant) -> Within = Sender::send_deadline;
    let _: fn(&Ours) -> bool = Sender::is_empty;
    let _: fn(&Ours) -> bool = Sender::is_full;
    let _: fn(&Ours) -> usize = Sender::len;
    let _: fn(&Ours) -> Option<usize> = Sender::capacity;
    let _: fn(&Ours, &Ours) -> bool = Sender::same_channel;
    let _: fn(&Ours) -> Ours = Sender::clone;
}

#[test]
fn receiver_has_crossbeams_signatures() {
    type Ours = Receiver<String>;
    type Within = Result<String, RecvTimeoutError>;
    let _: fn(&Ours) -> Result<String, TryRecvError> = Receiver::try_recv;
    let _: fn(&Ours) -> Result<String, RecvError> = Receiver::recv;
    let _: fn(&Ours, Duration) -> Within = Receiver::recv_timeout;
    let _: fn(&Ours, Instant) -> Within = Receiver::recv_deadline;
    let _: fn(&Ours) -> bool = Receiver::is_empty;
    let _: fn(&Ours) -> bool = Receiver::is_full;
    let _: fn(&Ours) -> usize = Receiver::len;
    let _: fn(&Ours) -> Option<usize> = Receiver::capacity;
    let _: for<'a> fn(&'a Ours) -> Iter<'a, String> = Receiver::iter;
    let _: for<'a> fn(&'a Ours) -> TryIter<'a, String> = Receiver::try_iter;
    fn of_one_life<'a>(_: &'a ()) {
        let _: fn(&'a Ours) -> Iter<'a, String> = IntoIterator::into_iter;
    }
    of_one_life(&());
    let _: fn(Ours) -> IntoIter<String> = IntoIterator::into_iter;
    let _: fn(&Ours, &Ours) -> bool = Receiver::same_channel;
    let _: fn(&Ours) -> Ours = Receiver::clone;
}

#[test]
fn select_has_crossbeams_signatures() {
    type Selected<'a, E> = Result<SelectedOperation<'a>, E>;
    type Within<'a> = Selected<'a, SelectTimeoutError>;
    type Ready = Result<usize, ReadyTimeoutError>;
    type Sent = Result<(), SendError<String>>;
    type Received = Result<String, RecvError>;
    fn of_one_life<'a>(_: &'a ()) {
        let _: fn() -> Select<'a> = Select::new;
        let _: fn() -> Select<'a> = Select::new_biased;
        let _: fn() -> Select<'a> = Select::default;
        let _: fn(&Select<'a>) -> Select<'a> = Select::clone;
        let _: fn(&mut Select<'a>, &'a Sender<String>) -> usize = Select::send;
        let _: fn(&mut Select<'a>, &'a Receiver<String>) -> usize = Select::recv;
        let _: fn(&mut Select<'a>, usize) = Select::remove;
        let _: fn(&mut Select<'a>) -> Selected<'a, TrySelectError> = Select::try_select;
        let _: fn(&mut Select<'a>) -> SelectedOperation<'a> = Select::select;
        let _: fn(&mut Select<'a>, Duration) -> Within<'a> = Select::select_timeout;
        let _: fn(&mut Select<'a>, Instant) -> Within<'a> = Select::select_deadline;
        let _: fn(&mut Select<'a>) -> Result<usize, TryReadyError> = Select::try_ready;
        let _: fn(&mut Select<'a>) -> usize = Select::ready;
        let _: fn(&mut Select<'a>, Duration) -> Ready = Select::ready_timeout;
        let _: fn(&mut Select<'a>, Instant) -> Ready = Select::ready_deadline;
        let _: fn(&SelectedOperation<'a>) -> usize = SelectedOperation::index;
        let _: fn(SelectedOperation<'a>, &Sender<String>, String) -> Sent = SelectedOperation::send;
        let _: fn(SelectedOperation<'a>, &Receiver<String>) -> Received = SelectedOperation::recv;
    }
    of_one_life(&());
}

#[test]
fn errors_have_crossbeams_signatures() {
    let _: fn(SendError<String>) -> String = SendError::into_inner;
    let _: fn(TrySendError<String>) -> String = TrySendError::into_inner;
    let _: fn(&TrySendError<String>) -> bool = TrySendError::is_full;
    let _: fn(&TrySendError<String>) -> bool = TrySendError::is_disconnected;
    let _: fn(SendTimeoutError<String>) -> String = SendTimeoutError::into_inner;
    let _: fn(&SendTimeoutError<String>) -> bool = SendTimeoutError::is_timeout;
    let _: fn(&SendTimeoutError<String>) -> bool = SendTimeoutError::is_disconnected;
    let _: fn(&TryRecvError) -> bool = TryRecvError::is_empty;
    let _: fn(&TryRecvError) -> bool = TryRecvError::is_disconnected;
    let _: fn(&RecvTimeoutError) -> bool = RecvTimeoutError::is_timeout;
    let _: fn(&RecvTimeoutError) -> bool = RecvTimeoutError::is_disconnected;
}

#[test]
fn iterators_that_wait_are_fused_and_the_other_is_not_asked_to_be() {
    fn fused<I: FusedIterator>() {}
    fn plain<I: Iterator>() {}
    fused::<Iter<'_, String>>();
    fused::<IntoIter<String>>();
    plain::<TryIter<'_, String>>();
}
