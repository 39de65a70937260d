//! The sentences in which the scheduler names a thread and says what it waits for.
//!
//! Used where a person must find a thread in the source: the leak report of a shutdown. It reads
//! headers and wait records at home; stacks it asks to describe themselves, and never reads.

use std::fmt::Write;

use crate::clock;
use crate::fiber::Trace;
use crate::os;
use crate::task::numbers::shown_number;
use crate::task::{Header, WaitRecord};

/// How much is said of a waiting thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Detail {
    /// Its reason.
    Reasons,
    /// Its stack too, as addresses: for a process that goes on or ends without a debugger.
    Stacks,
}

/// One line: name, number, spawn site, state, and for a waiting thread its reason and site.
///
/// HOME-ONLY for green threads, whose wait record lies on their stack.
pub(crate) fn line(thread: &Header, detail: Detail) -> String {
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
            let _ = write!(line, ", for thread number {}", shown_number(owner));
        }
        let _ = write!(line, ", for {seconds:.3} s");
        if detail == Detail::Stacks {
            line.push_str(&stack_of(thread));
        }
    }
    line
}

/// Where a suspended thread is, as addresses that `addr2line -e FILE` takes.
///
/// HOME-ONLY: the thread waits, and this is its worker.
fn stack_of(thread: &Header) -> String {
    let mut text = String::new();
    // SAFETY: WAITING-OWNS-FIBER: a thread with a record in force is suspended on its fiber.
    let Some(fiber) = (unsafe { thread.fiber.get().as_ref() }) else { return text };
    let mut trace = Trace::new();
    // SAFETY: S1: as above, and this is its home.
    unsafe { fiber.trace(&mut trace) };
    let mut file = String::new();
    for (name, offset) in trace.addresses().iter().filter_map(|address| os::locate(*address)) {
        if name != file {
            let _ = write!(text, "; stack in {name}:");
            file = name;
        }
        let _ = write!(text, " {offset:#x}");
    }
    text
}

/// The part of a line that may be read from anywhere: without the reason of a wait.
pub(crate) fn line_from_outside(thread: &Header) -> String {
    format!(
        "thread '{}' (number {}, spawned at {}) is {}",
        thread.name().unwrap_or("<unnamed>"),
        thread.number(),
        thread.site,
        thread.state.life(),
    )
}
