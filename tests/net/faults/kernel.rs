//! Calls of the system that no process of std's has a method for: a fork that is followed by no
//! `exec`; and what the kernel counts for each of its threads.

use std::{fs, io};

/// Forks a process that does `f` and ends at once, by `_exit`; gives its code when it has ended.
///
/// `f` may neither lock nor allocate, except where the C library allows it.
pub(super) fn in_fork(f: impl FnOnce() -> i32) -> i32 {
    // SAFETY: the child runs `f`, of which the caller promises what a fork demands, and `_exit`.
    let child = unsafe { libc::fork() };
    assert_ne!(child, -1, "{}", io::Error::last_os_error());
    if child == 0 {
        let code = f();
        // SAFETY: it ends the process, and nothing is run before.
        unsafe { libc::_exit(code) };
    }
    let mut status = 0;
    // SAFETY: the status lives as long as the call, which writes it.
    let ended = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(ended, child, "{}", io::Error::last_os_error());
    assert!(libc::WIFEXITED(status), "the child died: {status}");
    libc::WEXITSTATUS(status)
}

/// How often the kernel threads of this process have gone to sleep, and were pushed aside, except
/// the caller.
pub(super) fn switches_of_others() -> u64 {
    let me = fs::read_link("/proc/thread-self").expect("/proc is mounted");
    let tasks = fs::read_dir("/proc/self/task").expect("/proc is mounted").flatten();
    let others = tasks.filter(|task| Some(task.file_name().as_os_str()) != me.file_name());
    let statuses = others.filter_map(|task| fs::read_to_string(task.path().join("status")).ok());
    statuses.map(|status| switches(&status)).sum()
}

fn switches(status: &str) -> u64 {
    let counts = status.lines().filter_map(|line| line.split_once("voluntary_ctxt_switches:"));
    counts.map(|(_, count)| count.trim().parse::<u64>().expect("a count")).sum()
}
