//! What a thread may ask and say about its own end: whether it is wanted, why, and not now.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::fmt;
use std::panic::Location;

use crate::sched::cut;
use crate::task::CancelReason;
use crate::task::cancelled::CancelKind;
use crate::task::region::Region;

/// Returns whether the current thread, or the part of it that runs, is to end: because somebody has
/// cancelled it, or because a deadline that is in force has passed.
///
/// For long computations, which meet no call that would be unwound. Within a [`shield`] it says
/// only what comes from within. Never switches and is never unwound itself.
///
/// # Examples
///
/// ```
/// use sylvan::thread;
/// use sylvan::time::{self, Duration};
///
/// fn smallest_divisor(number: u64) -> Option<u64> {
///     for divisor in 2..number {
///         if thread::cancelled() {
///             return None;
///         }
///         if number % divisor == 0 {
///             return Some(divisor);
///         }
///     }
///     Some(number)
/// }
///
/// let in_time = time::timeout(Duration::from_secs(60), || smallest_divisor(91));
/// assert_eq!(in_time.unwrap(), Some(7));
/// let too_late = time::timeout(Duration::ZERO, || smallest_divisor(91));
/// assert_eq!(too_late.unwrap(), None);
/// ```
pub fn cancelled() -> bool {
    cut::reason_here().is_some()
}

/// Returns why the current thread, or the part of it that runs, is to end; `None`: it is not.
///
/// As [`cancelled`], with who, where and what for. It allocates, so ask `cancelled` in a loop.
pub fn cancel_reason() -> Option<CancelReason> {
    cut::reason_here()
}

/// Runs `f` with cancellations and deadlines from outside of it kept away.
///
/// What must not be cut off half-way goes into a shield: the second half of a handshake, a write
/// that follows another one, a call into C code that calls back. What has come meanwhile is
/// delivered at the first call with a "Blocking" section after the shield. The same holds for
/// scopes and arms that are opened within: they are not cancelled from outside of it either. A
/// [`timeout`](crate::time::timeout) or a [`group`](crate::thread::group) within the shield works
/// as ever, so a cleaning-up can be bounded:
///
/// ```
/// use sylvan::thread;
/// use sylvan::time::{self, Duration};
///
/// fn say_goodbye() { /* writes, and may wait */ }
///
/// struct Connection;
///
/// impl Connection {
///     fn close(self) {
///         thread::shield(|| {
///             let _ = time::timeout(Duration::from_secs(2), say_goodbye);
///         });
///     }
/// }
/// Connection.close();
/// ```
///
/// A destructor that runs while its thread unwinds needs no shield: nothing is cut off twice at a
/// time. But no deadline of its own is kept there either, since to unwind within an unwinding would
/// abort the process.
///
/// # Frames of C
///
/// Unwinding out of an `extern "C"` function aborts the process. A callback that C code calls, and
/// that may wait, does so in a shield:
///
/// ```
/// use sylvan::thread;
///
/// extern "C" fn on_line(length: usize) {
///     thread::shield(|| println!("a line of {length} bytes"));
/// }
/// on_line(3);
/// ```
///
/// # Blocking
///
/// Does not wait by itself; `f` may.
#[track_caller]
pub fn shield<T>(f: impl FnOnce() -> T) -> T {
    match cut::within(&Region::shield(Location::caller()), f) {
        Ok(value) => value,
        Err(_) => unreachable!("no unwinding is for the end of a shield"),
    }
}

/// A thread cannot be cancelled, for the program was built with `panic = "abort"`.
#[derive(Debug)]
#[non_exhaustive]
pub struct CancelError {}

/// The reason of a cancellation that the current thread asks for at `site`.
pub(super) fn request(
    why: Option<Cow<'static, str>>,
    site: &'static Location<'static>,
) -> Result<CancelReason, CancelError> {
    match cfg!(panic = "abort") {
        true => Err(CancelError {}),
        false => Ok(CancelReason::by_me(CancelKind::Requested, site, why)),
    }
}

/// What every refusal says of the profile.
pub(crate) const NO_UNWINDING: &str =
    "cancellation unwinds them, and this program was built with panic = \"abort\" in its profile";

impl fmt::Display for CancelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "threads cannot be cancelled: {NO_UNWINDING}")
    }
}

impl std::error::Error for CancelError {}
