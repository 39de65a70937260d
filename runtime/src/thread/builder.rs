//! The spawning calls, as std has them.

use std::io;
use std::panic::Location;

use crate::sched::config::Mapping;
use crate::sched::spawn::{self, Order};
use crate::sched::worker::Core;
use crate::task::scope::ScopeData;
use crate::thread::join::{JoinHandle, JoinInner, LocalJoinHandle};
use crate::thread::scope::{Scope, ScopedJoinHandle};

/// Sets a thread up before it is spawned.
///
/// As std's, with [`Builder::spawn_local`] besides.
///
/// # Examples
///
/// ```
/// use sylvan::thread;
///
/// let thread = thread::Builder::new().name("parser".to_string()).stack_size(1 << 20);
/// let handle = thread.spawn(|| thread::current().name().map(str::len))?;
/// assert_eq!(handle.join().unwrap(), Some(6));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Default, Debug)]
#[must_use = "a builder starts nothing before one of its spawn methods is called"]
pub struct Builder {
    name: Option<String>,
    stack_size: Option<usize>,
}

impl Builder {
    /// Returns a builder for a thread without a name, on a stack of the runtime's default size.
    pub fn new() -> Builder {
        Builder::default()
    }

    /// Names the thread: in reports, in the line that is printed when it panics, and for
    /// [`Thread::name`](crate::thread::Thread::name).
    ///
    /// # Panics
    ///
    /// The spawn panics if the name contains a zero byte, as std's does.
    pub fn name(mut self, name: String) -> Builder {
        self.name = Some(name);
        self
    }

    /// Asks for a stack of at least so many usable bytes.
    ///
    /// The default is 192 KiB (960 KiB with debug assertions), where std's is 2 MiB: memory is
    /// used only where it is touched, so ask for more where a port recurses deeply. A smaller
    /// size than the default is served by the default. Under 1:1 the size goes to the kernel
    /// thread, whose default is std's.
    ///
    /// # Units
    ///
    /// Bytes, from 1 to 64 GiB less 64 KiB; anything else fails the spawn.
    pub fn stack_size(mut self, bytes: usize) -> Builder {
        self.stack_size = Some(bytes);
        self
    }

    /// Spawns a thread on the runtime of the current one; see [`spawn`].
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a stack size that is not possible; what the system says if the default
    /// runtime, or under 1:1 the kernel thread, cannot be started; `NotConnected` if the runtime
    /// has shut down. The closure is dropped then.
    ///
    /// # Panics
    ///
    /// If the name contains a zero byte.
    #[track_caller]
    pub fn spawn<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let order = self.order(std::ptr::null(), false, Location::caller());
        // SAFETY: S1: both types are `'static`.
        let thread = unsafe { spawn::spawn(order, f) }?;
        Ok(JoinHandle(JoinInner::new(thread)))
    }

    /// Spawns a thread that may borrow from outside of `scope`; see
    /// [`scope`](fn@crate::thread::scope).
    ///
    /// # Errors
    ///
    /// As [`Builder::spawn`].
    ///
    /// # Panics
    ///
    /// If the name contains a zero byte.
    #[track_caller]
    pub fn spawn_scoped<'scope, 'env, F, T>(
        self,
        scope: &'scope Scope<'scope, 'env>,
        f: F,
    ) -> io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        let order = self.order(scope.data(), false, Location::caller());
        // SAFETY: S1: the scope waits for the thread before anything of `'scope` ends.
        let thread = unsafe { spawn::spawn(order, f) }?;
        Ok(ScopedJoinHandle::new(JoinInner::new(thread)))
    }

    /// Spawns a thread on the current worker, where it stays; see [`spawn_local`].
    ///
    /// # Errors
    ///
    /// `Unsupported` under 1:1 and on a kernel thread that is no worker, with the reason; else as
    /// [`Builder::spawn`].
    ///
    /// # Panics
    ///
    /// If the name contains a zero byte.
    #[track_caller]
    pub fn spawn_local<F, T>(self, f: F) -> io::Result<LocalJoinHandle<T>>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        if Core::current().is_none() {
            return Err(io::Error::new(io::ErrorKind::Unsupported, no_worker()));
        }
        let order = self.order(std::ptr::null(), true, Location::caller());
        // SAFETY: S1: both types are `'static`.
        let thread = unsafe { spawn::spawn(order, f) }?;
        Ok(LocalJoinHandle::new(JoinInner::new(thread)))
    }

    fn order(
        self,
        scope: *const ScopeData,
        local: bool,
        site: &'static Location<'static>,
    ) -> Order {
        if let Some(name) = &self.name {
            assert!(
                !name.contains('\0'),
                "the thread name {name:?} contains a zero byte; accepted: any text without one"
            );
        }
        let name = self.name.map(String::into_boxed_str);
        Order { name, stack_size: self.stack_size, scope, local, site }
    }
}

