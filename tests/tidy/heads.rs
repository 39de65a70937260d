//! How a file begins: line 1 tells the problem that it solves, and `#![forbid(unsafe_code)]` says
//! that nobody need look for `unsafe` in it.

use std::collections::BTreeSet;

use crate::files::{self, File};
use crate::{rust, settle};

/// The files that may hold `unsafe`. A new one wants an argument in its commit.
const UNSAFE_FILES: &[&str] = &[
    "benches/open-coroutine/src/main.rs",
    "benches/src/load.rs",
    "benches/src/measure.rs",
    "benches/src/peers/threads.rs",
    "benches/src/suites/floors.rs",
    "benches/src/suites/wake.rs",
    "benches/src/wire/system.rs",
    "runtime-macros/tests/ui/fail/main_signature.rs",
    "runtime/src/channel/broadcast.rs",
    "runtime/src/channel/future.rs",
    "runtime/src/channel/receiver.rs",
    "runtime/src/channel/select.rs",
    "runtime/src/channel/select/run.rs",
    "runtime/src/channel/sender.rs",
    "runtime/src/channel/shared.rs",
    "runtime/src/channel/state.rs",
    "runtime/src/channel/state/chosen.rs",
    "runtime/src/channel/wait.rs",
    "runtime/src/channel/wait/poll.rs",
    "runtime/src/channel/waiter.rs",
    "runtime/src/channel/watch.rs",
    "runtime/src/channel/watched.rs",
    "runtime/src/embed/runtime.rs",
    "runtime/src/fiber.rs",
    "runtime/src/fiber/native_x86_64.rs",
    "runtime/src/fiber/portable.rs",
    "runtime/src/fiber/segment.rs",
    "runtime/src/future.rs",
    "runtime/src/group.rs",
    "runtime/src/net/handles.rs",
    "runtime/src/os/arch.rs",
    "runtime/src/os/linux/barrier.rs",
    "runtime/src/os/linux/doorbell.rs",
    "runtime/src/os/linux/epoll.rs",
    "runtime/src/os/linux/fault.rs",
    "runtime/src/os/linux/futex.rs",
    "runtime/src/os/linux/memory.rs",
    "runtime/src/os/linux/net.rs",
    "runtime/src/os/linux/thread.rs",
    "runtime/src/os/linux/trace.rs",
    "runtime/src/os/tests.rs",
    "runtime/src/poller/mod.rs",
    "runtime/src/poller/portable.rs",
    "runtime/src/reactor/source.rs",
    "runtime/src/sched/arm.rs",
    "runtime/src/sched/ballast.rs",
    "runtime/src/sched/cut.rs",
    "runtime/src/sched/cut/models.rs",
    "runtime/src/sched/events.rs",
    "runtime/src/sched/idle/models.rs",
    "runtime/src/sched/inplace.rs",
    "runtime/src/sched/job.rs",
    "runtime/src/sched/life.rs",
    "runtime/src/sched/loan.rs",
    "runtime/src/sched/many_to_one.rs",
    "runtime/src/sched/one_to_one.rs",
    "runtime/src/sched/readiness.rs",
    "runtime/src/sched/readiness/models.rs",
    "runtime/src/sched/readiness/queue.rs",
    "runtime/src/sched/readiness/tests.rs",
    "runtime/src/sched/ready.rs",
    "runtime/src/sched/registry.rs",
    "runtime/src/sched/report.rs",
    "runtime/src/sched/seeded.rs",
    "runtime/src/sched/seeded/outsiders/models.rs",
    "runtime/src/sched/seeded/remote.rs",
    "runtime/src/sched/seeded/timers.rs",
    "runtime/src/sched/share.rs",
    "runtime/src/sched/short_turn.rs",
    "runtime/src/sched/shutdown.rs",
    "runtime/src/sched/slot.rs",
    "runtime/src/sched/slot/models.rs",
    "runtime/src/sched/sources.rs",
    "runtime/src/sched/spawn.rs",
    "runtime/src/sched/start.rs",
    "runtime/src/sched/turn.rs",
    "runtime/src/sched/woken.rs",
    "runtime/src/sched/worker.rs",
    "runtime/src/short_lock.rs",
    "runtime/src/stack/arena.rs",
    "runtime/src/stack/guard.rs",
    "runtime/src/stack/mod.rs",
    "runtime/src/stack/pool.rs",
    "runtime/src/stack/tests.rs",
    "runtime/src/stack/tests/batches.rs",
    "runtime/src/sync/address.rs",
    "runtime/src/sync/address/models.rs",
    "runtime/src/sync/address/queue.rs",
    "runtime/src/sync/barrier.rs",
    "runtime/src/sync/condvar.rs",
    "runtime/src/sync/lazy_lock.rs",
    "runtime/src/sync/lock_api.rs",
    "runtime/src/sync/mutex.rs",
    "runtime/src/sync/mutex/models.rs",
    "runtime/src/sync/mutex/raw.rs",
    "runtime/src/sync/once_lock.rs",
    "runtime/src/sync/rwlock.rs",
    "runtime/src/sync/rwlock/models.rs",
    "runtime/src/sync/rwlock/raw.rs",
    "runtime/src/sync/semaphore/raw.rs",
    "runtime/src/task/blocks.rs",
    "runtime/src/task/blocks/pool.rs",
    "runtime/src/task/blocks/tests.rs",
    "runtime/src/task/cancelled.rs",
    "runtime/src/task/cancelled/models.rs",
    "runtime/src/task/current.rs",
    "runtime/src/task/family.rs",
    "runtime/src/task/family/models.rs",
    "runtime/src/task/header.rs",
    "runtime/src/task/joiner.rs",
    "runtime/src/task/locals.rs",
    "runtime/src/task/mailbox.rs",
    "runtime/src/task/mailbox/models.rs",
    "runtime/src/task/numbers.rs",
    "runtime/src/task/packet.rs",
    "runtime/src/task/reason.rs",
    "runtime/src/task/region.rs",
    "runtime/src/task/region/models.rs",
    "runtime/src/task/scope.rs",
    "runtime/src/task/scope/models.rs",
    "runtime/src/task/state.rs",
    "runtime/src/task/state/models.rs",
    "runtime/src/thread/builder.rs",
    "runtime/src/thread/join.rs",
    "runtime/src/thread/join_future.rs",
    "runtime/src/thread/join_future/models.rs",
    "runtime/src/thread/local.rs",
    "runtime/src/thread/scope.rs",
    "tests/bad_input.rs",
    "tests/death.rs",
    "tests/fork.rs",
    "tests/limits.rs",
    "tests/net/drop_in/signatures.rs",
    "tests/net/faults/allowance.rs",
    "tests/net/faults/kernel.rs",
    "tests/net/probe.rs",
    "tests/support/mod.rs",
];

