//! The primitives of peers whose threads block, behind the few calls that the rows need.
//!
//! A row's work is written once against these traits, so that all peers do the same. The calls are
//! generic and inlined; there is no table in between. What a lock guards is a number, so that each
//! row can check that no section was lost.
#![forbid(unsafe_code)]

pub(super) trait Mutex: Send + Sync + 'static {
    fn new() -> Self;
    /// Locks, adds one, unlocks.
    fn add_one(&self);
    fn total(&self) -> u64;
}

pub(super) trait RwLock: Send + Sync + 'static {
    fn new() -> Self;
    fn read(&self) -> u64;
    /// Locks for writing, adds one, unlocks.
    fn add_one(&self);
}

pub(super) trait Semaphore: Send + Sync + 'static {
    fn new(permits: usize) -> Self;
    /// Acquires a permit, calls `f`, releases it.
    fn with_permit(&self, f: impl FnOnce());
}

pub(super) trait Barrier: Send + Sync + 'static {
    fn new(threads: usize) -> Self;
    fn wait(&self);
}

/// Whose turn it is: a number behind a mutex, and a condition variable. Turn 0 is first.
pub(super) trait Turn: Send + Sync + 'static {
    fn new() -> Self;
    /// Waits for turn `own`, then makes it turn `next`.
    fn hand_over(&self, own: u64, next: u64);
}

const NO_PANIC: &str = "nobody panics inside";

/// What peers with the names of std do alike.
macro_rules! std_shaped {
    ($($sync:ident)::+) => {
        impl Mutex for $($sync)::+::Mutex<u64> {
            fn new() -> Self {
                Self::new(0)
            }

            #[inline]
            fn add_one(&self) {
                *self.lock().expect(NO_PANIC) += 1;
            }

            fn total(&self) -> u64 {
                *self.lock().expect(NO_PANIC)
            }
        }

        impl RwLock for $($sync)::+::RwLock<u64> {
            fn new() -> Self {
                Self::new(0)
            }

            #[inline]
            fn read(&self) -> u64 {
                *self.read().expect(NO_PANIC)
            }

            #[inline]
            fn add_one(&self) {
                *self.write().expect(NO_PANIC) += 1;
            }
        }

        impl Barrier for $($sync)::+::Barrier {
            fn new(threads: usize) -> Self {
                Self::new(threads)
            }

            #[inline]
            fn wait(&self) {
                self.wait();
            }
        }

        impl Turn for ($($sync)::+::Mutex<u64>, $($sync)::+::Condvar) {
            fn new() -> Self {
                (Mutex::new(), $($sync)::+::Condvar::new())
            }

            #[inline]
            fn hand_over(&self, own: u64, next: u64) {
                let turn = self.0.lock().expect(NO_PANIC);
                let mut turn = self.1.wait_while(turn, |turn| *turn != own).expect(NO_PANIC);
                *turn = next;
                self.1.notify_one();
            }
        }
    };
}

std_shaped!(may::sync);
std_shaped!(std::sync);
std_shaped!(sylvan::sync);

impl Mutex for parking_lot::Mutex<u64> {
    fn new() -> Self {
        Self::new(0)
    }

    #[inline]
    fn add_one(&self) {
        *self.lock() += 1;
    }

    fn total(&self) -> u64 {
        *self.lock()
    }
}

impl RwLock for parking_lot::RwLock<u64> {
    fn new() -> Self {
        Self::new(0)
    }

    #[inline]
    fn read(&self) -> u64 {
        *self.read()
    }

    #[inline]
    fn add_one(&self) {
        *self.write() += 1;
    }
}

impl Turn for (parking_lot::Mutex<u64>, parking_lot::Condvar) {
    fn new() -> Self {
        (Mutex::new(), parking_lot::Condvar::new())
    }

    #[inline]
    fn hand_over(&self, own: u64, next: u64) {
        let mut turn = self.0.lock();
        self.1.wait_while(&mut turn, |turn| *turn != own);
        *turn = next;
        self.1.notify_one();
    }
}

impl Semaphore for sylvan::sync::Semaphore {
    fn new(permits: usize) -> Self {
        Self::new(permits)
    }

    #[inline]
    fn with_permit(&self, f: impl FnOnce()) {
        let _permit = self.acquire();
        f();
    }
}

impl Semaphore for may::sync::Semphore {
    fn new(permits: usize) -> Self {
        Self::new(permits)
    }

    #[inline]
    fn with_permit(&self, f: impl FnOnce()) {
        self.wait();
        f();
        self.post();
    }
}
