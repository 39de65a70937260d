//! What happens when a green thread runs off its stack: a report that says which thread, how much
//! stack it had and how to give it more, and then the end of the process.
//!
//! The faulting address is looked up among the guards of all stacks. If it is in one, the layer
//! that knows threads describes the current one (`set_describer`), the text is put together in a
//! fixed buffer and written by one system call. Otherwise the handler that was there before ours
//! goes on, as if ours were not there.
//!
//! All of it runs in a signal handler, in the middle of anything: it must not allocate, lock,
//! panic, or print through std.
#![forbid(unsafe_code)]

use std::fmt::{self, Write};
use std::io;
use std::process;
use std::sync::OnceLock;

use super::class::Class;
use super::table;
use crate::os;

/// Installs the handler, once per process; later calls change nothing.
///
/// # Errors
///
/// The kernel's refusal to change a handler.
pub(crate) fn install() -> io::Result<()> {
    os::install_fault_handler(report_if_ours)
}

/// Gives the calling kernel thread a stack for the handler, for as long as the value lives.
///
/// Every kernel thread that can run green threads needs it; one that has an alternative signal
/// stack keeps its own.
///
/// # Errors
///
/// The kernel has no memory for it.
pub(crate) fn prepare_thread() -> io::Result<os::AltStack> {
    os::AltStack::new()
}

/// Writes who overflowed, such as `thread 'NAME' (green thread 7, spawned at src/main.rs:3)`.
///
/// It runs inside the signal handler: reading what the current kernel thread alone writes is
/// allowed; locks, allocation and panics are not. If it writes nothing, the default text stands.
pub(crate) type Describer = fn(&mut Report);

/// Sets the describer; the first one set stays.
pub(crate) fn set_describer(describer: Describer) {
    let _ = DESCRIBER.set(describer);
}

/// The text of a report, in a fixed buffer: what does not fit is cut off.
pub(crate) struct Report {
    text: [u8; REPORT_BYTES],
    len: usize,
    /// Where writing stops; lower for the describer, so that the rest of the report always fits.
    end: usize,
    class: Class,
}

impl Report {
    fn new(hit: table::GuardHit) -> Report {
        Report { text: [0; REPORT_BYTES], len: 0, end: DESCRIPTION_BYTES, class: hit.class }
    }

    /// Puts the whole text together.
    fn compose(&mut self) {
        // A buffer that is full answers no errors: the text is cut.
        let _ = self.write_str("\n");
        let start = self.len;
        if let Some(describe) = DESCRIBER.get() {
            describe(self);
        }
        if self.len == start {
            let _ = self.write_str("a green thread");
        }
        self.end = REPORT_BYTES;
        let _ = writeln!(
            self,
            " has overflowed its stack of {} bytes; raise it with thread::Builder::stack_size, \
             sylvan::Builder::stack_size or SYLVAN_STACK_SIZE\nfatal runtime error: stack overflow",
            self.class.usable_bytes()
        );
    }

    fn text(&self) -> &[u8] {
        &self.text[..self.len]
    }
}

impl Write for Report {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.end.saturating_sub(self.len).min(text.len());
        // The cut must not split a character: the report is UTF-8 like the names in it.
        let len = (0..=room).rev().find(|&len| text.is_char_boundary(len)).unwrap_or(0);
        self.text[self.len..self.len + len].copy_from_slice(&text.as_bytes()[..len]);
        self.len += len;
        Ok(())
    }
}

/// Reports and aborts if `address` is in a guard of ours; returns false if not.
fn report_if_ours(address: usize) -> bool {
    let Some(hit) = table::guard_at(address) else { return false };
    let mut report = Report::new(hit);
    report.compose();
    os::write_stderr(report.text());
    process::abort()
}

/// A load of a full `OnceLock` is one atomic read, so the handler may use it.
static DESCRIBER: OnceLock<Describer> = OnceLock::new();

/// The signal stacks that std makes have little room, so the buffer is small.
const REPORT_BYTES: usize = 768;

/// What the describer may fill: a name, a number and a path.
const DESCRIPTION_BYTES: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report::new(table::GuardHit { bottom: 1 << 30, class: Class::DEFAULT })
    }

    #[test]
    fn a_report_without_describer_names_the_size_and_the_three_ways_to_raise_it() {
        let mut report = report();
        report.compose();
        let text = std::str::from_utf8(report.text()).unwrap();
        let size = Class::DEFAULT.usable_bytes();
        assert!(text.contains(&format!("overflowed its stack of {size} bytes")), "{text}");
        for way in ["thread::Builder::stack_size", "sylvan::Builder::stack_size"] {
            assert!(text.contains(way), "{text}");
        }
        assert!(text.ends_with("SYLVAN_STACK_SIZE\nfatal runtime error: stack overflow\n"));
    }

    #[test]
    fn a_long_description_is_cut_between_characters_and_the_rest_still_fits() {
        let mut report = report();
        for _ in 0..DESCRIPTION_BYTES {
            write!(report, "ß").unwrap();
        }
        report.end = REPORT_BYTES;
        report.compose();
        let text = std::str::from_utf8(report.text()).unwrap();
        assert!(text.ends_with("fatal runtime error: stack overflow\n"), "{text}");
    }
}
