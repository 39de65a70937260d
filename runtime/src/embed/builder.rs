//! Setting a runtime up by calls.
#![forbid(unsafe_code)]

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::embed::runtime::Runtime;
use crate::sched::config::{Mapping, Wishes};
use crate::sched::seeded::Plan;
use crate::sched::shared::Hooks;
use crate::sched::start;

/// Sets a runtime up before it is built.
///
/// What is not said here comes from the environment, and what is not said there from the
/// defaults. The environment is checked in any case.
///
/// | call | variable | default |
/// |---|---|---|
/// | `mapping` | `SYLVAN_MAPPING`: `1:1`, `n:1`, `m:n` | `m:n` |
/// | `workers` | `SYLVAN_WORKERS`: 1 to 1024 | processors that the process may use |
/// | `stack_size` | `SYLVAN_STACK_SIZE`: bytes, `64K`, `1M` | 192 KiB; with debug assertions 960 |
/// | `blocking_threads` | `SYLVAN_BLOCKING_THREADS`: 1 to 65536 | 512 |
///
/// # Examples
///
/// ```
/// use sylvan::{Mapping, Runtime};
///
/// let runtime = Runtime::builder().mapping(Mapping::ManyToMany).workers(2).build()?;
/// assert_eq!(runtime.config().workers, 2);
/// assert_eq!(runtime.run(|| 6 * 7), 42);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
#[must_use = "a builder builds nothing before `build` is called"]
pub struct Builder {
    wishes: Wishes,
    hooks: Hooks,
    panic_hook: bool,
}

impl Default for Builder {
    fn default() -> Builder {
        Builder::new()
    }
}

impl Builder {
    /// Returns a builder that was told nothing.
    pub fn new() -> Builder {
        Builder { wishes: Wishes::default(), hooks: Hooks::default(), panic_hook: true }
    }

    /// A builder for a seeded run.
    pub(crate) fn seeded(plan: Plan) -> Builder {
        let mut builder = Builder::new();
        builder.wishes.seeded = Some(plan);
        builder
    }

    /// Says how user threads lie on kernel threads.
    pub fn mapping(mut self, mapping: Mapping) -> Builder {
        self.wishes.mapping = Some(mapping);
        self
    }

    /// Says how many workers an M:N runtime has; 1:1 and N:1 ignore it, so that a program can be
    /// switched to them without a change.
    ///
    /// # Units
    ///
    /// Kernel threads, 1 to 1024; anything else fails the build.
    pub fn workers(mut self, count: usize) -> Builder {
        self.wishes.workers = Some(count);
        self
    }

    /// Says how large the stacks of threads are that ask for nothing else.
    ///
    /// # Units
    ///
    /// Usable bytes, 1 to 64 GiB less 64 KiB. Rounded up: to the default, or to twice a smaller
    /// class; [`Runtime::config`] shows to what. Memory is used where it is touched.
    pub fn stack_size(mut self, bytes: usize) -> Builder {
        self.wishes.stack_size = Some(bytes);
        self
    }

    /// Says how many kernel threads may at most wait in blocking calls, such as the resolution of
    /// a name.
    ///
    /// They are the process's, start as they are needed, and leave when they were idle for 10 s. A
    /// call that needs one looks at the bound of its own runtime; beyond it calls wait their turn.
    ///
    /// # Units
    ///
    /// Kernel threads, 1 to 65536.
    pub fn blocking_threads(mut self, count: usize) -> Builder {
        self.wishes.blocking_threads = Some(count);
        self
    }

    /// Says how long the end of the runtime waits for its cancelled threads; see [`Runtime`].
    ///
    /// # Units
    ///
    /// Zero leaks at once what has not ended; the default is 1 s.
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Builder {
        self.wishes.shutdown_timeout = Some(timeout);
        self
    }

    /// Names the runtime: its kernel threads are called `NAME-0`, `NAME-1` and so on.
    pub fn name(mut self, name: impl Into<String>) -> Builder {
        self.wishes.name = Some(name.into());
        self
    }

    /// Has `f` called on each worker's kernel thread before it runs its first thread.
    ///
    /// The call is not in a green thread: what waits there blocks the worker. 1:1 has no workers.
    pub fn on_worker_start(mut self, f: impl Fn() + Send + Sync + 'static) -> Builder {
        self.hooks.on_worker_start = Some(Arc::new(f));
        self
    }

    /// Has `f` called on each worker's kernel thread after it ran its last thread.
    ///
    /// Not called on a worker that stays with threads that had to be leaked.
    pub fn on_worker_stop(mut self, f: impl Fn() + Send + Sync + 'static) -> Builder {
        self.hooks.on_worker_stop = Some(Arc::new(f));
        self
    }

    /// Says whether a line with the green thread's name and spawn site is printed before the
    /// message of a panic, which names the kernel thread. On unless `false` is said.
    ///
    /// The first runtime that wants it puts a panic hook before the one that is there, for the
    /// whole process and for good. A hook that the program sets later replaces it.
    pub fn panic_hook(mut self, wanted: bool) -> Builder {
        self.panic_hook = wanted;
        self
    }

    /// Builds the runtime and, under M:N, starts its workers.
    ///
    /// # Blocking
    ///
    /// Waits until every worker has started, as long as a kernel thread takes for that. Where the
    /// process has several kernel threads already, the first runtime of more workers than one
    /// registers with the kernel besides (`membarrier`), which takes some 20 ms, once.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a value or a variable that is not possible; the message names it and
    /// says what is accepted. What the system says if it refuses a kernel thread; the workers
    /// that were started before are gone then.
    pub fn build(self) -> io::Result<Runtime> {
        let config = self.wishes.resolve()?;
        start::start(config, self.hooks, self.panic_hook).map(Runtime::new)
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("wishes", &self.wishes)
            .field("on_worker_start", &self.hooks.on_worker_start.is_some())
            .field("on_worker_stop", &self.hooks.on_worker_stop.is_some())
            .field("panic_hook", &self.panic_hook)
            .finish()
    }
}
