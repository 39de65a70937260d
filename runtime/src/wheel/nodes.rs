//! The nodes of a wheel's timers: where they lie, and which are free.
//!
//! They lie side by side in chunks, which are allocated while the number of timers grows, and are
//! named by number. A number is reused; a serial, which each arming takes anew, tells whether a
//! name still means what it meant. The file knows nothing of slots and times: what a node's links
//! mean while it is armed is the wheel's affair.
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};

use super::Timer;
use crate::os;

/// What is known of a timer.
pub(super) struct Node {
    /// The first tick at which the deadline is over.
    pub(super) tick: Cell<u64>,
    pub(super) owner: Cell<*const ()>,
    pub(super) tag: Cell<u64>,
    /// The number under which the node is armed; 0 while it is free.
    pub(super) serial: Cell<u64>,
    /// In the slot's list, or among the free nodes.
    pub(super) next: Cell<u32>,
    pub(super) prev: Cell<u32>,
    /// A node further on in the list that is to be loaded early, or was there once: a hint.
    pub(super) ahead: Cell<u32>,
    /// Index into `Wheel::slots`.
    pub(super) place: Cell<u16>,
}

/// All nodes, by number, and which are free.
pub(super) struct Nodes {
    chunks: RefCell<Vec<Box<[Node]>>>,
    first_free: Cell<u32>,
    last_serial: Cell<u64>,
}

/// The chunks, borrowed for the time of one step: no code but the wheel's runs meanwhile.
pub(super) struct Chunks<'a>(&'a [Box<[Node]>]);

impl Chunks<'_> {
    pub(super) fn get(&self, index: u32) -> Option<&Node> {
        self.0.get((index >> CHUNK_BITS) as usize)?.get((index & (CHUNK_LEN - 1)) as usize)
    }

    /// Starts to load a node, if there is one of that number.
    pub(super) fn load(&self, index: u32) {
        if let Some(node) = self.get(index) {
            os::prefetch(std::ptr::from_ref(node).cast());
        }
    }
}

impl std::ops::Index<u32> for Chunks<'_> {
    type Output = Node;

    fn index(&self, index: u32) -> &Node {
        &self.0[(index >> CHUNK_BITS) as usize][(index & (CHUNK_LEN - 1)) as usize]
    }
}

impl Nodes {
    pub(super) const fn new() -> Nodes {
        Nodes {
            chunks: RefCell::new(Vec::new()),
            first_free: Cell::new(NONE),
            last_serial: Cell::new(0),
        }
    }

    pub(super) fn with<R>(&self, f: impl FnOnce(Chunks<'_>) -> R) -> R {
        f(Chunks(&self.chunks.borrow()))
    }

    /// A free node under a new number.
    pub(super) fn take(&self) -> Timer {
        if self.first_free.get() == NONE {
            self.grow();
        }
        let index = self.first_free.get();
        let serial = self.last_serial.get() + 1;
        self.last_serial.set(serial);
        self.with(|nodes| {
            let node = &nodes[index];
            self.first_free.set(node.next.get());
            node.serial.set(serial);
        });
        Timer { node: index, serial }
    }

    /// Takes a node back that is in no list.
    pub(super) fn give(&self, index: u32) {
        self.with(|nodes| {
            let node = &nodes[index];
            node.serial.set(0);
            node.next.set(self.first_free.replace(index));
        });
    }

    #[cold]
    fn grow(&self) {
        let mut chunks = self.chunks.borrow_mut();
        let first = u32::try_from(chunks.len()).expect("a chunk for each 256 timers") << CHUNK_BITS;
        // Lowest first, each before the next.
        let nodes = (first..first + CHUNK_LEN).map(|index| {
            let next = if index + 1 == first + CHUNK_LEN { NONE } else { index + 1 };
            Node::free(next)
        });
        chunks.push(nodes.collect());
        self.first_free.set(first);
    }

    /// Gives all chunks back; nothing is armed. Numbers go on where they were.
    pub(super) fn clear(&self) {
        let mut chunks = self.chunks.borrow_mut();
        if chunks.len() > 1 {
            chunks.clear();
            chunks.shrink_to_fit();
            self.first_free.set(NONE);
        }
    }
}

impl Node {
    const fn free(next: u32) -> Node {
        Node {
            tick: Cell::new(0),
            owner: Cell::new(std::ptr::null()),
            tag: Cell::new(0),
            serial: Cell::new(0),
            next: Cell::new(next),
            prev: Cell::new(NONE),
            ahead: Cell::new(NONE),
            place: Cell::new(0),
        }
    }
}

/// 256 nodes of 48 bytes: 12 KiB.
const CHUNK_BITS: u32 = 8;
const CHUNK_LEN: u32 = 1 << CHUNK_BITS;

/// No node.
pub(super) const NONE: u32 = u32::MAX;
