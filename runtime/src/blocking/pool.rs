//! The kernel threads that make blocking calls, and the work that waits for one of them.
//!
//! ```text
//!   submit: queue shorter than the idle ─▶ enters it, one is woken
//!           else below the bound        ─▶ enters it, a thread is started
//!           else                        ─▶ enters it, and waits for whoever is ready first
//!   thread: takes the oldest work ─▶ runs it ─▶ again; nothing there for 10 s ─▶ ends
//! ```
//!
//! A thread counts as *idle* from its start on, save while it runs work: an idle thread looks into
//! the queue before it sleeps, and before it ends. So each of the idle answers for one piece of the
//! queue, and whoever finds the queue shorter than their number need not start another.
//!
//! *No work is stranded.* A thread ends only under the lock, with the queue empty; and one is
//! started under the lock as well, with its work in the queue already. If the system refuses it,
//! then either another thread lives, and will come to that work, or none does: then the queue holds
//! nothing but that work, which is taken out again, and its caller gets the error. A start takes
//! some tens of microseconds for which others wait at the lock; that is what the argument costs,
//! and the kernel starts the threads of a process one after the other in any case.
//!
//! Work must not unwind. Neither work nor a drop of it runs under the lock.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::io;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// Something to be run by a pool thread.
pub(super) type Job = Box<dyn FnOnce() + Send>;

