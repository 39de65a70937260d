//! The saved context of a fiber on x86-64: a stack pointer for each side of the switch.
//!
//! A switch pushes the two registers that inline assembly may not clobber and the address where it
//! goes on, stores the stack pointer, loads that of the other side, and *jumps*. All other
//! registers are clobbered by declaration, so the compiler saves those that are in use, and no
//! more. It is not entered by a call nor left by a return, so the processor's prediction of returns
//! stays in step with the calls on either side: with a pair of call and return between them, as
//! corosensei has it, each frame between a thread and its switch costs a misprediction (measured:
//! 35 ns there and back from five calls deep, against 5).
//!
//! ```text
//!   suspended:             not yet entered:
//!   │ frames      │        │ Fiber         │ ◀─ base
//!   ├─────────────┤        ├───────────────┤
//!   │ rbp         │        │ the fiber     │
//!   │ rbx         │        │ `trampoline`  │ ◀─ sp
//!   │ goes on at  │ ◀─ sp  └───────────────┘
//!   └─────────────┘
//! ```
//!
//! The control words of the floating-point units are not switched; Rust code must not change them.
//! Back traces and unwinding end at `trampoline`, which says so in its unwind table; nothing ever
//! unwinds that far, for `begin` would abort.

use std::arch::{asm, naked_asm};
use std::cell::Cell;
use std::ptr::NonNull;

use super::{Fiber, Resume, Suspended};

/// See the file's comment.
pub(super) struct Context {
    /// Where the fiber goes on when it is suspended; [`RETURNED`] at the end.
    inside: Cell<usize>,
    /// Where the one goes on that has resumed it.
    outside: Cell<usize>,
    entry: fn(&Fiber),
}

/// No stack pointer.
const RETURNED: usize = 0;
/// What a fiber that has returned says last; no value of [`Suspended`].
const ENDED: usize = usize::MAX;

/// Whether a fiber can be left for another one, without a stop outside.
pub(crate) const SWITCHES_DIRECTLY: bool = true;

impl Context {
    /// Prepares the stack from `bottom` up to `base`: at its first resume, `entry` is called with
    /// the fiber at `place`; told to return at once, it is not.
    ///
    /// # Safety
    /// S1: the stack is the caller's to give away, and a fiber, of which the new context is a
    /// part, lies at `place` before the first resume, for as long as the stack is used.
    pub(super) unsafe fn new(
        base: usize,
        bottom: usize,
        place: NonNull<Fiber>,
        entry: fn(&Fiber),
    ) -> Context {
        debug_assert!(base.is_multiple_of(16) && base - bottom > size_of::<[usize; 2]>());
        let top = place.as_ptr().cast::<usize>().with_addr(base);
        let first = [trampoline as *const () as usize, place.as_ptr().addr()];
        // SAFETY: two words below `base`, inside the stack that is given away (S1).
        let sp = unsafe { top.sub(first.len()) };
        // SAFETY: as above; aligned, for `base` is.
        unsafe { sp.cast::<[usize; 2]>().write(first) };
        Context { inside: Cell::new(sp.addr()), outside: Cell::new(0), entry }
    }

    /// Enters, and comes back when it leaves. `None`: `entry` has returned.
    ///
    /// # Safety
    /// S1: nobody is inside, and it has not returned yet.
    #[inline(always)]
    pub(super) unsafe fn resume(&self, how: Resume) -> Option<Suspended> {
        debug_assert_ne!(self.inside.get(), RETURNED);
        // SAFETY: S1: `inside` was left by `new` or by the switch in `suspend`, and nobody has
        // gone on there since (S1).
        let why = unsafe { switch(&self.outside, self.inside.get(), how as usize) };
        match why {
            YIELDING => Some(Suspended::Yielding),
            WAITING => Some(Suspended::Waiting),
            RESTING => Some(Suspended::Resting),
            DESCRIBED => Some(Suspended::Described),
            _ => None,
        }
    }

    /// Leaves, and comes back when it is resumed.
    ///
    /// # Safety
    /// S1: the caller runs inside, or on a stack entered from there.
    #[inline(always)]
    pub(super) unsafe fn suspend(&self, why: Suspended) -> Resume {
        // SAFETY: S1: `outside` was left by the `resume` that has brought us here, and waits.
        told(unsafe { switch(&self.inside, self.outside.get(), why as usize) })
    }

    /// Leaves for `next`, whose outside is ours from now on, and comes back when it is resumed.
    ///
    /// # Safety
    /// S1: as for [`Context::suspend`].
    /// S2: as for [`Context::resume`] of `next`.
    #[inline(always)]
    pub(super) unsafe fn switch_to(&self, next: &Context) -> Resume {
        next.outside.set(self.outside.get());
        // SAFETY: S1: as in `resume`, for `next` (S2).
        told(unsafe { switch(&self.inside, next.inside.get(), RUN) })
    }

    /// Lets the stack go. Panics if `entry` has not returned.
    ///
    /// # Safety
    /// S1: this is the last use of the context.
    pub(super) unsafe fn finish(&self) {
        assert_eq!(self.inside.get(), RETURNED, "the stack of a suspended fiber is in use");
    }

    /// Where the stack pointer was when the fiber was left; for the prefetch.
    #[inline]
    pub(super) fn saved_sp(&self) -> usize {
        self.inside.get()
    }
}

