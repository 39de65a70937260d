//! One measurement, in a process of its own.
//!
//! The parent cannot trust a peer to end, so the child asks the kernel for an alarm that ends it,
//! and the parent reads off the signal what happened. Nothing is torn down: the process ends right
//! after its figures are printed, for some peers take seconds to stop, and some never do.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::pace;
use crate::row::{Does, Outcome, Row, Scale};
use crate::suites;

/// Measures the cell of `peer` in `row` and ends the process.
pub(crate) fn one(row: &str, peer: &str, scale: Scale, workers: &[usize]) -> Result<(), String> {
    let rows = suites::all(scale, workers);
    let row = rows.iter().find(|r| r.name() == row).ok_or("there is no such row")?;
    // SAFETY: takes a number and touches no memory of ours.
    unsafe { libc::alarm(limit_s(row, scale)) };
    let cell = row.cells.iter().find(|c| c.peer == peer).ok_or("there is no such peer")?;
    let line = match &cell.does {
        Does::Work(measure) => match measure() {
            Ok(figures) => {
                let words: Vec<String> = figures.iter().map(f64::to_string).collect();
                format!("figures {}", words.join(" "))
            }
            Err(reason) => format!("no {reason}"),
        },
        Does::Elsewhere => "no this program does not have it".to_owned(),
        Does::Nothing(reason) => format!("no {reason}"),
    };
    println!("{line}");
    std::io::stdout().flush().map_err(|error| error.to_string())?;
    std::process::exit(0);
}

/// After how long the child of a row is ended. A quick row takes a second or less, and peers
/// that hang must not take longer than all the others together.
pub(crate) fn limit_s(row: &Row, scale: Scale) -> u32 {
    scale.pick(row.limit_s, row.limit_s.min(4))
}

/// Nanoseconds per unit of `play`, as the only figure of its row.
pub(crate) fn each(scale: Scale, least: u64, play: impl FnMut(u64) -> Duration) -> Outcome {
    Ok(vec![pace::per_unit(scale.target(), least, play)])
}

/// Nanoseconds per unit of `play`, whose amount of work is fixed at `units`. Played twice, and the
/// second time counts: the first one grows stacks, arenas and caches.
pub(crate) fn fixed(units: u64, mut play: impl FnMut() -> Duration) -> Outcome {
    play();
    Ok(vec![play().as_secs_f64() * 1e9 / units as f64])
}

/// How long `f` takes; its value is kept from being left out.
pub(crate) fn timed<T>(f: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    std::hint::black_box(f());
    start.elapsed()
}

/// Busy for so long, without a system call.
pub(crate) fn spin_for(duration: Duration) {
    let start = Instant::now();
    while start.elapsed() < duration {
        std::hint::spin_loop();
    }
}

/// The processors that this kernel thread may run on.
pub(crate) fn processors() -> Vec<usize> {
    // SAFETY: all zeroes is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set is ours and of that size.
    unsafe { libc::sched_getaffinity(0, size_of_val(&set), &mut set) };
    // SAFETY: the number is below the size of a set.
    (0..libc::CPU_SETSIZE as usize).filter(|&at| unsafe { libc::CPU_ISSET(at, &set) }).collect()
}

/// Lets this kernel thread, and those that it will start, run on these only.
pub(crate) fn stay_on(processors: &[usize]) {
    // SAFETY: all zeroes is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    for &processor in processors {
        // SAFETY: the number is that of a processor, and so below the size of a set.
        unsafe { libc::CPU_SET(processor, &mut set) };
    }
    // SAFETY: the set is ours and of that size.
    unsafe { libc::sched_setaffinity(0, size_of_val(&set), &set) };
}

/// The number of this kernel thread.
pub(crate) fn kernel_thread() -> u64 {
    // SAFETY: touches no memory of ours.
    unsafe { libc::gettid() as u64 }
}

/// How many descriptors this process, and those that it will start, can have.
pub(crate) fn descriptors_max() -> usize {
    descriptor_limits().rlim_max as usize
}

/// Lets this process, and those that it will start, have so many.
pub(crate) fn allow_all_descriptors() {
    let most = descriptor_limits().rlim_max;
    let limits = libc::rlimit { rlim_cur: most, rlim_max: most };
    // SAFETY: the limits are ours and are only read.
    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limits) };
}

fn descriptor_limits() -> libc::rlimit {
    let mut limits = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the place for the answer is ours.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limits) };
    limits
}
