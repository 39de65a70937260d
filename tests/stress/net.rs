//! Load: a thousand connections at the same time, with clients that do everything wrong among them.
//!
//! Every answer is checked, and when all is over nothing is left: no descriptor, no kernel thread,
//! no stack. That is counted for the whole process, so the test has one of its own; and that it
//! runs for a minute at most, for a child process is taken for hanging soon after.
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use sylvan::__private::doors::live_stacks;
use sylvan::net::TcpStream;
use sylvan::sync::Event;
use sylvan::{Mapping, Runtime, thread, time};
use sylvan_workspace::{Random, in_child, process};

use crate::clients::{Client, Fault, Server, misbehave};
use crate::{allowance, seconds, seed};

const CONNECTIONS: usize = 1000;
const FAULTY: usize = 70;
const LONGEST_RUN: u64 = 60;

#[derive(Default)]
struct Tally {
    connected: AtomicU64,
    answers: AtomicU64,
    faults: AtomicU64,
    cut_off: AtomicU64,
}

/// Asks until the deadline, now and then by another connection; once at least.
fn behave(address: SocketAddr, mut random: Random, deadline: Instant, tally: &Tally) {
    loop {
        let mut client = Client::new(address);
        tally.connected.fetch_add(1, SeqCst);
        for _ in 0..1 + random.below(200) {
            client.ask(&mut random);
            tally.answers.fetch_add(1, SeqCst);
            thread::sleep(Duration::from_micros(random.below(2000)));
            if Instant::now() >= deadline {
                client.end(&mut random);
                return;
            }
        }
        client.end(&mut random);
    }
}

/// Does one thing wrong after the other, each for a moment.
fn do_wrong(address: SocketAddr, mut random: Random, deadline: Instant, tally: &Tally) {
    let over = Event::new();
    while Instant::now() < deadline {
        let fault = Fault::ALL[random.below(Fault::ALL.len() as u64) as usize];
        let moment = Duration::from_millis(1 + random.below(100));
        let wrong = || misbehave(fault, address, &mut random, reset, &over);
        tally.faults.fetch_add(1, SeqCst);
        if time::timeout(moment, wrong).is_err() {
            tally.cut_off.fetch_add(1, SeqCst);
        }
    }
}

/// Closes with bytes that nobody has read, which the system answers with a reset.
fn reset(stream: TcpStream) {
    // Whatever comes of it: the server may have been faster to close, or the time is over.
    let _ = stream.peek(&mut [0]);
}

/// Both sides of it, each on a runtime of its own.
fn load(mut random: Random, deadline: Instant) {
    let many = |workers| {
        let builder = Runtime::builder().mapping(Mapping::ManyToMany).workers(workers);
        builder.build().expect("the runtime under test can be built")
    };
    let (serves, asks) = (many(8), many(4));
    let (server, tally) = (Server::new(), Tally::default());
    let address = server.address();
    std::thread::scope(|scope| {
        let served = scope.spawn(|| serves.run(|| server.run()));
        asks.run(|| {
            let _ending = server.end_when_left();
            thread::scope(|scope| {
                for _ in 0..CONNECTIONS {
                    let (random, tally) = (random.split(), &tally);
                    scope.spawn(move || behave(address, random, deadline, tally));
                }
                for _ in 0..FAULTY {
                    let (random, tally) = (random.split(), &tally);
                    scope.spawn(move || do_wrong(address, random, deadline, tally));
                }
            });
            // Whatever it was, a newcomer is served.
            let mut client = Client::new(address);
            client.ask(&mut random);
            client.end(&mut random);
        });
        served.join().expect("no connection was anything but a peer's fault");
    });
    let count = |counter: &AtomicU64| counter.load(SeqCst);
    let (connected, faults) = (count(&tally.connected), count(&tally.faults));
    println!(
        "{} answers by {connected} connections; {faults} wrong things, {} cut off",
        count(&tally.answers),
        count(&tally.cut_off)
    );
    let accepted = count(&server.accepted);
    // A wrong one may have been cut off before it was connected.
    assert!(connected < accepted && accepted <= connected + faults + 1, "{accepted}");
    assert!(connected >= CONNECTIONS as u64);
    assert!(count(&tally.answers) >= connected && faults >= FAULTY as u64);
}

#[test]
fn a_thousand_connections_get_right_answers_and_leave_nothing() {
    let child =
        in_child("net::a_thousand_connections_get_right_answers_and_leave_nothing", &[], || {
            let (_, most) = allowance::limits();
            allowance::limit(most.min(8192));
            let counts = || (process::kernel_threads(), process::descriptors(), live_stacks());
            let before = counts();
            let run = Duration::from_secs(seconds().min(LONGEST_RUN));
            load(Random::new(seed()), Instant::now() + run);
            let begun = Instant::now();
            while counts() != before {
                let (now, names) = (counts(), process::kernel_thread_names());
                assert!(begun.elapsed().as_secs() < 10, "{now:?} and not {before:?}: {names:?}");
                std::thread::yield_now();
            }
        });
    eprintln!("{}", child.stdout.lines().find(|it| it.contains("answers")).unwrap_or(""));
    child.expect_success();
}
