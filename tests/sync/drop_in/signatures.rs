//! The signatures of `std::sync`, written out: a method that is generic where std's is not, takes
//! `self` differently or returns a type of its own does not fit the pointers here.
//!
//! What is re-exported has to be std's very own type, so that values pass between libraries.
#![forbid(unsafe_code)]

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use super::sync::{
    Arc, Barrier, BarrierWaitResult, Condvar, LazyLock, LockResult, Mutex, MutexGuard, Once,
    OnceLock, OnceState, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError,
    TryLockResult, WaitTimeoutResult, Weak, atomic,
};

fn lends<G: Deref<Target = [u8]>>() {}
fn lends_mutably<G: DerefMut<Target = [u8]>>() {}

#[test]
fn mutex_has_stds_signatures() {
    type Guard<'a> = MutexGuard<'a, [u8]>;
    let new: Mutex<i32> = const { Mutex::new(1) };
    let _: fn(i32) -> Mutex<i32> = Mutex::new;
    let _: fn(i32) -> Mutex<i32> = Mutex::from;
    let _: for<'a> fn(&'a Mutex<[u8]>) -> LockResult<Guard<'a>> = Mutex::lock;
    let _: for<'a> fn(&'a Mutex<[u8]>) -> TryLockResult<Guard<'a>> = Mutex::try_lock;
    let _: fn(&Mutex<[u8]>) -> bool = Mutex::is_poisoned;
    let _: fn(&Mutex<[u8]>) = Mutex::clear_poison;
    let _: fn(Mutex<i32>) -> LockResult<i32> = Mutex::into_inner;
    let _: for<'a> fn(&'a mut Mutex<[u8]>) -> LockResult<&'a mut [u8]> = Mutex::get_mut;
    let _ = lends_mutably::<Guard<'_>>;
    assert_eq!(new.into_inner().unwrap(), 1);
}

#[test]
fn rwlock_has_stds_signatures() {
    type Read<'a> = RwLockReadGuard<'a, [u8]>;
    type Write<'a> = RwLockWriteGuard<'a, [u8]>;
    let new: RwLock<i32> = const { RwLock::new(1) };
    let _: fn(i32) -> RwLock<i32> = RwLock::new;
    let _: fn(i32) -> RwLock<i32> = RwLock::from;
    let _: for<'a> fn(&'a RwLock<[u8]>) -> LockResult<Read<'a>> = RwLock::read;
    let _: for<'a> fn(&'a RwLock<[u8]>) -> TryLockResult<Read<'a>> = RwLock::try_read;
    let _: for<'a> fn(&'a RwLock<[u8]>) -> LockResult<Write<'a>> = RwLock::write;
    let _: for<'a> fn(&'a RwLock<[u8]>) -> TryLockResult<Write<'a>> = RwLock::try_write;
    let _: fn(&RwLock<[u8]>) -> bool = RwLock::is_poisoned;
    let _: fn(&RwLock<[u8]>) = RwLock::clear_poison;
    let _: fn(RwLock<i32>) -> LockResult<i32> = RwLock::into_inner;
    let _: for<'a> fn(&'a mut RwLock<[u8]>) -> LockResult<&'a mut [u8]> = RwLock::get_mut;
    let _ = lends::<Read<'_>>;
    let _ = lends_mutably::<Write<'_>>;
    let _: for<'a> fn(Write<'a>) -> Read<'a> = |guard| RwLockWriteGuard::downgrade(guard);
    assert_eq!(new.into_inner().unwrap(), 1);
}

#[test]
fn condvar_has_stds_signatures() {
    type Guard<'a> = MutexGuard<'a, i32>;
    type Waited<'a> = LockResult<(Guard<'a>, WaitTimeoutResult)>;
    type Condition = fn(&mut i32) -> bool;
    type WaitWhile = for<'a> fn(&Condvar, Guard<'a>, Condition) -> LockResult<Guard<'a>>;
    let new: Condvar = const { Condvar::new() };
    let _: fn() -> Condvar = Condvar::new;
    let _: fn() -> Condvar = Condvar::default;
    let _: for<'a> fn(&Condvar, Guard<'a>) -> LockResult<Guard<'a>> = Condvar::wait;
    let _: WaitWhile = Condvar::wait_while::<i32, Condition>;
    let _: for<'a> fn(&Condvar, Guard<'a>, Duration) -> Waited<'a> = Condvar::wait_timeout;
    let _: for<'a> fn(&Condvar, Guard<'a>, Duration, Condition) -> Waited<'a> =
        Condvar::wait_timeout_while::<i32, Condition>;
    let _: fn(&Condvar) = Condvar::notify_one;
    let _: fn(&Condvar) = Condvar::notify_all;
    let _: fn(&WaitTimeoutResult) -> bool = WaitTimeoutResult::timed_out;
    new.notify_one();
}

