//! A runtime as all its workers and handles see it: queues, phase, and counts.
//!
//! A runtime goes through phases, in order, and never back. What ends it is a count: the threads
//! that were spawned less those that have finished. Each worker counts its own, so the sum has no
//! single place; it is taken such that a zero is true: all finished ones are read first, all
//! spawned ones after. A thread is counted as spawned before anybody can run it, and only living
//! threads and outsiders spawn; outsiders are refused once the phase is `Closed`.
#![forbid(unsafe_code)]

use std::io;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crossbeam_deque::{Injector, Worker as Deque};
use crossbeam_utils::CachePadded;

use crate::clock;
use crate::sched::config::{Config, Mapping};
use crate::sched::door;
use crate::sched::idle::Idle;
use crate::sched::job::Job;
use crate::sched::many_to_one::ManyToOne;
use crate::sched::one_to_one::OneToOne;
use crate::sched::seeded::RemoteRun;
use crate::sched::start;
use crate::sched::worker::{Counters, Remote};
use crate::stack::Class;
use crate::task::mailbox::{Mailbox, Message};
use crate::task::{Header, HeaderRef, Kind, Sequence};

/// How far a runtime has come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub(crate) enum Phase {
    /// It does what it is told.
    Running = 0,
    /// It shuts down: all threads are cancelled, and those spawned now are born cancelled.
    Cancelling = 1,
    /// As before, but spawns from outside are refused.
    Closed = 2,
    /// No thread is left; the workers leave.
    Ended = 3,
    /// The deadline has passed; what is left is leaked, nothing is resumed any more.
    Leaking = 4,
}

impl Phase {
    fn from_u8(value: u8) -> Phase {
        match value {
            0 => Phase::Running,
            1 => Phase::Cancelling,
            2 => Phase::Closed,
            3 => Phase::Ended,
            _ => Phase::Leaking,
        }
    }
}

/// What the program asked to be called when workers start and stop.
#[derive(Clone, Default)]
pub(crate) struct Hooks {
    pub(crate) on_worker_start: Option<Arc<dyn Fn() + Send + Sync>>,
    pub(crate) on_worker_stop: Option<Arc<dyn Fn() + Send + Sync>>,
}

impl Hooks {
    pub(crate) fn worker_starts(&self) {
        call_hook(self.on_worker_start.as_deref());
    }

    pub(crate) fn worker_stops(&self) {
        call_hook(self.on_worker_stop.as_deref());
    }
}

/// A hook that panics has been reported by the panic hook; the worker goes on.
fn call_hook(hook: Option<&(dyn Fn() + Send + Sync)>) {
    if let Some(hook) = hook {
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(hook));
        if let Err(payload) = caught {
            crate::task::packet::drop_quietly(payload);
        }
    }
}

/// See the file's comment.
pub(crate) struct Shared {
    pub(crate) config: Config,
    /// The class of default stacks, and what a child in place is promised of one.
    pub(crate) class: Class,
    pub(crate) in_place_bytes: usize,
    pub(crate) hooks: Hooks,
    pub(crate) remotes: Box<[Remote]>,
    pub(crate) injector: Injector<Job>,
    pub(crate) idle: Idle,
    phase: AtomicU8,
    /// Threads spawned by those who are no worker of this runtime, and 1:1 threads finished.
    pub(crate) outside: CachePadded<Outside>,
    wake_cost_ns: AtomicU64,
    wake_samples: AtomicU64,
    crew: Mutex<Crew>,
    /// What others see of the seeded run that this runtime is, if it is one.
    pub(crate) seeded: Option<Arc<RemoteRun>>,
    pub(crate) many_to_one: ManyToOne,
    pub(crate) one_to_one: OneToOne,
}

/// Counters that many write.
#[derive(Default)]
pub(crate) struct Outside {
    pub(crate) spawned: AtomicU64,
    pub(crate) finished: AtomicU64,
}

/// The kernel threads of an M:N runtime, for its shutdown.
#[derive(Default)]
pub(crate) struct Crew {
    pub(crate) handles: Vec<Option<std::thread::JoinHandle<()>>>,
    /// Which workers have left for good, and which stay for ever with threads that they leaked.
    pub(crate) left: Vec<usize>,
    pub(crate) pinned: Vec<usize>,
    /// Who waits for that.
    pub(crate) waiter: Option<(HeaderRef, Sequence)>,
}

