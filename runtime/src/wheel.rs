//! Timers: a worker has up to a million threads that wait with a deadline, most of which are woken
//! by something else first, so arming and disarming must cost nanoseconds and allocate nothing.
//!
//! How: a hierarchical timing wheel. Eleven levels of 64 slots; a slot of level 0 is one tick wide,
//! a slot of level n is as wide as all of level n − 1. An entry lies in the frame of the thread
//! that waits, and is linked into the list of the slot that holds its tick; it moves down a level
//! each time that the wheel reaches its slot, at most ten times. One bitmap a level says which
//! slots hold entries, so the next one is a bit scan away, however long the gap before it. A heap
//! was the alternative: it costs log n cache misses where the wheel costs one or two, and an index
//! to keep.
//!
//! The wheel knows no clock: it is told `now`, in nanoseconds since an epoch that its owner chose.
//! It must never fire an entry early, lose one, allocate, or call back while its lists are in
//! pieces. It is HOME-ONLY: one kernel thread touches a wheel and its entries (`!Send`, `!Sync`).
//!
//! # Source
//!
//! G. Varghese and T. Lauck, "Hashed and Hierarchical Timing Wheels: Data Structures for the
//! Efficient Implementation of a Timer Facility", SOSP 1987, scheme 7. Filing by the highest digit
//! in which deadline and present differ, instead of by their distance, is how tokio's wheel does
//! it: no slot ever wraps around, so the lowest occupied level holds the earliest entries.

use std::cell::Cell;
use std::ptr;

/// The wheel of one worker.
///
/// # The invariant FILED
///
/// Ticks are numbers to the base 64; level n looks at digit n. `elapsed` is the tick up to which
/// everything was fired. An entry of tick `t ≥ elapsed` is filed at the level of the highest digit
/// in which `t` and `elapsed` differ, in the slot that this digit of `t` names; an entry whose
/// tick equals `elapsed` lies at level 0. Hence:
///
/// - At a level above 0 only slots above `elapsed`'s own digit are occupied, at level 0 also the
///   slot of that digit itself. Nothing wraps around.
/// - All entries of level n are due before all of level n + 1: they share digit n + 1 with
///   `elapsed`, where those of level n + 1 have a greater one.
/// - `elapsed` may move on to any tick that is not beyond the start of the first occupied slot:
///   it lies between the old `elapsed` and every entry's slot, which agree in all higher digits.
///   Only a slot whose start it reaches must be emptied.
pub(crate) struct Wheel {
    elapsed: Cell<u64>,
    /// Bit n: level n has an occupied slot.
    occupied_levels: Cell<u16>,
    /// Per level, bit n: the list of slot n is not empty.
    occupied_slots: [Cell<u64>; LEVEL_COUNT],
    /// The slots of all levels, one level after the other: 11 × 64 × 16 bytes = 11 KiB.
    slots: [Slot; PLACE_COUNT],
    entry_count: Cell<usize>,
    /// A tick is 2 to this power of nanoseconds wide.
    tick_bits: u32,
}

/// One timer. It lies in the frame of the code that waits and is pinned by the fact that it waits.
///
/// All its fields are cells and nobody makes a `&mut Entry` while it is armed, so the pointers that
/// the wheel derives from `&Entry` stay valid to write through.
pub(crate) struct Entry {
    next: Cell<*const Entry>,
    prev: Cell<*const Entry>,
    /// The first tick at which the deadline is over.
    tick: Cell<u64>,
    owner: *const (),
    /// Index into `Wheel::slots` while armed; else `IDLE` or `FIRED`.
    place: Cell<u16>,
}

/// The list of one slot, in the order of arming. Both ends are kept: appending at the tail touches
/// the entry that was armed last, which is warm, and neighbours in time fire first come first
/// served.
struct Slot {
    head: Cell<*const Entry>,
    tail: Cell<*const Entry>,
}

/// The earliest occupied slot: its place, and the first tick that it covers.
struct Earliest {
    level: u32,
    place: usize,
    start: u64,
}

/// A tick is 2^14 ns = 16.384 µs, about what it takes to wake a sleeping worker: finer ticks would
/// promise what no wake-up keeps, and coarser ones would be seen in `sleep`.
const TICK_BITS: u32 = 14;
#[cfg(test)]
const TICK_NS: u64 = 1 << TICK_BITS;

