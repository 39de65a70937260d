//! Timing threads that run side by side, from all being there to all having done their share.
//!
//! Time runs from the moment when all threads have started to the moment when the last one has
//! done its share. Those that were done before go on until then, and what they do counts, so
//! neither starts nor ends of threads nor an unfair queue spoil the figure.
#![forbid(unsafe_code)]

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// When the threads have all begun and all done their share, and what they did between.
pub(crate) struct Race {
    threads: u64,
    started: AtomicU64,
    done: AtomicU64,
    steps: AtomicU64,
    start: OnceLock<Instant>,
    end: OnceLock<Instant>,
}

impl Race {
    pub(crate) fn new(threads: u64) -> Race {
        Race {
            threads,
            started: AtomicU64::new(0),
            done: AtomicU64::new(0),
            steps: AtomicU64::new(0),
            start: OnceLock::new(),
            end: OnceLock::new(),
        }
    }

    /// Says whether the caller was the last one.
    pub(crate) fn note_started(&self) -> bool {
        // ORDERING: AcqRel; the last one comes after all others.
        let last = self.started.fetch_add(1, Ordering::AcqRel) + 1 == self.threads;
        if last {
            self.start.set(Instant::now()).expect("there is one last starter");
        }
        last
    }

    pub(crate) fn all_started(&self) -> bool {
        // ORDERING: Acquire; pairs with the last starter.
        self.started.load(Ordering::Acquire) == self.threads
    }

    /// Says whether the caller was the last one.
    pub(crate) fn note_done(&self) -> bool {
        // ORDERING: AcqRel; as in `note_started`.
        let last = self.done.fetch_add(1, Ordering::AcqRel) + 1 == self.threads;
        if last {
            self.end.set(Instant::now()).expect("there is one last to be done");
        }
        last
    }

    pub(crate) fn all_done(&self) -> bool {
        // ORDERING: Acquire; pairs with the last one.
        self.done.load(Ordering::Acquire) == self.threads
    }

    pub(crate) fn count(&self, steps: u64) {
        // ORDERING: Relaxed; read after all threads were joined.
        self.steps.fetch_add(steps, Ordering::Relaxed);
    }

    /// The time that `count` of the steps took.
    pub(crate) fn time_of(&self, count: u64) -> Duration {
        let start = self.start.get().expect("all have started");
        let took = *self.end.get().expect("all are done") - *start;
        // ORDERING: Relaxed; as in `count`.
        took.mul_f64(count as f64 / self.steps.load(Ordering::Relaxed) as f64)
    }
}
