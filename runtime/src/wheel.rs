//! Timers: a worker has up to a million threads that wait with a deadline, most of which are woken
//! by something else first, so arming and disarming must cost nanoseconds.
//!
//! How: a hierarchical timing wheel. Eleven levels of 64 slots; a slot of level 0 is one tick wide,
//! a slot of level n is as wide as all of level n − 1. A timer is a node in the list of the slot
//! that holds its tick; it moves down a level each time that the wheel reaches its slot, at most
//! ten times. One bitmap a level says which slots hold nodes, so the next one is a bit scan away,
//! however long the gap before it. A heap was the alternative: it costs log n cache misses where
//! the wheel costs one or two, and an index to keep.
//!
//! Nodes lie side by side in chunks that the wheel owns, and are named by number. They once lay in
//! the frames of those who wait, which needs no memory of its own, but puts each on another page:
//! with 100,000 timers every step along a list missed the cache and the TLB too, and firing a timer
//! cost 2 µs. Here it also needs no `unsafe`. Chunks are allocated while the number of timers
//! grows, and given back when there is none. A long list is still a chain of cache misses, so its
//! nodes name others further on, which a walk loads ahead.
//!
//! The wheel knows no clock: it is told `now`, in nanoseconds since an epoch that its owner chose.
//! It must never fire a timer early, lose one, or call back while its lists are in pieces.
//!
//! # Source
//!
//! G. Varghese and T. Lauck, "Hashed and Hierarchical Timing Wheels: Data Structures for the
//! Efficient Implementation of a Timer Facility", SOSP 1987, scheme 7. Filing by the highest digit
//! in which deadline and present differ, instead of by their distance, is how tokio's wheel does
//! it: no slot ever wraps around, so the lowest occupied level holds the earliest timers.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::ops::ControlFlow;

mod nodes;

use nodes::{Chunks, NONE, Nodes};

/// The wheel of one worker.
///
/// # The invariant FILED
///
/// Ticks are numbers to the base 64; level n looks at digit n. `elapsed` is the tick up to which
/// everything was fired. A timer of tick `t ≥ elapsed` is filed at the level of the highest digit
/// in which `t` and `elapsed` differ, in the slot that this digit of `t` names; one whose tick
/// equals `elapsed` lies at level 0. Hence:
///
/// - At a level above 0 only slots above `elapsed`'s own digit are occupied, at level 0 also the
///   slot of that digit itself. Nothing wraps around.
/// - All timers of level n are due before all of level n + 1: they share digit n + 1 with
///   `elapsed`, where those of level n + 1 have a greater one.
/// - `elapsed` may move on to any tick that is not beyond the start of the first occupied slot:
///   it lies between the old `elapsed` and every timer's slot, which agree in all higher digits.
///   Only a slot whose start it reaches must be emptied.
pub(crate) struct Wheel {
    elapsed: Cell<u64>,
    /// Bit n: level n has an occupied slot.
    occupied_levels: Cell<u16>,
    /// Per level, bit n: the list of slot n is not empty.
    occupied_slots: [Cell<u64>; LEVEL_COUNT],
    /// The slots of all levels, one level after the other: 11 × 64 × 16 bytes = 11 KiB.
    slots: [Slot; PLACE_COUNT],
    nodes: Nodes,
    armed_count: Cell<usize>,
    /// A tick is 2 to this power of nanoseconds wide.
    tick_bits: u32,
}

/// The name of an armed timer. Once that has fired or was disarmed, the name means nothing any
/// more, for ever: its number is never given again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Timer {
    node: u32,
    serial: u64,
}

