//! How a runtime ends: everything is cancelled, waited for, and what will not end is leaked.
//!
//! A stack that is suspended cannot be freed: other threads may borrow from it, and its
//! destructors have not run. So a shutdown cancels every thread and lets the workers turn until
//! no thread is left. What is left after the deadline is leaked: reported by name, never resumed,
//! its memory and its kernel thread kept for ever. Where the kernel thread is the program's own,
//! or something outside the runtime waits for a leaked thread that may borrow from it, going on
//! would be a use after free or a silent hang: there the process aborts after the report.

use std::io::Write;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use crate::clock;
use crate::sched::config::Mapping;
use crate::sched::cut::Shield;
use crate::sched::door;
use crate::sched::many_to_many;
use crate::sched::many_to_one;
use crate::sched::report::{self, Detail};
use crate::sched::shared::{Phase, Shared};
use crate::sched::worker::{Core, Next};
use crate::sched::{arm, job, life};
use crate::task::mailbox::Message;
use crate::task::state::AtEnd;
use crate::task::{Header, Reason, WaitKind, current};

/// What happens when threads are left whose kernel thread is the caller's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Leftover {
    /// The process aborts after the report.
    Abort,
    /// The process exits with this code after the report: the program's main has returned, and a
    /// good end must not become an abort. It must not go on either, for the kernel thread may not
    /// end before the leaked threads whose thread-locals it holds.
    Exit(i32),
}

/// How long a worker is given to come out of user code, after the deadline.
const GRACE: Duration = Duration::from_millis(100);

/// Ends the runtime. Called once, by the drop of its `Runtime`.
///
/// Waits, save where the caller is one of the runtime's own threads, or where the runtime is N:1
/// and belongs to another kernel thread.
// SUSPENDS
#[track_caller]
pub(crate) fn shutdown(shared: &Arc<Shared>, leftover: Leftover) {
    if !shared.advance(Phase::Running, Phase::Cancelling) {
        return;
    }
    match shared.config.mapping {
        Mapping::OneToOne => one_to_one(shared),
        Mapping::ManyToOne => {
            shared.post_all(|| Message::CancelAll);
            let inside = Core::current().is_some_and(|core| Arc::ptr_eq(&core.shared, shared));
            if !inside && can_own(shared) && current::worker().is_null() {
                by_owner(shared, leftover);
            } else if shared.many_to_one.is_unowned() {
                by_helper(shared);
            }
        }
        Mapping::ManyToMany => {
            shared.post_all(|| Message::CancelAll);
            let inside = Core::current().is_some_and(|core| Arc::ptr_eq(&core.shared, shared));
            if !inside {
                many_to_many(shared);
            }
        }
    }
}

/// Waits on `settled` until it is true or the time is over; `announce` says whom to wake.
// SUSPENDS
#[track_caller]
fn wait_until(
    timeout: Duration,
    settled: impl Fn() -> bool,
    announce: impl Fn(Option<(crate::task::HeaderRef, crate::task::Sequence)>),
) {
    let _shield = Shield::raise();
    let deadline = clock::deadline_in(timeout);
    let reason: Reason = door::reason(WaitKind::Shutdown);
    while !settled() && deadline.is_none_or(|at| clock::now() < at) {
        let pending = door::begin(false);
        announce(Some((pending.thread(), pending.sequence())));
        if settled() {
            pending.abandon();
        } else {
            pending.wait(reason, deadline);
        }
        announce(None);
    }
}

// SUSPENDS
#[track_caller]
fn many_to_many(shared: &Arc<Shared>) {
    let settled = || shared.crew().is_settled();
    let announce = |waiter| shared.crew().waiter = waiter;
    let over = || settled() || shared.phase() == Phase::Ended;
    wait_until(shared.shutdown_timeout(), over, announce);
    if shared.phase() == Phase::Ended {
        // No thread is left. What the workers still do, giving memory back and calling hooks, has
        // no deadline.
        wait_until(Duration::MAX, settled, announce);
    } else if !settled() {
        print_report(shared, &ask_crew(shared));
        stop_waiting(shared);
        shared.nudge_all();
        wait_until(GRACE, settled, announce);
    }
    many_to_many::join_crew(shared);
}

/// Moves to the phase in which nothing is resumed any more, unless all has ended just now.
pub(crate) fn stop_waiting(shared: &Shared) {
    let _ = shared.advance(Phase::Cancelling, Phase::Leaking)
        || shared.advance(Phase::Closed, Phase::Leaking);
}

