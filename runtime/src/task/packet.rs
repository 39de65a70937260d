//! The closure of a thread before it runs, and its result after, in the header's payload.
//!
//! Both are generic and the header is not, so each pair of types has a small table of functions.
//! The closure is moved out before it is called, so the result may take its place; what does not
//! fit into the payload lies in a box of its own. A panic never leaves this file: it becomes the
//! `Err` of the result.
//!
//! Nothing here decides *where* user code runs; the callers (the worker's fiber, a kernel thread
//! of the 1:1 mapping) promise that it is never the worker's own stack.

use std::any::Any;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::task::cancelled::Cancelled;
use crate::task::header::{Header, PAYLOAD_BYTES};

/// What a thread leaves: its value, or the payload that unwound it.
pub(crate) type Outcome<T> = Result<T, Box<dyn Any + Send>>;

/// What an outcome was that nobody took.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Dropped {
    /// A value.
    Value,
    /// The payload of a panic.
    Panic,
    /// The payload of a cancellation.
    Cancellation,
}

/// What the joiner of a thread gets that was left when its runtime had shut down.
///
/// The thread will never go on; its stack, and what lies on it, is kept for ever.
#[derive(Debug)]
#[non_exhaustive]
pub struct Leaked {}

impl std::fmt::Display for Leaked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the thread was left behind by the shutdown of its runtime")
    }
}

impl std::error::Error for Leaked {}

/// The functions for one pair of closure and result.
pub(crate) struct VTable {
    /// Moves the closure out, calls it and stores the outcome.
    pub(crate) run: unsafe fn(&Header),
    /// Drops the closure and stores `Err(payload)` as the outcome.
    pub(crate) refuse: unsafe fn(&Header, Box<dyn Any + Send>),
    /// Drops a stored outcome and says what it was.
    pub(crate) drop_outcome: unsafe fn(&Header) -> Dropped,
    /// Stores `Err(payload)` in the place of whatever lies there, which is leaked.
    pub(crate) abandon: unsafe fn(&Header, Box<dyn Any + Send>),
    /// Frees the box of a payload that did not fit; its content is gone by then.
    pub(crate) free_box: unsafe fn(&Header),
}

union Packet<F, T> {
    closure: ManuallyDrop<F>,
    outcome: ManuallyDrop<Outcome<T>>,
}

/// Whether closure and result of these types need a box.
pub(crate) const fn needs_box<F, T>() -> bool {
    size_of::<Packet<F, T>>() > PAYLOAD_BYTES || align_of::<Packet<F, T>>() > 8
}

/// The table for these types.
pub(crate) const fn vtable<F, T>() -> &'static VTable
where
    F: FnOnce() -> T,
{
    struct Of<F, T>(std::marker::PhantomData<(F, T)>);
    impl<F: FnOnce() -> T, T> Of<F, T> {
        const TABLE: VTable = VTable {
            run: run::<F, T>,
            refuse: refuse::<F, T>,
            drop_outcome: drop_outcome::<T>,
            abandon: abandon::<T>,
            free_box: free_box::<F, T>,
        };
    }
    &Of::<F, T>::TABLE
}

/// The table of headers that carry no closure: kernel threads that sylvan did not make.
pub(crate) static NO_PACKET: VTable = VTable {
    run: |_| unreachable!("a foreign kernel thread has no closure"),
    refuse: |_, _| unreachable!("a foreign kernel thread has no closure"),
    drop_outcome: |_| Dropped::Value,
    abandon: |_, payload| drop(payload),
    free_box: |_| (),
};

/// Stores the closure in a new header's payload.
///
/// # Safety
/// S1: the header was made with `vtable::<F, T>()` and `needs_box::<F, T>()`, is not published
/// yet, and its payload is uninitialised.
#[inline]
pub(crate) unsafe fn store_closure<F, T>(header: &Header, closure: F)
where
    F: FnOnce() -> T,
{
    let value = Packet::<F, T> { closure: ManuallyDrop::new(closure) };
    if needs_box::<F, T>() {
        let boxed: *mut Packet<F, T> = Box::into_raw(Box::new(value));
        // SAFETY: the payload has room for a pointer and is ours (S1).
        unsafe { header.payload().cast::<*mut Packet<F, T>>().write(boxed) };
    } else {
        // SAFETY: it fits in size and alignment, or the header would be boxed (S1).
        unsafe { header.payload().cast::<Packet<F, T>>().write(value) };
    }
}

