//! Loom models of outsiders: what they send is received before the run may conclude that nothing
//! can move, and a worker that waits for them is woken when they go.

use std::ptr::NonNull;
use std::sync::Arc;

use loom::thread;

use super::Outsiders;
use crate::primitives::{Ordering, check, fence};
use crate::task::HeaderRef;
use crate::task::header::Header;
use crate::task::mailbox::{Mailbox, Message, Pushed};

struct World {
    mailbox: Arc<Mailbox>,
    outsiders: Outsiders,
    threads: Vec<HeaderRef>,
}

/// An outsider's whole life: one push, and it goes.
fn act(world: &World, index: usize) {
    let thread = NonNull::from(&*world.threads[index]);
    // SAFETY: S1: each index is pushed once, and `World` keeps the headers. S2: and the mailbox.
    match unsafe { Mailbox::push(NonNull::from(&*world.mailbox), thread) } {
        Pushed::Awake => (),
        Pushed::Sleeping(mailbox) => mailbox.wake_owner(),
        Pushed::Closed => unreachable!("nobody closes it"),
    }
    world.outsiders.leave();
    world.mailbox.post(Message::LookRound);
    if world.mailbox.nudge() {
        world.mailbox.wake_owner();
    }
}

fn drain(world: &World) -> usize {
    let mut next = world.mailbox.drain();
    let mut count = 0;
    while let Some(thread) = NonNull::new(next) {
        // SAFETY: `World` keeps the headers.
        next = unsafe { thread.as_ref() }.next.load(Ordering::Relaxed);
        count += 1;
    }
    count
}

/// The worker, until it concludes that nothing can move any more. Gives what it has received.
fn turn_until_stuck(world: &World) -> usize {
    let mut received = 0;
    loop {
        let none = world.outsiders.none();
        if world.mailbox.has_messages() {
            world.mailbox.take_messages();
            continue;
        }
        if !world.mailbox.is_empty() {
            received += drain(world);
            continue;
        }
        if none {
            return received;
        }
        if world.mailbox.announce_sleep(false) {
            fence(Ordering::SeqCst);
            if !world.mailbox.has_messages() {
                while world.mailbox.is_sleeping() {
                    world.mailbox.sleep(None);
                }
            }
            world.mailbox.retract_sleep();
        }
        received += drain(world);
    }
}

fn model(outsiders: usize) {
    let world = Arc::new(World {
        mailbox: Arc::new(Mailbox::new()),
        outsiders: Outsiders::new(),
        threads: (0..outsiders).map(|_| Header::for_model()).collect(),
    });
    for _ in 0..outsiders {
        world.outsiders.enter();
    }
    let handles: Vec<_> = (0..outsiders)
        .map(|index| {
            let world = world.clone();
            thread::spawn(move || act(&world, index))
        })
        .collect();
    assert_eq!(turn_until_stuck(&world), outsiders, "concluded before all was received");
    for handle in handles {
        handle.join().unwrap();
    }
}

#[test]
fn nothing_is_concluded_before_what_an_outsider_sent_is_received() {
    check(|| model(1));
}

#[test]
fn last_of_two_outsiders_publishes_what_both_have_sent() {
    // One preemption: with two it takes a minute, and it has passed.
    crate::primitives::check_within(1, || model(2));
}
