//! Waiting for a thread's end and taking its result, and the two arms of a `join`.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::panic::Location;
use std::ptr;
use std::sync::Arc;

use crate::sched::config::Mapping;
use crate::sched::cut;
use crate::sched::door::{self, Pending};
use crate::sched::inplace::{self, Place, Policy};
use crate::sched::shared::Shared;
use crate::sched::worker::Core;
use crate::sched::{arm, life, many_to_one, spawn};
use crate::task::packet;
use crate::task::state::Dropped;
use crate::task::{Header, HeaderRef, Kind, Reason, WaitKind, current};
use crate::thread::cancel::{self, CancelError};
use crate::thread::handle::Thread;
use crate::thread::scope::run_scoped;

/// What a thread leaves: its value, or the payload that unwound it.
///
/// As std's. A payload of type [`Cancelled`](crate::thread::Cancelled) says that the thread was
/// cancelled, one of type [`Leaked`](crate::thread::Leaked) that its runtime was shut down without
/// it, one of type [`std::io::Error`] that no stack could be had for it, so that its closure was
/// dropped; any other comes from a panic.
pub type Result<T> = std::result::Result<T, Box<dyn Any + Send + 'static>>;

/// What all join handles share.
pub(super) struct JoinInner<T> {
    /// Its reference goes to the thread if that outlives the handle; see the drop.
    thread: ManuallyDrop<Thread>,
    /// The runtime, where the end of the thread takes more than a wake: 1:1, and N:1 from outside.
    runtime: Option<Arc<Shared>>,
    result: PhantomData<T>,
}

impl<T> JoinInner<T> {
    #[inline]
    pub(super) fn new(thread: HeaderRef) -> JoinInner<T> {
        let runtime = if Core::current().is_some() { None } else { JoinInner::<T>::kept(&thread) };
        JoinInner::with(thread, runtime)
    }

    /// The same for a thread of a given runtime.
    pub(super) fn of(thread: HeaderRef, shared: &Arc<Shared>) -> JoinInner<T> {
        let runtime = (shared.config.mapping != Mapping::ManyToMany).then(|| shared.clone());
        JoinInner::with(thread, runtime)
    }

    #[inline]
    pub(super) fn with(thread: HeaderRef, runtime: Option<Arc<Shared>>) -> JoinInner<T> {
        let thread = ManuallyDrop::new(Thread(thread));
        JoinInner { thread, runtime, result: PhantomData }
    }

    #[cold]
    fn kept(thread: &HeaderRef) -> Option<Arc<Shared>> {
        let shared = spawn::current_runtime().ok()?;
        let kept = thread.kind == Kind::Kernel || shared.config.mapping == Mapping::ManyToOne;
        kept.then_some(shared)
    }

    pub(super) fn thread(&self) -> &Thread {
        &self.thread
    }

    pub(super) fn header(&self) -> &Header {
        &self.thread.0
    }

    pub(super) fn is_finished(&self) -> bool {
        self.thread.0.state.is_finished()
    }

    // SUSPENDS
    pub(super) fn join(self, site: &'static Location<'static>) -> Result<T> {
        let header = &self.thread.0;
        door::switch_point();
        if !header.state.is_finished() {
            self.wait(site);
        }
        let outcome = self.take_outcome();
        if let Err(payload) = &outcome {
            cut::follow(&**payload, Reason::new(WaitKind::Join, site));
        }
        outcome
    }

    /// The result of a thread that has ended. Under 1:1 its kernel thread has then, too.
    pub(super) fn take_outcome(self) -> Result<T> {
        let header = &self.thread.0;
        debug_assert!(header.state.is_finished());
        if header.kind == Kind::Kernel
            && let Some(shared) = &self.runtime
        {
            shared.one_to_one.reap_one(header.id);
        }
        if let Some(run) = self.runtime.as_ref().and_then(|shared| shared.seeded.as_ref())
            && current::worker().is_null()
            && let Some(verdict) = run.take_verdict()
        {
            // It had to run the thread itself, and came to where nothing could move.
            panic!("{verdict}");
        }
        // The drop would take the outcome once more; what else it does is done here.
        let mut this = ManuallyDrop::new(self);
        // SAFETY: S1: finished with this handle alive, so the outcome was kept for it.
        let outcome = unsafe { packet::take_outcome::<T>(&this.thread.0) };
        drop(this.runtime.take());
        // SAFETY: S1: it has finished, and `this` goes unused.
        unsafe { this.release() };
        outcome
    }

