//! The traits of sylvan's types are those of crossbeam's, looked up for both and compared.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::rc::Rc;

use crossbeam_channel as theirs;
use sylvan::channel as ours;
use sylvan_workspace::{implements, traits_of};

/// Compares `crossbeam_channel::X` with `sylvan::channel::X`, for each `X` given.
macro_rules! expect_the_same {
    ($($name:ident $(<$($argument:ty),+>)? $(of $life:lifetime $(, $lent:ty)?)?;)+) => {
        $(
            let of_theirs = traits_of!(theirs::$name $(<$($argument),+>)? $(<$life $(, $lent)?>)?);
            let of_ours = traits_of!(ours::$name $(<$($argument),+>)? $(<$life $(, $lent)?>)?);
            let name = stringify!($name $(<$($argument),+>)? $(<$life $(, $lent)?>)?);
            assert_eq!(of_ours, of_theirs, "left: sylvan's {name}; right: crossbeam's");
        )+
    };
}

/// Can go to other threads, but not be looked at from there.
type NotSync = Cell<i32>;
/// Must stay where it is.
type NotSend = Rc<i32>;
/// Can be looked at from other threads, but must be dropped where it is.
type OnlySync = std::sync::MutexGuard<'static, i32>;
/// May be left in a state that no catcher of a panic should see.
type NotUnwindSafe = &'static mut i32;
type Pinned = std::marker::PhantomPinned;

#[test]
fn probe_tells_yes_from_no() {
    assert_eq!((implements!(i32: Send), implements!(NotSend: Send)), (true, false));
    assert_eq!((implements!(OnlySync: Sync), implements!(OnlySync: Send)), (true, false));
    assert_eq!((implements!(NotSync: Send), implements!(NotSync: Sync)), (true, false));
    assert_eq!(
        (implements!(Vec<i32>: Iterator), implements!(Vec<i32>: IntoIterator)),
        (false, true)
    );
}

#[test]
fn ends_go_to_other_threads_if_their_messages_do() {
    assert!(implements!(ours::Sender<NotSync>: Send) && implements!(ours::Sender<NotSync>: Sync));
    assert!(!implements!(ours::Sender<NotSend>: Send) && !implements!(ours::Sender<NotSend>: Sync));
    assert!(implements!(ours::Receiver<NotSync>: Sync));
    assert!(!implements!(ours::Receiver<OnlySync>: Send));
}

// Of what cannot be pinned crossbeam's receivers cannot be pinned either, and ours can.
#[test]
fn ends_have_crossbeams_traits() {
    expect_the_same! {
        Sender<i32>;
        Sender<NotSync>;
        Sender<NotSend>;
        Sender<OnlySync>;
        Sender<NotUnwindSafe>;
        Sender<Pinned>;
        Receiver<i32>;
        Receiver<NotSync>;
        Receiver<NotSend>;
        Receiver<OnlySync>;
        Receiver<NotUnwindSafe>;
    }
}

#[test]
fn iterators_have_crossbeams_traits() {
    expect_the_same! {
        Iter of 'static, i32;
        Iter of 'static, NotSync;
        Iter of 'static, NotSend;
        Iter of 'static, NotUnwindSafe;
        TryIter of 'static, i32;
        TryIter of 'static, NotSync;
        TryIter of 'static, NotSend;
        TryIter of 'static, NotUnwindSafe;
        IntoIter<i32>;
        IntoIter<NotSync>;
        IntoIter<NotSend>;
        IntoIter<NotUnwindSafe>;
    }
}

#[test]
fn selections_have_crossbeams_traits() {
    expect_the_same! {
        Select of 'static;
        SelectedOperation of 'static;
    }
}

#[test]
fn errors_have_crossbeams_traits() {
    expect_the_same! {
        SendError<i32>;
        SendError<f32>;
        SendError<NotSync>;
        SendError<NotSend>;
        SendError<NotUnwindSafe>;
        SendError<Pinned>;
        TrySendError<i32>;
        TrySendError<f32>;
        TrySendError<NotSync>;
        TrySendError<NotSend>;
        TrySendError<NotUnwindSafe>;
        TrySendError<Pinned>;
        SendTimeoutError<i32>;
        SendTimeoutError<f32>;
        SendTimeoutError<NotSync>;
        SendTimeoutError<NotSend>;
        SendTimeoutError<NotUnwindSafe>;
        SendTimeoutError<Pinned>;
        RecvError;
        TryRecvError;
        RecvTimeoutError;
        TrySelectError;
        SelectTimeoutError;
    }
}

#[test]
fn errors_of_readiness_have_crossbeams_traits_and_may_have_more() {
    macro_rules! expect_no_fewer {
        ($($name:ident)+) => {
            $(
                let ours = traits_of!(ours::$name);
                for wanted in traits_of!(theirs::$name) {
                    assert!(ours.contains(&wanted), "{} lacks {wanted}", stringify!($name));
                }
            )+
        };
    }
    expect_no_fewer!(TryReadyError ReadyTimeoutError);
}