impl Crew {
    /// Whether every worker has left or is pinned.
    pub(crate) fn is_settled(&self) -> bool {
        self.left.len() + self.pinned.len() >= self.handles.len()
    }
}

/// A wake took 16 to 25 µs on the machine where this was first measured.
const WAKE_COST_GUESS_NS: u64 = 20_000;
/// How many wakes are measured.
const WAKE_SAMPLES: u64 = 8;

impl Shared {
    /// Makes the shared part and, for each worker, the deque that belongs to it.
    pub(crate) fn new(config: Config, hooks: Hooks) -> io::Result<(Arc<Shared>, Vec<Deque<Job>>)> {
        let class = Class::for_usable(config.stack_size)?;
        let count = if config.mapping == Mapping::OneToOne { 0 } else { config.workers };
        let deques: Vec<Deque<Job>> = (0..count).map(|_| Deque::new_lifo()).collect();
        let remotes = deques.iter().map(|deque| Remote {
            stealer: deque.stealer(),
            mailbox: Arc::new(Mailbox::new()),
            counters: CachePadded::new(Counters::default()),
            picked_at_ns: AtomicU64::new(0),
            stolen: CachePadded::new(AtomicU64::new(0)),
        });
        let shared = Shared {
            class,
            in_place_bytes: class.usable_bytes() / 2,
            hooks,
            remotes: remotes.collect(),
            injector: Injector::new(),
            idle: Idle::new(count),
            phase: AtomicU8::new(Phase::Running as u8),
            outside: CachePadded::new(Outside::default()),
            wake_cost_ns: AtomicU64::new(WAKE_COST_GUESS_NS),
            wake_samples: AtomicU64::new(0),
            crew: Mutex::new(Crew::default()),
            seeded: config.seeded.clone().map(RemoteRun::new),
            many_to_one: ManyToOne::new(),
            one_to_one: OneToOne::new(),
            config,
        };
        Ok((Arc::new(shared), deques))
    }

    #[inline]
    pub(crate) fn phase(&self) -> Phase {
        // ORDERING: SeqCst; an outsider counts its spawn and then reads the phase, a worker
        // writes the phase and then reads the counts; one of the two sees the other.
        Phase::from_u8(self.phase.load(Ordering::SeqCst))
    }

