//! The sentences in which the scheduler names a thread and says what it waits for.
//!
//! Used where a person must find a thread in the source: the leak report of a shutdown. It reads
//! headers and wait records at home, and never a stack.

use std::fmt::Write;

use crate::clock;
use crate::task::{Header, WaitRecord};

/// One line: name, number, spawn site, state, and for a waiting thread its reason and site.
///
/// HOME-ONLY for green threads, whose wait record lies on their stack.
pub(crate) fn line(thread: &Header) -> String {
    let mut line = line_from_outside(thread);
    let record: *const WaitRecord = thread.wait.get();
    // SAFETY: the record is in force while the thread waits, and at home nobody ends the wait's
    // frame meanwhile.
    if let Some(record) = unsafe { record.as_ref() } {
        let seconds = clock::now_ns().saturating_sub(record.since_ns) as f64 / 1e9;
        let reason = &record.reason;
        let _ = write!(line, ": {} at {}", reason.kind.describe(), reason.site);
        if reason.object != 0 {
            let _ = write!(line, ", object {:#x}", reason.object);
        }
        if let Some(owner) = reason.owner {
            let _ = write!(line, ", for thread number {owner}");
        }
        let _ = write!(line, ", for {seconds:.3} s");
    }
    line
}

/// The part of a line that may be read from anywhere: without the reason of a wait.
pub(crate) fn line_from_outside(thread: &Header) -> String {
    format!(
        "thread '{}' (number {}, spawned at {}) is {}",
        thread.name().unwrap_or("<unnamed>"),
        thread.id,
        thread.site,
        thread.state.life(),
    )
}
