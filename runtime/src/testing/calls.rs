//! What a thread of a seeded run may ask of it.
#![forbid(unsafe_code)]

use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::clock;
use crate::sched::door;
use crate::sched::seeded::{Faults, Run};
use crate::sched::shared::Shared;
use crate::sched::worker::Core;
use crate::task::mailbox::Message;
use crate::task::{Cause, Reason, WaitKind, current};

/// Calls `f` with the seeded run of the current thread.
#[track_caller]
fn with_run<R>(call: &str, f: impl FnOnce(&Core, &Run) -> R) -> R {
    let core = Core::current().filter(|_| !current::green().is_null());
    match core.and_then(|core| Some((core, core.seeded.as_deref()?))) {
        Some((core, run)) => f(core, run),
        None => panic!(
            "testing::{call} is for threads of a seeded run; this is none. Begin one with \
             #[sylvan::test(seeds = …)], testing::explore or testing::run_seeded"
        ),
    }
}

/// Returns the seed of the run to which the current thread belongs; `None` outside of seeded runs.
///
/// For test data that shall differ from seed to seed and come back with its seed.
pub fn seed() -> Option<u64> {
    Some(Core::current()?.seeded.as_ref()?.plan().seed)
}

/// Moves the virtual clock on by `by`.
///
/// What is due then fires at the next turns, in the order of its deadlines: threads that sleep in a
/// loop see one long step. [`thread::sleep`](crate::thread::sleep) is often what is meant: it lets
/// everything that is due before happen in its order. This call is for a clock that must move
/// although somebody is [`outside`], or while others could still run. Never switches.
///
/// # Units
///
/// From zero up to 584 years after the run's beginning.
///
/// # Panics
///
/// Outside of seeded runs, in one with the real clock, and beyond the clock's range.
///
/// # Examples
///
/// ```
/// use sylvan::time::{self, Duration};
/// use sylvan::testing;
///
/// testing::run_seeded(1, || {
///     let begun = time::now();
///     testing::advance(Duration::from_millis(1500));
///     assert_eq!(time::now() - begun, Duration::from_millis(1500));
/// });
/// ```
#[track_caller]
pub fn advance(by: Duration) {
    with_run("advance", |core, run| {
        if let Err(why) = run.advance(core, by) {
            panic!("testing::advance({by:?}): {why}");
        }
    });
}

/// Moves the virtual clock on to `instant`; see [`advance`].
///
/// # Panics
///
/// As [`advance`], and if `instant` lies before [`time::now`](crate::time::now): a clock never
/// goes back.
#[track_caller]
pub fn advance_to(instant: Instant) {
    with_run("advance_to", |core, run| {
        let now = clock::now();
        let Some(by) = instant.checked_duration_since(now) else {
            panic!(
                "testing::advance_to: the instant lies {:?} before the present of the virtual \
                 clock, which never goes back; accepted: time::now() and later",
                now - instant
            );
        };
        if let Err(why) = run.advance(core, by) {
            panic!("testing::advance_to, by {by:?}: {why}");
        }
    });
}

/// Waits until no other thread of the run can go on: until all of them wait, for whatever.
///
/// Returns before the clock jumps for them, so that "nothing more happens at this time" can be
/// asserted. Several threads may call it at once: they all go on then.
///
/// # Blocking
///
/// Waits until the run's other threads wait, or have ended. A cancellation ends the wait by
/// unwinding. What kernel threads from [`outside`] will do is not awaited.
///
/// # Panics
///
/// Outside of seeded runs.
///
/// # Examples
///
/// ```
/// use sylvan::{testing, thread};
///
/// testing::run_seeded(1, || {
///     let sleeper = thread::spawn(|| thread::sleep(sylvan::time::Duration::from_secs(60)));
///     testing::wait_until_all_parked();
///     assert!(!sleeper.is_finished());
///     sleeper.join().unwrap();
/// });
/// ```
#[track_caller]
pub fn wait_until_all_parked() {
    let site = Location::caller();
    with_run("wait_until_all_parked", |_, _| ());
    door::switch_point();
    let pending = door::begin(false);
    with_run("wait_until_all_parked", |_, run| {
        run.await_quiescence(pending.thread(), pending.sequence());
    });
    let cause = pending.wait(Reason::new(WaitKind::Quiescence, site), None);
    debug_assert_eq!(cause, Cause::Woken);
}

/// Has faults happen in the current run from now on, in the place of those that did so far.
///
/// # Panics
///
/// Outside of seeded runs.
#[track_caller]
pub fn inject(faults: Faults) {
    with_run("inject", |_, run| run.set_faults(faults));
}

/// A kernel thread, or anything else outside of a seeded run, that may still act on it.
///
/// As long as one of these lives, the virtual clock does not jump by itself, and the run does not
/// conclude that nothing can move any more; see [`outside`].
pub struct Outside {
    shared: Arc<Shared>,
}

/// Registers something outside of the run that may act on its threads: give it to the kernel
/// thread that does, which drops it when it is done.
///
/// # Panics
///
/// Outside of seeded runs.
///
/// # Examples
///
/// ```
/// use sylvan::{testing, thread};
///
/// testing::run_seeded(1, || {
///     let parked = thread::current();
///     let registered = testing::outside();
///     let kernel = std::thread::spawn(move || {
///         parked.unpark();
///         drop(registered);
///     });
///     thread::park();
///     kernel.join().unwrap();
/// });
/// ```
#[track_caller]
pub fn outside() -> Outside {
    with_run("outside", |core, run| {
        run.outsiders().enter();
        Outside { shared: core.shared.clone() }
    })
}

impl Drop for Outside {
    fn drop(&mut self) {
        if let Some(run) = &self.shared.seeded {
            run.outsiders.leave();
            // An order rather than a nudge: it reaches a worker that is about to sleep, too.
            self.shared.post_all(|| Message::LookRound);
        }
    }
}

impl fmt::Debug for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outside").finish_non_exhaustive()
    }
}