    /// Moves on from one phase to the next. False: somebody else has moved it.
    pub(crate) fn advance(&self, from: Phase, to: Phase) -> bool {
        debug_assert!(from < to);
        // ORDERING: SeqCst; as in `phase`.
        self.phase
            .compare_exchange(from as u8, to as u8, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }

    /// The number of threads that live. Zero is exact; another number may be out of date.
    pub(crate) fn live(&self) -> u64 {
        let mut finished = self.outside.finished.load(Ordering::SeqCst);
        for remote in &self.remotes {
            // ORDERING: Acquire; pairs with `Counters::add`. See the file's comment.
            finished += remote.counters.finished.load(Ordering::Acquire);
        }
        let mut spawned = self.outside.spawned.load(Ordering::SeqCst);
        for remote in &self.remotes {
            spawned += remote.counters.spawned.load(Ordering::Acquire);
        }
        spawned.saturating_sub(finished)
    }

    /// Ends the runtime, if it shuts down and no thread is left. True: it has ended.
    pub(crate) fn try_end(&self) -> bool {
        if self.phase() >= Phase::Ended {
            return true;
        }
        // ORDERING: SeqCst; between the count of the thread that the caller has finished and the
        // look at the others' counts. Two workers that finish the last two threads would else
        // both miss the other's count, and both sleep.
        fence(Ordering::SeqCst);
        if self.live() != 0 {
            return false;
        }
        // From here on outsiders are refused, so a second zero is final.
        self.advance(Phase::Cancelling, Phase::Closed);
        if self.live() != 0 {
            return false;
        }
        if self.advance(Phase::Closed, Phase::Ended) {
            self.nudge_all();
            let waiter = self.crew().waiter.take();
            if let Some((waiter, sequence)) = waiter {
                door::wake(&waiter, sequence);
            }
        }
        self.phase() >= Phase::Ended
    }

    /// Counts a spawn from outside, or refuses it.
    pub(crate) fn admit_from_outside(&self) -> io::Result<()> {
        if start::is_forked_child() {
            return Err(start::forked_error());
        }
        // ORDERING: SeqCst; see `phase`.
        self.outside.spawned.fetch_add(1, Ordering::SeqCst);
        if self.phase() < Phase::Closed {
            return Ok(());
        }
        // ORDERING: SeqCst; as above.
        self.outside.spawned.fetch_sub(1, Ordering::SeqCst);
        // Whoever counted meanwhile saw a thread that never was, and may not count again.
        self.try_end();
        Err(io::Error::new(
            io::ErrorKind::NotConnected,
            format!(
                "the runtime '{}' has shut down; nothing can be spawned on it",
                self.config.name
            ),
        ))
    }

    /// Hands a job to whichever worker comes first.
    pub(crate) fn inject(&self, job: Job) {
        self.injector.push(job);
        if self.idle.must_pick_for_outside() {
            self.pick_searcher();
        }
    }

    /// Wakes a sleeping worker to search, if one sleeps and nobody searches.
    #[cold]
    pub(crate) fn pick_searcher(&self) {
        // ORDERING: Relaxed; a heuristic. Who homes least shall get what is new.
        let homed = |index: usize| self.remotes[index].counters.homed.load(Ordering::Relaxed);
        let Some(index) = self.idle.pick(homed) else { return };
        let remote = &self.remotes[index];
        // ORDERING: Relaxed; a measurement.
        if self.wake_samples.load(Ordering::Relaxed) < WAKE_SAMPLES {
            remote.picked_at_ns.store(clock::now_ns(), Ordering::Relaxed);
        }
        if remote.mailbox.nudge() {
            remote.mailbox.wake_owner();
        }
    }

    /// Makes every worker look round.
    pub(crate) fn nudge_all(&self) {
        // ORDERING: SeqCst; between the change that everybody shall see and the look at who
        // sleeps. Pairs with the fence in `Idle::fall_asleep`.
        fence(Ordering::SeqCst);
        for remote in &self.remotes {
            if remote.mailbox.nudge() {
                remote.mailbox.wake_owner();
            }
        }
    }

    /// Leaves an order for every worker.
    pub(crate) fn post_all(&self, message: impl Fn() -> Message) {
        for remote in &self.remotes {
            remote.mailbox.post(message());
        }
        self.nudge_all();
    }

    /// About what it costs to wake a sleeping worker: how long a search is worth its time.
    pub(crate) fn wake_cost_ns(&self) -> u64 {
        // ORDERING: Relaxed; a heuristic.
        self.wake_cost_ns.load(Ordering::Relaxed)
    }

    /// Learns from the first wakes of this runtime what one costs.
    pub(crate) fn note_wake_cost(&self, measured_ns: u64) {
        // ORDERING: Relaxed throughout; a heuristic.
        if self.wake_samples.fetch_add(1, Ordering::Relaxed) < WAKE_SAMPLES {
            let known = self.wake_cost_ns.load(Ordering::Relaxed);
            let mean = (known * 3 + measured_ns.clamp(2_000, 50_000)) / 4;
            self.wake_cost_ns.store(mean, Ordering::Relaxed);
        }
    }

    /// The list of kernel threads. Held for moments only, never over user code or a wait.
    pub(crate) fn crew(&self) -> MutexGuard<'_, Crew> {
        self.crew.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Whether `thread` is a green thread of this runtime that has waited.
    pub(crate) fn is_home_of(&self, thread: &Header) -> bool {
        // ORDERING: Acquire; pairs with `Core::register`.
        let mailbox = thread.mailbox.load(Ordering::Acquire);
        thread.kind == Kind::Green
            && self.remotes.iter().any(|r| std::ptr::eq(Arc::as_ptr(&r.mailbox), mailbox))
    }

    /// How long a shutdown waits for cancelled threads.
    pub(crate) fn shutdown_timeout(&self) -> Duration {
        if cfg!(panic = "unwind") { self.config.shutdown_timeout } else { Duration::ZERO }
    }
}
