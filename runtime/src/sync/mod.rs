//! What threads say to each other: std's `sync`, for green threads and kernel threads alike.
//!
//! The names, signatures and promises are std's, so a program that imports `std::sync` may import
//! this instead. A green thread that waits here lets others of its worker run, where std's locks
//! would block the worker; a kernel thread blocks as ever. Each object may be shared by threads of
//! several runtimes and of none. What needs no waiting is std's own: `Arc`, `Weak`, the atomics and
//! the errors.
//!
//! | here | beyond std |
//! |---|---|
//! | [`Mutex`], [`RwLock`] | attempts with a deadline; a waiter that is passed over is handed it |
//! | [`Condvar`] | notified in the order of arrival |
//! | [`Once`], [`OnceLock`], [`LazyLock`], [`Barrier`] | – |
//! | [`Semaphore`], [`WaitGroup`], [`Event`] | not in std at all |
//!
//! std's channels are in [`mpsc`]; [`channel`](crate::channel) has more.
//!
//! # Cancellation
//!
//! Every wait here may be ended by a cancellation, which unwinds the thread. It takes nothing
//! along: a lock, a permit or a notification that was on its way goes to the next. It poisons no
//! lock, for it is no panic; [`Once`] and [`OnceLock`] are as if the initialiser had not been
//! called, and only a [`LazyLock`] is poisoned, for its closure is used up. No unlock, notification
//! or drop of a guard waits or switches to another thread.
//!
//! # Poisoning
//!
//! As in std, by the thread that panics while it holds a guard, and by no other: of several threads
//! of a worker each has a panic of its own, also while a destructor waits.

pub(crate) mod address;
mod barging;
mod barrier;
mod condvar;
mod event;
mod holder;
mod lazy_lock;
#[cfg(feature = "lock_api")]
pub mod lock_api;
pub mod mpsc;
mod mutex;
mod once;
mod once_lock;
mod poison;
mod rwlock;
mod semaphore;
mod wait_group;

pub use std::sync::{Arc, LockResult, PoisonError, TryLockError, TryLockResult, Weak, atomic};

pub use barrier::{Barrier, BarrierWaitResult};
pub use condvar::{Condvar, WaitTimeoutResult};
pub use event::Event;
pub use lazy_lock::LazyLock;
pub use mutex::{Mutex, MutexGuard};
pub use once::{Once, OnceState};
pub use once_lock::OnceLock;
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use semaphore::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
pub use wait_group::WaitGroup;
