//! The M:N mapping: a fixed crew of workers, each a kernel thread.
//!
//! A worker's life is short to tell: it is started, it makes itself known, it runs its loop until
//! the runtime has ended, and leaves. One that has leaked threads stays: their stacks may hold
//! references into its thread-locals, which must not go.
#![forbid(unsafe_code)]

use std::io;
use std::ptr;
use std::sync::Arc;
use std::sync::mpsc;

use crossbeam_deque::Worker as Deque;

use crate::sched::choices;
use crate::sched::door;
use crate::sched::job::Job;
use crate::sched::shared::{Phase, Shared};
use crate::sched::shutdown;
use crate::sched::worker::Core;
use crate::task::current;

/// Starts the crew. If a worker cannot be had, those that started are sent home.
pub(crate) fn start(shared: &Arc<Shared>, deques: Vec<Deque<Job>>) -> io::Result<()> {
    let count = deques.len();
    if count > 1 {
        // Here, for a worker that did it at its first need would stand still for 20 ms.
        crate::os::prepare_heavy_barrier();
    }
    let (ready, started) = mpsc::channel::<io::Result<()>>();
    let mut refused = None;
    for (index, deque) in deques.into_iter().enumerate() {
        let name = format!("{}-{index}", shared.config.name);
        let worker = {
            let (shared, ready) = (shared.clone(), ready.clone());
            move || main(&shared, index, deque, ready)
        };
        match std::thread::Builder::new().name(name).spawn(worker) {
            Ok(handle) => shared.crew().handles.push(Some(handle)),
            Err(error) => {
                refused = Some((index, error));
                break;
            }
        }
    }
    drop(ready);
    for outcome in started {
        if let Err(error) = outcome {
            refused.get_or_insert((0, error));
        }
    }
    let Some((index, error)) = refused else { return Ok(()) };
    shared.advance(Phase::Running, Phase::Ended);
    shared.nudge_all();
    join_crew(shared);
    Err(io::Error::new(
        error.kind(),
        format!("worker {index} of {count} could not be started: {error}"),
    ))
}

/// Joins the workers that have left.
pub(crate) fn join_crew(shared: &Shared) {
    let handles: Vec<_> = {
        let mut crew = shared.crew();
        let pinned = crew.pinned.clone();
        let stuck = !crew.is_settled();
        let left = crew.left.clone();
        let all = crew.handles.iter_mut().enumerate();
        all.filter(|(index, _)| !pinned.contains(index) && (!stuck || left.contains(index)))
            .filter_map(|(_, handle)| handle.take())
            .collect()
    };
    for handle in handles {
        // A worker's main catches what hooks throw; nothing is left to report.
        let _ = handle.join();
    }
}

/// The body of a worker's kernel thread.
fn main(
    shared: &Arc<Shared>,
    index: usize,
    deque: Deque<Job>,
    ready: mpsc::Sender<io::Result<()>>,
) {
    let stack = match crate::stack::overflow::prepare_thread() {
        Ok(stack) => stack,
        Err(error) => {
            let _ = ready.send(Err(error));
            leave(shared, index);
            return;
        }
    };
    let worker = choices::worker(Core::new(shared.clone(), index, deque));
    let core = worker.core();
    current::set_worker(ptr::from_ref(core).cast(), &core.blocks);
    // A worker sleeps until timers; the kernel's default lets each be late by 50 µs.
    crate::os::set_timer_slack(1);
    let prepared = worker.prepare();
    let refused = prepared.is_err();
    if !refused {
        shared.hooks.worker_starts();
    }
    let _ = ready.send(prepared);
    drop(ready);
    if !refused {
        worker.run_loop();
    }
    if core.leaking() && shutdown::leak(core) {
        pin(shared, index);
    }
    if !refused {
        shared.hooks.worker_stops();
    }
    core.put_away();
    current::set_worker(ptr::null(), ptr::null());
    drop(worker);
    drop(stack);
    leave(shared, index);
}

/// Stays for ever, with everything that leaked threads may refer to.
fn pin(shared: &Shared, index: usize) -> ! {
    shared.crew().pinned.push(index);
    settle(shared);
    loop {
        std::thread::park();
    }
}

fn leave(shared: &Shared, index: usize) {
    shared.crew().left.push(index);
    settle(shared);
}

/// Wakes whoever waits for the crew to be settled.
fn settle(shared: &Shared) {
    let waiter = {
        let mut crew = shared.crew();
        if crew.is_settled() { crew.waiter.take() } else { None }
    };
    if let Some((waiter, sequence)) = waiter {
        door::wake(&waiter, sequence);
    }
}
