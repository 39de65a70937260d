//! The traits of sylvan's types are those of std's, looked up for both and compared.
//!
//! Not by programs that must not compile, of which `runtime-macros/tests/ui` has a few: their
//! messages say where a trait fails inside the library, and would have to be corrected with every
//! edit there. A probe answers yes or no, for any type without type parameters.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::rc::Rc;
use std::sync as stds;

use sylvan::sync as ours;
use sylvan_workspace::{implements, traits_of};

/// Compares `std::sync::X` with `sylvan::sync::X`, for each `X` given.
macro_rules! expect_the_same {
    ($($name:ident $(<$($argument:ty),+>)? $(of $life:lifetime, $lent:ty)?;)+) => {
        $(
            let of_std = traits_of!(stds::$name $(<$($argument),+>)? $(<$life, $lent>)?);
            let of_ours = traits_of!(ours::$name $(<$($argument),+>)? $(<$life, $lent>)?);
            let name = stringify!($name $(<$($argument),+>)? $(<$life, $lent>)?);
            assert_eq!(of_ours, of_std, "left: what sylvan's {name} has; right: what std's has");
        )+
    };
}

/// Can go to other threads, but not be looked at from there.
type NotSync = Cell<i32>;
/// Must stay where it is.
type NotSend = Rc<i32>;
/// Can be looked at from other threads, but must be dropped where it is.
type OnlySync = stds::MutexGuard<'static, i32>;
/// May be left in a state that no catcher of a panic should see.
type NotUnwindSafe = &'static mut i32;

#[test]
fn probe_tells_yes_from_no() {
    assert_eq!((implements!(i32: Send), implements!(NotSend: Send)), (true, false));
    assert_eq!((implements!(OnlySync: Sync), implements!(OnlySync: Send)), (true, false));
    assert_eq!((implements!(NotSync: Send), implements!(NotSync: Sync)), (true, false));
    assert!(!implements!(NotUnwindSafe: std::panic::UnwindSafe));
    assert!(implements!([u8]: Send) && !implements!([u8]: Clone));
}