/// 2^6 = 64 slots a level: one word of bitmap.
const SLOT_BITS: u32 = 6;
const SLOT_COUNT: usize = 1 << SLOT_BITS;

/// Every `u64` of nanoseconds has a level, also where a tick is one nanosecond, for a virtual
/// clock: eleven levels of 6 bits hold 2^66 ticks. Ordinary ticks need nine; the other two cost
/// 2 KiB a worker, and spare a second kind of wheel.
const LEVEL_COUNT: usize = 11;
const PLACE_COUNT: usize = LEVEL_COUNT * SLOT_COUNT;

/// How many entries of a higher level's slot are looked through for the exact next deadline.
const EXACT_LOOK_COUNT: usize = 8;

/// Not armed, and disarmed or never armed before.
const IDLE: u16 = u16::MAX;
/// Not armed, because it fired.
const FIRED: u16 = u16::MAX - 1;

impl Wheel {
    pub(crate) fn new() -> Wheel {
        Wheel::with_ticks(TICK_BITS)
    }

    /// A wheel that is exact to the nanosecond: for a clock that only moves from one deadline to
    /// the next, so that no wake-up takes any time.
    pub(crate) fn exact() -> Wheel {
        Wheel::with_ticks(0)
    }

    fn with_ticks(tick_bits: u32) -> Wheel {
        Wheel {
            tick_bits,
            elapsed: Cell::new(0),
            occupied_levels: Cell::new(0),
            occupied_slots: [const { Cell::new(0) }; LEVEL_COUNT],
            slots: [const { Slot::new() }; PLACE_COUNT],
            entry_count: Cell::new(0),
        }
    }

    /// Lets `entry` fire at the first `expire` that is told `deadline_ns` or later, rounded up to
    /// a full tick. An entry that is armed already gets the new deadline.
    ///
    /// # Units
    ///
    /// Nanoseconds since the epoch of this wheel's `now`. What is over already fires at the next
    /// `expire`. A deadline in the last tick of the range (`u64::MAX` is one) has no full tick
    /// after it and is never reached.
    ///
    /// # Safety
    ///
    /// - S1: `entry` stays at its address, and is not borrowed mutably, until it has fired or was
    ///   disarmed.
    /// - S2: the kernel thread is the one that made this wheel. (Its types are not `Send`; this
    ///   duty is for callers that reach them through raw pointers.)
    /// - S3: `entry` is not armed on another wheel, and this wheel lives until the entry has fired
    ///   or was disarmed.
    pub(crate) unsafe fn arm(&self, entry: &Entry, deadline_ns: u64) {
        // SAFETY: S2 and S3 of `disarm` are ours of the same numbers.
        unsafe { self.disarm(entry) };
        entry.tick.set(deadline_ns.div_ceil(1 << self.tick_bits));
        // SAFETY: S1 and S3 say that it lives and stays while it is linked; `disarm` has left it
        // in no list.
        unsafe { self.file(entry) };
        self.entry_count.set(self.entry_count.get() + 1);
    }

    /// Takes `entry` out, so that it will not fire. Does nothing when it is not armed; one that
    /// fired still says so afterwards.
    ///
    /// # Safety
    ///
    /// - S2: as for `arm`.
    /// - S3: if `entry` is armed, it is so on this wheel.
    pub(crate) unsafe fn disarm(&self, entry: &Entry) {
        if !entry.is_armed() {
            return;
        }
        // SAFETY: it is armed, and here by S3, so it is linked in the slot that its place names.
        unsafe { self.unlink(entry) };
        entry.place.set(IDLE);
    }

    /// Says when `expire` should be called next, or nothing when no entry is armed.
    ///
    /// It is a tick's exact time, at which `expire` fires something, when the earliest slot is one
    /// of level 0 or holds up to eight entries. Else it is a lower bound, the slot's start: an
    /// `expire` then moves the slot's entries down, so it costs at most one look in vain per level
    /// above 0. A slot that many threads share makes up for that by what it saves: each of the
    /// looks would touch every entry.
    ///
    /// # Units
    ///
    /// Nanoseconds since the epoch of `now`; `u64::MAX` when the time is beyond the range.
    pub(crate) fn next_deadline_ns(&self) -> Option<u64> {
        let earliest = self.earliest()?;
        let tick = self.exact_tick(&earliest).unwrap_or(earliest.start);
        // The tick 2^50 is the end of the range itself; its time would be 2^64.
        Some(tick.saturating_mul(1 << self.tick_bits))
    }

