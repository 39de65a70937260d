//! What threads say to each other: std's `sync`, for green threads and kernel threads alike.

mod address;
mod barging;
mod condvar;
mod holder;
mod lazy_lock;
#[cfg(feature = "lock_api")]
pub mod lock_api;
mod mutex;
mod once;
mod once_lock;
mod poison;
mod rwlock;

pub use std::sync::{Arc, LockResult, PoisonError, TryLockError, TryLockResult, Weak, atomic};

pub use condvar::{Condvar, WaitTimeoutResult};
pub use lazy_lock::LazyLock;
pub use mutex::{Mutex, MutexGuard};
pub use once::{Once, OnceState};
pub use once_lock::OnceLock;
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
