//! Groups: threads that succeed or fail together, and races, of which one wins.
//!
//! A group is a scope in a region of its own. A thread of it that fails leaves its error with the
//! group, if it is the first, and cancels the region: that ends the closure of the group at its
//! next wait, all other threads of the group, and everybody below. Then all are joined, and the
//! error is what the group gives. So there is one error, and what the others make of their
//! cancellation is nobody's affair.
//!
//! A race is the same with the names changed: whoever has a result first leaves it where the others
//! would leave an error.

mod race;

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use crate::sched::cut::{self, Shield};
use crate::sched::door;
use crate::sched::inplace;
use crate::sched::spawn::{self, Order};
use crate::sync::{OwnedSemaphorePermit, Semaphore};
use crate::task::cancelled::CancelKind;
use crate::task::packet;
use crate::task::region::{self, Region};
use crate::task::scope::ScopeData;
use crate::task::{CancelReason, Cancelled, Header, WaitKind, current};
use crate::thread::{ScopedJoinHandle, Thread};

pub use race::{Race, race};

/// A group of threads; see [`group`].
pub struct Group<'scope, 'env: 'scope, E: 'env> {
    data: ScopeData,
    failure: Mutex<Option<Failure<E>>>,
    limit: OnceLock<Arc<Semaphore>>,
    /// What the others are told when one has failed.
    kind: CancelKind,
    site: &'static Location<'static>,
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

/// What a group is about to give instead of its closure's value.
enum Failure<E> {
    Error(E),
    Panic(Box<dyn Any + Send>),
    /// A thread of the group was cut off from outside. Whatever else happens counts for more.
    CutOff(CancelReason),
    /// A thread of the group never ran. As above.
    NotStarted,
}

impl<E> Failure<E> {
    fn is_own(&self) -> bool {
        matches!(self, Failure::Error(_) | Failure::Panic(_))
    }
}

/// The right to wait for the end of a thread of a group and to take its result.
///
/// Dropping it lets the thread run on; the group waits for it all the same.
pub struct GroupHandle<'scope, T>(ScopedJoinHandle<'scope, Option<T>>);

/// Runs `f` with a group, into which it can spawn threads that borrow and may fail, and waits for
/// all of them.
///
/// The first thread that returns an error or panics ends the group: all others are cancelled, and
/// so is `f`, which is unwound from its next wait. When all have ended, the group returns that
/// first error, or goes on with that panic. The same if `f` itself returns an error.
///
/// As in a [`scope`](fn@crate::thread::scope), a deadline or a cancellation of the caller reaches
/// all of them.
///
/// # Blocking
///
/// Waits until all threads of the group have ended.
///
/// # Errors
///
/// The first error of `f` and the threads; later ones are dropped. With `panic = "abort"` nothing
/// can be cancelled, and the group waits until all have ended by themselves.
///
/// # Panics
///
/// With the payload of the thread that panicked first, unless an error came before; or if a thread
/// could not be started.
///
/// # Examples
///
/// Results in the order of the spawns, with at most four threads at a time:
///
/// ```
/// use std::num::ParseIntError;
/// use sylvan::thread;
///
/// fn sum(words: &[&str]) -> Result<u64, ParseIntError> {
///     thread::group(|group| {
///         group.limit(4);
///         let numbers: Vec<_> =
///             words.iter().map(|word| group.spawn(|| word.parse::<u64>())).collect();
///         Ok(numbers.into_iter().map(|number| number.join()).sum())
///     })
/// }
/// assert_eq!(sum(&["1", "20", "300"]), Ok(321));
/// assert!(sum(&["1", "many", "300"]).is_err());
/// ```
#[track_caller]
pub fn group<'env, F, R, E>(f: F) -> Result<R, E>
where
    F: for<'scope> FnOnce(&'scope Group<'scope, 'env, E>) -> Result<R, E>,
    E: Send + 'env,
{
    run(CancelKind::Group, Location::caller(), f)
}

/// What the closure of a group, or of a thread of it, came to: its value, `None` if it has failed,
/// or the payload that has cut it off.
type Part<T> = Result<Option<T>, Box<Cancelled>>;

