//! How much stack is left, and how to get more for a call.
#![forbid(unsafe_code)]

use std::io;

use crate::fiber;
use crate::sched::inplace;
use crate::sched::worker::Core;
use crate::stack::{Class, Pool, overflow};

/// Returns how many bytes of stack the current green thread has left.
///
/// `None` on a kernel thread, whose stack is not sylvan's to measure, and where the stack in use
/// was put there by other code. std has no such function.
///
/// # Units
///
/// Usable bytes below the current frame, the guard not counted.
///
/// # Examples
///
/// ```
/// # sylvan::run(|| {
/// if sylvan::thread::remaining_stack().is_some_and(|bytes| bytes < 64 << 10) {
///     // Continue on a larger one: `sylvan::thread::with_stack`.
/// }
/// # });
/// ```
pub fn remaining_stack() -> Option<usize> {
    match Core::current()?.running_fiber()?.remaining() {
        0 => None,
        bytes => Some(bytes),
    }
}

/// Runs `f` on a stack of at least `bytes` usable bytes, as the same thread.
///
/// For calls that recurse deeply or have large frames, in a thread whose own stack is small. `f`
/// may wait, and what it unwinds passes through. The stack goes back to the runtime afterwards.
/// Works on kernel threads too. Does not wait itself.
///
/// # Units
///
/// Usable bytes, 1 to 64 GiB less 64 KiB.
///
/// # Errors
///
/// `InvalidInput` for a size that is not possible, else what the system says when it refuses the
/// memory. `f` was not called then.
///
/// # Examples
///
/// ```
/// fn depth(n: u64) -> u64 {
///     if n == 0 { 0 } else { 1 + depth(std::hint::black_box(n - 1)) }
/// }
/// let deep = sylvan::thread::with_stack(256 << 20, || depth(1_000_000))?;
/// assert_eq!(deep, 1_000_000);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn with_stack<T>(bytes: usize, f: impl FnOnce() -> T) -> io::Result<T> {
    let class = Class::for_usable(bytes)?;
    if let Some(core) = Core::current()
        && core.running_fiber().is_some()
    {
        let mut segment = inplace::segment_of(core, class)?;
        return Ok(fiber::on_stack(core.running_fiber(), segment.stack(), f));
    }
    overflow::install()?;
    let _signals = overflow::prepare_thread()?;
    let mut stack = Pool::new().take(class)?;
    Ok(fiber::on_stack(None, &mut stack, f))
}
