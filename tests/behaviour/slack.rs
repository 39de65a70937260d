//! Timer slack: kernel threads of ours sleep as exactly as the kernel can, and a kernel thread of
//! the program's, which an N:1 runtime borrows as its worker, has its own slack back afterwards.
#![forbid(unsafe_code)]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::Duration;

use sylvan::{Mapping, Runtime, thread};
use sylvan_workspace::{in_every_runtime, on_foreign_thread};

/// The kernel's file about the slack of the calling kernel thread.
fn file() -> PathBuf {
    let task = fs::read_link("/proc/thread-self").expect("/proc is mounted");
    PathBuf::from("/proc").join(task.file_name().expect("PID/task/TID")).join("timerslack_ns")
}

/// The slack of the calling kernel thread in nanoseconds.
fn slack_ns() -> u64 {
    let text = fs::read_to_string(file()).expect("there, as `is_told` has seen");
    text.trim().parse().expect("a number")
}

fn set_slack_ns(ns: u64) {
    fs::write(file(), ns.to_string()).expect("a thread may change its own");
}

/// Whether the kernel tells the slack in this environment.
fn is_told() -> bool {
    let is_told = file().exists();
    if !is_told {
        eprintln!("SKIPPED: /proc/TID/timerslack_ns is not there");
    }
    is_told
}

#[test]
fn threads_of_a_runtime_sleep_without_slack() {
    in_every_runtime(|_| {
        if !is_told() {
            return;
        }
        assert_eq!(slack_ns(), 1);
        let threads: Vec<_> = (0..10)
            .map(|_| {
                thread::spawn(|| {
                    let before = slack_ns();
                    thread::sleep(Duration::from_micros(100));
                    (before, slack_ns())
                })
            })
            .collect();
        for thread in threads {
            assert_eq!(thread.join().unwrap(), (1, 1));
        }
    });
}

#[test]
fn kernel_thread_that_was_lent_to_an_n_to_1_runtime_has_its_slack_back() {
    const OWN_NS: u64 = 12_345;
    on_foreign_thread(|| {
        if !is_told() {
            return;
        }
        set_slack_ns(OWN_NS);
        let runtime = Runtime::builder().mapping(Mapping::ManyToOne).build().unwrap();
        assert_eq!(slack_ns(), OWN_NS, "a runtime that nobody runs has borrowed nothing");
        for _ in 0..2 {
            assert_eq!(runtime.run(slack_ns), 1);
            assert_eq!(slack_ns(), OWN_NS);
        }
        // A join from outside of it runs it, too.
        assert_eq!(runtime.handle().spawn(slack_ns).join().unwrap(), 1);
        assert_eq!(slack_ns(), OWN_NS);
        let panics = || runtime.run(|| panic!("expected in a test"));
        assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
        assert_eq!(slack_ns(), OWN_NS);
        // Its end runs what is left.
        drop(runtime.handle().spawn(thread::park));
        drop(runtime);
        assert_eq!(slack_ns(), OWN_NS);
    });
}

#[test]
fn slack_that_the_program_sets_in_an_n_to_1_runtime_stays() {
    on_foreign_thread(|| {
        if !is_told() {
            return;
        }
        set_slack_ns(12_345);
        let runtime = Runtime::builder().mapping(Mapping::ManyToOne).build().unwrap();
        runtime.run(|| set_slack_ns(777));
        assert_eq!(slack_ns(), 777);
        // One that is smaller than ours cannot be, and the same is nobody's to change.
        set_slack_ns(1);
        assert_eq!(runtime.run(slack_ns), 1);
        assert_eq!(slack_ns(), 1);
    });
}

#[test]
fn kernel_thread_of_no_runtime_keeps_its_slack() {
    on_foreign_thread(|| {
        if !is_told() {
            return;
        }
        set_slack_ns(12_345);
        thread::sleep(Duration::from_micros(100));
        assert_eq!(thread::spawn(slack_ns).join().unwrap(), 1, "the default runtime's are ours");
        for mapping in [Mapping::OneToOne, Mapping::ManyToMany] {
            let runtime = Runtime::builder().mapping(mapping).workers(2).build().unwrap();
            assert_eq!(runtime.run(slack_ns), 1);
        }
        assert_eq!(slack_ns(), 12_345);
    });
}
