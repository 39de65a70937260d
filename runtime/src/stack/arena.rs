//! The process's stock of stacks: it reserves address space in chunks, hands out slots in batches,
//! takes them back, and returns what nobody needs to the kernel.
//!
//! **Chunks.** A chunk holds the slots of one class. Its three bit sets are the whole state of its
//! slots: *free* (here, not in a pool or in use), *guarded* (guard installed; never taken back,
//! since guards survive both reuse and discarding), *touched* (free and perhaps resident). Takers
//! get the lowest chunk that has a free slot, so the upper chunks fall empty.
//!
//! **Trimming.** A stack that comes back keeps its pages; they are discarded later, by a worker
//! that has nothing else to do, some hundred at a time from the upper chunks down. They go by one
//! or two system calls where the kernel can, and neighbours as one range, straight across their
//! guards (0.3 µs a stack instead of 1.1). Nobody measures whether a stack grew: asking (`mincore`)
//! costs as much as discarding. The slots under way are in no set, so the lock is not held
//! meanwhile and nobody can take them.
//!
//! **Release.** A chunk whose slots are all free can be unmapped. That happens when a pool ends
//! (all but one chunk of each class, so that runtimes in a loop leave page tables and address
//! space behind for one chunk only), and when the kernel refuses a reservation or a guard (all).
//!
//! One lock guards everything: pools come here once per batch. It is never held across a trim, an
//! unmapping for a pool's end, or anything that can suspend a green thread. A slot that is out is
//! never touched here, and no chunk goes while one of its slots is out.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use corosensei::stack::valgrind::ValgrindStackRegistration;

use super::class::{Class, GUARD_BYTES};
use super::slots::{ChunkSet, Slots};
use super::{GUARDED, Slot, TOUCHED, table};
use crate::os;

/// Appends up to `count` free slots to `into`, at least one, the best one last.
///
/// # Errors
///
/// The kernel refused a chunk; the message names operation, size and likely cause.
pub(super) fn take(class: Class, count: usize, into: &mut Vec<Slot>) -> io::Result<()> {
    let mut arena = lock();
    let before = into.len();
    arena.take_free(class, count, into);
    if into.len() == before {
        arena.grow(class)?;
        arena.take_free(class, count, into);
    }
    into[before..].reverse();
    Ok(())
}

/// Takes a free slot whose guard is installed, if there is one.
pub(super) fn take_guarded(class: Class) -> Option<Slot> {
    let mut arena = lock();
    let chunks = &arena.classes[class.number()].chunks;
    let (number, slot) = chunks.iter().enumerate().find_map(|(number, chunk)| {
        let chunk = chunk.as_ref()?;
        Some((number, (chunk.free & chunk.guarded).first()?))
    })?;
    Some(arena.take_slot(class, number, slot))
}

/// Takes slots back.
pub(super) fn give(slots: &[Slot]) {
    let mut arena = lock();
    slots.iter().for_each(|slot| arena.give_slot(slot));
}

/// Whether there is enough to be discarded that it is worth it: more than 32 MiB of stride, and
/// more than is in use; and then until 32 MiB are left. One by one, as stacks come
/// back, each would cost a system call and an interruption of all other workers.
pub(super) fn wants_trim() -> bool {
    let touched = touched_bytes();
    if touched <= TOUCHED_BYTES_KEPT {
        // ORDERING: Relaxed throughout; hints.
        TRIMMING.store(false, Ordering::Relaxed);
        return false;
    }
    if !TRIMMING.load(Ordering::Relaxed) {
        let in_use_bytes = out_count().saturating_mul(Class::DEFAULT.stride_bytes());
        if touched < in_use_bytes {
            return false;
        }
        TRIMMING.store(true, Ordering::Relaxed);
    }
    true
}