fn no_worker() -> String {
    let one_to_one =
        spawn::member_runtime().is_some_and(|shared| shared.config.mapping == Mapping::OneToOne);
    if one_to_one {
        "spawn_local is not possible under 1:1: its closure need not be Send, and here every \
         thread is a kernel thread of its own"
            .to_owned()
    } else {
        "spawn_local is not possible here: this kernel thread is no worker, so there is no place \
         where a closure that is not Send could run"
            .to_owned()
    }
}

/// Spawns a thread and returns its handle.
///
/// The thread belongs to the runtime of the current one; on a kernel thread that no runtime knows
/// it belongs to the default runtime, which is started from the environment if need be. It starts
/// on whichever worker takes it first, and never moves after that, so it may keep an `Rc` or a
/// lock guard over a wait.
///
/// # What safe code must not do
///
/// Green threads of one worker share its std thread-locals. Code that keeps *a raw pointer into a
/// stack frame* in a `std::thread_local!` and takes it out again in last-in-first-out order, such
/// as `scoped-tls` 1.x and some "enter" guards, is sound among kernel threads, and is a use after
/// free among green threads that wait in between, although neither side contains `unsafe`. Sylvan
/// and std cause no undefined behaviour; such crates can. A variable of
/// [`thread_local!`](crate::thread_local!) is per green thread and has no such limit.
///
/// Never switches: the new thread starts when the caller waits, or elsewhere.
///
/// # Panics
///
/// If the thread cannot be started, like std's; [`Builder::spawn`] gives an error instead.
///
/// # Examples
///
/// ```
/// let sum = sylvan::thread::spawn(|| (1..=10).sum::<i32>());
/// assert_eq!(sum.join().unwrap(), 55);
/// ```
#[track_caller]
#[inline]
pub fn spawn<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let order = Order::plain(Location::caller());
    // SAFETY: S1: both types are `'static`.
    match unsafe { spawn::spawn(order, f) } {
        Ok(thread) => JoinHandle(JoinInner::new(thread)),
        Err(error) => panic!("failed to spawn thread: {error}"),
    }
}

/// Spawns a thread that stays on the current worker from the start, so that its closure and its
/// result need not be `Send`.
///
/// Its handle is not `Send` either. std has no such function.
///
/// # Panics
///
/// Under 1:1, and on a kernel thread that is no worker; [`Builder::spawn_local`] gives an error
/// that says why.
///
/// # Examples
///
/// ```
/// use std::rc::Rc;
///
/// let runtime = sylvan::Runtime::builder().mapping(sylvan::Mapping::ManyToOne).build()?;
/// let length = runtime.run(|| {
///     let shared = Rc::new(String::from("not Send"));
///     let other = shared.clone();
///     sylvan::thread::spawn_local(move || other.len()).join().unwrap()
/// });
/// assert_eq!(length, 8);
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn spawn_local<F, T>(f: F) -> LocalJoinHandle<T>
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    match Builder::new().spawn_local(f) {
        Ok(handle) => handle,
        Err(error) => panic!("failed to spawn thread: {error}"),
    }
}
