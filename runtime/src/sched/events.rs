//! A worker and the descriptors for which its threads wait: it collects events before it sleeps,
//! sleeps until there are some, and while it is busy looks for them every 500 µs.
//!
//! The poller and its doorbell are made when the first thread waits for a descriptor; a worker
//! without descriptors has none and sleeps on a futex. What has come wakes threads, and these go
//! to the end of the ready queue like everybody else: a flood of events takes nobody's turn, and
//! one look brings a limited number of them.

use std::cell::{Cell, OnceCell};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::clock;
use crate::os::Ready;
use crate::poller::{Events, Key, Poller, Target};
use crate::sched::readiness::{Delivered, Readiness, Then};
use crate::sched::trials::Trials;
use crate::sched::woken::Woken;
use crate::sched::worker::Core;

/// What a worker has for its descriptors. HOME-ONLY.
pub(crate) struct Watch {
    poller: OnceCell<Arc<Poller>>,
    /// Room for the events of one look; taken during the look.
    events: Cell<Option<Box<Events>>>,
    /// When a busy worker looks next.
    next_ns: Cell<u64>,
    /// Which sleeps come after a spin.
    spins: Trials,
}

/// A busy worker looks for events about that often: a look that finds none costs 0.1 µs.
const LOOK_NS: u64 = 500_000;
/// After spins in vain, so many sleeps come at most without one.
const VAIN_MAX: u32 = 255;

impl Watch {
    pub(crate) fn new() -> Watch {
        Watch {
            poller: OnceCell::new(),
            events: Cell::new(None),
            next_ns: Cell::new(0),
            spins: Trials::default(),
        }
    }
}

impl Core {
    /// This worker's poller, made on first use.
    pub(crate) fn poller(&self) -> io::Result<&Arc<Poller>> {
        match self.watch.poller.get() {
            Some(poller) => Ok(poller),
            None => self.new_poller(),
        }
    }

    #[cold]
    fn new_poller(&self) -> io::Result<&Arc<Poller>> {
        let poller = Poller::new(self.mailbox().doorbell()?)?;
        Ok(self.watch.poller.get_or_init(|| Arc::new(poller)))
    }

    /// Whether this worker watches a descriptor.
    #[inline]
    pub(crate) fn watches(&self) -> bool {
        self.watch.poller.get().is_some_and(|poller| !poller.is_empty())
    }

    /// Looks for events without a wait, where descriptors are watched.
    #[inline]
    pub(crate) fn look_at_events(&self) {
        if self.watches() {
            self.collect(Some(Duration::ZERO));
        }
    }

    /// The same in a worker that is busy at `now_ns`, if it has not looked lately. A seeded run
    /// draws when it looks.
    #[inline]
    pub(crate) fn look_at_events_in_time(&self, now_ns: u64) {
        if self.watches() && now_ns >= self.watch.next_ns.get() && self.seeded.is_none() {
            self.watch.next_ns.set(now_ns + LOOK_NS);
            self.collect(Some(Duration::ZERO));
        }
    }

    /// Whether a thread can run, or mail is there, if need be because a descriptor becomes ready in
    /// time, by the real clock. For a seeded run in which no thread can run.
    ///
    /// A signal ends the kernel's wait early, and so does a stop of the process, which may last for
    /// longer than the time besides. So it waits on, and looks a last time when the time is over.
    pub(crate) fn finds_events(&self, in_time: Duration) -> bool {
        let has_found = || self.ready.len() > 0 || self.has_mail();
        let (begun, mut left) = (clock::real_now_ns(), in_time);
        while self.watches() {
            self.collect(Some(left));
            if has_found() || left.is_zero() {
                break;
            }
            let passed = Duration::from_nanos(clock::real_now_ns() - begun);
            left = in_time.saturating_sub(passed);
        }
        has_found()
    }

    /// Looks for events for as long as a wake costs, before a sleep that they are likely to end:
    /// who sends would pay for that wake, and what was sent would wait for it. True: there is
    /// something to do.
    ///
    /// Only for a worker that is alone: of several, another one may wait for this processor.
    pub(super) fn spins_for_events(&self) -> bool {
        if self.shared.remotes.len() > 1 || !self.watches() || self.seeded.is_some() {
            return false;
        }
        let spins = &self.watch.spins;
        if !spins.takes_this_one() {
            return false;
        }
        let longest = self.shared.wake_cost_ns();
        if self.until_next_deadline().is_some_and(|timer| timer.as_nanos() <= longest.into()) {
            return false;
        }
        let begun = clock::now_ns();
        while clock::now_ns() - begun < longest {
            self.look_at_events();
            if self.ready.len() > 0 || !self.mailbox().is_empty() {
                spins.note_paid();
                return true;
            }
            // Who is about to send may wait for this processor.
            std::thread::yield_now();
        }
        spins.note_vain(VAIN_MAX);
        false
    }

    /// Waits for events, for at most `timeout`, and makes those ready who wait for them.
    pub(crate) fn collect(&self, timeout: Option<Duration>) {
        let Some(poller) = self.watch.poller.get() else { return };
        let mut events = self.watch.events.take().unwrap_or_else(|| Box::new(Events::new()));
        poller.wait(&mut events, timeout);
        for (key, ready) in events.iter() {
            deliver(poller, key, ready);
        }
        self.watch.events.set(Some(events));
    }
}

/// Wakes those who wait for one event. The threads of this worker become ready, and so do those of
/// others who wait for the same descriptor.
#[inline]
pub(super) fn deliver(poller: &Arc<Poller>, key: Key, ready: Ready) {
    let visit = |target: Target| {
        // SAFETY: a readiness is pinned and alive while its key is in force, which it is as long as
        // the table is locked.
        let readiness = unsafe { target.cast::<Readiness>().as_ref() };
        let delivered = readiness.deliver(ready, Arc::as_ptr(poller));
        let unwatched = (delivered.then == Then::Unwatch).then(|| readiness.fd());
        (delivered, unwatched)
    };
    let Some(Delivered { woken: [reader, writer], then }) = poller.visit(key, visit) else {
        return;
    };
    if let Some(reader) = reader {
        reader.schedule();
    }
    if let Some(writer) = writer {
        writer.schedule();
    }
    if then == Then::CallAll {
        call_all(poller, key, ready);
    }
}

#[cold]
fn call_all(poller: &Poller, key: Key, ready: Ready) {
    loop {
        let mut batch = Woken::batch();
        let visit = |target: Target| {
            // SAFETY: as in `deliver`.
            let readiness = unsafe { target.cast::<Readiness>().as_ref() };
            (readiness.call_some(ready, &mut batch), None)
        };
        let more = poller.visit(key, visit);
        Woken::schedule_all(&mut batch);
        if more != Some(true) {
            return;
        }
    }
}
