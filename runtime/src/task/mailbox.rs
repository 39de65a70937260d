//! The mailbox of a worker: how others hand it threads and messages, and how it sleeps.
//!
//! A green thread never leaves its home worker, so whoever wakes it from elsewhere must hand it
//! over; and a worker with nothing to do must sleep until somebody hands it something. Both use
//! one word, the inbox head, so that "empty and asleep" is a single atomic fact and needs no
//! fence between two words.
//!
//! ```text
//!            push (CAS)                    push (CAS) + futex wake
//!   EMPTY ─────────────▶ list ◀──────────────────────────────────── SLEEPING
//!     ▲  │ sleep (CAS)    │ drain (swap)        nudge (CAS) + wake      │  ▲
//!     │  └────────────────┼──────────────▶ SLEEPING          NUDGED ◀───┘  │
//!     └───────────────────┴──────────────────────────────────────┘         │
//!                                 drain                       (owner only) ┘
//! ```
//!
//! Pushers build a stack (newest first) by compare-and-swap; the owner takes all of it by one
//! swap and turns it round. Nothing is popped singly, so there is no ABA. Who replaces SLEEPING
//! by anything else owns the wake, exactly once.
//!
//! *On what the owner sleeps.* One that watches descriptors sleeps in its poller, which a doorbell
//! ends, and one that does not on the futex of this word. It says which before it announces its
//! sleep, and whoever has taken the announcement away reads it after that: both changes of the word
//! are one step each, so the reader sees what was said for that sleep, or for a later one. Then the
//! owner was awake in between, which is all that a wake is for.
//!
//! *Why no wake is lost.* The owner sleeps only after its own CAS from EMPTY to SLEEPING. A push
//! before that CAS makes it fail; a push after it reads SLEEPING and wakes. The futex compares
//! the low half of the word, and no header address has the low half of SLEEPING, NUDGED or
//! CLOSED, for headers are aligned to 16; so a push between CAS and futex call is seen by the
//! kernel's compare.
//!
//! The mailbox outlives its worker for as long as a header refers to it. The last act of a worker
//! is to close it: wakes that come later are dropped.

#[cfg(all(loom, test))]
mod models;

use std::io;
use std::ptr::{self, NonNull};
use std::sync::{Arc, OnceLock};

use crate::os::Doorbell;
use crate::primitives::{AtomicBool, AtomicPtr, Mutex, Ordering, fence};
use crate::task::header::Header;

/// The word's values that are no list. Dangling on purpose; never dereferenced.
const EMPTY: *mut Header = ptr::null_mut();
const SLEEPING: *mut Header = ptr::without_provenance_mut(1);
const NUDGED: *mut Header = ptr::without_provenance_mut(2);
const CLOSED: *mut Header = ptr::without_provenance_mut(3);

fn is_list(head: *mut Header) -> bool {
    head.addr() > CLOSED.addr()
}

/// What a push found.
#[must_use]
pub(crate) enum Pushed {
    /// The owner is awake and will look.
    Awake,
    /// The owner sleeps: the caller must call [`Mailbox::wake_owner`].
    Sleeping(Arc<Mailbox>),
    /// The worker is gone; nothing was handed over.
    Closed,
}

/// See the file's comment.
pub(crate) struct Mailbox {
    head: AtomicPtr<Header>,
    /// Orders for the worker itself; rare, so behind a lock. Only ever held for a push or a take.
    messages: Mutex<Vec<Message>>,
    /// Whether there are any; what a busy worker looks at.
    has_messages: AtomicBool,
    /// Made when the owner first watches a descriptor.
    doorbell: OnceLock<Doorbell>,
    /// Whether the owner's present or next sleep is ended by the doorbell.
    by_doorbell: AtomicBool,
    /// What stands for the futex, and for the doorbell, in a model.
    #[cfg(loom)]
    bells: [loom::sync::Notify; 2],
}

/// A worker's answer to [`Message::Describe`].
pub(crate) struct Description {
    /// Which worker answers.
    pub(crate) worker: usize,
    /// A line for each of its started threads.
    pub(crate) lines: Vec<String>,
}

/// An order to a worker about its own threads.
pub(crate) enum Message {
    /// Cancel every thread that is yours (shutdown).
    CancelAll,
    /// Nothing but to look round: what kept a seeded run from going on has gone.
    LookRound,
    /// Say what your threads do, a line for each.
    Describe(std::sync::mpsc::Sender<Description>),
}

impl Mailbox {
    pub(crate) fn new() -> Mailbox {
        Mailbox {
            head: AtomicPtr::new(EMPTY),
            messages: Mutex::new(Vec::new()),
            has_messages: AtomicBool::new(false),
            doorbell: OnceLock::new(),
            by_doorbell: AtomicBool::new(false),
            #[cfg(loom)]
            bells: [loom::sync::Notify::new(), loom::sync::Notify::new()],
        }
    }