/// Moves the outcome out.
///
/// # Safety
/// S1: the thread has finished and its outcome, of this `T`, was neither taken nor dropped.
pub(crate) unsafe fn take_outcome<T>(header: &Header) -> Outcome<T> {
    let place = place::<Outcome<T>>(header);
    // SAFETY: the outcome lies there (S1); both members of the union start at its address.
    unsafe { place.read() }
}

/// The address of the union, in the payload or in its box.
#[inline]
fn place<P>(header: &Header) -> *mut P {
    if header.boxed {
        // SAFETY: a boxed header's payload holds the pointer from `store_closure`.
        unsafe { header.payload().cast::<*mut P>().read() }
    } else {
        header.payload().cast()
    }
}

/// The same where the closure's type is known, and with it whether there is a box.
#[inline]
fn place_of<F, T>(header: &Header) -> *mut Packet<F, T> {
    debug_assert_eq!(header.boxed, needs_box::<F, T>());
    if needs_box::<F, T>() {
        // SAFETY: as in `place`.
        unsafe { header.payload().cast::<*mut Packet<F, T>>().read() }
    } else {
        header.payload().cast()
    }
}

unsafe fn run<F, T>(header: &Header)
where
    F: FnOnce() -> T,
{
    let place = place_of::<F, T>(header);
    // SAFETY: the closure lies there until the first and only call of `run` or `refuse`.
    let closure = unsafe { place.cast::<F>().read() };
    let outcome = catch_unwind(AssertUnwindSafe(closure));
    let packet = Packet::<F, T> { outcome: ManuallyDrop::new(outcome) };
    // SAFETY: the closure has left, the place is free.
    unsafe { place.write(packet) };
}

unsafe fn refuse<F, T>(header: &Header, payload: Box<dyn Any + Send>)
where
    F: FnOnce() -> T,
{
    let place = place_of::<F, T>(header);
    // SAFETY: as in `run`.
    let closure = unsafe { place.cast::<F>().read() };
    drop_quietly(closure);
    // SAFETY: as in `run`.
    unsafe { place.cast::<Outcome<T>>().write(Err(payload)) };
}

unsafe fn drop_outcome<T>(header: &Header) -> Dropped {
    if !std::mem::needs_drop::<T>() {
        // SAFETY: the caller promises that the outcome lies there.
        if unsafe { &*place::<Outcome<T>>(header) }.is_ok() {
            return Dropped::Value;
        }
    }
    // SAFETY: the caller promises that the outcome lies there and was not taken.
    let outcome = unsafe { take_outcome::<T>(header) };
    let what = match &outcome {
        Ok(_) => Dropped::Value,
        Err(payload) if payload.is::<Cancelled>() => Dropped::Cancellation,
        Err(_) => Dropped::Panic,
    };
    drop_quietly(outcome);
    what
}

unsafe fn abandon<T>(header: &Header, payload: Box<dyn Any + Send>) {
    // SAFETY: the place is the packet's own and large enough for an outcome; the caller promises
    // that nobody will look at what it held.
    unsafe { place::<Outcome<T>>(header).write(Err(payload)) };
}

unsafe fn free_box<F, T>(header: &Header) {
    // SAFETY: a boxed header's payload holds the pointer from `store_closure`.
    let boxed = unsafe { header.payload().cast::<*mut Packet<F, T>>().read() };
    // SAFETY: made by `Box::into_raw`; a union drops none of its members.
    drop(unsafe { Box::from_raw(boxed) });
}

/// Drops a value whose destructor may panic. The hook has reported the panic; there is no one to
/// hand it to, and what runs on must not be unwound by it.
pub(crate) fn drop_quietly<V>(value: V) {
    let mut left = catch_unwind(AssertUnwindSafe(move || drop(value)));
    // The payload of that panic may have a destructor that panics too; each round drops one.
    for _ in 0..4 {
        match left {
            Ok(()) => return,
            Err(payload) => left = catch_unwind(AssertUnwindSafe(move || drop(payload))),
        }
    }
    std::mem::forget(left);
}