    /// Gives up the handle's reference, and the one that the thread has left to it.
    ///
    /// # Safety
    /// S1: the thread has finished, and `self.thread` is not used any more.
    #[inline]
    unsafe fn release(&mut self) {
        // SAFETY: not used after this (S1).
        let thread = unsafe { ManuallyDrop::take(&mut self.thread) }.0.into_raw();
        // SAFETY: our reference, which is given up below.
        if unsafe { thread.as_ref() }.state.is_left_to_handle() {
            // SAFETY: S1: our reference, and the one that the thread has left with its end.
            unsafe { Header::release_both(thread) };
        } else {
            // SAFETY: S1: our reference.
            unsafe { Header::release(thread) };
        }
    }

    // SUSPENDS
    fn wait(&self, site: &'static Location<'static>) {
        let header = &self.thread.0;
        if let Some(shared) = &self.runtime
            && shared.config.mapping == Mapping::ManyToOne
            && current::worker().is_null()
            && shared.many_to_one.is_run_by_joins_here()
            && many_to_one::obstacle(shared).is_none()
        {
            // Nobody else would run it: the join counts as a run.
            if cut::may_be_cut_off(&current::me()) {
                return self.wait_inside(shared, site);
            }
            if many_to_one::run_until(shared, ptr::from_ref::<Header>(header)).is_ok()
                && header.state.is_finished()
            {
                return;
            }
        }
        Self::wait_for(header, site);
    }

    /// Waits for the end of `header`, at the door.
    // SUSPENDS
    fn wait_for(header: &Header, site: &'static Location<'static>) {
        // Before the wait begins: the panic may be caught, and the thread waits again.
        assert!(!ptr::eq(&*current::me(), header), "a thread cannot join itself");
        if !door::join_by_loan(header, site) {
            Self::wait_once(header, site, |pending| {
                life::register_joiner(header, pending.thread(), pending.sequence())
            });
        }
        if !header.state.is_finished() {
            Self::wait_again(header, site);
        }
    }

    /// Waits for a thread of an N:1 runtime from outside of it, by a thread inside that inherits
    /// what may cut the caller off.
    // SUSPENDS
    #[cold]
    fn wait_inside(&self, shared: &Arc<Shared>, site: &'static Location<'static>) {
        let thread = &self.thread;
        let waiter = || JoinInner::<()>::wait_for(&thread.0, site);
        if let Err(error) = run_scoped(shared, waiter, site) {
            panic!("the n:1 runtime of the joined thread cannot be run: {error}");
        }
    }

    /// Waits, if `register` says that the thread has not ended.
    // SUSPENDS
    #[inline(always)]
    fn wait_once(
        header: &Header,
        site: &'static Location<'static>,
        register: impl FnOnce(&Pending) -> bool,
    ) {
        let pending = door::begin(false);
        if register(&pending) {
            let mut reason = Reason::new(WaitKind::Join, site);
            reason.owner = Some(header.id);
            pending.wait(reason, None);
        } else {
            pending.abandon();
        }
    }

    /// The joiner was woken for nothing.
    // SUSPENDS
    #[cold]
    fn wait_again(header: &Header, site: &'static Location<'static>) {
        while !header.state.is_finished() {
            Self::wait_once(header, site, |pending| {
                life::register_joiner_again(header, pending.sequence())
            });
        }
    }

    pub(super) fn cancel(
        &self,
        why: Option<Cow<'static, str>>,
        site: &'static Location<'static>,
    ) -> std::result::Result<(), CancelError> {
        door::cancel(&self.thread.0, &cancel::request(why, site)?);
        Ok(())
    }
}

impl<T> Drop for JoinInner<T> {
    #[inline]
    fn drop(&mut self) {
        let header = &self.thread.0;
        match header.state.drop_handle() {
            // With our reference, which `ManuallyDrop` keeps from being given up here.
            Dropped::GivenToThread => (),
            Dropped::Finished => {
                // SAFETY: finished with this handle alive, so the outcome lies there untaken.
                let dropped = unsafe { (header.vtable.drop_outcome)(header) };
                life::note_dropped(header, dropped);
                // SAFETY: S1: it has finished, and we are dropped.
                unsafe { self.release() };
            }
        }
    }
}

