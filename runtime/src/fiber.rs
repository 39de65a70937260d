//! A fiber: a stack with a saved context, which carries one green thread at a time.
//!
//! The scheduler needs to enter a stack, leave it, and know where it ends. The switch itself is in
//! one of two files with the same interface: `native`, a few instructions of our own where we have
//! written them, else `portable`, which is `corosensei`. Three things are added here:
//!
//! - *The control block lies on the stack itself*, above the first frame, so that a waiting thread
//!   costs one page and no second allocation:
//!
//!   ```text
//!   base  ─▶ 0x7f00_0040_0000 ┌──────────────────────────┐
//!                             │ colour, 0 to 960 bytes   │  offset (index * 7919 % 16) * 64
//!                             ├──────────────────────────┤
//!                             │ Fiber (this struct)      │
//!   base of the coroutine ─▶  ├──────────────────────────┤  16-aligned
//!                             │ frames, growing down     │
//!                             ~                          ~
//!   limit ─▶ 0x7f00_003d_0000 ├──────────────────────────┤  base - 192 KiB
//!                             │ guard                    │
//!   bottom ▶ 0x7f00_003c_0000 └──────────────────────────┘
//!   ```
//!
//! - *Suspended is never dropped.* What lies on a suspended stack may be borrowed by others, so no
//!   destructor here touches it: a stack comes back only from a fiber that has returned. What
//!   cannot return is leaked, with its stack.
//! - *A limit that moves.* `on_stack` continues a fiber on another stack; `remaining` and the
//!   overflow report must then speak of that one.
//!
//! A panic never crosses `resume`: the entry function that the scheduler gives catches all.

// AddressSanitizer wants to be told of each switch. corosensei does that, so it carries the fibers
// there, which keeps the portable file built and tested besides.
#[cfg_attr(
    all(target_arch = "x86_64", unix, not(feature = "sanitizer")),
    path = "fiber/native_x86_64.rs"
)]
#[cfg_attr(
    not(all(target_arch = "x86_64", unix, not(feature = "sanitizer"))),
    path = "fiber/portable.rs"
)]
mod context;
mod segment;

use std::cell::{Cell, UnsafeCell};
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};

use crate::os;
use crate::stack::{Class, Stack, colour_bytes};

use context::Context;
pub(crate) use context::SWITCHES_DIRECTLY;
pub(crate) use segment::on_stack;

/// What the resumed side is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub(crate) enum Resume {
    /// Go on.
    Run,
    /// Say where you are, and leave again; see [`Fiber::trace`].
    Describe,
    /// Only for a resting fiber: return, so that the stack can be had back.
    Return,
}

/// Why a fiber left its stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub(crate) enum Suspended {
    /// Its thread yields and can run again at once.
    Yielding,
    /// Its thread has opened a wait; the worker commits it.
    Waiting,
    /// It carries no thread any more.
    Resting,
    /// It has described itself, and is where it was.
    Described,
}

/// See the file's comment.
pub(crate) struct Fiber {
    context: Context,
    /// The lowest usable address and the highest, of the stack in use now.
    limit: Cell<usize>,
    base: Cell<usize>,
    /// Where a description goes; set while one is asked for.
    trace: Cell<*mut Trace>,
    /// The stack on which all of this lies; taken out at the end.
    stack: UnsafeCell<ManuallyDrop<Stack>>,
}

/// The return addresses of a suspended fiber, innermost first.
pub(crate) struct Trace {
    addresses: [usize; FRAMES_MAX],
    len: usize,
}

impl Trace {
    pub(crate) fn new() -> Trace {
        Trace { addresses: [0; FRAMES_MAX], len: 0 }
    }

    /// The addresses; none if the fiber had too little stack left to look.
    pub(crate) fn addresses(&self) -> &[usize] {
        &self.addresses[..self.len]
    }
}