#[test]
fn guards_stay_with_their_thread_and_locks_go() {
    assert!(!implements!(ours::MutexGuard<'static, i32>: Send));
    assert!(!implements!(ours::RwLockReadGuard<'static, i32>: Send));
    assert!(!implements!(ours::RwLockWriteGuard<'static, i32>: Send));
    assert!(!implements!(ours::MutexGuard<'static, NotSync>: Sync));
    assert!(implements!(ours::Mutex<NotSync>: Send) && implements!(ours::Mutex<NotSync>: Sync));
    assert!(!implements!(ours::Mutex<NotSend>: Send) && !implements!(ours::Mutex<NotSend>: Sync));
    assert!(implements!(ours::RwLock<NotSync>: Send) && !implements!(ours::RwLock<NotSync>: Sync));
    assert!(!implements!(ours::OnceLock<NotSync>: Sync));
    assert!(!implements!(ours::LazyLock<NotSync>: Sync));
}

#[test]
fn what_is_beyond_std_goes_anywhere_and_is_no_matter_in_a_panic() {
    macro_rules! expect_all {
        ($($subject:ty)+) => {
            $(
                let has = traits_of!($subject);
                let wanted = ["Send", "Sync", "Unpin", "UnwindSafe", "RefUnwindSafe", "Debug"];
                assert_eq!(has[..6], wanted, "{}", stringify!($subject));
            )+
        };
    }
    expect_all!(ours::Semaphore ours::SemaphorePermit<'static> ours::OwnedSemaphorePermit);
    expect_all!(ours::Event ours::WaitGroup);
    assert!(implements!(ours::WaitGroup: Clone) && implements!(ours::WaitGroup: Default));
    assert!(!implements!(ours::SemaphorePermit<'static>: Clone));
    assert!(!implements!(ours::OwnedSemaphorePermit: Clone));
}

#[test]
fn mutex_and_its_guard_have_stds_traits() {
    expect_the_same! {
        Mutex<i32>;
        Mutex<NotSync>;
        Mutex<NotSend>;
        Mutex<OnlySync>;
        Mutex<NotUnwindSafe>;
        Mutex<[u8]>;
        Mutex<dyn std::any::Any>;
        Mutex<dyn std::any::Any + Send>;
        Mutex<std::marker::PhantomPinned>;
        MutexGuard of 'static, i32;
        MutexGuard of 'static, NotSync;
        MutexGuard of 'static, NotSend;
        MutexGuard of 'static, OnlySync;
        MutexGuard of 'static, NotUnwindSafe;
        MutexGuard of 'static, [u8];
        MutexGuard of 'static, str;
    }
}

#[test]
fn rwlock_and_its_guards_have_stds_traits() {
    expect_the_same! {
        RwLock<i32>;
        RwLock<NotSync>;
        RwLock<NotSend>;
        RwLock<OnlySync>;
        RwLock<NotUnwindSafe>;
        RwLock<[u8]>;
        RwLock<dyn std::any::Any + Send>;
        RwLock<dyn std::any::Any + Send + Sync>;
        RwLock<std::marker::PhantomPinned>;
        RwLockReadGuard of 'static, i32;
        RwLockReadGuard of 'static, NotSync;
        RwLockReadGuard of 'static, NotSend;
        RwLockReadGuard of 'static, OnlySync;
        RwLockReadGuard of 'static, NotUnwindSafe;
        RwLockReadGuard of 'static, [u8];
        RwLockReadGuard of 'static, str;
        RwLockWriteGuard of 'static, i32;
        RwLockWriteGuard of 'static, NotSync;
        RwLockWriteGuard of 'static, NotSend;
        RwLockWriteGuard of 'static, OnlySync;
        RwLockWriteGuard of 'static, NotUnwindSafe;
        RwLockWriteGuard of 'static, [u8];
        RwLockWriteGuard of 'static, str;
    }
}

#[test]
fn once_cells_have_stds_traits() {
    expect_the_same! {
        Once;
        OnceState;
        OnceLock<i32>;
        OnceLock<f32>;
        OnceLock<NotSync>;
        OnceLock<NotSend>;
        OnceLock<OnlySync>;
        OnceLock<NotUnwindSafe>;
        OnceLock<std::marker::PhantomPinned>;
        LazyLock<i32>;
        LazyLock<NotSync>;
        LazyLock<NotSend>;
        LazyLock<OnlySync>;
        LazyLock<NotUnwindSafe>;
        LazyLock<std::marker::PhantomPinned>;
        LazyLock<i32, NotSync>;
        LazyLock<i32, NotSend>;
        LazyLock<i32, OnlySync>;
        LazyLock<i32, NotUnwindSafe>;
    }
}

#[test]
fn condvar_and_barrier_have_stds_traits() {
    expect_the_same! {
        Condvar;
        WaitTimeoutResult;
        Barrier;
        BarrierWaitResult;
    }
}

#[test]
#[cfg_attr(debug_assertions, ignore = "locks of debug builds note who holds them")]
fn locks_are_no_larger_than_stds() {
    macro_rules! expect_no_larger {
        ($($subject:ident<$argument:ty>)+) => {
            $(
                let of_std = size_of::<stds::$subject<$argument>>();
                let of_ours = size_of::<ours::$subject<$argument>>();
                let name = stringify!($subject<$argument>);
                assert!(of_ours <= of_std, "{name}: {of_ours} bytes, and std's has {of_std}");
            )+
        };
    }
    expect_no_larger!(Mutex<()> Mutex<u8> Mutex<u64> RwLock<()> RwLock<u8> RwLock<u64>);
    // Ours says by an `Option` that the value is there, which costs nothing where it has a niche.
    expect_no_larger!(OnceLock<u8> OnceLock<String> LazyLock<u64>);
}
