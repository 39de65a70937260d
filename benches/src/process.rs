//! What the kernel says about this process, a server's and the machine: memory, mappings, switches,
//! time.
//!
//! All from `/proc`, read as text. A file that is not there is a panic: the rows that read it have
//! nothing to say without it, and the child's panic becomes the cell's error.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The number behind `key` in text of lines `key: number unit`.
fn field(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Bytes of resident memory and of the page tables below it.
pub(crate) fn resident_bytes() -> u64 {
    resident_bytes_of("self")
}

/// The same of a process by its number.
pub(crate) fn resident_bytes_of(process: &str) -> u64 {
    let path = format!("/proc/{process}/status");
    let status = read(&path);
    let kib = |key| field(&status, key).unwrap_or_else(|| panic!("no {key} in {path}"));
    (kib("VmRSS") + kib("VmPTE")) << 10
}

/// Entries of the memory map.
pub(crate) fn map_entries() -> u64 {
    read("/proc/self/maps").lines().count() as u64
}

/// What the kernel threads of this process did up to now, the one that asks left out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Others {
    /// How often one of them went to sleep by itself: each is a wake-up.
    pub(crate) sleeps: u64,
    pub(crate) ran: Duration,
}

/// Of kernel threads besides the caller, which must be the process's first one.
pub(crate) fn other_threads() -> Others {
    let own = std::process::id().to_string();
    let mut others = Others { sleeps: 0, ran: Duration::ZERO };
    for entry in fs::read_dir("/proc/self/task").expect("every process has tasks") {
        let task = entry.expect("the list of tasks can be read").path();
        if task.file_name().is_some_and(|name| *name == *own) {
            continue;
        }
        // A kernel thread that ended meanwhile has nothing to say.
        let Ok(status) = fs::read_to_string(task.join("status")) else { continue };
        let Some(ran) = ran(&task) else { continue };
        others.sleeps += field(&status, "voluntary_ctxt_switches").unwrap_or(0);
        others.ran += ran;
    }
    others
}

/// Processor time of each kernel thread of another process, by its number.
pub(crate) fn cpu_time_by_thread(process: u32) -> BTreeMap<u64, Duration> {
    let path = format!("/proc/{process}/task");
    let entries = fs::read_dir(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let times = entries.filter_map(|entry| {
        let task = entry.expect("the list of tasks can be read").path();
        let number = task.file_name()?.to_str()?.parse().ok()?;
        Some((number, ran(&task)?))
    });
    times.collect()
}

/// Processor time of the kernel thread with this folder; none if it has ended.
fn ran(task: &Path) -> Option<Duration> {
    let times = fs::read_to_string(task.join("schedstat")).ok()?;
    times.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

/// Bytes of memory that the machine can still give.
pub(crate) fn available_bytes() -> u64 {
    field(&read("/proc/meminfo"), "MemAvailable").map_or(u64::MAX, |kib| kib << 10)
}
