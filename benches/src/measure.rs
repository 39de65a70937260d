//! One measurement, in a process of its own.
//!
//! The parent cannot trust a peer to end, so the child asks the kernel for an alarm that ends it,
//! and the parent reads off the signal what happened. Nothing is torn down: the process ends right
//! after its figure is printed, for some peers take seconds to stop, and some never do.

use std::io::Write;
use std::time::Duration;

use crate::row::{Does, Scale};
use crate::suites;

/// After how long a child is ended by its alarm.
pub(crate) const LIMIT_S: u32 = 20;

/// Measures the cell of `peer` in `row` and ends the process.
pub(crate) fn one(row: &str, peer: &str, scale: Scale) -> Result<(), String> {
    // SAFETY: takes a number and touches no memory of ours.
    unsafe { libc::alarm(LIMIT_S) };
    let rows = suites::all(scale);
    let row = rows.iter().find(|r| r.name == row).ok_or("there is no such row")?;
    let cell = row.cells.iter().find(|c| c.peer == peer).ok_or("there is no such peer")?;
    let line = match &cell.does {
        Does::Work(measure) => match measure() {
            Ok(ns) => format!("ns {ns}"),
            Err(reason) => format!("no {reason}"),
        },
        Does::Nothing(reason) => format!("no {reason}"),
    };
    println!("{line}");
    std::io::stdout().flush().map_err(|error| error.to_string())?;
    std::process::exit(0);
}

/// Nanoseconds per unit of `play`, which plays as many units as it is told and says how long they
/// took. Plays ever more from `least` on, which also warms it up, until the time is a good part of
/// the target; then once as many as fit the target.
pub(crate) fn per_unit(scale: Scale, least: u64, mut play: impl FnMut(u64) -> Duration) -> f64 {
    let target = scale.target();
    let mut count = least.max(16);
    loop {
        let took = play(count);
        if took * 8 >= target {
            let fits = count as f64 * target.as_secs_f64() / took.as_secs_f64();
            count = (fits as u64).max(least);
            break;
        }
        count *= 4;
    }
    play(count).as_secs_f64() * 1e9 / count as f64
}

/// Nanoseconds per unit of `play`, whose amount of work is fixed at `units`. Played twice, and the
/// second time counts: the first one grows stacks, arenas and caches.
pub(crate) fn fixed(units: u64, mut play: impl FnMut() -> Duration) -> f64 {
    play();
    play().as_secs_f64() * 1e9 / units as f64
}

/// Lets this kernel thread, and those that it will start, run on one processor only: so that
/// kernel threads share it like green threads share a worker.
pub(crate) fn pin_to_one_processor() {
    // SAFETY: a plain number of a plain call.
    let here = unsafe { libc::sched_getcpu() };
    // SAFETY: all zeroes is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the number of an existing processor lies in the set's range.
    unsafe { libc::CPU_SET(here.max(0) as usize, &mut set) };
    // SAFETY: the set is ours and of that size.
    unsafe { libc::sched_setaffinity(0, size_of_val(&set), &set) };
}