/// Discards the pages of some hundred free slots. Returns false when there was none to do.
pub(super) fn trim_step() -> bool {
    let trims = lock().start_trims();
    let ranges = trims.iter().flat_map(|trim| {
        let stride = trim.class.stride_bytes();
        trim.slots.runs().map(move |run| {
            // The guard at the run's lower end has no pages.
            let start = trim.base + run.start * stride + GUARD_BYTES;
            (start as *mut u8, run.len() * stride - GUARD_BYTES)
        })
    });
    // SAFETY: S1: each run lies in one chunk, which stays mapped, for its slots under way are in no
    // set and so not all free. S2: free slots hold nothing, and nobody can take these. Locked
    // memory refuses; its owner wanted the pages to stay.
    unsafe { os::discard_all(ranges) };
    if !trims.is_empty() {
        let mut arena = lock();
        trims.iter().for_each(|trim| arena.finish_trim(trim));
    }
    !trims.is_empty()
}

/// Unmaps the chunks that are wholly free, but `keep` of each class, and says how many it was.
/// Of the classes whose chunks are one stack each, none is kept.
pub(super) fn release_free_chunks(keep: usize) -> usize {
    // The lock is gone when the chunks drop: unmapping one takes up to 100 µs.
    let released = lock().remove_free_chunks(keep);
    released.len()
}

/// Returns how many stacks are out: in pools, in use or leaked.
pub(super) fn out_count() -> usize {
    // ORDERING: Relaxed, for it is a count to look at; nothing depends on what it counts.
    OUT.load(Ordering::Relaxed)
}

/// Returns how many bytes of stacks are free and perhaps resident, by stride.
fn touched_bytes() -> usize {
    // ORDERING: Relaxed, for it is a hint when to trim.
    TOUCHED_BYTES.load(Ordering::Relaxed)
}

struct Arena {
    classes: [ClassChunks; Class::COUNT],
}

/// All chunks of one class.
struct ClassChunks {
    /// By number; `None` where one was unmapped, until the next growth takes the place.
    chunks: Vec<Option<Chunk>>,
    /// The chunks with a free slot, and those with a free slot that may be resident.
    with_free: ChunkSet,
    with_touched: ChunkSet,
}

/// One reservation, unmapped on drop.
struct Chunk {
    base: usize,
    class: Class,
    /// Number in the table that the signal handler reads.
    entry: usize,
    free: Slots,
    guarded: Slots,
    touched: Slots,
    /// Valgrind takes jumps of the stack pointer within a registered range for switches; a
    /// registration per stack would take an allocation and a call for each.
    _valgrind: ValgrindStackRegistration,
}

/// Free slots of one chunk whose pages are being discarded.
struct Trim {
    class: Class,
    number: usize,
    base: usize,
    slots: Slots,
}

impl Arena {
    fn take_free(&mut self, class: Class, count: usize, into: &mut Vec<Slot>) {
        for _ in 0..count {
            let chunks = &self.classes[class.number()];
            let Some(number) = chunks.with_free.first() else { return };
            let chunk = chunks.chunks[number].as_ref().expect("a chunk with free slots is mapped");
            // Warm pages first, then a guard that is there already.
            let slot = [chunk.free & chunk.touched, chunk.free & chunk.guarded, chunk.free]
                .into_iter()
                .find_map(Slots::first)
                .expect("`with_free` names chunks that have a free slot");
            into.push(self.take_slot(class, number, slot));
        }
    }

    fn take_slot(&mut self, class: Class, number: usize, slot: usize) -> Slot {
        let chunks = &mut self.classes[class.number()];
        let chunk = chunks.chunks[number].as_mut().expect("slots are taken from mapped chunks");
        let touched = chunk.touched.contains(slot);
        let bottom = chunk.base + slot * class.stride_bytes();
        let taken = Slot::new(bottom, number * class.slots_per_chunk() + slot, class)
            .with(GUARDED, chunk.guarded.contains(slot))
            .with(TOUCHED, touched);
        chunk.free.remove(slot);
        chunk.touched.remove(slot);
        chunks.note(number);
        // ORDERING: Relaxed, for both counts are for looking at; the lock orders the rest.
        OUT.fetch_add(1, Ordering::Relaxed);
        if touched {
            TOUCHED_BYTES.fetch_sub(class.stride_bytes(), Ordering::Relaxed);
        }
        taken
    }