    /// Hands `header` to the owner.
    ///
    /// What was handed over may run at once and end, and its runtime with it, for the owner may
    /// wake by itself. So whoever finds it asleep counts a reference to the mailbox before the
    /// push: to ring takes it a while longer. Nobody else has anything to do after the push, or
    /// pays for this.
    ///
    /// # Safety
    /// S1: the caller owns the duty to schedule `header` (and so its `next` link), and the header
    /// stays alive until the owner has drained it. S2: `this` lies in an `Arc`, of which somebody
    /// keeps a reference until the push, as `header` does of its own mailbox.
    pub(crate) unsafe fn push(this: NonNull<Mailbox>, header: NonNull<Header>) -> Pushed {
        // SAFETY: alive until the push (S2), and not touched after it.
        let head = unsafe { &this.as_ref().head };
        // SAFETY: alive (S1).
        let next = unsafe { &header.as_ref().next };
        // ORDERING: Relaxed; the CAS below decides.
        let mut seen = head.load(Ordering::Relaxed);
        loop {
            if seen == CLOSED {
                return Pushed::Closed;
            }
            let sleeping = (seen == SLEEPING).then(|| {
                // SAFETY: it lies in an `Arc` that lives (S2).
                unsafe { Arc::increment_strong_count(this.as_ptr()) };
                // SAFETY: the reference that was counted just now.
                unsafe { Arc::from_raw(this.as_ptr().cast_const()) }
            });
            // ORDERING: Relaxed; published by the CAS below.
            next.store(if is_list(seen) { seen } else { EMPTY }, Ordering::Relaxed);
            // ORDERING: Release publishes the link and what the wake is about; pairs with the
            // Acquire in `drain`. Acquire pairs with `announce_sleep`: on what the owner sleeps.
            match head.compare_exchange_weak(
                seen,
                header.as_ptr(),
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return sleeping.map_or(Pushed::Awake, Pushed::Sleeping),
                Err(now) => seen = now,
            }
        }
    }

    /// Hands `header` to the owner if it sleeps. True: it slept, and the caller must call
    /// [`Mailbox::wake_owner`].
    ///
    /// # Safety
    /// S1: as for `push`.
    #[must_use]
    pub(crate) unsafe fn push_to_a_sleeper(&self, header: NonNull<Header>) -> bool {
        // SAFETY: alive (S1).
        let next = unsafe { &header.as_ref().next };
        // ORDERING: Relaxed; published by the CAS below.
        next.store(EMPTY, Ordering::Relaxed);
        // ORDERING: as in `push`.
        let pushed = self.head.compare_exchange(
            SLEEPING,
            header.as_ptr(),
            Ordering::AcqRel,
            Ordering::Relaxed,
        );
        pushed.is_ok()
    }

