//! Notices load from elsewhere, by which a measurement was disturbed.
//!
//! `/proc/stat` counts what all processors did; what the child and the suite used themselves is
//! known exactly; the difference was used by others. Time that the machine's host took away is
//! "steal" there. A measurement is disturbed if the one or the other exceeds a tenth of the
//! processors' time. The kernel counts by ticks of some milliseconds, so a few of them are let
//! pass in any case. Waiting times of kernel threads would be exact, but peers that have more
//! kernel threads than processors wait for themselves.

use std::fs;
use std::time::{Duration, Instant};

/// Which part of all processors' time others may use before a measurement is dropped.
const PART_MAX: f64 = 0.10;
/// What is let pass in any case: six ticks of 10 ms, in which `/proc/stat` counts; each of its
/// four busy sums is cut off to whole ones, on each side of the difference.
const SLACK: Duration = Duration::from_millis(60);

/// The counters at one moment.
pub(crate) struct Snapshot {
    at: Instant,
    busy: Duration,
    stolen: Duration,
    ours: Duration,
}

impl Snapshot {
    pub(crate) fn now() -> Snapshot {
        let (busy, stolen) = machine().unwrap_or_default();
        let ours = usage(libc::RUSAGE_CHILDREN) + usage(libc::RUSAGE_SELF);
        Snapshot { at: Instant::now(), busy, stolen, ours }
    }

    /// Whether others used too much since then, if no child was running then and none is now.
    pub(crate) fn disturbed(&self) -> bool {
        let now = Snapshot::now();
        let capacity = (now.at - self.at) * processors() as u32;
        let busy = now.busy.saturating_sub(self.busy);
        let others = busy.saturating_sub(now.ours.saturating_sub(self.ours));
        let most = others.max(now.stolen.saturating_sub(self.stolen));
        most > SLACK.max(capacity.mul_f64(PART_MAX))
    }
}

/// Busy and stolen time of all processors since the machine started; none without `/proc/stat`.
fn machine() -> Option<(Duration, Duration)> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let all = text.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = all.split_whitespace().map_while(|word| word.parse().ok()).collect();
    // user, nice, system, idle, iowait, irq, softirq, steal; guests are part of user.
    let [user, nice, system, _, _, irq, softirq, steal, ..] = ticks[..] else { return None };
    let time = |ticks: u64| Duration::from_millis(ticks * 10);
    Some((time(user + nice + system + irq + softirq), time(steal)))
}

/// How many processors the machine has.
pub(crate) fn processors() -> usize {
    // SAFETY: takes a number and touches no memory of ours.
    let count = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) };
    usize::try_from(count).unwrap_or(1).max(1)
}

/// The kernel's clock of the user and system time of another process, exact to the nanosecond.
#[derive(Clone, Copy)]
pub(crate) struct CpuClock(libc::clockid_t);

impl CpuClock {
    /// Of a process that lives.
    pub(crate) fn of(process: u32) -> CpuClock {
        let mut clock = 0;
        // SAFETY: the place for the answer is ours.
        let error = unsafe { libc::clock_getcpuclockid(process as libc::pid_t, &mut clock) };
        assert_eq!(error, 0, "process {process} has a clock");
        CpuClock(clock)
    }

    /// Nothing if the process has ended.
    pub(crate) fn now(self) -> Duration {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the place for the answer is ours.
        unsafe { libc::clock_gettime(self.0, &mut time) };
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    }
}

/// User and system time of this process.
pub(crate) fn own_cpu_time() -> Duration {
    usage(libc::RUSAGE_SELF)
}

fn usage(whose: libc::c_int) -> Duration {
    // SAFETY: all zeroes is a valid value of this plain structure.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the structure is ours and outlives the call.
    unsafe { libc::getrusage(whose, &mut usage) };
    let time = |t: libc::timeval| {
        Duration::from_secs(t.tv_sec as u64) + Duration::from_micros(t.tv_usec as u64)
    };
    time(usage.ru_utime) + time(usage.ru_stime)
}