    /// Fires every entry whose deadline is over at `now_ns`, earlier ticks first, and within a tick
    /// those first that were filed first.
    ///
    /// `fire` gets the owner of an entry that is unlinked and marked as fired already, and the
    /// entry is not touched afterwards: its frame may be gone when `fire` returns. The wheel is
    /// whole during each call, so `fire` may unwind (the rest fires at the next `expire`) and may
    /// arm and disarm entries; one that it arms for a tick that is over fires within this call.
    ///
    /// # Units
    ///
    /// Nanoseconds since the wheel's epoch. A `now_ns` below an earlier one fires nothing.
    pub(crate) fn expire(&self, now_ns: u64, mut fire: impl FnMut(*const ())) {
        let now = now_ns >> self.tick_bits;
        // The earliest slot is looked up anew for each entry, since `fire` may have changed it.
        while let Some(earliest) = self.earliest() {
            if earliest.start > now {
                break;
            }
            // FILED allows this step: it goes to the start of the first occupied slot, which is
            // emptied now, or at level 0 may stay as it is.
            self.elapsed.set(earliest.start);
            if earliest.level == 0 {
                fire(self.take_fired(earliest.place));
            } else {
                self.refile(earliest.place);
            }
        }
        // All that is left starts beyond `now`, so FILED allows this step too.
        self.elapsed.set(self.elapsed.get().max(now));
    }

    /// How many entries are armed.
    pub(crate) fn len(&self) -> usize {
        self.entry_count.get()
    }

    fn earliest(&self) -> Option<Earliest> {
        let levels = self.occupied_levels.get();
        if levels == 0 {
            return None;
        }
        let level = levels.trailing_zeros();
        let slot = self.occupied_slots[level as usize].get().trailing_zeros();
        let shift = level * SLOT_BITS;
        // By FILED the slot agrees with `elapsed` in all digits above its own.
        let span = shift + SLOT_BITS;
        // No digit is above those of the top level, whose span of 66 bits no shift takes.
        let above = self.elapsed.get().checked_shr(span).map_or(0, |digits| digits << span);
        let start = above | u64::from(slot) << shift;
        Some(Earliest { level, place: (level as usize) << SLOT_BITS | slot as usize, start })
    }

    /// The first tick at which an entry of the slot is due, unless the list is too long to look.
    fn exact_tick(&self, earliest: &Earliest) -> Option<u64> {
        if earliest.level == 0 {
            return Some(earliest.start);
        }
        let mut first_tick = u64::MAX;
        let mut at = self.slots[earliest.place].head.get();
        for _ in 0..EXACT_LOOK_COUNT {
            // SAFETY: `at` is in a list, so it is armed and alive (S1 of `arm`): the first, because
            // the slot is occupied, and the others, because the end is checked below.
            let entry = unsafe { &*at };
            first_tick = first_tick.min(entry.tick.get());
            at = entry.next.get();
            if at.is_null() {
                return Some(first_tick);
            }
        }
        None
    }

    /// Takes the first entry of an occupied slot out, marks it as fired, and says whose it is.
    fn take_fired(&self, place: usize) -> *const () {
        // SAFETY: the slot is occupied, so its head is an armed entry and alive (S1 of `arm`).
        let entry = unsafe { &*self.slots[place].head.get() };
        // SAFETY: it is linked here, and by HOME-ONLY nobody else unlinks it.
        unsafe { self.unlink(entry) };
        entry.place.set(FIRED);
        entry.owner
    }

    /// Moves all entries of a slot that `elapsed` has just reached to where they belong now. They
    /// agree with `elapsed` in the slot's digit, so by FILED each goes to a lower level and this
    /// loop never meets one twice.
    fn refile(&self, place: usize) {
        let slot = &self.slots[place];
        let mut at = slot.head.replace(ptr::null());
        slot.tail.set(ptr::null());
        self.mark_empty(place);
        while !at.is_null() {
            // SAFETY: `at` was in the slot's list, so it is armed and alive (S1 of `arm`); no code
            // but ours runs in this loop, so none was disarmed since.
            let entry = unsafe { &*at };
            at = entry.next.get();
            // SAFETY: armed entries live and stay (S1, S3 of `arm`), and this one is in no list:
            // the slot has forgotten it, and `file` overwrites both its links.
            unsafe { self.file(entry) };
        }
    }

