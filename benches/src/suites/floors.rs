//! The floors: what the machine and the kernel take for the steps that no runtime can leave out.
//!
//! A figure says little without the price of its parts: a million waiting threads touch a million
//! fresh pages, whoever writes the scheduler. Rows of other suites name these rows as their floor,
//! and the tables print how many times the floor a figure is. What a bare wake of a sleeping kernel
//! thread takes stands in the suite `wake`, beside the runtimes; how late a bare sleep ends, in
//! `timers`.

use std::hint::black_box;
use std::sync::atomic::{Ordering, fence};
use std::time::Instant;

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult};

use crate::measure::{each, timed};
use crate::random::Random;
use crate::row::{Outcome, Row, Scale};

pub(crate) const PAGE: &str = "a fresh page";
pub(crate) const GUARD: &str = "a guard of 64 KiB";
pub(crate) const FENCE: &str = "a SeqCst fence";
pub(crate) const ADDITION: &str = "a locked addition";
pub(crate) const SWITCH: &str = "an empty switch there and back";
pub(crate) const DEEP_SWITCH: &str = "a switch there and back, five calls deep";
pub(crate) const ALLOCATION: &str = "malloc and free of 208 bytes";
pub(crate) const MISS: &str = "a cache miss";

/// The unit that all of them have.
const UNIT: &str = "ns";

pub(super) fn rows(scale: Scale) -> Vec<Row> {
    let row = |title, measure: fn(Scale) -> Outcome| {
        Row::new("floors", title).unit(UNIT).peer("floor", move || measure(scale))
    };
    vec![
        row(SWITCH, |scale| switch(scale, 0)),
        row(DEEP_SWITCH, |scale| switch(scale, 5)),
        row(FENCE, fences),
        row(ADDITION, additions),
        row("a clock reading", clock),
        row("a system call", system_calls),
        row(ALLOCATION, allocations),
        row(MISS, misses),
        row(PAGE, pages),
        row(GUARD, guards),
    ]
}

/// Plays `step` as often as it is told.
fn steps(scale: Scale, mut step: impl FnMut()) -> Outcome {
    each(scale, 16, |count| {
        timed(|| {
            for _ in 0..count {
                step();
            }
        })
    })
}

fn fences(scale: Scale) -> Outcome {
    let word = std::sync::atomic::AtomicU64::new(0);
    steps(scale, || {
        // ORDERING: Relaxed; the fence is what is measured, and it needs a store to wait for.
        black_box(&word).store(1, Ordering::Relaxed);
        // Without the above, the compiler makes one fence of all in the loop.
        fence(Ordering::SeqCst);
    })
}

fn additions(scale: Scale) -> Outcome {
    let word = std::sync::atomic::AtomicU64::new(0);
    // ORDERING: Relaxed; nobody else reads it.
    steps(scale, || {
        black_box(word.fetch_add(1, Ordering::Relaxed));
    })
}

fn clock(scale: Scale) -> Outcome {
    steps(scale, || {
        black_box(Instant::now());
    })
}

fn system_calls(scale: Scale) -> Outcome {
    steps(scale, || {
        // SAFETY: takes nothing and touches no memory of ours; by number, for libc may remember.
        black_box(unsafe { libc::syscall(libc::SYS_getppid) });
    })
}

/// As large as sylvan's header.
fn allocations(scale: Scale) -> Outcome {
    steps(scale, || drop(black_box(Vec::<u8>::with_capacity(208))))
}

/// A walk through 256 MiB in an order that no prefetcher guesses: each step's address is what the
/// step before has read.
fn misses(scale: Scale) -> Outcome {
    const LINES: usize = (256 << 20) / 64;
    #[repr(align(64))]
    #[derive(Clone, Copy)]
    struct Line(usize);
    // Sattolo's shuffle makes one cycle of all lines.
    let mut lines: Vec<Line> = (0..LINES).map(Line).collect();
    let mut random = Random::new(0);
    for last in (1..LINES).rev() {
        lines.swap(last, random.below(last as u64) as usize);
    }
    let mut at = 0;
    each(scale, 16, |count| {
        timed(|| {
            for _ in 0..count {
                at = lines[at].0;
            }
            at
        })
    })
}

/// Anonymous memory of whole pages, given back at the end.
struct Mapping {
    start: *mut libc::c_void,
    bytes: usize,
}

impl Mapping {
    fn new(bytes: usize) -> Mapping {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping wherever the kernel wants; nothing of ours is replaced.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, flags, -1, 0) };
        assert!(start != libc::MAP_FAILED, "no address space");
        // Small pages, as under stacks.
        //
        // SAFETY: the range is the mapping just made.
        unsafe { libc::madvise(start, bytes, libc::MADV_NOHUGEPAGE) };
        Mapping { start, bytes }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and nothing refers to it any more.
        unsafe { libc::munmap(self.start, self.bytes) };
    }
}

/// One page in each 256 KiB, as stacks lie, so that page tables count, too.
fn pages(scale: Scale) -> Outcome {
    each(scale, 64, |count| {
        let mapping = Mapping::new(count as usize * STRIDE);
        timed(|| {
            for at in 0..count as usize {
                // SAFETY: the offset is below the mapping's size.
                let page = unsafe { mapping.start.byte_add(at * STRIDE) };
                // SAFETY: the byte lies in the mapping, which can be written.
                unsafe { page.cast::<u8>().write_volatile(1) };
            }
        })
    })
}

const STRIDE: usize = 256 << 10;
const GUARD_BYTES: usize = 64 << 10;
/// Linux 6.13; not yet named by the libc crate for every target.
const MADV_GUARD_INSTALL: libc::c_int = 102;

fn guards(scale: Scale) -> Outcome {
    let probe = Mapping::new(STRIDE);
    // SAFETY: the range is the mapping's start, which nobody uses.
    if unsafe { libc::madvise(probe.start, GUARD_BYTES, MADV_GUARD_INSTALL) } != 0 {
        return Err(format!("no such guards: {}", std::io::Error::last_os_error()));
    }
    each(scale, 64, |count| {
        let mapping = Mapping::new(count as usize * STRIDE);
        timed(|| {
            for at in 0..count as usize {
                // SAFETY: the offset is below the mapping's size.
                let guard = unsafe { mapping.start.byte_add(at * STRIDE) };
                // SAFETY: the range lies in the mapping, and nobody uses it.
                unsafe { libc::madvise(guard, GUARD_BYTES, MADV_GUARD_INSTALL) };
            }
        })
    })
}

/// One coroutine, resumed and suspended. From five calls deep the processor's prediction of
/// returns is wrong after each switch, which is what real programs meet.
fn switch(scale: Scale, depth: u32) -> Outcome {
    let stack = DefaultStack::new(64 << 10).map_err(|error| error.to_string())?;
    let mut coroutine = Coroutine::<bool, (), (), _>::with_stack(stack, move |yielder, _| {
        while match depth {
            0 => yielder.suspend(()),
            depth => deep(depth, yielder),
        } {}
    });
    let figure = each(scale, 16, |count| {
        timed(|| {
            for _ in 0..count {
                black_box(coroutine.resume(true));
            }
        })
    });
    assert!(matches!(coroutine.resume(false), CoroutineResult::Return(())), "the body ends");
    figure
}

#[inline(never)]
fn deep(depth: u32, yielder: &corosensei::Yielder<bool, ()>) -> bool {
    let more = if depth <= 1 { yielder.suspend(()) } else { deep(depth - 1, yielder) };
    black_box(depth);
    more
}
