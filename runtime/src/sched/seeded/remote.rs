//! What others may touch of a seeded run: kernel threads outside of it, and whoever asked for it.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::panic::Location;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use crate::sched::seeded::{Outsiders, Plan, Trace};
use crate::task::numbers::{self, BlockCache};
use crate::task::{Header, current};

/// See the file's comment.
pub(crate) struct RemoteRun {
    pub(crate) plan: Plan,
    /// Tells this run from all others of the process.
    number: u32,
    /// The number of the kernel thread that carries it; 0 before it begins.
    pub(super) carrier: AtomicU64,
    pub(crate) outsiders: Outsiders,
    /// How many threads were spawned from outside.
    spawned_outside: AtomicU32,
    disturbed: AtomicBool,
    verdict: Mutex<Option<String>>,
    /// For a person who wonders: turns so far, and who had the last one.
    pub(crate) turns: AtomicU64,
    pub(crate) running: AtomicU64,
    pub(crate) running_site: AtomicPtr<Location<'static>>,
    /// What the run leaves when it has ended.
    pub(crate) trace: Mutex<Option<Trace>>,
}

static NEXT_RUN: AtomicU32 = AtomicU32::new(0);
/// The runs that live, by number: a kernel thread that wakes a thread knows no more than the
/// thread's number.
static RUNS: Mutex<Option<HashMap<u32, Weak<RemoteRun>>>> = Mutex::new(None);

fn runs() -> MutexGuard<'static, Option<HashMap<u32, Weak<RemoteRun>>>> {
    RUNS.lock().unwrap_or_else(|e| e.into_inner())
}

impl RemoteRun {
    pub(crate) fn new(plan: Plan) -> Arc<RemoteRun> {
        // ORDERING: Relaxed; only uniqueness matters. Bit 31 is left to the mark of seeded ids.
        let number = NEXT_RUN.fetch_add(1, Ordering::Relaxed) & (u32::MAX >> 1);
        let run = Arc::new(RemoteRun {
            plan,
            number,
            carrier: AtomicU64::new(0),
            outsiders: Outsiders::new(),
            spawned_outside: AtomicU32::new(0),
            disturbed: AtomicBool::new(false),
            verdict: Mutex::new(None),
            turns: AtomicU64::new(0),
            running: AtomicU64::new(0),
            running_site: AtomicPtr::new(ptr::null_mut()),
            trace: Mutex::new(None),
        });
        runs().get_or_insert_default().insert(number, Arc::downgrade(&run));
        run
    }

    /// The cache from which the run's threads get their numbers.
    pub(crate) fn block_cache(&self) -> BlockCache {
        BlockCache::numbered(self.number)
    }

    /// The number of a thread that is spawned from outside of the run: 0 for its first thread.
    pub(crate) fn outside_id(&self) -> NonZeroU64 {
        // ORDERING: Relaxed; only uniqueness matters.
        match self.spawned_outside.fetch_add(1, Ordering::Relaxed) {
            0 => numbers::seeded_id(self.number, 0),
            more => {
                numbers::seeded_id(self.number, numbers::SEEDED_NUMBERS_MAX.saturating_add(more))
            }
        }
    }

    /// Whether `thread` is one of the run's.
    pub(super) fn owns(&self, id: NonZeroU64) -> bool {
        numbers::seeded_run(id) == Some(self.number)
    }

    /// Notes that something came from outside, so that the seed alone no longer decides. Says so,
    /// once.
    #[cold]
    pub(crate) fn disturb(&self, what: &str) {
        // ORDERING: Relaxed; a flag.
        if !self.disturbed.swap(true, Ordering::Relaxed) {
            eprintln!(
                "sylvan: the seeded run (seed {}) is no longer deterministic: {what}",
                self.plan.seed
            );
        }
    }

    pub(crate) fn is_disturbed(&self) -> bool {
        // ORDERING: Relaxed; read when the run is over.
        self.disturbed.load(Ordering::Relaxed)
    }

    pub(super) fn give_verdict(&self, text: String) {
        self.verdict.lock().unwrap_or_else(|e| e.into_inner()).get_or_insert(text);
    }

    /// Why the run has failed, if it came to a point where nothing could move.
    pub(crate) fn take_verdict(&self) -> Option<String> {
        self.verdict.lock().unwrap_or_else(|e| e.into_inner()).take()
    }

    /// How far the run is, for a person.
    pub(crate) fn progress(&self) -> String {
        // ORDERING: Relaxed; for a person to read.
        let turns = self.turns.load(Ordering::Relaxed);
        let site = self.running_site.load(Ordering::Relaxed);
        // SAFETY: null, or a location, which is `'static`.
        match unsafe { site.as_ref() } {
            Some(site) => format!(
                "after {turns} turns; the last went to thread {}, spawned at {site}",
                self.running.load(Ordering::Relaxed)
            ),
            None => "no thread has had a turn".to_owned(),
        }
    }
}

impl Drop for RemoteRun {
    fn drop(&mut self) {
        if let Some(runs) = &mut *runs() {
            runs.remove(&self.number);
        }
    }
}

/// The run to which `thread` belongs, if it belongs to one.
fn run_of(thread: &Header) -> Option<Arc<RemoteRun>> {
    let number = numbers::seeded_run(thread.id)?;
    runs().as_ref()?.get(&number)?.upgrade()
}

/// The seed of the run to which `thread` belongs, if it belongs to one.
pub(crate) fn seed_of(thread: &Header) -> Option<u64> {
    run_of(thread).map(|run| run.plan.seed)
}

/// Notes that a kernel thread that is no worker acts on `thread`, which may belong to a run. The
/// one that carries the run may do so between two calls of `run`.
#[cold]
pub(crate) fn note_outsider(thread: &Header) {
    if let Some(run) = run_of(thread)
        // ORDERING: Relaxed; compared with the caller's own number.
        && run.carrier.load(Ordering::Relaxed) != current::kernel_id().get()
    {
        run.disturb("a kernel thread from outside has woken a thread");
    }
}