/// Asks each worker what its threads do. One that does not answer is stuck itself.
fn ask_crew(shared: &Shared) -> Vec<String> {
    let (answers, answered) = std::sync::mpsc::channel();
    shared.post_all(|| Message::Describe(answers.clone()));
    drop(answers);
    let deadline = clock::deadline_in(GRACE);
    let mut silent: Vec<usize> = (0..shared.remotes.len()).collect();
    silent.retain(|index| !shared.crew().left.contains(index));
    let mut lines = Vec::new();
    while !silent.is_empty() {
        let left = deadline.map_or(GRACE, |at| at.saturating_duration_since(clock::now()));
        let Ok(mut answer) = answered.recv_timeout(left) else { break };
        silent.retain(|index| *index != answer.worker);
        lines.append(&mut answer.lines);
    }
    // One that had nothing left to do may have gone without an answer.
    silent.retain(|index| !shared.crew().left.contains(index));
    if shared.phase() == Phase::Ended {
        silent.clear();
    }
    let name = &shared.config.name;
    lines.extend(silent.iter().map(|index| {
        format!("worker {name}-{index} does not answer: it runs user code that does not end")
    }));
    lines
}

/// Carries the shutdown of an N:1 runtime out, on the kernel thread that owns it.
pub(crate) fn by_owner(shared: &Arc<Shared>, leftover: Leftover) {
    shared.advance(Phase::Running, Phase::Cancelling);
    if shared.phase() >= Phase::Ended || !can_own(shared) {
        return;
    }
    let timeout_ns = u64::try_from(shared.shutdown_timeout().as_nanos()).unwrap_or(u64::MAX);
    let until = clock::real_now_ns().saturating_add(timeout_ns);
    if many_to_one::run_to_the_end(shared, until).is_err() {
        return;
    }
    if shared.phase() != Phase::Ended {
        // SAFETY: S1: checked by `run_to_the_end`, which has run.
        let worker = unsafe { shared.many_to_one.worker() };
        if let Some(worker) = worker {
            print_report(shared, &worker.core().describe(Detail::Stacks));
        }
        if worker.is_some_and(|worker| leak(worker.core())) {
            match leftover {
                Leftover::Abort => crate::os::abort_with(
                    "threads of an n:1 runtime are left, and their kernel thread goes on or ends",
                ),
                Leftover::Exit(code) => std::process::exit(code),
            }
        }
    }
    // SAFETY: S1: as above; the loop has returned.
    if let Some(worker) = unsafe { shared.many_to_one.take_worker() } {
        worker.core().put_away();
        shared.hooks.worker_stops();
    }
}

/// Ends an N:1 runtime that nobody has run and that is dropped where it cannot be run, inside a
/// thread of another runtime: what was queued on it must be dropped, and its joiners be told. None
/// of its threads has started, so any kernel thread will do.
fn by_helper(shared: &Arc<Shared>) {
    let helped = shared.clone();
    let helper = std::thread::Builder::new().name(format!("{}-end", shared.config.name));
    // If no kernel thread can be had, the runtime stays marked, as one whose owner never comes.
    let _ = helper.spawn(move || by_owner(&helped, Leftover::Abort));
}

fn can_own(shared: &Shared) -> bool {
    shared.many_to_one.is_owner() || shared.many_to_one.is_unowned()
}

// SUSPENDS
#[track_caller]
fn one_to_one(shared: &Arc<Shared>) {
    let book = &shared.one_to_one;
    let reason = crate::task::CancelReason::shutdown(&shared.config.name);
    for thread in book.threads().into_iter().filter(|thread| !thread.is_kept()) {
        door::cancel(&thread, &reason);
    }
    let me = current::me();
    // The caller itself may be one of them; it is not waited for.
    let own = u64::from(book.threads().iter().any(|thread| thread.id == me.id));
    if own == 1 {
        return;
    }
    wait_until(shared.shutdown_timeout(), || shared.live() == 0, |waiter| book.set_waiter(waiter));
    shared.advance(Phase::Cancelling, Phase::Closed);
    if shared.live() == 0 {
        shared.advance(Phase::Closed, Phase::Ended);
        book.reap();
        return;
    }
    stop_waiting(shared);
    let left = book.threads();
    let lines: Vec<String> = left
        .iter()
        .filter(|thread| !thread.state.is_finished())
        .map(|thread| report::line_from_outside(thread))
        .collect();
    print_report(shared, &lines);
}