impl Fiber {
    /// Makes a fiber on `stack`. At its first resume it calls `entry` with itself, and it has
    /// returned when `entry` has; told to return at once, it does not call it.
    pub(crate) fn new(stack: Stack, entry: fn(&Fiber)) -> NonNull<Fiber> {
        let number = stack.index();
        Fiber::coloured(stack, number, entry)
    }

    /// The same with a colour by `number` instead of by the stack's place: the low bits of
    /// addresses on the stack then depend on it alone.
    pub(crate) fn coloured(stack: Stack, number: usize, entry: fn(&Fiber)) -> NonNull<Fiber> {
        let top = stack.base() - colour_bytes(number) - size_of::<Fiber>();
        let base = top & !(CONTROL_ALIGN - 1);
        let place = NonNull::new(base as *mut Fiber).expect("stacks do not lie at address zero");
        // SAFETY: S1: the stack is the fiber's from now on, with a guard at its lower end, and the
        // control block is initialised below, before anybody knows of it.
        let context = unsafe { Context::new(base, stack.bottom(), place, entry) };
        let fiber = Fiber {
            context,
            limit: Cell::new(stack.limit()),
            base: Cell::new(base),
            trace: Cell::new(ptr::null_mut()),
            stack: UnsafeCell::new(ManuallyDrop::new(stack)),
        };
        // SAFETY: `place` is aligned, lies in the stack that the fiber owns from now on, above
        // the part that the context uses.
        unsafe { place.as_ptr().write(fiber) };
        place
    }

    /// Enters the fiber and comes back when it leaves. `None`: its entry function has returned.
    ///
    /// Inlined into the worker's loop: a frame between would cost the processor's return
    /// prediction, 13 ns here.
    ///
    /// # Safety
    /// S1: the caller is the home worker, on its own stack, and nobody is inside the fiber.
    #[inline(always)]
    pub(crate) unsafe fn resume(&self, how: Resume) -> Option<Suspended> {
        // SAFETY: S1 is ours of the same number.
        unsafe { self.context.resume(how) }
    }

    /// Leaves the fiber, and comes back when it is resumed.
    ///
    /// # Safety
    /// S1: the caller runs on this fiber, or on a stack entered from it by [`Fiber::on_stack`].
    #[inline(always)]
    pub(crate) unsafe fn suspend(&self, why: Suspended) -> Resume {
        // SAFETY: S1 is ours of the same number.
        let how = unsafe { self.context.suspend(why) };
        // SAFETY: as above.
        unsafe { self.come_back(how) }
    }

    /// Leaves the fiber for `next`, which finds itself resumed as by whoever has resumed this one,
    /// and comes back when this one is resumed.
    ///
    /// # Safety
    /// S1: as for [`Fiber::suspend`].
    /// S2: as for [`Fiber::resume`] of `next`, save that the caller is on this fiber.
    #[inline(always)]
    pub(crate) unsafe fn switch_to(&self, next: &Fiber) -> Resume {
        // SAFETY: S1 and S2 are ours of the same number.
        let how = unsafe { self.context.switch_to(&next.context) };
        // SAFETY: S1 is ours of the same number.
        unsafe { self.come_back(how) }
    }

    /// Describes the fiber as often as it is resumed only for that, and gives what comes then.
    ///
    /// # Safety
    /// S1: as for [`Fiber::suspend`].
    #[inline(always)]
    unsafe fn come_back(&self, mut how: Resume) -> Resume {
        while how == Resume::Describe {
            self.describe();
            // SAFETY: S1 is ours of the same number.
            how = unsafe { self.context.suspend(Suspended::Described) };
        }
        how
    }