/// The list of one slot, in the order of arming. Both ends are kept: appending at the tail touches
/// the node that was armed last, which is warm, and neighbours in time fire first come first
/// served.
struct Slot {
    head: Cell<u32>,
    tail: Cell<u32>,
    /// A node of the list, `LOAD_NODES` before the next that is filed if so many were since the
    /// list was empty. It learns who that is, so that a walk can load that far ahead.
    lag: Cell<u32>,
    /// How many were filed after `lag`, less than `LOAD_NODES`.
    lag_len: Cell<u32>,
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
/// clock: eleven levels of 6 bits hold 2^66 ticks. Ordinary ticks need nine; the other two cost 2
/// KiB a worker, and spare a second kind of wheel.
const LEVEL_COUNT: usize = 11;
const PLACE_COUNT: usize = LEVEL_COUNT * SLOT_COUNT;

/// How many timers of a higher level's slot are looked through for the exact next deadline.
const EXACT_LOOK_COUNT: usize = 8;

/// How many owners are loaded at once: about as many misses as a processor has under way.
const LOAD_COUNT: usize = 16;

/// How far ahead a walk along a long list loads nodes: a miss takes as long as moving some ten.
const LOAD_NODES: u32 = 8;

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
            nodes: Nodes::new(),
            armed_count: Cell::new(0),
        }
    }

    /// Makes a timer that fires at the first `expire` that is told `deadline_ns` or later, rounded
    /// up to a full tick. `owner` and `tag` are what `expire` hands to `fire`; the wheel never
    /// follows them.
    ///
    /// # Units
    ///
    /// Nanoseconds since the epoch of this wheel's `now`. What is over already fires at the next
    /// `expire`. A deadline in the last tick of the range (`u64::MAX` is one) has no full tick
    /// after it and is never reached, where a tick is wider than a nanosecond.
    pub(crate) fn arm(&self, deadline_ns: u64, owner: *const (), tag: u64) -> Timer {
        let timer = self.nodes.take();
        self.nodes.with(|nodes| {
            let node = &nodes[timer.node];
            node.tick.set(deadline_ns.div_ceil(1 << self.tick_bits));
            node.owner.set(owner);
            node.tag.set(tag);
            self.file(&nodes, timer.node);
        });
        self.armed_count.set(self.armed_count.get() + 1);
        timer
    }

    /// Ends a timer, so that it will not fire. Does nothing when it has fired or ended before.
    pub(crate) fn disarm(&self, timer: Timer) {
        if self.is_armed(timer) {
            self.nodes.with(|nodes| self.unlink(&nodes, timer.node));
            self.nodes.give(timer.node);
        }
    }

    /// Whether `timer` has neither fired nor ended.
    pub(crate) fn is_armed(&self, timer: Timer) -> bool {
        self.nodes
            .with(|nodes| nodes.get(timer.node).is_some_and(|n| n.serial.get() == timer.serial))
    }

    /// Says when `expire` should be called next, or nothing when no timer is armed.
    ///
    /// It is a tick's exact time, at which `expire` fires something, when the earliest slot is one
    /// of level 0 or holds up to eight timers. Else it is a lower bound, the slot's start: an
    /// `expire` then moves the slot's timers down, so it costs at most one look in vain per level
    /// above 0. A slot that many threads share makes up for that by what it saves: each of the
    /// looks would touch every timer.
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

    /// Fires every timer whose deadline is over at `now_ns`, earlier ticks first, and within a tick
    /// those first that were filed first.
    ///
    /// `fire` gets owner and tag of a timer that has ended already. The wheel is whole during each
    /// call, so `fire` may unwind (the rest fires at the next `expire`) and may arm and disarm;
    /// what it arms for a tick that is over fires within this call.
    ///
    /// `load` gets the owners of up to 16 timers that are due, before they fire, to load what
    /// `fire` and what comes after it will touch: with 100,000 timers all of that is cold, and the
    /// processor waits for many lines at once if it knows their addresses in time. It must not arm
    /// or disarm. What it was told may still be disarmed by `fire`, so it is a hint.
    ///
    /// # Units
    ///
    /// Nanoseconds since the wheel's epoch. A `now_ns` below an earlier one fires nothing.
    pub(crate) fn expire(
        &self,
        now_ns: u64,
        load: impl FnMut(&[*const ()]),
        mut fire: impl FnMut(*const (), u64),
    ) {
        self.expire_while(now_ns, load, |owner, tag| {
            fire(owner, tag);
            ControlFlow::Continue(())
        });
    }

    /// The same, until `fire` says that it is enough; the rest fires at the next `expire`. A timer
    /// that `fire` arms anew for time 0 is the last one of the tick that fires.
    pub(crate) fn expire_while(
        &self,
        now_ns: u64,
        mut load: impl FnMut(&[*const ()]),
        mut fire: impl FnMut(*const (), u64) -> ControlFlow<()>,
    ) {
        let now = now_ns >> self.tick_bits;
        let mut loaded = 0_usize;
        // The earliest slot is looked up anew for each timer, since `fire` may have changed it.
        while let Some(earliest) = self.earliest() {
            if earliest.start > now {
                break;
            }
            // FILED allows this step: it goes to the start of the first occupied slot, which is
            // emptied now, or at level 0 may stay as it is.
            self.elapsed.set(earliest.start);
            if earliest.level == 0 {
                if loaded == 0 {
                    loaded = self.load_ahead(now, &mut load);
                }
                loaded = loaded.saturating_sub(1);
                let (owner, tag) = self.take_fired(earliest.place);
                if fire(owner, tag).is_break() {
                    // FILED holds: what is left starts at this tick or later.
                    return;
                }
            } else {
                self.nodes.with(|nodes| self.refile(&nodes, earliest.place));
            }
        }
        // All that is left starts beyond `now`, so FILED allows this step too.
        self.elapsed.set(self.elapsed.get().max(now));
    }

    /// How many timers are armed.
    pub(crate) fn len(&self) -> usize {
        self.armed_count.get()
    }

    /// Gives memory back, for a worker that has nothing to do and no timer armed: all of it, if it
    /// is more than one chunk. One is kept, or each sleep of a lone thread would allocate it anew.
    pub(crate) fn shrink(&self) {
        if self.len() == 0 {
            self.nodes.clear();
        }
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

    /// The first tick at which a timer of the slot is due, unless the list is too long to look.
    fn exact_tick(&self, earliest: &Earliest) -> Option<u64> {
        if earliest.level == 0 {
            return Some(earliest.start);
        }
        self.nodes.with(|nodes| {
            let mut first_tick = u64::MAX;
            let mut at = self.slots[earliest.place].head.get();
            for _ in 0..EXACT_LOOK_COUNT {
                let node = &nodes[at];
                first_tick = first_tick.min(node.tick.get());
                at = node.next.get();
                if at == NONE {
                    return Some(first_tick);
                }
            }
            None
        })
    }

    /// Tells `load` who fires next, some at a time, and says how many they are.
    fn load_ahead(&self, now: u64, load: &mut impl FnMut(&[*const ()])) -> usize {
        let first = self.elapsed.get() & !(SLOT_COUNT as u64 - 1);
        let mut slots = self.occupied_slots[0].get();
        let mut owners = [std::ptr::null(); LOAD_COUNT];
        let mut count = 0;
        self.nodes.with(|nodes| {
            while slots != 0 && first + u64::from(slots.trailing_zeros()) <= now {
                let mut at = self.slots[slots.trailing_zeros() as usize].head.get();
                slots &= slots - 1;
                while at != NONE && count < LOAD_COUNT {
                    let node = &nodes[at];
                    owners[count] = node.owner.get();
                    at = node.next.get();
                    count += 1;
                }
            }
        });
        load(&owners[..count]);
        count
    }

    /// Ends the first timer of an occupied slot, and says whose it is.
    fn take_fired(&self, place: usize) -> (*const (), u64) {
        let index = self.slots[place].head.get();
        let fired = self.nodes.with(|nodes| {
            self.unlink(&nodes, index);
            let node = &nodes[index];
            (node.owner.get(), node.tag.get())
        });
        self.nodes.give(index);
        fired
    }

    /// Moves all timers of a slot that `elapsed` has just reached to where they belong now. They
    /// agree with `elapsed` in the slot's digit, so by FILED each goes to a lower level and this
    /// loop never meets one twice.
    fn refile(&self, nodes: &Chunks<'_>, place: usize) {
        let slot = &self.slots[place];
        let mut at = slot.head.replace(NONE);
        slot.tail.set(NONE);
        self.mark_empty(place);
        while at != NONE {
            let index = at;
            let node = &nodes[index];
            nodes.load(node.ahead.replace(NONE));
            at = node.next.get();
            self.file(nodes, index);
        }
    }

    /// Links a node, which is in no list, at the end of the slot that FILED names for its tick.
    fn file(&self, nodes: &Chunks<'_>, index: u32) {
        let node = &nodes[index];
        let elapsed = self.elapsed.get();
        let tick = node.tick.get().max(elapsed);
        // `| 63` makes a tick that differs nowhere differ in digit 0.
        let differing = (tick ^ elapsed) | (SLOT_COUNT as u64 - 1);
        let level = (u64::BITS - 1 - differing.leading_zeros()) / SLOT_BITS;
        let slot_number = (tick >> (level * SLOT_BITS)) as usize & (SLOT_COUNT - 1);
        let place = (level as usize) << SLOT_BITS | slot_number;

        let slot = &self.slots[place];
        let last = slot.tail.replace(index);
        node.prev.set(last);
        node.next.set(NONE);
        node.place.set(place as u16);
        if last == NONE {
            slot.head.set(index);
            slot.lag.set(index);
            slot.lag_len.set(0);
            self.mark_occupied(place);
            return;
        }
        nodes[last].next.set(index);
        if slot.lag_len.get() + 1 < LOAD_NODES {
            slot.lag_len.set(slot.lag_len.get() + 1);
        } else {
            let lag = &nodes[slot.lag.get()];
            lag.ahead.set(index);
            // There is a next one: `lag` is in the list, and not its last.
            slot.lag.set(lag.next.get());
        }
    }

    /// Takes an armed node out of its slot's list.
    fn unlink(&self, nodes: &Chunks<'_>, index: u32) {
        let node = &nodes[index];
        let place = usize::from(node.place.get());
        let slot = &self.slots[place];
        let (prev, next) = (node.prev.get(), node.next.get());
        if prev == NONE {
            slot.head.set(next);
        } else {
            nodes[prev].next.set(next);
        }
        if next == NONE {
            slot.tail.set(prev);
        } else {
            nodes[next].prev.set(prev);
        }
        if slot.lag.get() == index {
            slot.lag.set(if next == NONE { prev } else { next });
        }
        if prev == NONE && next == NONE {
            self.mark_empty(place);
        }
        self.armed_count.set(self.armed_count.get() - 1);
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

impl Slot {
    const fn new() -> Slot {
        Slot {
            head: Cell::new(NONE),
            tail: Cell::new(NONE),
            lag: Cell::new(NONE),
            lag_len: Cell::new(0),
        }
    }
}

#[cfg(test)]
mod tests;
