//! A worker's descriptors: who is watched, under which key, and how the worker waits for them.
//!
//! The kernel hands out events with a key, and by the time that one is looked at, what it was given
//! for may have gone: event 3 of a batch may end a thread that closes the socket of event 7. So the
//! key is no address but an index into a table and a generation, which changes when the place in
//! the table is given up. An event whose generation is over is dropped.
//!
//! One worker waits; any kernel thread may add and remove, for a socket is dropped wherever its
//! owner is. So the table lies behind a lock, held for moments.
//!
//! Two back ends have the same few calls: `os::Epoll`, and `portable`, which stands on the crate
//! `polling` for systems without one (`--cfg sylvan_portable_reactor`).
//!
//! What this file must never do: say who waits, or wake anybody; it only knows an address that it
//! gives back.

#[cfg(all(loom, test))]
pub(crate) mod modelled;
#[cfg(sylvan_portable_reactor)]
mod portable;
#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, RawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::os::{Doorbell, Ready};
use crate::short_lock::ShortLock;

#[cfg(not(any(sylvan_portable_reactor, all(loom, test))))]
use crate::os::{Epoll as Backend, Events as BackendEvents};
#[cfg(all(loom, test))]
use modelled::{Backend, Events as BackendEvents};
#[cfg(all(sylvan_portable_reactor, not(all(loom, test))))]
use portable::{Backend, Events as BackendEvents};

/// Whether the end of the peer's sending, and urgent data, come as such. Where they do not, a short
/// read does not tell that a socket is empty.
pub(crate) const TELLS_ENDS: bool = cfg!(not(sylvan_portable_reactor));

/// How many events one wait brings at most: so long do those threads wait who are ready already.
const EVENTS_MAX: usize = 256;

/// Where a descriptor stands in the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Key {
    index: u32,
    generation: u32,
}

impl Key {
    /// The doorbell's: no place of a table.
    const DOORBELL: u64 = u64::MAX;

    fn to_bits(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    fn from_bits(bits: u64) -> Key {
        Key { index: bits as u32, generation: (bits >> 32) as u32 }
    }
}

/// Who is watched: an address that only its owner understands.
pub(crate) type Target = NonNull<()>;

/// See the file's comment.
pub(crate) struct Poller {
    backend: Backend,
    table: ShortLock<Table>,
    /// How many places are taken.
    count: AtomicUsize,
}

struct Table {
    places: Vec<Place>,
    /// The place that was given up last; [`NONE`] for none.
    free: u32,
}

struct Place {
    generation: u32,
    /// Behind a free place, the next one.
    next_free: u32,
    target: Option<Target>,
}

// SAFETY: a target is only handed to whoever asks for its key, and what may be done with it there
// is the owner's business.
unsafe impl Send for Table {}

const NONE: u32 = u32::MAX;

/// Room for the events of one wait. The waiting worker's alone.
pub(crate) struct Events(BackendEvents);

impl Events {
    pub(crate) fn new() -> Events {
        Events(BackendEvents::with_capacity(EVENTS_MAX))
    }

    /// What the last wait has brought.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, Ready)> + '_ {
        let doorbell = |(bits, _): &(u64, Ready)| *bits != Key::DOORBELL;
        self.0.iter().filter(doorbell).map(|(bits, ready)| (Key::from_bits(bits), ready))
    }
}

impl Poller {
    /// A poller whose waits `doorbell` ends.
    pub(crate) fn new(doorbell: &Doorbell) -> io::Result<Poller> {
        let backend = Backend::new()?;
        backend.add(doorbell.as_fd(), Key::DOORBELL)?;
        let table = Table { places: Vec::new(), free: NONE };
        Ok(Poller { backend, table: ShortLock::new(table), count: AtomicUsize::new(0) })
    }

