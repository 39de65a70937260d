//! What `Mutex` and `RwLock` have in common: how a free lock finds its next holder.
//!
//! *Barging.* A lock that is free goes to whoever asks first, also before those that were woken
//! for it: a lock that is handed to a sleeper lies idle until that one runs, and the faster ones
//! queue up behind it. So unlocking frees the word first and then wakes the first waiters, which
//! have to try again. Who comes too late goes back to the *front* of the queue.
//!
//! *The valve.* A waiter that has come too late [`LOSSES_MAX`] times asks for a hand-over: it sets
//! a bit, and the next unlock leaves the lock locked and gives it to the first in the queue. Each
//! waiter has a bounded number of others before it, each of these loses a bounded number of times,
//! and each loss is a wake for it, so everybody gets the lock after a bounded number of unlocks.
//!
//! *Backing off.* Who finds the lock held by a thread on another kernel thread stays away for a
//! moment and looks again, a few times: a short section will end sooner than a wait would. If the
//! holder belongs to the same kernel thread, it cannot go on before the waiter has left. So the
//! word has the *token* of the holder's kernel thread.
#![forbid(unsafe_code)]

use crate::primitives::{AtomicU32, Ordering};
pub(super) use crate::short_lock::back_off;
use crate::task::current;

/// What a waiter is granted: to try again, or the lock.
pub(super) const TRY_AGAIN: u32 = 0;
pub(super) const HANDED_OVER: u32 = 1;

/// How often a waiter may come too late. A hand-over costs the others some turns of idle lock, so
/// it is for those who have seen several.
pub(super) const LOSSES_MAX: u32 = if cfg!(loom) { 1 } else { 4 };
/// Where the holder's token begins in the word of a lock.
const TOKEN_SHIFT: u32 = 32 - current::TOKEN_BITS;

/// The token of the current kernel thread, as it stands in the word.
#[inline]
pub(super) fn token() -> u32 {
    current::token() << TOKEN_SHIFT
}

/// Whether the token in `state` is another kernel thread's.
pub(super) fn is_elsewhere(state: u32) -> bool {
    state >> TOKEN_SHIFT != current::token()
}

/// Sets the bits `wanted` in `word` as long as `must_wait` says so of it. True: they are set. For
/// those who are about to enter the queue; its bucket is locked.
pub(super) fn announce(word: &AtomicU32, wanted: u32, must_wait: impl Fn(u32) -> bool) -> bool {
    // ORDERING: Relaxed, here and below; whoever finds the bits locks the bucket next.
    let mut state = word.load(Ordering::Relaxed);
    while must_wait(state) {
        let announced = state | wanted;
        // Said already: nobody lets it go without the bucket's lock.
        if announced == state {
            return true;
        }
        match word.compare_exchange_weak(state, announced, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return true,
            Err(now) => state = now,
        }
    }
    false
}
