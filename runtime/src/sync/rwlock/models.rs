//! Loom models of the read-write lock: exclusion, no lost wake, hand-overs, and those who leave.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use super::raw::RawRwLock;
use crate::primitives::check_within;
use crate::sched::door::models::{ends_cancelled, some_time, spawn_canceller};

struct World {
    lock: RawRwLock,
    writes: UnsafeCell<u32>,
}

// SAFETY: loom checks the cell.
unsafe impl Sync for World {}
// SAFETY: as above.
unsafe impl Send for World {}

impl World {
    fn new() -> Arc<World> {
        Arc::new(World { lock: RawRwLock::new(), writes: UnsafeCell::new(0) })
    }

    fn change(&self) {
        // SAFETY: loom checks that nobody else is inside.
        self.writes.with_mut(|writes| unsafe { *writes += 1 });
    }

    fn look(&self) -> u32 {
        // SAFETY: loom checks that no writer is inside.
        self.writes.with(|writes| unsafe { *writes })
    }

    fn write(&self) {
        assert!(self.lock.write_until(None));
        self.change();
        // SAFETY: S1: locked above.
        unsafe { self.lock.unlock_write() };
    }

    fn read(&self) -> u32 {
        assert!(self.lock.read_until(None));
        let writes = self.look();
        // SAFETY: S1: locked above.
        unsafe { self.lock.unlock_read() };
        writes
    }

    /// Whether it is as new.
    fn is_left_free(&self) -> bool {
        self.lock.is_untouched()
    }
}

/// Runs `others` beside `own`, and looks whether the lock is free afterwards.
fn beside<const N: usize>(others: [fn(&World); N], own: fn(&World)) -> Arc<World> {
    let world = World::new();
    let others = others.map(|other| {
        let world = world.clone();
        thread::spawn(move || other(&world))
    });
    own(&world);
    for other in others {
        other.join().unwrap();
    }
    assert!(world.is_left_free());
    world
}

#[test]
fn writers_exclude_each_other() {
    check_within(2, || {
        let world = beside([World::write, World::write], World::write);
        assert_eq!(world.look(), 3);
    });
}

#[test]
fn readers_and_a_writer_exclude_each_other() {
    fn read(world: &World) {
        assert!(world.read() <= 1);
    }
    check_within(2, || {
        let world = beside([read, World::write], read);
        assert_eq!(world.look(), 1);
    });
}

#[test]
fn reader_and_writers_exclude_each_other() {
    fn read(world: &World) {
        assert!(world.read() <= 2);
    }
    check_within(2, || {
        let world = beside([World::write, read], World::write);
        assert_eq!(world.look(), 2);
    });
}

#[test]
fn loser_has_the_lock_handed_over() {
    // A waiter loses once in a model, and asks for the lock then.
    fn write_twice(world: &World) {
        world.write();
        world.write();
    }
    fn read(world: &World) {
        assert!(world.read() <= 2);
    }
    check_within(2, || {
        beside([write_twice], read);
    });
    check_within(2, || {
        let world = beside([write_twice], World::write);
        assert_eq!(world.look(), 3);
    });
}

#[test]
fn downgraded_writer_lets_readers_in_and_no_writer() {
    fn write_and_read(world: &World) {
        assert!(world.lock.write_until(None));
        world.change();
        let written = world.look();
        // SAFETY: S1: locked above.
        unsafe { world.lock.downgrade() };
        assert_eq!(world.look(), written);
        // SAFETY: S1: made a reader above.
        unsafe { world.lock.unlock_read() };
    }
    fn read(world: &World) {
        assert!(world.read() <= 2);
    }
    check_within(2, || {
        let world = beside([World::write, read], write_and_read);
        assert_eq!(world.look(), 2);
    });
}

#[test]
fn reader_that_waits_comes_in_while_the_downgraded_writer_stays() {
    check_within(2, || {
        let world = World::new();
        assert!(world.lock.write_until(None));
        world.change();
        let reader = {
            let world = world.clone();
            thread::spawn(move || world.read())
        };
        // SAFETY: S1: locked above.
        unsafe { world.lock.downgrade() };
        assert_eq!(reader.join().unwrap(), 1);
        // SAFETY: S1: made a reader above.
        unsafe { world.lock.unlock_read() };
        assert!(world.is_left_free());
    });
}

#[test]
fn writer_that_is_handed_the_lock_sees_what_all_readers_did() {
    check_within(2, || {
        let world = World::new();
        assert!(world.lock.write_until(None));
        let writer = {
            let world = world.clone();
            thread::spawn(move || world.write())
        };
        // Until it waits. It is woken then, and loses against the two holds of a reader.
        thread::yield_now();
        // SAFETY: S1: locked above.
        unsafe { world.lock.unlock_write() };
        assert!(world.lock.read_until(None));
        if !world.lock.try_read() {
            // It waits for its hand-over already, or is inside.
            // SAFETY: S1: locked above.
            unsafe { world.lock.unlock_read() };
            return writer.join().unwrap();
        }
        let reader = {
            let world = world.clone();
            thread::spawn(move || {
                world.look();
                // SAFETY: S1: the second hold above.
                unsafe { world.lock.unlock_read() };
            })
        };
        thread::yield_now();
        world.look();
        // SAFETY: S1: the first hold above.
        unsafe { world.lock.unlock_read() };
        writer.join().unwrap();
        reader.join().unwrap();
        assert_eq!(world.look(), 1);
        assert!(world.is_left_free());
    });
}

#[test]
fn writer_whose_time_is_over_lets_readers_in() {
    fn write_in_time(world: &World) {
        if world.lock.write_until(some_time()) {
            world.change();
            // SAFETY: S1: locked above.
            unsafe { world.lock.unlock_write() };
        }
    }
    fn read(world: &World) {
        assert!(world.read() <= 1);
    }
    check_within(2, || {
        beside([write_in_time, read], read);
    });
    // The reader that holds it waits for the one behind the writer.
    check_within(2, || {
        let world = World::new();
        assert!(world.lock.read_until(None));
        let others = [write_in_time, read].map(|other| {
            let world = world.clone();
            thread::spawn(move || other(&world))
        });
        let [writer, reader] = others;
        reader.join().unwrap();
        // SAFETY: S1: locked above.
        unsafe { world.lock.unlock_read() };
        writer.join().unwrap();
        assert!(world.is_left_free());
    });
}

#[test]
fn cancelled_writer_lets_others_in() {
    check_within(2, || {
        let world = World::new();
        let canceller = spawn_canceller();
        let other = {
            let world = world.clone();
            thread::spawn(move || world.write())
        };
        let cancelled = ends_cancelled(|| world.write());
        canceller.join().unwrap();
        other.join().unwrap();
        assert_eq!(world.look(), 2 - u32::from(cancelled));
        assert!(world.is_left_free());
    });
}