/// The right to wait for a thread's end and to take its result.
///
/// As std's, with [`cancel`](JoinHandle::cancel) besides. Dropping it lets the thread run on
/// alone; then nobody can join it.
pub struct JoinHandle<T>(pub(super) JoinInner<T>);

// SAFETY: spawning demanded `T: Send` (or made a `LocalJoinHandle`, which is not `Send`), and the
// header may be touched from anywhere.
unsafe impl<T> Send for JoinHandle<T> {}
// SAFETY: as above; nothing of `T` can be reached through a shared reference.
unsafe impl<T> Sync for JoinHandle<T> {}

impl<T> JoinHandle<T> {
    pub(crate) fn of(thread: HeaderRef, shared: &Arc<Shared>) -> JoinHandle<T> {
        JoinHandle(JoinInner::of(thread, shared))
    }

    /// Returns a handle to the thread itself.
    pub fn thread(&self) -> &Thread {
        self.0.thread()
    }

    /// Waits for the thread to end and returns its result.
    ///
    /// # Blocking
    ///
    /// Waits until the thread has ended. Cancelling the caller ends the wait by unwinding, and
    /// lets the joined thread run on. A kernel thread that calls it blocks. The kernel thread that
    /// built or ran an N:1 runtime runs it meanwhile.
    ///
    /// # Errors
    ///
    /// `Err` with the payload if the thread was unwound; see [`Result`]. Not if it was cut off and
    /// the caller is to end too, by the same deadline say: then the caller is unwound instead.
    ///
    /// # Panics
    ///
    /// If a thread joins itself.
    #[track_caller]
    pub fn join(self) -> Result<T> {
        self.0.join(Location::caller())
    }

    /// Returns whether the thread has ended. Then [`join`](JoinHandle::join) does not wait.
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }

    /// Asks the thread, and all threads of scopes that it waits for, to end.
    ///
    /// The thread is unwound from the call that waits, or from its next one; destructors run, no
    /// panic hook does, and its joiner gets [`Cancelled`](crate::thread::Cancelled). Code that
    /// catches the unwinding and goes on is unwound again at its next wait. A thread that has not
    /// started never does; one that has ended keeps its result. Does not wait, and never switches.
    ///
    /// The first reason stays, if several cancel the same thread.
    ///
    /// # Errors
    ///
    /// In a program built with `panic = "abort"`, where nothing can be unwound.
    #[track_caller]
    pub fn cancel(&self) -> std::result::Result<(), CancelError> {
        self.0.cancel(None, Location::caller())
    }

    /// Does the same and says why; the reason goes with the cancellation.
    ///
    /// # Errors
    ///
    /// As [`cancel`](JoinHandle::cancel).
    ///
    /// # Examples
    ///
    /// ```
    /// use sylvan::thread::{self, Cancelled};
    /// # sylvan::run(|| {
    /// let thread = thread::spawn(|| thread::park());
    /// thread.cancel_with("nobody needs the answer").unwrap();
    /// let payload = thread.join().unwrap_err();
    /// let cancelled = payload.downcast::<Cancelled>().expect("no panic");
    /// assert_eq!(cancelled.reason().message(), Some("nobody needs the answer"));
    /// # });
    /// ```
    #[track_caller]
    pub fn cancel_with(
        &self,
        why: impl Into<Cow<'static, str>>,
    ) -> std::result::Result<(), CancelError> {
        self.0.cancel(Some(why.into()), Location::caller())
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("thread", self.thread()).finish_non_exhaustive()
    }
}

/// The join handle of a thread that [`spawn_local`](crate::thread::spawn_local) made. It stays on
/// its kernel thread, as what it gives need not be `Send`.
pub struct LocalJoinHandle<T> {
    inner: JoinInner<T>,
    here: PhantomData<*const ()>,
}

impl<T> LocalJoinHandle<T> {
    pub(super) fn new(inner: JoinInner<T>) -> LocalJoinHandle<T> {
        LocalJoinHandle { inner, here: PhantomData }
    }