#[test]
fn once_has_stds_signatures() {
    let new: Once = const { Once::new() };
    let _: fn() -> Once = Once::new;
    let _: fn(&Once, fn()) = Once::call_once::<fn()>;
    let _: fn(&Once, fn(&OnceState)) = Once::call_once_force::<fn(&OnceState)>;
    let _: fn(&Once) -> bool = Once::is_completed;
    let _: fn(&Once) = Once::wait;
    let _: fn(&Once) = Once::wait_force;
    let _: fn(&OnceState) -> bool = OnceState::is_poisoned;
    assert!(!new.is_completed());
}

#[test]
fn once_lock_has_stds_signatures() {
    type Cell = OnceLock<String>;
    type Make = fn() -> String;
    let new: Cell = const { OnceLock::new() };
    let _: fn() -> Cell = OnceLock::new;
    let _: fn() -> Cell = OnceLock::default;
    let _: fn(String) -> Cell = OnceLock::from;
    let _: for<'a> fn(&'a Cell) -> Option<&'a String> = OnceLock::get;
    let _: for<'a> fn(&'a mut Cell) -> Option<&'a mut String> = OnceLock::get_mut;
    let _: for<'a> fn(&'a Cell) -> &'a String = OnceLock::wait;
    let _: fn(&Cell, String) -> Result<(), String> = OnceLock::set;
    let _: for<'a> fn(&'a Cell, Make) -> &'a String = OnceLock::get_or_init::<Make>;
    let _: fn(Cell) -> Option<String> = OnceLock::into_inner;
    let _: fn(&mut Cell) -> Option<String> = OnceLock::take;
    let _: fn(&Cell) -> Cell = OnceLock::clone;
    let _: fn(&Cell, &Cell) -> bool = OnceLock::eq;
    assert_eq!(new.get(), None);
}

#[test]
fn lazy_lock_has_stds_signatures() {
    type Make = fn() -> i32;
    type Lazy = LazyLock<i32>;
    let new: Lazy = const { LazyLock::new(|| 1) };
    let _: fn(Make) -> LazyLock<i32, Make> = LazyLock::new;
    let _: fn() -> Lazy = LazyLock::default;
    let _: for<'a> fn(&'a Lazy) -> &'a i32 = LazyLock::force;
    let _: for<'a> fn(&'a mut Lazy) -> &'a mut i32 = LazyLock::force_mut;
    let _: for<'a> fn(&'a Lazy) -> Option<&'a i32> = LazyLock::get;
    let _: for<'a> fn(&'a mut Lazy) -> Option<&'a mut i32> = LazyLock::get_mut;
    let _: for<'a> fn(&'a Lazy) -> &'a i32 = LazyLock::deref;
    let _: for<'a> fn(&'a mut Lazy) -> &'a mut i32 = LazyLock::deref_mut;
    assert_eq!(*new, 1);
}

#[test]
fn barrier_has_stds_signatures() {
    let new: Barrier = const { Barrier::new(1) };
    let _: fn(usize) -> Barrier = Barrier::new;
    let _: fn(&Barrier) -> BarrierWaitResult = Barrier::wait;
    let _: fn(&BarrierWaitResult) -> bool = BarrierWaitResult::is_leader;
    assert!(new.wait().is_leader());
}

#[test]
fn re_exported_types_are_stds_own() {
    let shared: std::sync::Arc<i32> = Arc::new(1);
    let weak: std::sync::Weak<i32> = Arc::downgrade(&shared);
    let _: Weak<i32> = weak;
    let _: std::sync::atomic::AtomicU32 = atomic::AtomicU32::new(1);
    let _: std::sync::PoisonError<i32> = PoisonError::new(1);
    let _: std::sync::LockResult<i32> = LockResult::Ok(1);
    let error: std::sync::TryLockError<i32> = TryLockError::from(PoisonError::new(1));
    let tried: std::sync::TryLockResult<i32> = TryLockResult::Err(error);
    assert!(matches!(tried, Err(TryLockError::Poisoned(_))));
}