fn holds_unsafe(file: &File) -> bool {
    rust::words(&file.code, "unsafe").next().is_some()
}

/// Whether `#![forbid(unsafe_code)]` is among the inner attributes right after the head.
fn forbids_unsafe(file: &File) -> bool {
    let body = file.text.lines().skip_while(|line| line.starts_with("//!") || line.is_empty());
    body.take_while(|line| line.starts_with("#![")).any(|line| line == "#![forbid(unsafe_code)]")
}

/// Whether a file declares the module of the other: what it forbids is forbidden there as well.
fn is_above(file: &File, other: &File) -> bool {
    let stem = file.path.strip_suffix(".rs").expect("a Rust file");
    let stem =
        ["/mod", "/lib", "/main"].iter().find_map(|end| stem.strip_suffix(end)).unwrap_or(stem);
    let below = other.path.strip_prefix(stem).is_some_and(|rest| rest.starts_with('/'));
    below && file.path != other.path
}

#[test]
fn line_1_of_each_rust_file_tells_what_the_file_is_for() {
    let silent = files::rust().filter(|file| !file.text.starts_with("//!"));
    let findings: Vec<_> = silent
        .map(|file| {
            let path = &file.path;
            format!("{path}:1: begin with `//!`: the problem that this file solves, then how")
        })
        .collect();
    settle(&findings);
}

#[test]
fn unsafe_stands_only_in_files_that_are_listed_for_it() {
    let listed: BTreeSet<_> = UNSAFE_FILES.iter().copied().collect();
    let mut findings = Vec::new();
    for file in files::rust().filter(|file| !listed.contains(&*file.path)) {
        if let Some(at) = rust::words(&file.code, "unsafe").next() {
            findings.push(format!(
                "{}: `unsafe` in a file that is not listed for it: do without, or enter the file \
                 in UNSAFE_FILES of tests/tidy/heads.rs and say in the commit why",
                file.at(at)
            ));
        }
    }
    for path in UNSAFE_FILES {
        if !files::find(path).is_some_and(holds_unsafe) {
            findings.push(format!(
                "{path}:1: holds no `unsafe`, or is gone: remove it from UNSAFE_FILES of \
                 tests/tidy/heads.rs, and forbid `unsafe` in it"
            ));
        }
    }
    settle(&findings);
}

/// A file above one with `unsafe` cannot forbid it, for a lint's level holds in inner modules too.
#[test]
fn library_file_without_unsafe_forbids_it() {
    let (holding, free): (Vec<_>, Vec<_>) =
        files::library().map(|(file, _)| file).partition(|file| holds_unsafe(file));
    let findings: Vec<_> = free
        .into_iter()
        .filter(|file| !forbids_unsafe(file))
        .filter(|file| !holding.iter().any(|other| is_above(file, other)))
        .map(|file| {
            format!("{}:1: put `#![forbid(unsafe_code)]` on the line after the head", file.path)
        })
        .collect();
    settle(&findings);
}
