//! The 1:1 mapping: each thread of the program is a kernel thread.
//!
//! There is no worker and no queue; a thread's header does the same service as elsewhere, and the
//! door lets a kernel thread sleep on its state word. What this file adds is the book: which
//! kernel threads there are, so that a shutdown can cancel and join them all, and none is left
//! behind by a runtime that goes.
//!
//! The book is a locked table. Starting a kernel thread costs tens of microseconds, so the lock
//! is not what anybody waits for.

use std::collections::HashMap;
use std::io;
use std::num::NonZeroU64;
use std::ptr::NonNull;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::os;
use crate::sched::door;
use crate::sched::life;
use crate::sched::shared::Shared;
use crate::sched::spawn;
use crate::task::{Header, HeaderRef, Sequence, current};

/// The book of a 1:1 runtime.
pub(crate) struct OneToOne(Mutex<Book>);

#[derive(Default)]
struct Book {
    /// Started and not yet joined, by number.
    threads: HashMap<NonZeroU64, Entry>,
    /// Those whose thread is about to end, or has ended.
    ending: Vec<NonZeroU64>,
    /// Who waits for the live count to reach zero.
    waiter: Option<(HeaderRef, Sequence)>,
}

struct Entry {
    header: HeaderRef,
    kernel: Option<std::thread::JoinHandle<()>>,
}

impl OneToOne {
    pub(crate) fn new() -> OneToOne {
        OneToOne(Mutex::new(Book::default()))
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// All threads that have not ended.
    pub(crate) fn threads(&self) -> Vec<HeaderRef> {
        self.book().threads.values().map(|entry| entry.header.clone()).collect()
    }

    /// Says who is to be woken when a thread ends and none is left.
    pub(crate) fn set_waiter(&self, waiter: Option<(HeaderRef, Sequence)>) {
        self.book().waiter = waiter;
    }

    /// Joins the kernel threads whose green half has ended; a moment each, for they are leaving.
    pub(crate) fn reap(&self) {
        let ended: Vec<_> = {
            let mut book = self.book();
            let mut ending = std::mem::take(&mut book.ending);
            // A thread that spawns while it ends itself is left to its joiner.
            book.ending = ending.extract_if(.., |id| book.is_of_caller(*id)).collect();
            ending.iter().filter_map(|id| book.threads.remove(id)?.kernel).collect()
        };
        for kernel in ended {
            join_kernel(kernel);
        }
    }

    /// Joins the kernel thread of one thread that has ended, so that its thread-locals are gone
    /// when its join returns, as in std.
    pub(crate) fn reap_one(&self, id: NonZeroU64) {
        let entry = {
            let mut book = self.book();
            book.ending.retain(|ended| *ended != id);
            book.threads.remove(&id)
        };
        if let Some(kernel) = entry.and_then(|entry| entry.kernel) {
            join_kernel(kernel);
        }
    }
}

impl Book {
    /// Whether it is the caller that is the kernel thread of `id`.
    fn is_of_caller(&self, id: NonZeroU64) -> bool {
        let kernel = self.threads.get(&id).and_then(|entry| entry.kernel.as_ref());
        kernel.is_some_and(|kernel| kernel.thread().id() == std::thread::current().id())
    }
}

fn join_kernel(kernel: std::thread::JoinHandle<()>) {
    if kernel.thread().id() == std::thread::current().id() {
        // A thread that spawns or joins while it ends itself: it will be gone by itself.
        return;
    }
    // Its own closure catches everything, so the join gives no panic.
    let _ = kernel.join();
}

/// Starts the kernel thread of `thread`.
pub(crate) fn start(
    shared: &Arc<Shared>,
    thread: NonNull<Header>,
    handle: HeaderRef,
    stack_size: Option<usize>,
) -> io::Result<HeaderRef> {
    shared.one_to_one.reap();
    let mut builder = std::thread::Builder::new();
    if let Some(name) = handle.name() {
        builder = builder.name(name.to_owned());
    }
    let given = shared.config.stack_size_given.then_some(shared.config.stack_size);
    if let Some(bytes) = stack_size.or(given) {
        builder = builder.stack_size(bytes);
    }
    let id = handle.id;
    // Entered before the start: the thread may end before `spawn` has returned here.
    let entry = Entry { header: handle.clone(), kernel: None };
    shared.one_to_one.book().threads.insert(id, entry);
    let started = {
        let shared = shared.clone();
        let thread = Carried(thread);
        // Named whole, or the closure would capture the pointer inside, which is not `Send`.
        builder.spawn(move || {
            let carried = thread;
            run(&shared, carried.0);
        })
    };
    match started {
        Ok(kernel) => {
            // If it was reaped already, nobody needs the handle any more.
            if let Some(entry) = shared.one_to_one.book().threads.get_mut(&id) {
                entry.kernel = Some(kernel);
            }
            Ok(handle)
        }
        Err(error) => {
            shared.one_to_one.book().threads.remove(&id);
            shared.outside.spawned.fetch_sub(1, Ordering::SeqCst);
            spawn::unmake(thread, handle);
            Err(error)
        }
    }
}

struct Carried(NonNull<Header>);

// SAFETY: it is the scheduler's reference to a thread that has not started.
unsafe impl Send for Carried {}

/// The body of the kernel thread: the same steps as on a worker, see `life`.
fn run(shared: &Arc<Shared>, thread: NonNull<Header>) {
    // SAFETY: the scheduler's reference is ours until the release below.
    let header = unsafe { thread.as_ref() };
    // This kernel thread is ours, as a worker is, and sleeps as exactly.
    os::set_timer_slack(1);
    current::adopt_kernel_thread(HeaderRef::new(header), shared.clone());
    let ended = spawn::is_shutting_down(shared).then_some(&**shared);
    life::run_closure(header, ended, None);
    // In the book before the end is announced: a joiner looks there for the kernel thread.
    let book = || shared.one_to_one.book().ending.push(header.id);
    let scope = header.scope.get();
    let at_end = life::end_user_code(header, book, || ());
    // What runs here still, a waker or destructors of std's thread-locals, is another thread.
    current::retire_kernel_thread();
    // SAFETY: S1: the thread has ended just now.
    if let Some(waker) = unsafe { life::announce_end(thread, scope, at_end) } {
        life::call_quietly(waker);
    }
    // ORDERING: SeqCst; see `Shared::live`.
    shared.outside.finished.fetch_add(1, Ordering::SeqCst);
    let waiter = if shared.live() == 0 { shared.one_to_one.book().waiter.take() } else { None };
    if let Some((waiter, sequence)) = waiter {
        door::wake(&waiter, sequence);
    }
}
