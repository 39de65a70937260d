//! What went wrong in other libraries, with the numbers of the list that the project keeps of it.
//!
//! Those numbers that are missing have no counterpart in sockets, or are covered where the part in
//! question is tested.
#![forbid(unsafe_code)]

use std::hint::spin_loop;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use sylvan::net::TcpStream;
use sylvan::net::unix::UnixStream;
use sylvan::thread;
use sylvan_workspace::{Shape, Watchdog, in_every_runtime, until};

use super::{choices, connected, echo, many_to_many, ping, with_std_peer, with_std_unix_peer};
use crate::sample;

/// Number 12: a wake was lost between a worker that looks for work and one that is parked. Bytes
/// and threads come from outside at every moment of a worker's way to sleep, one at a time.
#[test]
fn bug_12_input_that_comes_as_a_worker_goes_to_sleep_wakes_it() {
    let _watchdog = Watchdog::new("number 12");
    let mut random = choices();
    for workers in [1, 2, 4] {
        let runtime = many_to_many(workers);
        let pairs = [(); 3].map(|()| with_std_peer());
        let [(a, peer_a), (b, peer_b), (c, peer_c)] = pairs;
        let echoes = [a, b, c].map(|stream| runtime.handle().spawn(move || echo(&stream)));
        for _ in 0..1000 {
            for peer in [&peer_a, &peer_b, &peer_c] {
                (0..random.below(2000)).for_each(|_| spin_loop());
                if random.below(4) == 0 {
                    assert_eq!(runtime.handle().spawn(|| 7).join().unwrap(), 7);
                }
                ping(peer, 1 + random.below(2) as usize);
            }
        }
        drop([peer_a, peer_b, peer_c]);
        echoes.into_iter().for_each(|echo| echo.join().unwrap());
    }
}

/// Number 13: a wake was lost between the events and the run queue, and all timers stood still.
/// Here the last event of a look makes a thread ready whose worker has timers besides.
#[test]
fn bug_13_wakes_by_events_and_timers_of_one_worker_lose_neither() {
    in_every_runtime(|shape| {
        let rounds = if matches!(shape, Shape::Seeded(_)) { 20 } else { 200 };
        let (near, far) = connected();
        thread::scope(|scope| {
            let echoes = scope.spawn(|| echo(&far));
            let sleeps: Vec<_> = (1..=8)
                .map(|number| {
                    scope.spawn(move || {
                        let short = Duration::from_micros(10 * number);
                        (0..rounds).for_each(|_| thread::sleep(short));
                    })
                })
                .collect();
            ping(&near, rounds);
            sleeps.into_iter().for_each(|sleeps| sleeps.join().unwrap());
            // Timers alone have run meanwhile; the events are heard still.
            ping(&near, rounds);
            drop(near);
            echoes.join().unwrap();
        });
    });
}

/// The kinds of threads that may wait at one socket.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Of(Shape),
    Kernel,
}

const KINDS: [Kind; 4] = [
    Kind::Of(Shape::OneToOne),
    Kind::Of(Shape::ManyToOne),
    Kind::Of(Shape::ManyToMany(2)),
    Kind::Kernel,
];

/// Runs `f` on a thread of that kind, of a runtime of its own.
fn start(kind: Kind, f: impl FnOnce() + Send + 'static) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || match kind {
        Kind::Kernel => f(),
        Kind::Of(shape) => shape.build().run(|| thread::spawn(f).join().unwrap()),
    })
}

const LENGTH: usize = 1 << 20;

fn write_all(mut stream: impl Write, number: u8) {
    sample::bytes(number, LENGTH).chunks(10_000).for_each(|it| stream.write_all(it).unwrap());
}

fn read_all(mut stream: impl Read, number: u8) {
    let mut got = vec![0; LENGTH];
    stream.read_exact(&mut got).unwrap();
    sample::expect(number, 0, &got);
}

/// Number 14: a reader and a writer of one descriptor took each other's place.
#[test]
fn bug_14_reader_and_writer_of_one_socket_are_of_any_two_kinds() {
    for reader in KINDS {
        for writer in KINDS {
            let _watchdog = Watchdog::new(format!("{reader:?} reads and {writer:?} writes"));
            let (stream, peer) = with_std_unix_peer();
            let (stream, to_write) = (Arc::new(stream), peer.try_clone().unwrap());
            let (to_read, for_writer) = (stream.clone(), stream);
            let threads = [
                start(reader, move || read_all(&*to_read, 1)),
                start(writer, move || write_all(&*for_writer, 2)),
                start(Kind::Kernel, move || read_all(&peer, 2)),
                start(Kind::Kernel, move || write_all(&to_write, 1)),
            ];
            for thread in threads {
                let failed = thread.join().is_err();
                assert!(!failed, "{reader:?} reads and {writer:?} writes");
            }
        }
    }
}

/// The same with both in one runtime, and each the other's way to go on.
#[test]
fn bug_14_reader_and_writer_of_one_runtime_let_each_other_go_on() {
    in_every_runtime(|shape| {
        let length = if matches!(shape, Shape::Seeded(_)) { 300_000 } else { LENGTH };
        let (near, far) = UnixStream::pair().unwrap();
        let (near, far) = (&near, &far);
        thread::scope(|scope| {
            for (stream, own, other) in [(near, 1, 2), (far, 2, 1)] {
                scope.spawn(move || (&mut &*stream).write_all(&sample::bytes(own, length)));
                scope.spawn(move || {
                    let mut got = vec![0; length];
                    (&mut &*stream).read_exact(&mut got).unwrap();
                    sample::expect(other, 0, &got);
                });
            }
        });
    });
}

/// Number 16: operations that complete at once never yielded.
#[test]
fn bug_16_calls_that_complete_at_once_leave_the_others_their_turns() {
    in_every_runtime(|_| {
        let (near, far) = UnixStream::pair().unwrap();
        let (stop, turns) = (AtomicBool::new(false), AtomicUsize::new(0));
        thread::scope(|scope| {
            let reads_what_it_writes = scope.spawn(|| {
                // Nobody else touches these, so no call of them ever waits.
                while !stop.load(SeqCst) {
                    (&near).write_all(&[1]).unwrap();
                    (&far).read_exact(&mut [0]).unwrap();
                }
            });
            let yields = scope.spawn(|| {
                while turns.load(SeqCst) < 50 {
                    turns.fetch_add(1, SeqCst);
                    thread::yield_now();
                }
            });
            // Both are behind the busy one, if there is but one worker.
            yields.join().unwrap();
            stop.store(true, SeqCst);
            reads_what_it_writes.join().unwrap();
        });
        assert_eq!(turns.load(SeqCst), 50);
        bug_16_for_accept();
    });
}

/// A loop that accepts what others have queued.
fn bug_16_for_accept() {
    let listener = sylvan::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let accepts = scope.spawn(|| {
            while !stop.load(SeqCst) {
                let client = TcpStream::connect(address).unwrap();
                let (server, _) = listener.accept().unwrap();
                drop((client, server));
            }
        });
        let yields = scope.spawn(|| (0..10).for_each(|_| thread::yield_now()));
        until(|| yields.is_finished());
        stop.store(true, SeqCst);
        accepts.join().unwrap();
    });
}
