//! Doors for sylvan's own tests: what they must force and what they must count.
//!
//! Reached as `sylvan::__private::doors`. No part of the interface; nothing here is needed by a
//! program, and nothing changes what a program may observe.
#![forbid(unsafe_code)]

use std::io;
use std::time::Duration;

use crate::blocking;
use crate::clock;
use crate::embed::runtime::Handle;
use crate::record::{self, Event};
use crate::sched::inplace::{self, Policy};
use crate::sched::worker::Core;
use crate::stack;
use crate::task::WaitKind;

/// Forces running in place on (`Some(true)`) or off (`Some(false)`), in the whole process.
pub fn force_in_place(force: Option<bool>) {
    inplace::set_policy(match force {
        None => Policy::Automatic,
        Some(true) => Policy::Always,
        Some(false) => Policy::Never,
    });
}

/// Threads of the runtime that live: 0 is exact, another number may be out of date.
pub fn live_threads(handle: &Handle) -> u64 {
    handle.shared().live()
}

/// Timers that are armed on the worker which runs the caller; 0 elsewhere.
pub fn armed_timers() -> usize {
    Core::current().map_or(0, |core| core.wheel().len())
}

/// How long it takes to arm and disarm a timer `count` times, one after the other, on the worker
/// which runs the caller, while `live` others are armed; for benchmarks.
pub fn arm_and_disarm(live: u64, count: u64) -> Duration {
    let core = Core::current().expect("only threads of a runtime have timers to arm");
    // None of them is reached before it is disarmed: they are an hour off and more.
    let hour_ns = core.coarse_now_ns() + 3_600_000_000_000;
    let arm = |n: u64| core.wheel().arm(hour_ns + n % 1_000 * 1_000_000, std::ptr::null(), 0);
    let others: Vec<_> = (0..live).map(arm).collect();
    let begun = clock::now_ns();
    for n in 0..count {
        core.wheel().disarm(arm(n));
    }
    let taken = clock::now_ns() - begun;
    others.into_iter().for_each(|timer| core.wheel().disarm(timer));
    Duration::from_nanos(taken)
}

/// Stacks that carry something, in the whole process; those kept for reuse are not counted.
pub fn live_stacks() -> usize {
    stack::live_stacks()
}

/// Stacks that workers keep for reuse, in the whole process.
pub fn pooled_stacks() -> usize {
    stack::pooled_stacks()
}

/// Guards every new stack by `mprotect`, as on kernels before 6.13.
pub fn force_mprotect_guards(force: bool) {
    stack::force_mprotect_guards(force);
}

/// Runs `work` on the pool for blocking calls, as the resolution of a name is.
#[track_caller]
pub fn run_on_pool<T, F>(work: F) -> io::Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    blocking::run(WaitKind::Resolve, work)
}

/// Kernel threads of the pool for blocking calls, idle ones included, in the whole process.
pub fn pool_threads() -> usize {
    blocking::threads()
}

/// Starts to count events, in the whole process.
pub fn watch_events() {
    record::watch();
}

/// How often each event happened since they are counted, by name.
pub fn events() -> [(&'static str, u64); 9] {
    [
        ("spawn", record::counted(Event::Spawn)),
        ("start", record::counted(Event::Start)),
        ("in place", record::counted(Event::InPlace)),
        ("wait", record::counted(Event::Wait)),
        ("yield", record::counted(Event::Yield)),
        ("wake", record::counted(Event::Wake)),
        ("finish", record::counted(Event::Finish)),
        ("steal", record::counted(Event::Steal)),
        ("sleep", record::counted(Event::Sleep)),
    ]
}
