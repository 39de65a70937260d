//! What threads say to each other: std's `sync`, for green threads and kernel threads alike.

mod address;
mod barging;
mod barrier;
mod condvar;
mod event;
mod holder;
#[cfg(feature = "lock_api")]
pub mod lock_api;
mod mutex;
mod poison;
mod rwlock;
mod semaphore;
mod wait_group;

pub use std::sync::{Arc, LockResult, PoisonError, TryLockError, TryLockResult, Weak, atomic};

pub use barrier::{Barrier, BarrierWaitResult};
pub use condvar::{Condvar, WaitTimeoutResult};
pub use event::Event;
pub use mutex::{Mutex, MutexGuard};
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use semaphore::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
pub use wait_group::WaitGroup;