    /// Links an entry at the end of the slot that FILED names for its tick.
    ///
    /// # Safety
    ///
    /// - S1: as for `arm`.
    /// - S2: it is in no list.
    unsafe fn file(&self, entry: &Entry) {
        let elapsed = self.elapsed.get();
        let tick = entry.tick.get().max(elapsed);
        // `| 63` makes a tick that differs nowhere differ in digit 0.
        let differing = (tick ^ elapsed) | (SLOT_COUNT as u64 - 1);
        let level = (u64::BITS - 1 - differing.leading_zeros()) / SLOT_BITS;
        let slot_number = (tick >> (level * SLOT_BITS)) as usize & (SLOT_COUNT - 1);
        let place = (level as usize) << SLOT_BITS | slot_number;

        let slot = &self.slots[place];
        let last = slot.tail.replace(ptr::from_ref(entry));
        entry.prev.set(last);
        entry.next.set(ptr::null());
        entry.place.set(place as u16);
        if last.is_null() {
            slot.head.set(ptr::from_ref(entry));
            self.mark_occupied(place);
        } else {
            // SAFETY: `last` is in the slot's list, so it is armed and alive (S1).
            let last = unsafe { &*last };
            last.next.set(ptr::from_ref(entry));
        }
    }

    /// Takes an entry out of its slot's list. Its links and its place are left as they were.
    ///
    /// # Safety
    ///
    /// - S1: `entry` is armed on this wheel.
    unsafe fn unlink(&self, entry: &Entry) {
        let place = usize::from(entry.place.get());
        let slot = &self.slots[place];
        let (prev, next) = (entry.prev.get(), entry.next.get());
        if prev.is_null() {
            slot.head.set(next);
        } else {
            // SAFETY: a neighbour in the list is armed, so it is alive (S1 of `arm`).
            let prev = unsafe { &*prev };
            prev.next.set(next);
        }
        if next.is_null() {
            slot.tail.set(prev);
        } else {
            // SAFETY: as for `prev`.
            let next = unsafe { &*next };
            next.prev.set(prev);
        }
        if prev.is_null() && next.is_null() {
            self.mark_empty(place);
        }
        self.entry_count.set(self.entry_count.get() - 1);
    }

    fn mark_occupied(&self, place: usize) {
        let level = place >> SLOT_BITS;
        let slots = &self.occupied_slots[level];
        slots.set(slots.get() | 1 << (place & (SLOT_COUNT - 1)));
        self.occupied_levels.set(self.occupied_levels.get() | 1 << level);
    }

    fn mark_empty(&self, place: usize) {
        let level = place >> SLOT_BITS;
        let slots = &self.occupied_slots[level];
        slots.set(slots.get() & !(1 << (place & (SLOT_COUNT - 1))));
        if slots.get() == 0 {
            self.occupied_levels.set(self.occupied_levels.get() & !(1 << level));
        }
    }
}

impl Entry {
    /// An entry that is not armed. `owner` is what `expire` hands to `fire`; the wheel never
    /// follows it.
    pub(crate) const fn new(owner: *const ()) -> Entry {
        Entry {
            next: Cell::new(ptr::null()),
            prev: Cell::new(ptr::null()),
            tick: Cell::new(0),
            owner,
            place: Cell::new(IDLE),
        }
    }

    /// Whether it waits on a wheel.
    pub(crate) fn is_armed(&self) -> bool {
        usize::from(self.place.get()) < PLACE_COUNT
    }

    /// Whether it fired since it was armed last.
    #[cfg(test)]
    fn has_fired(&self) -> bool {
        self.place.get() == FIRED
    }
}

impl Drop for Entry {
    /// Stops the process before a wheel can follow a pointer into a frame that is gone.
    fn drop(&mut self) {
        if self.is_armed() {
            eprintln!("sylvan: broken invariant: a timer was dropped while its wheel held it");
            std::process::abort();
        }
    }
}

impl Slot {
    const fn new() -> Slot {
        Slot { head: Cell::new(ptr::null()), tail: Cell::new(ptr::null()) }
    }
}

#[cfg(test)]
mod tests;