/// Leaks what is left on a worker. True: stacks are left, so the kernel thread must stay.
pub(crate) fn leak(core: &Core) -> bool {
    let mut stacks = false;
    let mut borrowed_outside = false;
    core.drain_mailbox();
    // What waits, and what is ready, has waited before or has merely yielded; the latter are in
    // the ready queue alone.
    let mut left: Vec<*const Header> = core.registered().map(std::ptr::from_ref).collect();
    let handoff = core.handoff.take().map(|next| match next {
        Next::Started(thread) | Next::Fresh(thread) => thread,
    });
    for thread in handoff.into_iter().chain(std::iter::from_fn(|| core.ready.pop())) {
        let thread: *const Header = thread.as_ptr();
        if !left.contains(&thread) {
            left.push(thread);
        }
    }
    arm::drain(core, |job| {
        if let job::Kind::Thread(thread) = job.kind() {
            left.push(thread.as_ptr());
        }
    });
    while let Some(job) = core.steal_injected() {
        if let job::Kind::Thread(thread) = job.kind() {
            left.push(thread.as_ptr());
        }
    }
    for thread in left {
        // SAFETY: nobody gives up the scheduler's reference of a leaked thread, ever.
        let thread = unsafe { &*thread };
        stacks |= !thread.fiber.get().is_null();
        borrowed_outside |= abandon(core, thread);
    }
    if borrowed_outside {
        crate::os::abort_with(
            "a leaked thread may borrow from a thread outside of its runtime, which waits for it",
        );
    }
    stacks
}

/// Gives a leaked thread up: its joiner is told, its place in queues is left. True: somebody
/// outside the runtime waits in a scope for it.
fn abandon(core: &Core, thread: &Header) -> bool {
    let record = thread.wait.get();
    // SAFETY: the record lies on the leaked stack, which stays.
    if let Some(record) = unsafe { record.as_ref() } {
        if let Some(unlink) = record.unlink {
            // SAFETY: the waiter lies on the leaked stack too, and each thread is left once.
            unsafe { (unlink.call)(unlink.waiter) };
        }
        if let Some(timer) = record.timer.get() {
            core.wheel().disarm(timer);
        }
    }
    // SAFETY: a scope outlives its children, and this child has not left it.
    if let Some(scope) = unsafe { thread.scope.get().as_ref() } {
        // A parent of the same runtime waits for this child, so it is leaked with it.
        return !core.shared.is_home_of(scope.parent());
    }
    if thread.state.has_handle() {
        let payload = Box::new(crate::task::packet::Leaked {});
        // SAFETY: the closure has left the packet or is leaked in it; nobody looks at it again.
        unsafe { (thread.vtable.abandon)(thread, payload) };
        // Its stack stays and refers to its header, so the scheduler's reference must stay, too,
        // which a handle may get.
        thread.retain();
        if thread.state.finish_for_handle() == Ok(AtEnd::WakeJoiner) {
            // SAFETY: S1: by the line above.
            if let Some(waker) = unsafe { life::wake_joiner(thread) } {
                call_elsewhere(waker);
            }
        }
    }
    false
}

/// Calls a waker, which is user code and must not run on this stack, on a kernel thread of its own.
fn call_elsewhere(waker: Waker) {
    let helper = std::thread::Builder::new().name("sylvan-waker".to_owned());
    // If no kernel thread can be had, nobody is told.
    let _ = helper.spawn(move || life::call_quietly(waker));
}

/// Prints a report in one piece.
fn print_report(shared: &Shared, lines: &[String]) {
    // All threads have ended, and merely their workers have not gone yet.
    if lines.is_empty() {
        return;
    }
    let mut text = format!(
        "sylvan: the runtime '{}' was shut down, and after {:?} not all of its threads had ended; \
         they are leaked:\n",
        shared.config.name,
        shared.shutdown_timeout(),
    );
    if cfg!(panic = "abort") {
        text.push_str(
            "sylvan: (with panic = \"abort\" in the profile no thread can be cancelled)\n",
        );
    }
    const LINES_MAX: usize = 100;
    for line in lines.iter().take(LINES_MAX) {
        text.push_str("sylvan:   ");
        text.push_str(line);
        text.push('\n');
    }
    if lines.len() > LINES_MAX {
        text.push_str(&format!("sylvan:   and {} more\n", lines.len() - LINES_MAX));
    }
    // A report that cannot be written has no other way out.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

impl Core {
    /// A line for each started thread that is left here, and one for those that are not started.
    pub(crate) fn describe(&self, detail: Detail) -> Vec<String> {
        self.drain_mailbox();
        let line = |thread| report::line(thread, detail);
        let mut lines: Vec<String> = self.registered().map(line).collect();
        for thread in self.ready.snapshot() {
            // SAFETY: a thread in the queue lives.
            let thread = unsafe { thread.as_ref() };
            if !thread.registered.get() {
                lines.push(line(thread));
            }
        }
        if !self.deque.is_empty() {
            lines.push(format!("{} threads that have not started", self.deque.len()));
        }
        lines
    }

    /// Empties the worker before it goes: tombstones are freed, resting fibers give their stacks
    /// back, the mailbox is closed.
    pub(crate) fn put_away(&self) {
        arm::drain(self, |_| ());
        while let Some(fiber) = self.take_reserve().or_else(|| self.take_resting()) {
            self.retire(fiber);
        }
        self.drain_into_ready(self.remote().mailbox.close());
        debug_assert!(
            self.ready.len() == 0 || self.leaking(),
            "a worker leaves its threads behind"
        );
    }
}
