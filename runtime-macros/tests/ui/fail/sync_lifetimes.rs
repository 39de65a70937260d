//! What `sylvan::sync` lends must not outlive what it was lent from.

use sylvan::sync::{Mutex, OnceLock, RwLock, RwLockWriteGuard, Semaphore};

fn guard_of_a_mutex() {
    let guard;
    {
        let mutex = Mutex::new(1);
        guard = mutex.lock().unwrap();
    }
    drop(guard);
}

fn guard_of_a_mutex_that_moves() {
    let mutex = Mutex::new(1);
    let guard = mutex.lock().unwrap();
    drop(mutex);
    drop(guard);
}

fn guard_beside_the_owners_way() {
    let mut mutex = Mutex::new(1);
    let guard = mutex.lock().unwrap();
    *mutex.get_mut().unwrap() = 2;
    drop(guard);
}

fn value_of_a_guard() {
    let mutex = Mutex::new(String::new());
    let text: &str = {
        let guard = mutex.lock().unwrap();
        &**guard
    };
    println!("{text}");
}

fn guard_of_a_reader() {
    let guard;
    {
        let lock = RwLock::new(1);
        guard = lock.read().unwrap();
    }
    drop(guard);
}

fn guard_of_a_writer_that_became_a_reader() {
    let guard;
    {
        let lock = RwLock::new(1);
        guard = RwLockWriteGuard::downgrade(lock.write().unwrap());
    }
    drop(guard);
}

fn value_of_a_cell_that_is_emptied() {
    let mut cell = OnceLock::from(String::new());
    let text = cell.get().unwrap();
    cell.take();
    println!("{text}");
}

fn permit_of_a_semaphore() {
    let permit;
    {
        let semaphore = Semaphore::new(1);
        permit = semaphore.acquire();
    }
    drop(permit);
}

fn part_of_a_permit() {
    let part;
    {
        let semaphore = Semaphore::new(2);
        part = semaphore.acquire_many(2).split(1);
    }
    drop(part);
}

fn main() {}
