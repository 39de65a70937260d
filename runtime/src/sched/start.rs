//! The start of a runtime, and what the first one does for the whole process.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once};

use crate::sched::config::{Config, Mapping};
use crate::sched::many_to_many;
use crate::sched::seeded;
use crate::sched::shared::{Hooks, Shared};
use crate::stack::overflow::{self, Report};
use crate::task::current;

/// Makes a runtime and starts its workers.
pub(crate) fn start(config: Config, hooks: Hooks, panic_hook: bool) -> io::Result<Arc<Shared>> {
    watch_forks();
    overflow::install()?;
    overflow::set_describer(describe_overflow);
    if panic_hook {
        install_panic_hook();
    }
    if config.shuffle.is_some() && !cfg!(debug_assertions) {
        say_that_nothing_is_shuffled();
    }
    let mapping = config.mapping;
    let (shared, mut deques) = Shared::new(config, hooks)?;
    match mapping {
        Mapping::OneToOne => (),
        Mapping::ManyToOne => {
            let deque = deques.pop().expect("an n:1 runtime has one worker");
            // SAFETY: S1: made just above.
            unsafe { shared.many_to_one.provide(deque) };
        }
        Mapping::ManyToMany => many_to_many::start(&shared, deques)?,
    }
    Ok(shared)
}

/// A variable that has no effect must not look as if it had one.
fn say_that_nothing_is_shuffled() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        eprintln!("sylvan: SYLVAN_SHUFFLE is set, but only debug builds shuffle; this is none");
    });
}

/// Puts our line in front of the panic hook that is there, once per process. std's own message
/// names the kernel thread, which is a worker and no help; ours names the green thread.
///
/// A hook that the program sets later replaces this one.
fn install_panic_hook() {
    static ONCE: Once = Once::new();
    if std::thread::panicking() && !ONCE.is_completed() {
        // A destructor starts the first runtime, and std lets no hook be set by who unwinds. If no
        // kernel thread can be had, the next start does it.
        let helper = std::thread::Builder::new().spawn(install_panic_hook);
        let _ = helper.map(std::thread::JoinHandle::join);
        return;
    }
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let green = current::green();
            // SAFETY: the running thread's header is alive.
            if let Some(thread) = unsafe { green.as_ref() } {
                let seed = seeded::seed_of(thread);
                let seed = seed.map_or(String::new(), |seed| format!(", under seed {seed}"));
                // Through std's macro, so that the test harness can capture it.
                eprintln!(
                    "green thread '{}' (number {}, spawned at {}{seed}) panicked:",
                    thread.name().unwrap_or("<unnamed>"),
                    thread.number(),
                    thread.site,
                );
            }
            before(info);
        }));
    });
}

/// Names the thread whose stack has overflowed. Runs in the signal handler: no lock, no
/// allocation.
fn describe_overflow(report: &mut Report) {
    use std::fmt::Write;
    let green = current::green();
    // SAFETY: the running thread's header is alive.
    let Some(thread) = (unsafe { green.as_ref() }) else {
        // Only `with_stack` puts a kernel thread on a stack of ours.
        let _ = report.write_str("a kernel thread, inside of thread::with_stack,");
        return;
    };
    let name = thread.name().unwrap_or("<unnamed>");
    let _ = write!(
        report,
        "thread '{name}' (green thread {}, spawned at {})",
        thread.number(),
        thread.site
    );
}

static FORKED: AtomicBool = AtomicBool::new(false);

/// After `fork` the child has one kernel thread, and the parent's workers, locks and queues are
/// copies that nobody will ever serve. Only `exec` is supported there; everything else says so.
pub(crate) fn watch_forks() {
    static ONCE: Once = Once::new();
    fn in_child() {
        // ORDERING: Relaxed; the child has one kernel thread.
        FORKED.store(true, Ordering::Relaxed);
    }
    ONCE.call_once(|| crate::os::at_fork_in_child(in_child));
}

/// Whether this process is a forked child of one that had runtimes.
pub(crate) fn is_forked_child() -> bool {
    // ORDERING: Relaxed; as above.
    FORKED.load(Ordering::Relaxed)
}

/// The error of calls in such a child.
pub(crate) fn forked_error() -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        "this process was forked from one that uses sylvan; only exec is supported in it",
    )
}
