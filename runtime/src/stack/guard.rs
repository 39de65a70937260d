//! The guard below each stack, and what to do where the cheap kind of guard does not exist.
//!
//! **Two kinds.** `MADV_GUARD_INSTALL` (Linux 6.13 and later) costs 0.65 µs once and no entry in
//! the kernel's list of mappings. It answers `EINVAL` on an older kernel, and for memory that is
//! locked, which `mlockall(MCL_FUTURE)` can make true at any time. So nothing is probed ahead:
//! each guard tries the cheap kind first (a refusal costs 0.1 µs) and falls back to `mprotect`,
//! alone, for 1.8 µs. Of a program that goes on taking fresh stacks many are guarded by one call.
//!
//! **The budget.** Each `mprotect` splits a mapping: two entries more of the 65,530 that
//! `vm.max_map_count` allows by default. At the limit *every* mapping of the process fails, the
//! heap's included, so we stop before: 8,000 entries are left to the rest of the process, which
//! gives about 28,700 stacks. How many are in use is counted from `/proc/self/maps`, which takes
//! up to 30 ms when the list is long; hence it is read seldom: each reading grants half of what
//! is left (whoever else maps in between finds the other half and the reserve), and after a
//! refusal the list is not read again for 100 ms unless a chunk was unmapped.
//!
//! A stack must never be handed out without a guard, whatever failed.

use std::io;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::class::GUARD_BYTES;
use crate::os;

/// Guards the stack whose lowest address is `bottom`.
///
/// # Errors
///
/// `OutOfMemory` when the budget is used up; the message names `vm.max_map_count`, its value and
/// the value needed. Otherwise the kernel's refusal, with the operation.
///
/// # Safety
///
/// S1: the `GUARD_BYTES` at `bottom` are the lowest of a slot that belongs to the caller, on which
/// nothing runs.
pub(super) unsafe fn install(bottom: usize) -> io::Result<()> {
    let address = bottom as *mut u8;
    if !mprotect_is_forced() {
        // SAFETY: S1: a slot lies in one mapping. S2: our S1, nothing of the slot is in use.
        match unsafe { os::install_guard(address, GUARD_BYTES) } {
            Ok(()) => return Ok(()),
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
            Err(error) => return Err(refused("madvise(MADV_GUARD_INSTALL)", &error)),
        }
    }
    let mut budget = BUDGET.lock().unwrap_or_else(PoisonError::into_inner);
    budget.spend()?;
    // SAFETY: as above.
    unsafe { os::protect_none(address, GUARD_BYTES) }.map_err(|error| {
        budget.refund();
        match error.raw_os_error() {
            // The list is full although we stopped short of it: others filled the reserve.
            Some(libc::ENOMEM) => {
                budget.look();
                budget.granted = 0;
                budget.exhausted()
            }
            _ => refused("mprotect", &error),
        }
    })
}

/// Guards the stacks whose lowest addresses are `bottoms`, up to 32 of them, as far as one call can
/// do it. Says how many, counted from the first, are guarded now. Nothing is lost where that is
/// fewer, or none: `install` then guards each that is needed, or tells why it cannot.
///
/// Only the cheap kind comes in batches. Guards of the other kind are counted, and one made for a
/// stack that may never be used would be taken from those that need it.
///
/// # Safety
///
/// S1: as for [`install`], for each stack.
pub(super) unsafe fn install_batch(bottoms: impl Iterator<Item = usize>) -> usize {
    if mprotect_is_forced() {
        return 0;
    }
    let addresses = bottoms.map(|bottom| bottom as *mut u8);
    // SAFETY: S1: a slot lies in one mapping. S2: our S1, nothing of the slots is in use.
    unsafe { os::install_guards(addresses, GUARD_BYTES) }
}

/// Lets the next guard count the mappings again: some were just unmapped.
pub(super) fn mappings_were_freed() {
    BUDGET.lock().unwrap_or_else(PoisonError::into_inner).refused_at = None;
}

/// Makes every guard an `mprotect` one from now on, or ends that.
///
/// A door for tests, which must see the fallback on a kernel that does not need it. A child
/// process opens it by the variable `SYLVAN_TEST_GUARDS=mprotect`, read once, at the first guard.
pub(crate) fn force_mprotect_guards(force: bool) {
    // ORDERING: Relaxed, for the flag publishes nothing else.
    FORCED.store(if force { FORCED_YES } else { FORCED_NO }, Ordering::Relaxed);
}