    fn give_slot(&mut self, given: &Slot) {
        let class = given.class();
        let per_chunk = class.slots_per_chunk();
        let (number, slot) = (given.index() / per_chunk, given.index() % per_chunk);
        let chunks = &mut self.classes[class.number()];
        let chunk = chunks.chunks[number].as_mut().expect("a chunk stays while a stack is out");
        debug_assert!(!chunk.free.contains(slot), "a stack has one owner, who gives it back once");
        chunk.free.insert(slot);
        if given.is_guarded() {
            chunk.guarded.insert(slot);
        }
        // ORDERING: Relaxed, as in `take_slot`.
        if given.is_touched() {
            chunk.touched.insert(slot);
            TOUCHED_BYTES.fetch_add(class.stride_bytes(), Ordering::Relaxed);
        }
        OUT.fetch_sub(1, Ordering::Relaxed);
        chunks.note(number);
    }

    fn grow(&mut self, class: Class) -> io::Result<()> {
        let len = class.chunk_bytes();
        let base = os::map_reserve(len).or_else(|error| {
            // What another class holds and nobody uses may be in the way.
            let released = self.remove_free_chunks(0);
            if released.is_empty() {
                return Err(error);
            }
            drop(released);
            os::map_reserve(len)
        });
        let base = base.map_err(|error| reservation_refused(len, &error))?;
        let Some(entry) = table::enter(base as usize, class) else {
            // SAFETY: S1: the reservation just made. S2: nobody else has seen it.
            unsafe { os::unmap(base, len) };
            return Err(io::Error::new(
                io::ErrorKind::OutOfMemory,
                "the table of stack chunks is full",
            ));
        };
        let chunk = Chunk {
            base: base as usize,
            class,
            entry,
            free: Slots::first_n(class.slots_per_chunk()),
            guarded: Slots::EMPTY,
            touched: Slots::EMPTY,
            _valgrind: ValgrindStackRegistration::new(base, len),
        };
        let chunks = &mut self.classes[class.number()];
        let number = chunks.chunks.iter().position(Option::is_none).unwrap_or(chunks.chunks.len());
        if number == chunks.chunks.len() {
            chunks.chunks.push(None);
        }
        chunks.chunks[number] = Some(chunk);
        chunks.note(number);
        Ok(())
    }

    /// Takes slots for discarding: of one chunk, and of more where those hold few each.
    fn start_trims(&mut self) -> Vec<Trim> {
        let mut trims = Vec::new();
        let mut slots = 0;
        while slots < TRIM_SLOTS
            && let Some(trim) = self.start_trim()
        {
            slots += trim.slots.count();
            trims.push(trim);
        }
        trims
    }

    /// Picks the slots of one chunk for discarding and takes them out of every set.
    ///
    /// The chunk is the highest that has any: takers start at the lowest, whose warm pages serve.
    fn start_trim(&mut self) -> Option<Trim> {
        let (chunks, number) = self
            .classes
            .iter_mut()
            .find_map(|chunks| chunks.with_touched.last().map(|number| (chunks, number)))?;
        let chunk = chunks.chunks[number].as_mut().expect("a chunk with free slots is mapped");
        let trim = Trim { class: chunk.class, number, base: chunk.base, slots: chunk.touched };
        chunk.free = chunk.free.without(trim.slots);
        chunk.touched = Slots::EMPTY;
        chunks.note(number);
        let bytes = trim.slots.count() * trim.class.stride_bytes();
        // ORDERING: Relaxed, as in `take_slot`.
        TOUCHED_BYTES.fetch_sub(bytes, Ordering::Relaxed);
        Some(trim)
    }