/// How a pool gets a kernel thread that runs [`Pool::serve`].
pub(super) type Start = fn(&'static Pool) -> io::Result<()>;

/// See the file's comment.
pub(super) struct Pool {
    state: Mutex<State>,
    /// Work has come for one who is idle.
    work: Condvar,
    start: Start,
    idle_max: Duration,
}

struct State {
    queue: VecDeque<Job>,
    /// Threads that look into the queue before they do anything else.
    idle: usize,
    /// All that live.
    threads: usize,
}

/// How long a thread without work stays. Long beside the tenth of a millisecond that a new one
/// takes; short enough that a burst is forgotten soon.
pub(super) const IDLE_MAX: Duration = Duration::from_secs(10);

/// As many bytes as the kernel keeps of a name.
const NAME: &str = "sylvan-blocking";

/// Starts a kernel thread for `pool`.
pub(super) fn start_thread(pool: &'static Pool) -> io::Result<()> {
    // Its stack is std's default: what a resolver's plugins need nobody can tell. It is never
    // joined; the end of the process may come in the middle of a call.
    std::thread::Builder::new().name(NAME.to_owned()).spawn(|| pool.serve()).map(drop)
}

impl Pool {
    pub(super) const fn new(start: Start, idle_max: Duration) -> Pool {
        let state = State { queue: VecDeque::new(), idle: 0, threads: 0 };
        Pool { state: Mutex::new(state), work: Condvar::new(), start, idle_max }
    }

    /// Has a thread run `job`, which must not unwind. One more is started if none is idle and fewer
    /// than `threads_max` live.
    ///
    /// # Errors
    ///
    /// If none lives and none can be had; then the job is dropped here.
    pub(super) fn submit(&'static self, job: Job, threads_max: usize) -> io::Result<()> {
        let mut state = self.state();
        let is_answered_for = state.queue.len() < state.idle;
        state.queue.push_back(job);
        if is_answered_for {
            drop(state);
            self.work.notify_one();
            return Ok(());
        }
        // A bound of zero would strand the first.
        if state.threads >= threads_max.max(1) {
            return Ok(());
        }
        match (self.start)(self) {
            Ok(()) => {
                state.threads += 1;
                state.idle += 1;
                Ok(())
            }
            Err(_) if state.threads > 0 => Ok(()),
            Err(error) => {
                let job = state.queue.pop_back();
                drop(state);
                drop(job);
                Err(error)
            }
        }
    }

    /// The life of a pool thread.
    pub(super) fn serve(&self) {
        let mut state = self.state();
        loop {
            if let Some(job) = state.queue.pop_front() {
                state.idle -= 1;
                drop(state);
                job();
                state = self.state();
                state.idle += 1;
                continue;
            }
            let woken = self.work.wait_timeout(state, self.idle_max);
            let (locked, waited) = woken.unwrap_or_else(|e| e.into_inner());
            state = locked;
            if waited.timed_out() && state.queue.is_empty() {
                state.idle -= 1;
                state.threads -= 1;
                return;
            }
        }
    }

    /// Threads that live.
    pub(super) fn threads(&self) -> usize {
        self.state().threads
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::{self, Sender};

    use super::*;

    /// Of a test; it is never freed, for its threads may outlive the test.
    fn pool(start: Start, idle_max: Duration) -> &'static Pool {
        Box::leak(Box::new(Pool::new(start, idle_max)))
    }

    /// How many threads live, and how many of them are idle.
    fn counts(pool: &Pool) -> (usize, usize) {
        let state = pool.state();
        (state.threads, state.idle)
    }

    /// Submits a job that says when it has begun and goes on until the gate is opened by a drop.
    fn submit_gated(pool: &'static Pool, begun: &Sender<u32>, name: u32, max: usize) -> Sender<()> {
        let (gate, opened) = mpsc::channel::<()>();
        let begun = begun.clone();
        let job = move || {
            begun.send(name).unwrap();
            let _ = opened.recv();
        };
        pool.submit(Box::new(job), max).unwrap();
        gate
    }

    #[test]
    fn submit_beyond_the_bound_queues_and_goes_in_order() {
        let pool = pool(start_thread, IDLE_MAX);
        let (begun, begins) = mpsc::channel();
        let first = submit_gated(pool, &begun, 1, 2);
        let second = submit_gated(pool, &begun, 2, 2);
        let mut running = [begins.recv().unwrap(), begins.recv().unwrap()];
        running.sort_unstable();
        assert_eq!(running, [1, 2]);
        let queued: Vec<_> = (3..=5).map(|name| submit_gated(pool, &begun, name, 2)).collect();
        assert_eq!(pool.threads(), 2);
        assert!(begins.try_recv().is_err(), "more ran at once than the bound allows");
        drop(first);
        assert_eq!(begins.recv().unwrap(), 3, "the oldest goes first");
        drop(second);
        assert_eq!(begins.recv().unwrap(), 4);
        drop(queued);
        assert_eq!(begins.recv().unwrap(), 5);
        assert_eq!(pool.threads(), 2);
    }

    #[test]
    fn submit_with_a_higher_bound_starts_more() {
        let pool = pool(start_thread, IDLE_MAX);
        let (begun, begins) = mpsc::channel();
        let first = submit_gated(pool, &begun, 1, 1);
        assert_eq!(begins.recv().unwrap(), 1);
        // The oldest of the queue is what the new thread takes; then nobody is left for the other.
        let _second = submit_gated(pool, &begun, 2, 1);
        let _third = submit_gated(pool, &begun, 3, 2);
        assert_eq!(begins.recv().unwrap(), 2);
        assert_eq!(pool.threads(), 2);
        drop(first);
        assert_eq!(begins.recv().unwrap(), 3);
    }

    #[test]
    fn idle_thread_is_used_again() {
        let pool = pool(start_thread, Duration::MAX);
        let (begun, begins) = mpsc::channel();
        for name in 0..100 {
            drop(submit_gated(pool, &begun, name, 8));
            assert_eq!(begins.recv().unwrap(), name);
            // It is idle again when it has the lock again.
            while counts(pool) == (1, 0) {
                std::thread::yield_now();
            }
        }
        assert_eq!(counts(pool), (1, 1));
    }

    #[test]
    fn idle_threads_leave_and_the_next_work_starts_one() {
        let pool = pool(start_thread, Duration::from_millis(1));
        let (begun, begins) = mpsc::channel();
        for round in 0..3 {
            let gates = [(); 4].map(|()| submit_gated(pool, &begun, round, 4));
            for _ in 0..4 {
                assert_eq!(begins.recv().unwrap(), round);
            }
            assert_eq!(pool.threads(), 4);
            drop(gates);
            while counts(pool) != (0, 0) {
                std::thread::yield_now();
            }
        }
    }

    #[test]
    fn work_that_comes_while_threads_leave_is_run() {
        let pool = pool(start_thread, Duration::from_micros(50));
        let (begun, begins) = mpsc::channel();
        for name in 0..2_000 {
            drop(submit_gated(pool, &begun, name, 2));
            assert_eq!(begins.recv().unwrap(), name);
            for _ in 0..name % 64 {
                std::thread::yield_now();
            }
        }
    }

    #[test]
    fn refused_thread_is_an_error_and_the_work_is_dropped() {
        let pool = pool(|_| Err(io::ErrorKind::WouldBlock.into()), IDLE_MAX);
        let (begun, begins) = mpsc::channel();
        let job = move || begun.send(1).unwrap();
        let error = pool.submit(Box::new(job), 8).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert!(begins.recv().is_err(), "the work was kept or run");
        assert_eq!(counts(pool), (0, 0));
    }

    #[test]
    fn refused_thread_leaves_the_work_to_one_that_lives() {
        static STARTS: AtomicUsize = AtomicUsize::new(0);
        let start: Start = |pool| match STARTS.fetch_add(1, Ordering::SeqCst) {
            0 => start_thread(pool),
            _ => Err(io::ErrorKind::WouldBlock.into()),
        };
        let pool = pool(start, IDLE_MAX);
        let (begun, begins) = mpsc::channel();
        let first = submit_gated(pool, &begun, 1, 8);
        assert_eq!(begins.recv().unwrap(), 1);
        let _second = submit_gated(pool, &begun, 2, 8);
        assert_eq!((STARTS.load(Ordering::SeqCst), pool.threads()), (2, 1));
        drop(first);
        assert_eq!(begins.recv().unwrap(), 2);
    }
}