    /// Lets the suspended fiber write its own return addresses into `trace`. It runs for some
    /// microseconds, on its own stack, and is suspended as before afterwards.
    ///
    /// A dump is a message to oneself because nobody else can read a stack without frame pointers
    /// or a copy of the registers. The thread allocates nothing meanwhile, takes no lock and calls
    /// no user code.
    ///
    /// # Safety
    /// S1: as for [`Fiber::resume`], but the caller may itself be on another fiber; this one is
    /// suspended in [`Fiber::suspend`] or [`Fiber::switch_to`].
    pub(crate) unsafe fn trace(&self, trace: &mut Trace) {
        self.trace.set(trace);
        // SAFETY: S1 of ours.
        let left = unsafe { self.resume(Resume::Describe) };
        self.trace.set(ptr::null_mut());
        if left != Some(Suspended::Described) {
            os::abort_with("a suspended fiber did not come back from its description");
        }
    }

    /// The fiber's part of [`Fiber::trace`].
    #[cold]
    #[inline(never)]
    fn describe(&self) {
        if self.remaining() < DESCRIBE_BYTES {
            return;
        }
        // SAFETY: set by the caller of `trace`, who waits for us.
        let trace = unsafe { &mut *self.trace.get() };
        let home = ptr::from_ref(self).addr();
        // SAFETY: the stack is taken out only when the fiber ends.
        let stack = unsafe { &*self.stack.get() };
        let mut was_home = false;
        os::visit_frames(&mut |frame: os::Frame| {
            // The chain runs on into the worker's frames: it ends where it leaves this stack. What
            // comes before may lie on segments, which are entered from here.
            let is_home = (stack.limit()..=home).contains(&frame.stack_address);
            if was_home && !is_home || trace.len == FRAMES_MAX {
                return false;
            }
            was_home |= is_home;
            trace.addresses[trace.len] = frame.return_address;
            trace.len += 1;
            true
        });
    }

    /// Takes the stack back.
    ///
    /// # Safety
    /// S1: the fiber has returned; nobody uses `this` after.
    pub(crate) unsafe fn into_stack(this: NonNull<Fiber>) -> Stack {
        // SAFETY: initialised by `new` and not taken yet (S1).
        let fiber = unsafe { this.as_ref() };
        // SAFETY: S1: nobody uses the fiber after (S1).
        unsafe { fiber.context.finish() };
        // SAFETY: this is the last use of the cell.
        let stack = unsafe { &mut *fiber.stack.get() };
        // SAFETY: as above.
        unsafe { ManuallyDrop::take(stack) }
    }

    /// Bytes between the stack pointer and the limit; 0 when the pointer lies outside the stack
    /// that this fiber uses now, since user code may have switched to one of its own.
    #[inline]
    pub(crate) fn remaining(&self) -> usize {
        let sp = os::stack_pointer();
        if sp > self.base.get() { 0 } else { sp.saturating_sub(self.limit.get()) }
    }

    /// Whether [`Fiber::remaining`] is `bytes` at least, by two comparisons. For `bytes` above 0.
    #[inline]
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        let sp = os::stack_pointer();
        sp <= self.base.get() && sp >= self.limit.get() + bytes
    }

    /// The class of the stack that the fiber was made on.
    pub(crate) fn class(&self) -> Class {
        // SAFETY: the stack is taken out only when the fiber ends.
        let stack = unsafe { &*self.stack.get() };
        stack.class()
    }

    /// The lowest usable address of the stack in use now.
    #[cfg(test)]
    fn limit(&self) -> usize {
        self.limit.get()
    }

    /// Starts to load what the next resume will touch.
    #[inline]
    pub(crate) fn prefetch(&self) {
        let sp = self.context.saved_sp();
        os::prefetch(sp as *const u8);
        os::prefetch((sp + 64) as *const u8);
        os::prefetch((sp + 128) as *const u8);
        os::prefetch((sp + 192) as *const u8);
    }
}