    fn finish_trim(&mut self, trim: &Trim) {
        let chunks = &mut self.classes[trim.class.number()];
        let chunk = chunks.chunks[trim.number].as_mut().expect("slots under way pin their chunk");
        chunk.free = chunk.free | trim.slots;
        chunks.note(trim.number);
    }

    /// Takes the wholly free chunks out, but the lowest `keep` of each class.
    fn remove_free_chunks(&mut self, keep: usize) -> Vec<Chunk> {
        let mut removed = Vec::new();
        for chunks in &mut self.classes {
            let mut keep = keep;
            for number in 0..chunks.chunks.len() {
                let place = &mut chunks.chunks[number];
                let Some(chunk) = place.take_if(|chunk| chunk.is_free()) else { continue };
                if keep > 0 && chunk.class.slots_per_chunk() > 1 {
                    keep -= 1;
                    *place = Some(chunk);
                    continue;
                }
                chunks.note(number);
                let bytes = chunk.touched.count() * chunk.class.stride_bytes();
                // ORDERING: Relaxed, as in `take_slot`.
                TOUCHED_BYTES.fetch_sub(bytes, Ordering::Relaxed);
                removed.push(chunk);
            }
        }
        removed
    }
}

impl ClassChunks {
    const fn new() -> ClassChunks {
        ClassChunks {
            chunks: Vec::new(),
            with_free: ChunkSet::new(),
            with_touched: ChunkSet::new(),
        }
    }

    /// Brings the two sets in line with what chunk `number` now holds.
    fn note(&mut self, number: usize) {
        let chunk = self.chunks[number].as_ref();
        self.with_free.set(number, chunk.is_some_and(|chunk| !chunk.free.is_empty()));
        self.with_touched.set(number, chunk.is_some_and(|chunk| !chunk.touched.is_empty()));
    }
}

impl Chunk {
    fn is_free(&self) -> bool {
        self.free == Slots::first_n(self.class.slots_per_chunk())
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        // The entry goes first: the handler must not take a stranger's mapping for a guard.
        table::clear(self.entry);
        // SAFETY: S1: address and length are those of `grow`. S2: all slots are free, and the
        // chunk is in no list any more.
        unsafe { os::unmap(self.base as *mut u8, self.class.chunk_bytes()) };
    }
}

fn reservation_refused(len: usize, error: &io::Error) -> io::Error {
    io::Error::new(
        io::ErrorKind::OutOfMemory,
        format!(
            "mmap of {len} bytes for stacks was refused: {error}; likely the address space is \
             used up or limited (ulimit -v), or memory is locked or strictly accounted for \
             (ulimit -l, vm.overcommit_memory)"
        ),
    )
}

fn lock() -> MutexGuard<'static, Arena> {
    // No code under the lock panics halfway through a change, so a poisoned arena is whole.
    ARENA.lock().unwrap_or_else(PoisonError::into_inner)
}

static ARENA: Mutex<Arena> =
    Mutex::new(Arena { classes: [const { ClassChunks::new() }; Class::COUNT] });

/// Stacks that are not in the arena. Changed under the lock, read without it.
static OUT: AtomicUsize = AtomicUsize::new(0);

/// Whether a trim is under way, from the one threshold to the other; see `wants_trim`.
static TRIMMING: AtomicBool = AtomicBool::new(false);

/// Stride bytes of free stacks that may stay resident in any case: 128 default stacks.
const TOUCHED_BYTES_KEPT: usize = 32 << 20;

/// How many slots one trim takes, or more: that takes 50 to 100 µs, for which work that arrives
/// meanwhile waits.
const TRIM_SLOTS: usize = 128;

/// Stride bytes of the members of all `touched` sets. Changed under the lock, read without it.
static TOUCHED_BYTES: AtomicUsize = AtomicUsize::new(0);
