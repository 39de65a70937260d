//! Gives the lock-free parts one set of atomics, and of locks where they have one: the real ones,
//! or loom's.
//!
//! The state word, the inbox, the idle word and the join slots are checked by loom models that
//! stand beside them. A model needs loom's own atomics in place of std's; this file is the only
//! place that knows which of the two a build uses. It never holds logic.
#![forbid(unsafe_code)]

#[cfg(loom)]
pub(crate) use loom::cell::Cell;
#[cfg(loom)]
pub(crate) use loom::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, fence,
};
#[cfg(not(loom))]
pub(crate) use std::cell::Cell;
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, fence,
};

#[cfg(not(loom))]
pub(crate) use std::sync::Mutex;
pub(crate) use std::sync::atomic::Ordering;

/// Makes a function `const`, save in models: loom's atomics cannot be made before a model runs.
macro_rules! const_fn {
    ($(#[$attribute:meta])* $vis:vis const fn $($rest:tt)*) => {
        #[cfg(not(loom))]
        $(#[$attribute])*
        $vis const fn $($rest)*
        #[cfg(loom)]
        $(#[$attribute])*
        $vis fn $($rest)*
    };
}
pub(crate) use const_fn;

/// The frequent side of an asymmetric fence, whose rare side is `os::heavy_barrier`: it binds the
/// compiler only. Loom knows no such pair, so there both sides are full fences.
#[inline(always)]
pub(crate) fn light_barrier() {
    // ORDERING: SeqCst; the earlier stores and the later loads of either side.
    #[cfg(not(loom))]
    std::sync::atomic::compiler_fence(Ordering::SeqCst);
    #[cfg(loom)]
    fence(Ordering::SeqCst);
}

/// Gives way to the holder of a spin lock, who ends by [`unlock`]. In a model a spinner sleeps till
/// then: two that only let each other go on would do so for ever.
#[inline]
pub(crate) fn spin(backoff: &crossbeam_utils::Backoff) {
    #[cfg(loom)]
    {
        // Loom switches to other threads at its own calls only: whoever unlocks finds it.
        ignore_poison(SPINNERS.lock()).push(loom::thread::current());
        loom::thread::park();
    }
    backoff.snooze();
}

/// Gives a spin lock up.
#[inline]
pub(crate) fn unlock(flag: &AtomicBool, order: Ordering) {
    #[cfg(not(loom))]
    flag.store(false, order);
    #[cfg(loom)]
    {
        // No store, for loom lets an exchange miss one.
        flag.swap(false, order);
        ignore_poison(SPINNERS.lock()).drain(..).for_each(|thread| thread.unpark());
    }
}

#[cfg(loom)]
loom::lazy_static! {
    static ref SPINNERS: std::sync::Mutex<Vec<loom::thread::Thread>> = Default::default();
}

/// Checks a model in every order of its threads' steps with at most three preemptions, which is
/// where nearly all known bugs of such code show (Musuvathi and Qadeer 2007), and with every value
/// that a weakly ordered machine may read. Without the bound some models take hours.
#[cfg(all(loom, test))]
pub(crate) fn check(model: impl Fn() + Sync + Send + 'static) {
    check_within(3, model);
}

/// The same with another bound; `LOOM_MAX_PREEMPTIONS` overrules both.
#[cfg(all(loom, test))]
pub(crate) fn check_within(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    if std::env::var_os("LOOM_LOG").is_some() {
        // Only this entry prints a trace; its bound is `LOOM_MAX_PREEMPTIONS` alone.
        return loom::model(model);
    }
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(preemptions));
    builder.check(model);
}

/// What stands for a scheduler in a model: a thread that waits goes on when it was scheduled, and
/// stays away for ever, which loom reports, when it was not.
#[cfg(loom)]
pub(crate) struct Bell {
    /// Loom's own may also wake for nothing, so the rings are counted.
    notify: loom::sync::Notify,
    rings: AtomicUsize,
}

#[cfg(loom)]
impl Bell {
    pub(crate) fn new() -> Bell {
        Bell { notify: loom::sync::Notify::new(), rings: AtomicUsize::new(0) }
    }

    pub(crate) fn ring(&self) {
        // ORDERING: Release; who does not sleep must see what the ringer did, as who sleeps does.
        self.rings.fetch_add(1, Ordering::Release);
        self.notify.notify();
    }

    pub(crate) fn wait(&self) {
        // ORDERING: Acquire; pairs with `ring`.
        while self.rings.load(Ordering::Acquire) == 0 {
            self.notify.wait();
        }
        // ORDERING: Relaxed; only the waiting side takes rings away.
        self.rings.fetch_sub(1, Ordering::Relaxed);
    }
}

/// std's lock, for models in which a thread unwinds. Loom's own takes that for a panic of whoever
/// has the lock meanwhile, for all of a model's threads share one kernel thread.
#[cfg(loom)]
pub(crate) struct Mutex<T> {
    locked: AtomicBool,
    value: std::sync::Mutex<T>,
    parked: std::sync::Mutex<Vec<loom::thread::Thread>>,
}

#[cfg(loom)]
impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Mutex<T> {
        let value = std::sync::Mutex::new(value);
        Mutex { locked: AtomicBool::new(false), value, parked: Default::default() }
    }

    pub(crate) fn lock(&self) -> std::sync::LockResult<MutexGuard<'_, T>> {
        // ORDERING: Acquire; pairs with the Release of the last guard.
        while self.locked.swap(true, Ordering::Acquire) {
            // Loom switches to other threads at its own calls only: whoever unlocks finds it.
            ignore_poison(self.parked.lock()).push(loom::thread::current());
            loom::thread::park();
        }
        let value = ignore_poison(self.value.lock());
        Ok(MutexGuard { value: Some(value), mutex: self })
    }
}

#[cfg(loom)]
pub(crate) struct MutexGuard<'a, T> {
    value: Option<std::sync::MutexGuard<'a, T>>,
    mutex: &'a Mutex<T>,
}

#[cfg(loom)]
impl<T> std::ops::Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().expect("it is there until the drop")
    }
}

#[cfg(loom)]
impl<T> std::ops::DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().expect("it is there until the drop")
    }
}

#[cfg(loom)]
impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        self.value = None;
        // ORDERING: Release; pairs with the Acquire of the next one. No store, for loom lets a swap
        // miss one.
        self.mutex.locked.swap(false, Ordering::Release);
        for thread in ignore_poison(self.mutex.parked.lock()).drain(..) {
            thread.unpark();
        }
    }
}

#[cfg(loom)]
fn ignore_poison<G>(locked: std::sync::LockResult<G>) -> G {
    locked.unwrap_or_else(std::sync::PoisonError::into_inner)
}
