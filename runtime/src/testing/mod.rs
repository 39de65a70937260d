//! Running a program of threads so that a seed decides everything: each switch, each delay, each
//! choice, and the time.
//!
//! A concurrent program that is merely run is not tested: the one order that breaks it may come
//! once in a million runs, and then never again. Here a run has one worker, which is the ordinary
//! one with its free choices drawn from a seed; so many seeds try many orders, and the seed that
//! failed fails again. Time is virtual: it jumps when all threads wait, so an hour of sleeps takes
//! none, and a timeout can be tested against what races with it.
//!
//! [`#[sylvan::test(seeds = 200)]`](macro@crate::test) is the ordinary way in. [`explore`] does
//! the same in any function, [`run_seeded`] runs one seed, and [`Plan`] has all the settings.
//!
//! ```
//! use std::sync::Arc;
//! use std::sync::atomic::{AtomicU32, Ordering};
//!
//! use sylvan::{testing, thread};
//!
//! // Two threads add one each, but read and write apart.
//! let lost = std::panic::catch_unwind(|| {
//!     testing::explore(0..200, || {
//!         let number = Arc::new(AtomicU32::new(0));
//!         let add = |number: Arc<AtomicU32>| {
//!             let read = number.load(Ordering::SeqCst);
//!             thread::yield_now();
//!             number.store(read + 1, Ordering::SeqCst);
//!         };
//!         let other = number.clone();
//!         let other = thread::spawn(move || add(other));
//!         add(number.clone());
//!         other.join().unwrap();
//!         assert_eq!(number.load(Ordering::SeqCst), 2);
//!     });
//! });
//! assert!(lost.is_err(), "one of the seeds shows it");
//! ```
//!
//! # What a seed decides, and what it does not
//!
//! Within one build of one program on one machine, the same seed gives the same run, as long as
//! the program itself asks nothing of the outside: no kernel thread that acts on the run, no real
//! clock, no random state of std's (the order of a `HashMap` is one), no file that changes, and no
//! state that an earlier run has left in a `static`. Each run of [`run_seeded`] and [`explore`]
//! has a kernel thread of its own, so std's thread-locals are fresh.
//!
//! Threads switch only where calls say "Blocking" in their documentation. So races between two such
//! calls, on atomics or inside of locks of std's, are not explored; a model checker such as `loom`
//! does that, for small pieces. What is explored is the program as it is.
//!
//! # Kernel threads outside
//!
//! A kernel thread may wake and spawn threads of a run. The run says then that it is no longer
//! deterministic. It must be registered by [`outside`] as long as it may do so, or the run may
//! decide meanwhile that nothing can move any more.
#![forbid(unsafe_code)]

mod calls;
pub(crate) mod entry;
pub(crate) mod explore;

pub use calls::{Outside, advance, advance_to, inject, outside, seed, wait_until_all_parked};
pub use explore::{Plan, explore, run_seeded};

pub use crate::sched::seeded::{Faults, ParseStrategyError, Strategy, Trace};
