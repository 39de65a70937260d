//! Tests of the table's keys, and of both back ends: what is watched comes, under its key.
#![forbid(unsafe_code)]

use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::ptr::NonNull;
use std::thread;
use std::time::Duration;

use super::{Events, Key, Poller, Target};
use crate::os::Doorbell;

/// An address that stands for itself.
fn target(number: usize) -> Target {
    NonNull::new(std::ptr::without_provenance_mut(number)).expect("not null")
}

fn pair() -> (UnixStream, UnixStream) {
    let (near, far) = UnixStream::pair().expect("a pair of sockets");
    near.set_nonblocking(true).expect("an open socket");
    (near, far)
}

/// Waits until `key` comes.
fn wait_for(poller: &Poller, key: Key) -> crate::os::Ready {
    let mut events = Events::new();
    for _ in 0..100 {
        poller.wait(&mut events, Some(Duration::from_secs(10)));
        if let Some((_, ready)) = events.iter().find(|(found, _)| *found == key) {
            return ready;
        }
    }
    panic!("no event came for {key:?}");
}

#[test]
fn descriptor_that_is_ready_when_it_is_added_comes_at_once() {
    let poller = Poller::new(&Doorbell::new().unwrap()).unwrap();
    let (near, mut far) = pair();
    far.write_all(b"x").unwrap();
    let key = poller.add(near.as_fd(), target(16)).unwrap();
    let ready = wait_for(&poller, key);
    assert!(ready.read && ready.write);
    assert!(!ready.read_ends);
    assert_eq!(poller.visit(key, |found| (found == target(16), None)), Some(true));
    poller.remove(near.as_fd(), key);
}

#[test]
fn edge_comes_once_and_again_when_more_has_come() {
    let poller = Poller::new(&Doorbell::new().unwrap()).unwrap();
    let (mut near, mut far) = pair();
    let key = poller.add(near.as_fd(), target(16)).unwrap();
    assert!(!wait_for(&poller, key).read);
    far.write_all(b"x").unwrap();
    assert!(wait_for(&poller, key).read);
    let mut events = Events::new();
    poller.wait(&mut events, Some(Duration::ZERO));
    assert_eq!(events.iter().count(), 0, "nothing has changed since");
    assert_eq!(near.read(&mut [0; 8]).unwrap(), 1);
    far.write_all(b"y").unwrap();
    assert!(wait_for(&poller, key).read);
    poller.remove(near.as_fd(), key);
}

#[test]
fn end_of_the_peer_is_told() {
    let poller = Poller::new(&Doorbell::new().unwrap()).unwrap();
    let (near, far) = pair();
    let key = poller.add(near.as_fd(), target(16)).unwrap();
    wait_for(&poller, key);
    drop(far);
    let ready = wait_for(&poller, key);
    assert!(ready.read);
    assert!(ready.read_ends || !super::TELLS_ENDS);
    poller.remove(near.as_fd(), key);
}

#[test]
fn ring_ends_a_wait_each_time() {
    let doorbell = Doorbell::new().unwrap();
    let poller = Poller::new(&doorbell).unwrap();
    let mut events = Events::new();
    for _ in 0..3 {
        thread::scope(|s| {
            s.spawn(|| doorbell.ring());
            // Without an end: it hangs if no ring ends it.
            poller.wait(&mut events, None);
        });
        assert_eq!(events.iter().count(), 0, "a ring is nobody's event");
    }
}

#[test]
fn key_is_over_when_its_place_is_given_up() {
    let poller = Poller::new(&Doorbell::new().unwrap()).unwrap();
    let (near, mut far) = pair();
    let old = poller.add(near.as_fd(), target(16)).unwrap();
    assert!(!poller.is_empty());
    poller.remove(near.as_fd(), old);
    assert!(poller.is_empty());
    let new = poller.add(near.as_fd(), target(32)).unwrap();
    assert_ne!(old, new);
    assert_eq!(old.index, new.index, "the place is used again");
    assert_eq!(poller.visit(old, |_| ((), None)), None);
    // Once more for the old key: nothing happens to the new one.
    poller.remove(near.as_fd(), old);
    assert!(poller.knows(new) && !poller.is_empty());
    far.write_all(b"x").unwrap();
    assert!(wait_for(&poller, new).read);
    poller.remove(near.as_fd(), new);
}

#[test]
fn visitor_can_end_the_watch() {
    let poller = Poller::new(&Doorbell::new().unwrap()).unwrap();
    let (near, mut far) = pair();
    let key = poller.add(near.as_fd(), target(16)).unwrap();
    assert_eq!(poller.visit(key, |_| ((), Some(near.as_raw_fd()))), Some(()));
    assert!(poller.is_empty() && !poller.knows(key));
    far.write_all(b"x").unwrap();
    let mut events = Events::new();
    poller.wait(&mut events, Some(Duration::ZERO));
    assert_eq!(events.iter().count(), 0);
}

#[test]
fn wait_ends_with_its_time() {
    let poller = Poller::new(&Doorbell::new().unwrap()).unwrap();
    let mut events = Events::new();
    let begun = crate::clock::now();
    while begun.elapsed() < Duration::from_micros(300) {
        poller.wait(&mut events, Some(Duration::from_micros(300)));
        assert_eq!(events.iter().count(), 0);
    }
}