/// How often the list of mappings was read, which takes milliseconds where it is long.
#[cfg(test)]
pub(super) fn looks() -> usize {
    BUDGET.lock().unwrap_or_else(PoisonError::into_inner).looks
}

fn mprotect_is_forced() -> bool {
    // ORDERING: Relaxed, as in `force_mprotect_guards`; two first readers compute the same.
    match FORCED.load(Ordering::Relaxed) {
        FORCED_UNREAD => {
            let force = std::env::var_os("SYLVAN_TEST_GUARDS").is_some_and(|v| v == "mprotect");
            force_mprotect_guards(force);
            force
        }
        forced => forced == FORCED_YES,
    }
}

/// How many more `mprotect` guards may be made.
struct Budget {
    /// Guards that may be made before the list is read again.
    granted: usize,
    /// Guards made so far; those that went with their chunk included.
    made: usize,
    /// The limit of mappings and their number, as last read.
    limit: usize,
    used: usize,
    /// When a reading last left nothing to grant.
    refused_at: Option<Instant>,
    /// How often the list was read.
    #[cfg(test)]
    looks: usize,
}

impl Budget {
    /// Takes one guard out of the budget.
    fn spend(&mut self) -> io::Result<()> {
        if self.granted == 0 {
            if self.refused_at.is_some_and(|then| then.elapsed() < LOOK_AGAIN_AFTER) {
                return Err(self.exhausted());
            }
            self.look();
            if self.granted == 0 {
                self.refused_at = Some(Instant::now());
                return Err(self.exhausted());
            }
        }
        self.granted -= 1;
        self.made += 1;
        Ok(())
    }

    /// Takes back the last `spend`, whose guard was not made.
    fn refund(&mut self) {
        self.granted += 1;
        self.made -= 1;
    }

    /// Reads how many mappings there are, and grants a part of what is left.
    ///
    /// Without `/proc`, or without a descriptor to read it, our own guards are all that is known
    /// to be there; what a process maps besides is far below the reserve.
    fn look(&mut self) {
        #[cfg(test)]
        {
            self.looks += 1;
        }
        self.limit = os::map_count_limit().unwrap_or(DEFAULT_MAP_COUNT_LIMIT);
        self.used = os::map_count_used().unwrap_or(self.made * ENTRIES_PER_GUARD);
        let left = self.limit.saturating_sub(self.used + RESERVED_ENTRIES) / ENTRIES_PER_GUARD;
        self.granted = if left <= SMALLEST_GRANT { left } else { left / 2 };
    }

    fn exhausted(&self) -> io::Error {
        let Budget { limit, used, .. } = *self;
        let needed = limit.max(used + RESERVED_ENTRIES + ENTRIES_PER_GUARD);
        io::Error::new(
            io::ErrorKind::OutOfMemory,
            format!(
                "cannot guard another stack: the process has {used} mappings of the {limit} that \
                 vm.max_map_count allows, each stack takes {ENTRIES_PER_GUARD}, and \
                 {RESERVED_ENTRIES} are kept for other uses. One more stack needs \
                 vm.max_map_count={needed}, 10,000 more need {}; Linux 6.13 and later need none \
                 for memory that is not locked",
                needed + 10_000 * ENTRIES_PER_GUARD
            ),
        )
    }
}

fn refused(operation: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{operation} of a stack's guard was refused: {error}"))
}

static BUDGET: Mutex<Budget> = Mutex::new(Budget {
    granted: 0,
    made: 0,
    limit: 0,
    used: 0,
    refused_at: None,
    #[cfg(test)]
    looks: 0,
});
static FORCED: AtomicU8 = AtomicU8::new(FORCED_UNREAD);

const FORCED_UNREAD: u8 = 0;
const FORCED_NO: u8 = 1;
const FORCED_YES: u8 = 2;

/// The guard itself, and the usable part that it splits from the chunk.
const ENTRIES_PER_GUARD: usize = 2;
const RESERVED_ENTRIES: usize = 8_000;
/// At the end of the budget halves are not worth a reading each.
const SMALLEST_GRANT: usize = 256;
pub(super) const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(100);
/// The kernel's default: 2^16 less a few that a core dump needs.
const DEFAULT_MAP_COUNT_LIMIT: usize = 65_530;
