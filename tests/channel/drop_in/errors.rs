//! The error types: their texts, what they tell and give back, and how one becomes another.
#![forbid(unsafe_code)]

use std::error::Error;

use super::channel::{
    ReadyTimeoutError, RecvError, RecvTimeoutError, SelectTimeoutError, SendError,
    SendTimeoutError, TryReadyError, TryRecvError, TrySelectError, TrySendError,
};

/// A message that cannot be printed, compared or copied.
struct Opaque(i32);

/// What `{}` and `{:?}` make of an error.
fn texts(error: &dyn Error) -> (String, String) {
    assert!(error.source().is_none());
    (error.to_string(), format!("{error:?}"))
}

fn expect(error: &dyn Error, display: &str, debug: &str) {
    assert_eq!(texts(error), (display.to_owned(), debug.to_owned()));
}

const GONE: &str = "sending on a disconnected channel";

#[test]
fn send_errors_say_what_happened_and_not_what_was_sent() {
    expect(&SendError(Opaque(1)), GONE, "\"SendError(..)\"");
    let full = TrySendError::Full(Opaque(1));
    expect(&full, "sending on a full channel", "\"Full(..)\"");
    expect(&TrySendError::Disconnected(Opaque(1)), GONE, "\"Disconnected(..)\"");
    let late = SendTimeoutError::Timeout(Opaque(1));
    expect(&late, "timed out waiting on send operation", "\"SendTimeoutError(..)\"");
    let gone = SendTimeoutError::Disconnected(Opaque(1));
    expect(&gone, GONE, "\"SendTimeoutError(..)\"");
}

#[test]
fn receive_errors_say_what_happened() {
    let gone = "receiving on an empty and disconnected channel";
    expect(&RecvError, gone, "RecvError");
    expect(&TryRecvError::Empty, "receiving on an empty channel", "Empty");
    expect(&TryRecvError::Disconnected, gone, "Disconnected");
    let late = "timed out waiting on receive operation";
    expect(&RecvTimeoutError::Timeout, late, "Timeout");
    let gone = "channel is empty and disconnected";
    expect(&RecvTimeoutError::Disconnected, gone, "Disconnected");
}

#[test]
fn select_errors_say_what_happened() {
    let block = "all operations in select would block";
    expect(&TrySelectError, block, "TrySelectError");
    expect(&SelectTimeoutError, "timed out waiting on select", "SelectTimeoutError");
    // These two have no other text in crossbeam.
    assert_eq!(
        format!("{TryReadyError:?} {ReadyTimeoutError:?}"),
        "TryReadyError ReadyTimeoutError"
    );
}

#[test]
fn width_and_precision_are_kept_to() {
    assert_eq!(
        format!("{:>30}|{:.4}", TryRecvError::Empty, TryRecvError::Empty),
        "\
        \u{20}receiving on an empty channel|rece"
    );
    assert_eq!(format!("{:40}|", SendError(Opaque(1))), format!("{GONE:40}|"));
    assert_eq!(
        format!("{:<10}|", RecvTimeoutError::Disconnected),
        "channel is empty and disconnected|"
    );
}

#[test]
fn send_errors_give_the_message_back() {
    assert_eq!(SendError(Opaque(1)).into_inner().0, 1);
    let SendError(Opaque(number)) = SendError(Opaque(2));
    assert_eq!(number, 2);
    for error in [TrySendError::Full, TrySendError::Disconnected] {
        assert_eq!(error(Opaque(3)).into_inner().0, 3);
    }
    for error in [SendTimeoutError::Timeout, SendTimeoutError::Disconnected] {
        assert_eq!(error(Opaque(4)).into_inner().0, 4);
    }
}

#[test]
fn errors_tell_their_kind() {
    let (full, gone) = (TrySendError::Full(1), TrySendError::Disconnected(1));
    assert!(full.is_full() && !full.is_disconnected());
    assert!(!gone.is_full() && gone.is_disconnected());
    let (late, gone) = (SendTimeoutError::Timeout(1), SendTimeoutError::Disconnected(1));
    assert!(late.is_timeout() && !late.is_disconnected());
    assert!(!gone.is_timeout() && gone.is_disconnected());
    let (empty, gone) = (TryRecvError::Empty, TryRecvError::Disconnected);
    assert!(empty.is_empty() && !empty.is_disconnected());
    assert!(!gone.is_empty() && gone.is_disconnected());
    let (late, gone) = (RecvTimeoutError::Timeout, RecvTimeoutError::Disconnected);
    assert!(late.is_timeout() && !late.is_disconnected());
    assert!(!gone.is_timeout() && gone.is_disconnected());
}

#[test]
fn error_of_a_waiting_call_becomes_that_of_one_that_waits_less() {
    let error: TrySendError<i32> = SendError(1).into();
    assert_eq!(error, TrySendError::Disconnected(1));
    let error: SendTimeoutError<i32> = SendError(2).into();
    assert_eq!(error, SendTimeoutError::Disconnected(2));
    let error: TryRecvError = RecvError.into();
    assert_eq!(error, TryRecvError::Disconnected);
    let error: RecvTimeoutError = RecvError.into();
    assert_eq!(error, RecvTimeoutError::Disconnected);
}

#[test]
fn errors_are_compared_and_copied_with_their_messages() {
    let error = SendError(1);
    let copy = error;
    assert!(error == copy && error != SendError(2));
    let error = TrySendError::Full(1);
    let copy = error;
    assert!(error == copy && error != TrySendError::Full(2));
    assert!(error != TrySendError::Disconnected(1));
    let error = SendTimeoutError::Timeout("late".to_owned());
    assert!(error.clone() == error && error != SendTimeoutError::Disconnected("late".to_owned()));
    assert_ne!(TryRecvError::Empty, TryRecvError::Disconnected);
    assert_ne!(RecvTimeoutError::Timeout, RecvTimeoutError::Disconnected);
    assert_eq!((TrySelectError, SelectTimeoutError), (TrySelectError, SelectTimeoutError));
    assert_eq!((TryReadyError, ReadyTimeoutError), (TryReadyError, ReadyTimeoutError));
}