/// A description is declined where less is left: the unwinder takes 7 KiB when it is cold.
const DESCRIBE_BYTES: usize = 16 << 10;
/// How many frames a description holds: 32 * 8 bytes = 256 bytes on the asking side's stack.
const FRAMES_MAX: usize = 32;
/// The control block starts at a cache line.
const CONTROL_ALIGN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::Pool;

    fn resume(fiber: NonNull<Fiber>, how: Resume) -> Option<Suspended> {
        // SAFETY: the tests below keep their fibers alive.
        let fiber = unsafe { fiber.as_ref() };
        // SAFETY: this kernel thread made the fiber and nobody is inside.
        unsafe { fiber.resume(how) }
    }

    #[test]
    fn a_fiber_comes_back_with_its_reason_and_gives_its_stack_back() {
        fn entry(fiber: &Fiber) {
            // SAFETY: we run on the fiber.
            let how = unsafe { fiber.suspend(Suspended::Waiting) };
            assert_eq!(how, Resume::Run);
            // SAFETY: as above.
            let how = unsafe { fiber.suspend(Suspended::Resting) };
            assert_eq!(how, Resume::Return);
        }
        let mut pool = Pool::new();
        let stack = pool.take(Class::DEFAULT).expect("a stack");
        let bottom = stack.bottom();
        let fiber = Fiber::new(stack, entry);
        assert_eq!(resume(fiber, Resume::Run), Some(Suspended::Waiting));
        assert_eq!(resume(fiber, Resume::Run), Some(Suspended::Resting));
        assert_eq!(resume(fiber, Resume::Return), None);
        // SAFETY: it has returned.
        let stack = unsafe { Fiber::into_stack(fiber) };
        assert_eq!(stack.bottom(), bottom);
        pool.give(stack);
    }

    #[test]
    fn a_suspended_fiber_describes_itself_and_goes_on_as_if_nothing_had_been() {
        fn entry(fiber: &Fiber) {
            // SAFETY: we run on the fiber.
            let how = unsafe { fiber.suspend(Suspended::Waiting) };
            assert_eq!(how, Resume::Run);
        }
        let mut pool = Pool::new();
        let fiber = Fiber::new(pool.take(Class::DEFAULT).expect("a stack"), entry);
        assert_eq!(resume(fiber, Resume::Run), Some(Suspended::Waiting));
        for _ in 0..3 {
            let mut trace = Trace::new();
            // SAFETY: alive.
            let suspended = unsafe { fiber.as_ref() };
            // SAFETY: suspended, and made by this kernel thread.
            unsafe { suspended.trace(&mut trace) };
            // `describe`, perhaps `suspend`, and `entry` at least; not this test's frames.
            assert!((2..FRAMES_MAX).contains(&trace.addresses().len()), "{:x?}", trace.addresses());
            let (file, offset) = os::locate(trace.addresses()[0]).expect("an address of ours");
            assert!(!file.is_empty() && offset > 0);
        }
        assert_eq!(resume(fiber, Resume::Run), None);
        // SAFETY: it has returned.
        pool.give(unsafe { Fiber::into_stack(fiber) });
    }

    #[test]
    fn a_segment_moves_the_limit_and_a_panic_passes_through() {
        fn entry(fiber: &Fiber) {
            let mut pool = Pool::new();
            let mut segment = pool.take(Class::DEFAULT).expect("a stack");
            let before = fiber.limit();
            let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                on_stack(Some(fiber), &mut segment, || {
                    assert_ne!(fiber.limit(), before);
                    assert!(fiber.remaining() > 0);
                    // SAFETY: entered from the fiber by `on_stack`.
                    unsafe { fiber.suspend(Suspended::Yielding) };
                    std::panic::resume_unwind(Box::new(7));
                });
            }));
            assert_eq!(caught.unwrap_err().downcast_ref::<i32>(), Some(&7));
            assert_eq!(fiber.limit(), before);
            pool.give(segment);
        }
        let mut pool = Pool::new();
        let fiber = Fiber::new(pool.take(Class::DEFAULT).expect("a stack"), entry);
        let first = resume(fiber, Resume::Run);
        assert_eq!(first, Some(Suspended::Yielding));
        let second = resume(fiber, Resume::Run);
        assert_eq!(second, None);
        // SAFETY: it has returned.
        pool.give(unsafe { Fiber::into_stack(fiber) });
    }
}