    pub(super) fn into_inner(self) -> JoinInner<T> {
        self.inner
    }

    /// Returns a handle to the thread itself.
    pub fn thread(&self) -> &Thread {
        self.inner.thread()
    }

    /// Waits for the thread to end and returns its result.
    ///
    /// # Blocking
    ///
    /// As [`JoinHandle::join`].
    ///
    /// # Errors
    ///
    /// As [`JoinHandle::join`].
    ///
    /// # Panics
    ///
    /// As [`JoinHandle::join`].
    #[track_caller]
    pub fn join(self) -> Result<T> {
        self.inner.join(Location::caller())
    }

    /// Returns whether the thread has ended.
    pub fn is_finished(&self) -> bool {
        self.inner.is_finished()
    }

    /// Asks the thread to end; see [`JoinHandle::cancel`].
    ///
    /// # Errors
    ///
    /// In a program built with `panic = "abort"`.
    #[track_caller]
    pub fn cancel(&self) -> std::result::Result<(), CancelError> {
        self.inner.cancel(None, Location::caller())
    }

    /// Does the same and says why; see [`JoinHandle::cancel_with`].
    ///
    /// # Errors
    ///
    /// In a program built with `panic = "abort"`.
    #[track_caller]
    pub fn cancel_with(
        &self,
        why: impl Into<Cow<'static, str>>,
    ) -> std::result::Result<(), CancelError> {
        self.inner.cancel(Some(why.into()), Location::caller())
    }
}

impl<T> fmt::Debug for LocalJoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalJoinHandle").field("thread", self.thread()).finish_non_exhaustive()
    }
}

/// The two arms of `sylvan::join`.
///
/// Inlined as far as its checks go, for the arms of a tree are such calls again: one frame for each
/// level, not two.
// SUSPENDS
#[inline(always)]
pub(crate) fn join_arms<A, B, RA, RB>(a: A, b: B, site: &'static Location<'static>) -> (RA, RB)
where
    A: FnOnce() -> RA,
    B: FnOnce() -> RB + Send,
    RB: Send,
{
    match inplace::place_of_arms() {
        Some((Place::Here, core)) => arm::on_this_stack(core, a, b, site),
        Some((Place::Elsewhere, core)) => arms_elsewhere(core, a, b, site),
        Some((Place::Thread, _)) => as_scope(a, b, site),
        None => arms_of_kernel_thread(a, b, site),
    }
}

/// On another stack, for too little is left of this one.
// SUSPENDS
#[cold]
#[inline(never)]
fn arms_elsewhere<A, B, RA, RB>(
    core: &Core,
    a: A,
    b: B,
    site: &'static Location<'static>,
) -> (RA, RB)
where
    A: FnOnce() -> RA,
    B: FnOnce() -> RB + Send,
    RB: Send,
{
    arm::on_segment(core, || match inplace::policy() {
        Policy::Never => as_scope(a, b, site),
        _ => arm::on_this_stack(core, a, b, site),
    })
}

/// Outside green threads.
// SUSPENDS
#[cold]
#[inline(never)]
fn arms_of_kernel_thread<A, B, RA, RB>(a: A, b: B, site: &'static Location<'static>) -> (RA, RB)
where
    A: FnOnce() -> RA,
    B: FnOnce() -> RB + Send,
    RB: Send,
{
    match spawn::current_runtime() {
        Ok(shared) if shared.config.mapping != Mapping::OneToOne => {
            arm::from_outside(&shared, a, b, site)
        }
        _ => as_scope(a, b, site),
    }
}

/// The same with a thread for `b`: under 1:1, and where nothing may run in place.
// SUSPENDS
#[cold]
#[inline(never)]
fn as_scope<A, B, RA, RB>(a: A, b: B, site: &'static Location<'static>) -> (RA, RB)
where
    A: FnOnce() -> RA,
    B: FnOnce() -> RB + Send,
    RB: Send,
{
    crate::thread::scope(|scope| {
        let b = scope.spawn(b);
        let first = a();
        match b.join_at(site) {
            Ok(second) => (first, second),
            Err(payload) => cut::unwind_by(payload),
        }
    })
}
