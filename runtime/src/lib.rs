//! Green threads for Rust: plain blocking code with the names of `std::thread`, a hundred thousand
//! threads of it on a few kernel threads, and a choice of how they lie on kernel threads that the
//! program need not know.
//!
//! ```
//! use sylvan::{go, join, thread};
//!
//! #[sylvan::main]
//! fn main() {
//!     let threads: Vec<_> = (1..=1000)
//!         .map(|number: u64| {
//!             go!(move || {
//!                 thread::sleep(std::time::Duration::from_millis(10));
//!                 number
//!             })
//!         })
//!         .collect();
//!     let numbers: Vec<u64> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
//!
//!     let (left, right) = numbers.split_at(500);
//!     let (left, right) = join(|| left.iter().sum::<u64>(), || right.iter().sum::<u64>());
//!     assert_eq!(left + right, 500_500);
//! }
//! ```
//!
//! A program begins with [`main`](macro@main), [`run`] or a [`Runtime`] of its own; on a kernel
//! thread that no runtime knows, [`thread::spawn`] starts a default one. Threads are made by
//! [`go!`], [`thread::spawn`], [`thread::scope`](fn@thread::scope) and [`join`](fn@join), and all
//! calls here also work on kernel threads.
//!
//! # Mappings
//!
//! | | 1:1 | N:1 | M:N |
//! |---|---|---|---|
//! | spawn | kernel thread | closure on the caller's own queue | closure on a stealable deque |
//! | a blocking system call stops | itself | everybody | the threads of that worker |
//! | parallel | yes | no | yes |
//! | [`thread::spawn_local`] | error that says why | yes | yes, on the current worker |
//! | memory when idle | kernel stack + user stack | one page | one page |
//!
//! [`Builder::mapping`] chooses one, or the variable `SYLVAN_MAPPING` (`1:1`, `n:1`, `m:n`) for a
//! program that does not. `SYLVAN_WORKERS` and `SYLVAN_STACK_SIZE` go with it; see [`Builder`].
//! M:N is the default.
//!
//! # What a program may rely on
//!
//! - A thread that has started stays on its kernel thread. It may keep an `Rc`, a lock guard, or
//!   what a `LocalKey` lends, over a wait.
//! - Exactly the calls whose documentation has a section "Blocking" may switch to another thread,
//!   and at exactly those a thread may be cut off, by a cancellation or a deadline.
//! - A thread that can run gets its turn, whatever the others do, as long as they reach such calls.
//!   Nothing is preempted.
//! - What has not started behind a worker that is stuck in user code runs elsewhere within 20 ms,
//!   if another worker is free. With one worker nobody is: `spawn` and then a blocking call of
//!   std's that waits for that thread hangs.
//!
//! # What safe code must not do
//!
//! Wait inside a closure or guard of a crate that keeps *a raw pointer into a stack frame* in a
//! `std::thread_local!`, such as `scoped-tls` 1.x. The threads of one worker share these variables
//! and interleave, and the pointer is then read when its frame has gone. [`thread::spawn`] says
//! more, and the README lists crates. For variables of your own take [`thread_local!`].
//!
//! # Testing
//!
//! `#[sylvan::test(seeds = 200)]` runs a test on this very scheduler with every choice drawn from a
//! seed, and with virtual time: a bug that needs a certain order is found, and found again by its
//! seed. See [`testing`].
//!
//! # Features
//!
//! `macros`, on by default: [`main`](macro@main), [`test`](macro@test), [`go!`], [`join!`].
//!
//! `lock_api`: the raw locks under the traits of the crate of that name; see `sync::lock_api`.
//!
//! `net-options`: `bind_with` of listeners and UDP sockets, for options that std's `bind` leaves no
//! room for, and sockets of the crate `socket2` as ours.

mod blocking;
pub mod channel;
mod clock;
mod embed;
mod fiber;
mod future;
mod group;
#[cfg(feature = "macros")]
mod macros;
pub mod net;
mod os;
mod poller;
mod primitives;
mod reactor;
mod record;
mod sched;
mod short_lock;
mod stack;
pub mod sync;
mod task;
pub mod testing;
pub mod thread;
pub mod time;
mod wheel;

pub use embed::{Builder, Handle, Runtime, join, run};
pub use future::block_on;
pub use sched::config::{Config, Mapping, ParseMappingError};
#[cfg(feature = "macros")]
pub use sylvan_macros::{main, test};

/// What the macros expand to. No part of the interface.
#[doc(hidden)]
pub mod __private {
    pub use crate::embed::{Options, doors, main};
    pub use crate::testing::entry::{Seeds, Test, test};
    pub use crate::testing::explore::set_patience;
    #[cfg(feature = "macros")]
    pub use sylvan_macros::{go_impl, join_impl};
}