// SUSPENDS
fn run<'env, F, R, E>(kind: CancelKind, site: &'static Location<'static>, f: F) -> Result<R, E>
where
    F: for<'scope> FnOnce(&'scope Group<'scope, 'env, E>) -> Result<R, E>,
    E: Send + 'env,
{
    let me = current::me();
    let region = Region::ends(None, None, site);
    let (body, failure) = cut::during(&me, &region, || {
        // It stays in this frame until the close below, which every way out passes: `f` is caught,
        // and the end of the scope is shielded.
        let group = Group::new(&me, kind, site);
        let body = group.run_part(|| f(&group));
        inplace::end_scope(&group.data, WaitKind::Scope, site);
        group.data.close();
        let failure = group.failure().take();
        (body, failure)
    });
    let value = match body {
        Ok(value) => value,
        Err(cancelled) if cancelled.is_for(&region) => None,
        // What cuts the caller off lies further out. Else it was meant for another thread, and the
        // group has failed before.
        Err(cancelled) if cut::reason_here().is_some() => cut::unwind_by(cancelled),
        Err(_) if failure.as_ref().is_some_and(Failure::is_own) => None,
        Err(cancelled) => cut::unwind_by(cancelled),
    };
    match failure {
        Some(Failure::Error(error)) => Err(error),
        Some(Failure::Panic(payload)) => cut::unwind_by(payload),
        Some(Failure::CutOff(reason)) => {
            cut::unwind_for(reason);
            // Nothing can be unwound here, and the closure knows nothing of it.
            Ok(value.expect("a closure that fails leaves its failure"))
        }
        Some(Failure::NotStarted) => {
            cut::cut_off_if_due();
            panic!("a thread of the group opened at {site} could not be started");
        }
        None => Ok(value.expect("a closure that fails leaves its failure")),
    }
}

impl<'scope, 'env, E: 'env> Group<'scope, 'env, E> {
    /// A group of `me`, the current thread, whose innermost region is the group's. It must stay
    /// where it is from the first spawn until its scope is closed.
    fn new(
        me: &Header,
        kind: CancelKind,
        site: &'static Location<'static>,
    ) -> Group<'scope, 'env, E> {
        Group {
            data: ScopeData::within(me, region::innermost(me)),
            failure: Mutex::new(None),
            limit: OnceLock::new(),
            kind,
            site,
            scope: PhantomData,
            env: PhantomData,
        }
    }

    /// Held for moments, and never over user code.
    fn failure(&self) -> MutexGuard<'_, Option<Failure<E>>> {
        self.failure.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Leaves `failure` with the group, if it is the first.
    fn note(&self, failure: Failure<E>) {
        let mut place = self.failure();
        let counts = match &*place {
            None => true,
            Some(first) => failure.is_own() && !first.is_own(),
        };
        let before = if counts { place.replace(failure) } else { Some(failure) };
        drop(place);
        if before.is_some() {
            // Its destructor may wait and panic, and the thread may be called off by now.
            let _shield = Shield::raise();
            packet::drop_quietly(before);
        }
    }

    /// The same for an own one of the current thread, which ends the group.
    fn fail(&self, failure: Failure<E>) {
        self.note(failure);
        if cfg!(panic = "unwind") {
            let reason = CancelReason::by_me(self.kind, self.site, None);
            door::cancel_region(&self.data, &reason);
        }
    }

    /// Runs `f`, the group's closure or that of a thread, and leaves its failure with the group:
    /// `None`. `Err`: it was cut off.
    // SUSPENDS
    fn run_part<T>(&self, f: impl FnOnce() -> Result<T, E>) -> Part<T> {
        let failure = match catch_unwind(AssertUnwindSafe(f)) {
            Ok(Ok(value)) => return Ok(Some(value)),
            Ok(Err(error)) => Failure::Error(error),
            Err(payload) => match payload.downcast::<Cancelled>() {
                Ok(cancelled) if cut::reason_here().is_some() => return Err(cancelled),
                // That of another thread is to this one what a panic is.
                Ok(cancelled) => Failure::Panic(cancelled),
                Err(payload) => Failure::Panic(payload),
            },
        };
        self.fail(failure);
        Ok(None)
    }

    /// Bounds how many threads of the group run at the same time. Those count that are spawned
    /// from now on.
    ///
    /// A thread that waits counts, whatever it waits for. So with a limit it should not wait for
    /// what another thread of the group has yet to do: that one may be waiting for its turn.
    ///
    /// # Panics
    ///
    /// If `threads` is 0, or the limit was set before.
    #[track_caller]
    pub fn limit(&self, threads: usize) {
        assert!(threads > 0, "a limit of 0 threads lets no thread run: 1 or more are accepted");
        let set = self.limit.set(Arc::new(Semaphore::new(threads.min(LIMIT_MAX))));
        assert!(set.is_ok(), "the limit of a group can be set once: it was set before");
    }

    /// The right of one thread to run, where the caller has to wait for it: the group's own thread,
    /// which holds none. A thread of the group would wait for itself.
    // SUSPENDS
    fn permit_for_spawn(&self, site: &'static Location<'static>) -> Option<OwnedSemaphorePermit> {
        let limit = self.limit.get()?;
        let is_ours = ptr::eq(self.data.parent(), &*current::me());
        is_ours.then(|| take_turn(limit.clone(), site))
    }
}

