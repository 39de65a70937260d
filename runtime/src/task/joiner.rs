//! Who waits for the end of a thread: another thread, or the waker of a future.
//!
//! The place is in the header of the thread that is waited for, and as small as can be: two words,
//! which hold a counted reference to the waiting thread and the number of its wait, or the two
//! words of a waker. The lowest bit of the second one tells which; it is free, for a number is
//! stored shifted, and a waker's table has an even address.
//!
//! Whose the place is says the state word of the header:
//!
//! - without `JOINER` it belongs to the owner of the join handle, who fills it and then sets the
//!   bit (`State::register_joiner`);
//! - with `JOINER` it is nobody's, until either the thread ends, and its ending side has it from
//!   then on, or the owner of the handle clears the bit again (`State::take_back_joiner`), which
//!   fails when the thread has ended.
//!
//! So a waker has one owner at any time, and is called or dropped by that one, once. It is user
//! code, which the header must never run when it is freed; so it leaves the header before: whoever
//! gives up the handle takes it back, and the ending side takes it in order to call it. A reference
//! to a thread may stay, also when its wait was ended otherwise: a late wake carries an old number.
//!
//! The fields are atomics since a joining thread whose wait was ended for nothing puts in its next
//! number without taking the place back.

use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};
use std::task::{RawWakerVTable, Waker};

use crate::primitives::{AtomicPtr, Ordering};
use crate::task::header::{Header, HeaderRef};
use crate::task::state::Sequence;

/// See the file's comment. Empty, it is a thread's that is null.
pub(crate) struct Joiner {
    /// The thread, a counted reference; or the waker's data.
    who: AtomicPtr<()>,
    /// The number of its wait; or the waker's table.
    which: AtomicPtr<()>,
}

const WAKER: usize = 1;
const _: () = assert!(align_of::<RawWakerVTable>() > WAKER);
// A number has 48 bits.
const _: () = assert!(size_of::<usize>() == 8);

// ORDERING: Relaxed throughout; what is written here is published by the state word, see `State`.
impl Joiner {
    pub(super) fn new() -> Joiner {
        Joiner { who: AtomicPtr::new(ptr::null_mut()), which: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Puts a thread in. Safe: at worst a reference is counted too often.
    pub(crate) fn set_thread(&self, thread: HeaderRef, sequence: Sequence) {
        debug_assert!(self.who.load(Ordering::Relaxed).is_null(), "a thread is joined once");
        self.set_sequence(sequence);
        self.who.store(thread.into_raw().as_ptr().cast(), Ordering::Relaxed);
    }

    /// Puts in the next number of the thread that is in already.
    pub(crate) fn set_sequence(&self, sequence: Sequence) {
        let shifted = (sequence.to_bits() << 1) as usize;
        self.which.store(ptr::without_provenance_mut(shifted), Ordering::Relaxed);
    }

    /// The thread and its number.
    ///
    /// # Safety
    /// S1: the caller is the ending side, which keeps the header, and there is no waker.
    pub(crate) unsafe fn thread(&self) -> Option<(&Header, Sequence)> {
        let which = self.which.load(Ordering::Relaxed);
        let who = self.who.load(Ordering::Relaxed).cast::<Header>();
        // SAFETY: a counted reference, which stays until the header is freed (S1).
        let thread = unsafe { who.as_ref() }?;
        Some((thread, Sequence::from_bits((which.addr() >> 1) as u64)))
    }

    /// Takes the reference to a thread out.
    ///
    /// # Safety
    /// S1: the place is the caller's.
    pub(super) unsafe fn take_thread(&self) -> Option<HeaderRef> {
        debug_assert!(!self.is_waker(), "a waker leaves the header before that is freed");
        let who = self.who.load(Ordering::Relaxed).cast::<Header>();
        self.who.store(ptr::null_mut(), Ordering::Relaxed);
        // SAFETY: S1: the reference that `set_thread` has put in, which nobody else takes (S1).
        NonNull::new(who).map(|who| unsafe { HeaderRef::from_owned(who) })
    }

    /// Whether a waker is in.
    pub(crate) fn is_waker(&self) -> bool {
        self.which.load(Ordering::Relaxed).addr() & WAKER != 0
    }

    /// Whether that very waker is in, or one that wakes the same. If the ending side takes it
    /// meanwhile, it is called after this.
    pub(crate) fn holds(&self, waker: &Waker) -> bool {
        self.which.load(Ordering::Relaxed) == tagged(waker)
            && self.who.load(Ordering::Relaxed) == waker.data().cast_mut()
    }

    /// Puts a waker in.
    ///
    /// # Safety
    /// S1: the place is the caller's, and empty.
    pub(crate) unsafe fn set_waker(&self, waker: Waker) {
        let waker = ManuallyDrop::new(waker);
        self.who.store(waker.data().cast_mut(), Ordering::Relaxed);
        self.which.store(tagged(&waker), Ordering::Relaxed);
    }

    /// Takes the waker out, if there is one.
    ///
    /// # Safety
    /// S1: the place is the caller's.
    pub(crate) unsafe fn take_waker(&self) -> Option<Waker> {
        let which = self.which.load(Ordering::Relaxed);
        if which.addr() & WAKER == 0 {
            return None;
        }
        let who = self.who.load(Ordering::Relaxed);
        self.who.store(ptr::null_mut(), Ordering::Relaxed);
        self.which.store(ptr::null_mut(), Ordering::Relaxed);
        let table = which.map_addr(|address| address & !WAKER).cast::<RawWakerVTable>();
        // SAFETY: `tagged` has made it of the address of a table, which lives for ever.
        let table = unsafe { &*table };
        // SAFETY: both are of the waker that `set_waker` has put in, and nobody else takes it (S1).
        Some(unsafe { Waker::new(who, table) })
    }
}

/// The address of a waker's table, marked.
fn tagged(waker: &Waker) -> *mut () {
    let table = ptr::from_ref(waker.vtable()).cast_mut().cast::<()>();
    table.map_addr(|address| address | WAKER)
}
