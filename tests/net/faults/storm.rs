//! Well-behaved clients among clients that do everything wrong: the first get right answers, and
//! of the others nothing is left.
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::sync::atomic::Ordering::SeqCst;

use sylvan::__private::doors::{armed_timers, live_stacks};
use sylvan::net::TcpStream;
use sylvan::sync::Event;
use sylvan::thread;
use sylvan_workspace::{Random, Shape, everywhere, in_child, in_every_runtime, process, until};

use super::choices;
use super::clients::{Client, Fault, Server, misbehave};
use crate::probe;

const GOOD: usize = 12;
const REQUESTS: u64 = 8;

fn reset(stream: TcpStream) {
    probe::reset_when_closed(&stream);
}

/// A life of a client that behaves.
fn behave(address: SocketAddr, mut random: Random) {
    let mut client = Client::new(address);
    for _ in 0..REQUESTS {
        client.ask(&mut random);
    }
    client.end(&mut random);
}

/// Runs them all in the current runtime.
fn storm(mut random: Random, rounds: usize) {
    let (server, over) = (Server::new(), Event::new());
    let address = server.address();
    let faults = Fault::ALL.repeat(rounds);
    thread::scope(|scope| {
        scope.spawn(|| server.run());
        let _ending = server.end_when_left();
        let faulty: Vec<_> = faults
            .iter()
            .map(|&fault| {
                let (mut random, over) = (random.split(), &over);
                scope.spawn(move || misbehave(fault, address, &mut random, reset, over))
            })
            .collect();
        let good: Vec<_> = (0..GOOD)
            .map(|_| {
                let random = random.split();
                scope.spawn(move || behave(address, random))
            })
            .collect();
        // While others stall and are silent.
        good.into_iter().for_each(|client| client.join().unwrap());
        behave(address, random.split());
        over.set();
        faulty.into_iter().for_each(|client| client.join().unwrap());
        behave(address, random.split());
    });
    let good = GOOD + 2;
    assert_eq!(server.accepted.load(SeqCst), (good + faults.len()) as u64);
    let ended_well = server.ended_well.load(SeqCst);
    // Some of the others may have come to the end of a frame.
    assert!(ended_well >= good as u64, "{ended_well}");
}

#[test]
fn answers_stay_right_while_other_clients_do_everything_wrong() {
    let random = choices();
    everywhere(|shape| {
        // Each wrong thing takes the seeded shape a while of real time.
        let rounds = if matches!(shape, Shape::Seeded(_)) { 1 } else { 4 };
        storm(random.clone(), rounds);
        // Outside, threads are the default runtime's, and so are those of other tests: only a
        // runtime of its own has no timers but those of the storm.
        if !matches!(shape, Shape::Outside) {
            expect_no_timers();
        }
    });
}

fn expect_no_timers() {
    thread::scope(|scope| {
        // Whatever worker they come to.
        for _ in 0..32 {
            scope.spawn(|| assert_eq!(armed_timers(), 0, "a timer was left behind"));
        }
    });
}

#[test]
fn storm_of_faults_leaves_no_descriptor_no_kernel_thread_and_no_stack() {
    const NAME: &str =
        "faults::storm::storm_of_faults_leaves_no_descriptor_no_kernel_thread_and_no_stack";
    let child = in_child(NAME, &[], || {
        let mut random = choices();
        let counts = || (process::kernel_threads(), process::descriptors(), live_stacks());
        let before = counts();
        for _ in 0..2 {
            // A runtime closes what it has for itself, so all must be as before.
            in_every_runtime(|shape| match shape {
                Shape::Seeded(_) => (),
                _ => storm(random_of(&random), 3),
            });
            random.number();
            until(|| counts() == before);
        }
    });
    child.expect_success();
}

fn random_of(random: &Random) -> Random {
    random.clone().split()
}
