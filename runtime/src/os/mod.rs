//! The kernel's calls that the runtime needs, under one portable set of names, so that no other
//! layer holds an `unsafe` system call or a number out of a manual page.
//!
//! Each system has one folder that offers exactly the items re-exported here; what depends on the
//! processor alone is in `arch`. Addresses are plain `*mut u8` and lengths are bytes: what a
//! range *means* (a chunk, a guard, a stack) is the business of the layer above.
//!
//! Nothing here keeps a policy, retries on its own judgement, or hides an error: a call that the
//! kernel refused comes back as `io::Error` with the kernel's own number in it.

#[cfg(not(target_pointer_width = "64"))]
compile_error!(
    "sylvan needs a 64-bit target: its stacks are address space that is reserved but not used"
);

#[cfg(not(target_os = "linux"))]
compile_error!("sylvan runs on Linux; its `os` layer has no file for this system yet");

mod arch;
#[cfg(target_os = "linux")]
mod linux;

pub(crate) use arch::{prefetch, stack_pointer};
#[cfg(target_os = "linux")]
#[cfg_attr(loom, allow(unused_imports, reason = "models have no futex"))]
pub(crate) use linux::{
    barrier::{heavy_barrier, prepare_heavy_barrier},
    doorbell::{Doorbell, Polled, poll},
    fault::{AltStack, install_fault_handler, write_stderr},
    futex::{futex_wait, futex_wake},
    memory::{
        discard, discard_all, install_guard, install_guards, map_aligned, map_count_limit,
        map_count_used, map_reserve, protect_none, unmap,
    },
    net::{
        BUFFERS_MAX, accept, accept_unix, connect, connect_unix, has_read_end, is_connecting,
        is_exhaustion, no_listener, receive, receive_from, receive_from_unix, receive_vectored,
        send, send_to, send_to_unix, send_vectored, set_queue_length, stream_socket,
        unix_stream_socket,
    },
    thread::{at_fork_in_child, at_thread_exit, set_timer_slack, timer_slack},
    trace::{Frame, locate, visit_frames},
};

#[cfg(all(target_os = "linux", not(sylvan_portable_reactor)))]
#[cfg_attr(loom, allow(unused_imports, reason = "models have no kernel"))]
pub(crate) use linux::epoll::{Epoll, Events};

#[cfg(test)]
pub(crate) use linux::{
    futex::FutexWait,
    memory::{page_size, refuse_batches},
};

#[cfg(test)]
pub(crate) mod child;
#[cfg(test)]
mod tests;

/// What a descriptor is ready for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ready {
    pub(crate) read: bool,
    pub(crate) write: bool,
    /// Whether a read that gives less than there was room for need not have emptied the descriptor:
    /// the end of what is to come, or an error, or urgent data, may stand behind it.
    pub(crate) read_ends: bool,
}

/// Prints why the process cannot go on, and ends it. For broken invariants, and for the few ends
/// that are safer than going on.
#[cold]
pub(crate) fn abort_with(message: &str) -> ! {
    write_stderr(b"sylvan: fatal: ");
    write_stderr(message.as_bytes());
    write_stderr(b"\n");
    std::process::abort()
}