    /// Makes the owner look round, if it sleeps. True: it slept, and the caller must call
    /// [`Mailbox::wake_owner`].
    #[must_use]
    pub(crate) fn nudge(&self) -> bool {
        // ORDERING: Release publishes what the owner shall find; pairs with `drain`. Acquire as in
        // `push`.
        self.head.compare_exchange(SLEEPING, NUDGED, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Takes everything, oldest first, as a chain through `next`; null when there is nothing.
    /// Only the owner calls it.
    pub(crate) fn drain(&self) -> *mut Header {
        // ORDERING: Relaxed; a first look that keeps the line shared while nothing comes.
        if self.head.load(Ordering::Relaxed) == EMPTY {
            return ptr::null_mut();
        }
        // ORDERING: Acquire; pairs with the Release of `push` and `nudge`.
        oldest_first(self.head.swap(EMPTY, Ordering::Acquire))
    }

    /// Whether a drain would find nothing. A hint.
    pub(crate) fn is_empty(&self) -> bool {
        // ORDERING: Relaxed; a hint.
        self.head.load(Ordering::Relaxed) == EMPTY
    }

    /// Announces that the owner sleeps, on the doorbell or on the futex. False: something has come,
    /// it must not.
    #[must_use]
    pub(crate) fn announce_sleep(&self, by_doorbell: bool) -> bool {
        self.sleep_by(by_doorbell);
        // ORDERING: Release orders the owner's last look at the queues before the announcement, and
        // publishes on what it sleeps; Relaxed on failure, for `drain` follows.
        self.head.compare_exchange(EMPTY, SLEEPING, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Says on what the owner sleeps next.
    pub(crate) fn sleep_by(&self, doorbell: bool) {
        // ORDERING: Relaxed; published by what announces the sleep.
        self.by_doorbell.store(doorbell, Ordering::Relaxed);
    }

    /// The doorbell, made on first use. Only the owner calls it.
    pub(crate) fn doorbell(&self) -> io::Result<&Doorbell> {
        match self.doorbell.get() {
            Some(doorbell) => Ok(doorbell),
            None => {
                let doorbell = Doorbell::new()?;
                Ok(self.doorbell.get_or_init(|| doorbell))
            }
        }
    }

    /// Whether the owner's present sleep is ended by the doorbell. For whoever has taken the
    /// announcement of that sleep away.
    pub(crate) fn sleeps_by_doorbell(&self) -> bool {
        // ORDERING: Relaxed; the change by which the sleep ended has synchronised.
        self.by_doorbell.load(Ordering::Relaxed)
    }

    /// Whether the owner's announcement still stands. To others than the owner a hint.
    pub(crate) fn is_sleeping(&self) -> bool {
        // ORDERING: Relaxed; what has come is taken by `drain`, which synchronises.
        self.head.load(Ordering::Relaxed) == SLEEPING
    }

    /// Takes the announcement back, if nobody has answered it.
    pub(crate) fn retract_sleep(&self) {
        // ORDERING: Relaxed; a failure means that a list or a nudge is there, which `drain` takes.
        let _ = self.head.compare_exchange(SLEEPING, EMPTY, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Drops everything that comes from now on. Gives what was left, like `drain`: one swap does
    /// both, so a push is either given here or told that it came too late.
    pub(crate) fn close(&self) -> *mut Header {
        // ORDERING: Acquire; as in `drain`. Pushers that see CLOSED read nothing of the worker's.
        oldest_first(self.head.swap(CLOSED, Ordering::Acquire))
    }

    /// Leaves an order for the owner. The caller wakes it by `nudge`.
    pub(crate) fn post(&self, message: Message) {
        let mut messages = self.messages.lock().unwrap_or_else(|e| e.into_inner());
        messages.push(message);
        // ORDERING: Relaxed; the lock orders it for the owner's take.
        self.has_messages.store(true, Ordering::Relaxed);
        // ORDERING: SeqCst; pairs with the fence that the owner passes between `announce_sleep`
        // and its last `has_messages`. A nudge that finds the owner awake writes nothing, so
        // without the two fences both sides could miss each other's word.
        fence(Ordering::SeqCst);
    }

    /// Whether an order has come. A hint, but never stale after a wake.
    pub(crate) fn has_messages(&self) -> bool {
        // ORDERING: Acquire; after a nudge the flag of the order before it is seen.
        self.has_messages.load(Ordering::Acquire)
    }

    /// Takes all orders. Only the owner calls it.
    pub(crate) fn take_messages(&self) -> Vec<Message> {
        let mut messages = self.messages.lock().unwrap_or_else(|e| e.into_inner());
        // ORDERING: Relaxed; under the lock.
        self.has_messages.store(false, Ordering::Relaxed);
        std::mem::take(&mut *messages)
    }
}

/// Turns a list that a swap has taken round; null for a word that is no list.
fn oldest_first(mut head: *mut Header) -> *mut Header {
    if !is_list(head) {
        return ptr::null_mut();
    }
    let mut oldest = ptr::null_mut();
    while !head.is_null() {
        // SAFETY: S1 of `push`: alive, and its link belongs to whoever has taken the list.
        let link = unsafe { &(*head).next };
        // ORDERING: Relaxed twice; the swap has synchronised.
        let next = link.load(Ordering::Relaxed);
        link.store(oldest, Ordering::Relaxed);
        oldest = head;
        head = next;
    }
    oldest
}

#[cfg(not(loom))]
impl Mailbox {
    /// The half of the word on which the owner sleeps.
    fn futex(&self) -> *const std::sync::atomic::AtomicU32 {
        let halves = self.head.as_ptr().cast::<std::sync::atomic::AtomicU32>();
        let low = if cfg!(target_endian = "little") || size_of::<usize>() == 4 { 0 } else { 1 };
        halves.wrapping_add(low)
    }

    /// Sleeps until the word leaves SLEEPING or the time is over; may return early. Only the
    /// owner calls it, after a successful `announce_sleep`.
    pub(crate) fn sleep(&self, timeout: Option<std::time::Duration>) {
        // SAFETY: aligned, inside the word, alive as long as `self`; the kernel alone reads the
        // half, Rust code the whole.
        let word = unsafe { &*self.futex() };
        crate::os::futex_wait(word, SLEEPING.addr() as u32, timeout);
    }

    /// Ends the owner's sleep; for whoever took SLEEPING away.
    pub(crate) fn wake_owner(&self) {
        match self.doorbell.get() {
            Some(doorbell) if self.sleeps_by_doorbell() => doorbell.ring(),
            _ => {
                crate::os::futex_wake(self.futex(), 1);
            }
        }
    }
}

/// The futex of a model: like the real one it compares, sleeps, and may return early.
#[cfg(loom)]
impl Mailbox {
    pub(crate) fn sleep(&self, timeout: Option<std::time::Duration>) {
        if timeout.is_some() {
            loom::thread::yield_now();
        } else if self.is_sleeping() {
            self.bells[usize::from(self.sleeps_by_doorbell())].wait();
        }
    }

    pub(crate) fn wake_owner(&self) {
        self.bells[usize::from(self.sleeps_by_doorbell())].notify();
    }
}