/// Waits for the right to run. What was given back by a thread that has failed is of no use: the
/// failure was told before, and is seen here even by who need not wait.
// SUSPENDS
fn take_turn(limit: Arc<Semaphore>, site: &'static Location<'static>) -> OwnedSemaphorePermit {
    let permit = limit.acquire_owned_at(site);
    cut::cut_off_if_due();
    permit
}

/// More than there can be threads.
const LIMIT_MAX: usize = u32::MAX as usize >> 4;

impl<'scope, 'env, E: Send + 'env> Group<'scope, 'env, E> {
    /// Spawns a thread that may borrow from outside of the group. If it returns an error or panics,
    /// the group ends.
    ///
    /// # Blocking
    ///
    /// Without a [`limit`](Group::limit), never switches. With one, the closure of the group waits
    /// here until fewer threads run. A thread of the group that spawns another one does not wait,
    /// for it might wait for itself; the new one does, before it runs its closure.
    ///
    /// # Panics
    ///
    /// If the thread cannot be started.
    #[track_caller]
    pub fn spawn<F, T>(&'scope self, f: F) -> GroupHandle<'scope, T>
    where
        F: FnOnce() -> Result<T, E> + Send + 'scope,
        T: Send + 'scope,
    {
        let site = Location::caller();
        let permit = self.permit_for_spawn(site);
        let limit = if permit.is_none() { self.limit.get().cloned() } else { None };
        let member = Member { group: self, has_run: false };
        let body = move || {
            // Given back only when a failure has been told: nobody else shall run then.
            let mut held = permit;
            member.run(|| {
                if let Some(limit) = limit {
                    held = Some(take_turn(limit, site));
                }
                f()
            })
        };
        let order = Order { scope: &self.data, ..Order::plain(site) };
        // SAFETY: S1: the scope of the group waits for the thread before anything of `'scope` ends.
        match unsafe { spawn::spawn(order, body) } {
            Ok(thread) => GroupHandle(ScopedJoinHandle::of(thread)),
            Err(error) => panic!("failed to spawn thread: {error}"),
        }
    }
}

/// A thread's part in its group.
struct Member<'scope, 'env, E> {
    group: &'scope Group<'scope, 'env, E>,
    has_run: bool,
}

impl<E> Member<'_, '_, E> {
    /// Runs the thread's closure. `None`: it has failed.
    // SUSPENDS
    fn run<T>(mut self, f: impl FnOnce() -> Result<T, E>) -> Option<T> {
        self.has_run = true;
        self.group.run_part(f).unwrap_or_else(|cancelled| {
            self.group.note(Failure::CutOff(cancelled.reason().clone()));
            resume_unwind(cancelled)
        })
    }
}

impl<E> Drop for Member<'_, '_, E> {
    fn drop(&mut self) {
        if !self.has_run {
            match cut::why_unstarted() {
                Some(reason) => self.group.note(Failure::CutOff(reason)),
                None => self.group.fail(Failure::NotStarted),
            }
        }
    }
}

impl<'scope, T> GroupHandle<'scope, T> {
    /// Returns a handle to the thread itself.
    pub fn thread(&self) -> &Thread {
        self.0.thread()
    }

    /// Waits for the thread to end and returns its result.
    ///
    /// If the thread has failed, so has its group, and the caller is part of it: the call does not
    /// return, but is unwound, and the group gives the error.
    ///
    /// # Blocking
    ///
    /// As [`JoinHandle::join`](crate::thread::JoinHandle::join).
    ///
    /// # Panics
    ///
    /// If there is no result, and the caller cannot be unwound for it: because it is no part of the
    /// group, is within a [`shield`](crate::thread::shield), or unwinds already.
    #[track_caller]
    pub fn join(self) -> T {
        let scope = self.0.scope();
        match self.0.join() {
            Ok(Some(value)) => value,
            Ok(None) | Err(_) => {
                cut::cut_off_if_due();
                // A stolen arm is part of the group, and learns of it late.
                if let (Some(reason), Some(_)) = (scope.called_off(), current::running()) {
                    cut::unwind_for(reason);
                }
                panic!("there is no result to join: the thread's group has failed");
            }
        }
    }

    /// Returns whether the thread has ended.
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

impl<E> fmt::Debug for Group<'_, '_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("opened_at", &self.site).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for GroupHandle<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupHandle").field("thread", self.thread()).finish_non_exhaustive()
    }
}
