//! What a seeded run draws besides the order of turns: faults, delays, places, and choices of
//! calls.
#![forbid(unsafe_code)]

use std::io;

use crate::sched::seeded::Run;

impl Run {
    /// Whether what could run in place shall be a thread of its own instead.
    pub(crate) fn keeps_out_of_place(&self) -> bool {
        // A join never fails for want of a thread; where spawns do, it must not need one.
        self.faults.get().spawn_one_in == 0 && self.streams.in_place.one_in(4)
    }

    /// An error, where the seed says that a spawn fails.
    pub(crate) fn spawn_fault(&self) -> io::Result<()> {
        self.fault(self.faults.get().spawn_one_in, io::ErrorKind::WouldBlock, "thread")
    }

    pub(super) fn fault(&self, one_in: u32, kind: io::ErrorKind, what: &str) -> io::Result<()> {
        if one_in == 0 || !self.streams.faults.one_in(one_in.into()) {
            return Ok(());
        }
        let seed = self.plan().seed;
        Err(io::Error::new(kind, format!("a {what} was refused on purpose (seed {seed})")))
    }

    /// When a timer fires that is meant for `deadline_ns`.
    pub(crate) fn timer_ns(&self, deadline_ns: u64) -> u64 {
        let max = self.faults.get().timers_late_max.as_nanos();
        let max = u64::try_from(max).unwrap_or(u64::MAX - 1).min(u64::MAX - 1);
        let late = if max == 0 { 0 } else { self.streams.faults.below(max + 1) };
        deadline_ns.saturating_add(late)
    }

    /// Which of `count` operations a call looks at that may choose.
    pub(crate) fn choose_of(&self, count: u64) -> u64 {
        self.streams.selects.below(count)
    }
}