    /// Whether nobody is watched.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        // ORDERING: Relaxed; only the worker adds what it waits for itself.
        self.count.load(Ordering::Relaxed) == 0
    }

    /// Watches `fd` for `target`. What it is ready for already will come as an event.
    pub(crate) fn add(&self, fd: BorrowedFd<'_>, target: Target) -> io::Result<Key> {
        let key = self.table.lock().take(target).ok_or_else(full)?;
        if let Err(error) = self.backend.add(fd, key.to_bits()) {
            self.table.lock().give_up(key);
            return Err(error);
        }
        // ORDERING: Relaxed; see `is_empty`.
        self.count.fetch_add(1, Ordering::Relaxed);
        Ok(key)
    }

    /// Watches `fd` no more, which was added under `key`. When it returns, nobody is told of
    /// its target again. Does nothing for a key that is over.
    pub(crate) fn remove(&self, fd: BorrowedFd<'_>, key: Key) {
        if !self.table.lock().give_up(key) {
            return;
        }
        // ORDERING: Relaxed; see `is_empty`.
        self.count.fetch_sub(1, Ordering::Relaxed);
        // It was added, so it is there, save where the program has closed the descriptor itself:
        // then it is gone already.
        let _ = self.backend.delete(fd);
    }

    /// Shows the target of `key` to `f`, which neither waits nor comes back here: the table is
    /// locked, so that the target is not removed meanwhile. `None`: the key is over.
    ///
    /// If `f` gives a descriptor besides, that of the target, it is watched no more. The table is
    /// locked for that too, or the descriptor could be closed, and its number another's.
    pub(crate) fn visit<R>(
        &self,
        key: Key,
        f: impl FnOnce(Target) -> (R, Option<RawFd>),
    ) -> Option<R> {
        let mut table = self.table.lock();
        let (result, unwatched) = table.find(key).map(f)?;
        if let Some(fd) = unwatched {
            table.give_up(key);
            // ORDERING: Relaxed; see `is_empty`.
            self.count.fetch_sub(1, Ordering::Relaxed);
            // SAFETY: it is closed only after it was removed here, for which the table is locked.
            let _ = self.backend.delete(unsafe { BorrowedFd::borrow_raw(fd) });
        }
        Some(result)
    }

    /// Whether `key` is in force.
    pub(crate) fn knows(&self, key: Key) -> bool {
        self.table.lock().find(key).is_some()
    }

    /// Waits until a descriptor is ready or somebody rings, for at most `timeout`; without one, for
    /// as long as it takes. May return early, with nothing. Only the worker calls it.
    pub(crate) fn wait(&self, events: &mut Events, timeout: Option<Duration>) {
        if let Err(error) = self.backend.wait(&mut events.0, timeout) {
            crate::os::abort_with(&format!("a worker cannot wait for its descriptors: {error}"));
        }
    }
}

#[cold]
fn full() -> io::Error {
    io::Error::other("a worker watches at most 4294967295 descriptors")
}

impl Table {
    fn take(&mut self, target: Target) -> Option<Key> {
        let index = match self.free {
            NONE => {
                let index = u32::try_from(self.places.len()).ok().filter(|index| *index != NONE)?;
                self.places.push(Place { generation: 0, next_free: NONE, target: None });
                index
            }
            index => {
                self.free = self.places[index as usize].next_free;
                index
            }
        };
        let place = &mut self.places[index as usize];
        place.target = Some(target);
        Some(Key { index, generation: place.generation })
    }

    /// Gives the place of `key` up. False: the key is over.
    fn give_up(&mut self, key: Key) -> bool {
        if self.find(key).is_none() {
            return false;
        }
        let place = &mut self.places[key.index as usize];
        place.target = None;
        place.generation = place.generation.wrapping_add(1);
        place.next_free = self.free;
        self.free = key.index;
        true
    }

    fn find(&self, key: Key) -> Option<Target> {
        let place = self.places.get(key.index as usize)?;
        place.target.filter(|_| place.generation == key.generation)
    }
}