const YIELDING: usize = Suspended::Yielding as usize;
const WAITING: usize = Suspended::Waiting as usize;
const RESTING: usize = Suspended::Resting as usize;
const DESCRIBED: usize = Suspended::Described as usize;
const RUN: usize = Resume::Run as usize;
const DESCRIBE: usize = Resume::Describe as usize;

#[inline(always)]
fn told(word: usize) -> Resume {
    match word {
        RUN => Resume::Run,
        DESCRIBE => Resume::Describe,
        _ => Resume::Return,
    }
}

/// Leaves this stack, whose pointer goes to `save`, for the one that was left at `to`, and tells
/// it `word`. Comes back when somebody switches here, with the word that he tells.
///
/// # Safety
/// S1: `to` was prepared by [`Context::new`] or saved by this function, its stack is alive, and
/// nobody has gone on there since.
#[inline(always)]
unsafe fn switch(save: &Cell<usize>, to: usize, word: usize) -> usize {
    let told;
    // SAFETY: the other side finds its own stack as it left it (S1), and so shall we. `rbx` and
    // `rbp` are kept on the stack and all other registers are clobbered. Without the option
    // `nostack`, the compiler leaves nothing below the stack pointer.
    unsafe {
        asm!(
            "push rbp",
            "push rbx",
            "lea rax, [rip + 2f]",
            "push rax",
            "mov [rdi], rsp",
            "mov rsp, rsi",
            "pop rax",
            "jmp rax",
            "2:",
            "pop rbx",
            "pop rbp",
            inout("rdi") save.as_ptr() => _,
            inout("rsi") to => _,
            inout("rdx") word => told,
            lateout("r12") _, lateout("r13") _, lateout("r14") _, lateout("r15") _,
            clobber_abi("sysv64"),
        );
    }
    told
}

/// The outermost frame of a fiber: calls [`begin`] with what [`Context::new`] has left.
#[unsafe(naked)]
extern "sysv64" fn trampoline() {
    naked_asm!(
        ".cfi_startproc",
        ".cfi_undefined rip",
        "pop rdi",
        "mov rsi, rdx",
        "xor ebp, ebp",
        "call {begin}",
        "ud2",
        ".cfi_endproc",
        begin = sym begin,
    )
}

/// Runs a fiber from its first resume to its end. An unwinding that came here would abort.
extern "sysv64" fn begin(place: NonNull<Fiber>, how: usize) -> ! {
    // SAFETY: S1 of `Context::new`.
    let fiber = unsafe { place.as_ref() };
    let context = &fiber.context;
    if how != Resume::Return as usize {
        (context.entry)(fiber);
    }
    let outside = context.outside.get();
    let nowhere = Cell::new(0);
    context.inside.set(RETURNED);
    // SAFETY: S1: as in `suspend`. Nobody comes back here, for `inside` says so.
    unsafe { switch(&nowhere, outside, ENDED) };
    crate::os::abort_with("a fiber was resumed that has returned")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::{Class, Pool};

    /// Values that live across a switch, in more registers than there are, on both sides.
    #[test]
    fn values_in_registers_outlive_a_switch() {
        #[inline(never)]
        fn churn(seed: u64, mut switch: impl FnMut()) -> (u64, f64) {
            let mut words: [u64; 20] = std::array::from_fn(|i| seed.wrapping_mul(i as u64 + 3));
            let mut floats: [f64; 20] = std::array::from_fn(|i| (seed + i as u64) as f64);
            for round in 0..100 {
                switch();
                for (i, word) in words.iter_mut().enumerate() {
                    *word = word.rotate_left(7) ^ (round + i as u64);
                }
                for float in &mut floats {
                    *float = (*float * 1.25 + 1.0) % 1e6;
                }
            }
            (words.iter().fold(0, |a, b| a ^ b), floats.iter().sum())
        }
        fn entry(fiber: &Fiber) {
            let alone = churn(5, || ());
            // SAFETY: we run on the fiber.
            let switching = churn(5, || unsafe {
                fiber.suspend(Suspended::Yielding);
            });
            assert_eq!(alone, switching);
        }
        let fiber = Fiber::new(Pool::new().take(Class::DEFAULT).expect("a stack"), entry);
        // SAFETY: alive to the end of the test.
        let resumed = unsafe { fiber.as_ref() };
        let alone = churn(9, || ());
        let switching = churn(9, || {
            // SAFETY: this kernel thread made it, and nobody is inside.
            assert_eq!(unsafe { resumed.resume(Resume::Run) }, Some(Suspended::Yielding));
        });
        assert_eq!(alone, switching);
        // SAFETY: as above.
        assert_eq!(unsafe { resumed.resume(Resume::Run) }, None);
        // SAFETY: it has returned.
        drop(unsafe { Fiber::into_stack(fiber) });
    }

    #[test]
    fn a_back_trace_ends_at_the_fibers_first_frame() {
        fn entry(_: &Fiber) {
            let trace = std::backtrace::Backtrace::force_capture().to_string();
            let last = trace.lines().rfind(|line| !line.trim_start().starts_with("at "));
            assert!(last.is_some_and(|line| line.ends_with("::trampoline")), "{trace}");
        }
        let fiber = Fiber::new(Pool::new().take(Class::DEFAULT).expect("a stack"), entry);
        // SAFETY: alive to the end of the test.
        let resumed = unsafe { fiber.as_ref() };
        // SAFETY: this kernel thread made it, and nobody is inside.
        assert_eq!(unsafe { resumed.resume(Resume::Run) }, None);
        // SAFETY: it has returned.
        drop(unsafe { Fiber::into_stack(fiber) });
    }
}
