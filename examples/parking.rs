//! A primitive built by hand on `park` and `unpark`: a fair semaphore, served first come first.
//!
//! It needs nothing of sylvan's but two calls with the meaning that they have in std, so it works
//! among green threads, among kernel threads, and between both.
//!
//! ```text
//! $ cargo run --release --example parking
//! 1,000 threads, 3 permits: at most 3 inside at once
//! served in the order of arrival: 0 1 2 3 4 5 6 7
//! a cancelled waiter left the queue, and nobody else was passed over
//! ```
//!
//! # Why no wake is lost
//!
//! A thread that finds no permit puts itself into the queue and parks. Between the two it may be
//! served:
//!
//! ```text
//!   acquire                                release
//!   lock; queue.push(me); unlock
//!                                          lock; waiter = queue.pop(); unlock
//!                                          waiter.served = true
//!                                          waiter.thread.unpark()
//!   while !me.served { park() }
//! ```
//!
//! - *Served before it looks*: the loop is not entered. The thread's own park permit stays given,
//!   so one later `park`, whoever calls it, returns at once. That is why
//! - *every park stands in a loop on its own condition*: a return says "look again", nothing more.
//! - *Served between look and park*: `unpark` gave the park permit, and `park` returns at once.
//!   This is the case in which a primitive without a remembered permit would sleep for ever.
//! - *Served while parked*: `unpark` wakes it.
//!
//! The order "first `served`, then `unpark`" matters: the other way round, a thread could wake,
//! find nothing, and park again with nobody left to wake it.
//!
//! The lock is std's. It would stop a whole worker if its holder waited for something, so no code
//! between lock and unlock waits: the rule for every std lock among green threads.
//!
//! A `park` is left by unwinding when its thread is cancelled. Then the waiter gives back what it
//! holds: its place in the queue or, if it was served at that moment, the permit.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sylvan::thread::{self, Thread};

/// Lets at most so many threads pass as there are permits, in the order in which they came.
struct Semaphore {
    state: Mutex<State>,
}

struct State {
    /// Never above zero while somebody waits.
    permits: usize,
    waiting: VecDeque<Arc<Waiter>>,
}

struct Waiter {
    thread: Thread,
    /// Set once, by the thread that took the waiter out of the queue: a permit is now its.
    served: AtomicBool,
}

impl Semaphore {
    fn new(permits: usize) -> Semaphore {
        Semaphore { state: Mutex::new(State { permits, waiting: VecDeque::new() }) }
    }

    /// Takes a permit, and waits for one if there is none. The value gives it back when dropped.
    fn acquire(&self) -> Permit<'_> {
        let waiter = {
            let mut state = self.lock();
            if state.permits > 0 {
                state.permits -= 1;
                return Permit { semaphore: self };
            }
            let waiter = Waiter { thread: thread::current(), served: AtomicBool::new(false) };
            let waiter = Arc::new(waiter);
            state.waiting.push_back(waiter.clone());
            waiter
        };
        let place = Place { semaphore: self, waiter };
        // ORDERING: Acquire; pairs with the Release in `release`, so that what the last holder
        // did is seen by this one.
        while !place.waiter.served.load(Ordering::Acquire) {
            thread::park();
        }
        drop(place);
        Permit { semaphore: self }
    }

    /// Gives a permit to the thread that has waited longest, or keeps it for the next to come.
    fn release(&self) {
        let served = {
            let mut state = self.lock();
            let first = state.waiting.pop_front();
            if first.is_none() {
                state.permits += 1;
            }
            first
        };
        if let Some(waiter) = served {
            // ORDERING: Release; see `acquire`.
            waiter.served.store(true, Ordering::Release);
            waiter.thread.unpark();
        }
    }

    /// How many threads wait.
    fn waiting_count(&self) -> usize {
        self.lock().waiting.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock panics, and the state is whole at each step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to be inside.
struct Permit<'a> {
    semaphore: &'a Semaphore,
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.semaphore.release();
    }
}

/// A waiter's place in the queue, given up when the wait ends, however it ends.
struct Place<'a> {
    semaphore: &'a Semaphore,
    waiter: Arc<Waiter>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let was_waiting = {
            let waiting = &mut self.semaphore.lock().waiting;
            let place = waiting.iter().position(|waiter| Arc::ptr_eq(waiter, &self.waiter));
            place.and_then(|index| waiting.remove(index)).is_some()
        };
        if !was_waiting {
            // Served while it was being unwound: the permit goes on to the next.
            self.semaphore.release();
        }
    }
}

#[sylvan::main]
fn main() -> ExitCode {
    let good = counts_permits() && serves_in_order() && survives_cancellation();
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn counts_permits() -> bool {
    let semaphore = Semaphore::new(3);
    let (inside, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let visit = || {
        let _permit = semaphore.acquire();
        // ORDERING: Relaxed for both; they are only counted, and read after the joins.
        let now = inside.fetch_add(1, Ordering::Relaxed) + 1;
        most.fetch_max(now, Ordering::Relaxed);
        thread::yield_now();
        inside.fetch_sub(1, Ordering::Relaxed);
    };
    thread::scope(|scope| {
        for _ in 0..10 {
            // A hundred at a time, so that it also fits under 1:1 with few process ids.
            let threads: Vec<_> = (0..100).map(|_| scope.spawn(visit)).collect();
            for thread in threads {
                thread.join().expect("no visitor panics");
            }
        }
    });
    let most = most.into_inner();
    println!("1,000 threads, 3 permits: at most {most} inside at once");
    most <= 3 && semaphore.waiting_count() == 0
}

fn serves_in_order() -> bool {
    let semaphore = Semaphore::new(1);
    let order = Mutex::new(Vec::new());
    thread::scope(|scope| {
        let permit = semaphore.acquire();
        for number in 0..8 {
            let (semaphore, order) = (&semaphore, &order);
            scope.spawn(move || {
                let _permit = semaphore.acquire();
                order.lock().expect("no visitor panics").push(number);
            });
            // The next one comes when this one stands in the queue.
            wait_until(|| semaphore.waiting_count() == number + 1);
        }
        drop(permit);
    });
    let order = order.into_inner().expect("no visitor panics");
    let text: Vec<_> = order.iter().map(usize::to_string).collect();
    println!("served in the order of arrival: {}", text.join(" "));
    order.is_sorted() && order.len() == 8
}

fn survives_cancellation() -> bool {
    let semaphore = Arc::new(Semaphore::new(1));
    let permit = semaphore.acquire();
    let enter = || {
        let semaphore = semaphore.clone();
        move || drop(semaphore.acquire())
    };
    let first = thread::spawn(enter());
    wait_until(|| semaphore.waiting_count() == 1);
    let second = thread::spawn(enter());
    wait_until(|| semaphore.waiting_count() == 2);
    if first.cancel().is_err() {
        println!("this program was built with panic = \"abort\": nothing can be cancelled");
    }
    let was_cancelled = first.join().is_err_and(|payload| payload.is::<thread::Cancelled>());
    let left = semaphore.waiting_count() == 1;
    drop(permit);
    let served = second.join().is_ok();
    if was_cancelled && left && served {
        println!("a cancelled waiter left the queue, and nobody else was passed over");
    }
    was_cancelled && left && served
}

/// Lets other threads run until `condition` holds.
fn wait_until(condition: impl Fn() -> bool) {
    while !condition() {
        thread::yield_now();
    }
}
