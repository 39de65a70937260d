//! Who gets what when somebody takes much: a worker that computes delays the input of its own
//! threads only, and a flood of input takes neither turns nor time from the others.
#![forbid(unsafe_code)]

use std::hint::spin_loop;
use std::io::{Read, Write};
use std::net::TcpStream as StdStream;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::current as kernel_thread;
use std::time::Duration;

use sylvan::net::unix::UnixStream;
use sylvan::net::{TcpListener, TcpStream};
use sylvan::{Mapping, Runtime, thread};
use sylvan_workspace::{Watchdog, in_child, until};

use super::{allowance, echo, many_to_many, ping, with_std_peer, with_std_unix_peer};
use crate::sample;

const MEGABYTE: usize = 1 << 20;

/// Lets a thread of one worker do something, and that worker compute from then on; meanwhile a
/// thread of the other worker does the same again. `outside` is the other side of both.
fn on_a_worker_and_beside_it_when_it_computes(
    inside: impl Fn(usize) + Send + Sync + 'static,
    outside: impl Fn(usize),
) {
    let _watchdog = Watchdog::new("beside a worker that computes");
    let runtime = many_to_many(2);
    let (inside, stop) = (Arc::new(inside), Arc::new(AtomicBool::new(false)));
    let computes = Arc::new(AtomicBool::new(false));
    let busy = {
        let (inside, computes, stop) = (inside.clone(), computes.clone(), stop.clone());
        runtime.handle().spawn(move || {
            inside(0);
            computes.store(true, SeqCst);
            while !stop.load(SeqCst) {
                spin_loop();
            }
            kernel_thread().id()
        })
    };
    outside(0);
    until(|| computes.load(SeqCst));
    let free = runtime.handle().spawn(move || {
        inside(1);
        kernel_thread().id()
    });
    outside(1);
    let free = free.join().unwrap();
    stop.store(true, SeqCst);
    assert_ne!(busy.join().unwrap(), free, "both ran on one worker");
}

fn echo_times(mut stream: &TcpStream, times: usize) {
    for _ in 0..times {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        stream.write_all(&byte).unwrap();
    }
}

#[test]
fn input_comes_to_another_worker_when_the_first_one_computes() {
    const TIMES: usize = 200;
    let (stream, peer) = with_std_peer();
    on_a_worker_and_beside_it_when_it_computes(
        move |_| echo_times(&stream, TIMES),
        |_| ping(&peer, TIMES),
    );
}

#[test]
fn room_for_output_comes_to_another_worker_when_the_first_one_computes() {
    const LENGTH: usize = 2 * MEGABYTE;
    // The kernel keeps much for a TCP connection, and little for this one.
    let (stream, peer) = with_std_unix_peer();
    on_a_worker_and_beside_it_when_it_computes(
        move |round| (&stream).write_all(&sample::bytes(round as u8, LENGTH)).unwrap(),
        |round| {
            let mut got = vec![0; LENGTH];
            (&peer).read_exact(&mut got).unwrap();
            sample::expect(round as u8, 0, &got);
        },
    );
}

#[test]
fn connections_come_to_another_worker_when_the_first_one_computes() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    on_a_worker_and_beside_it_when_it_computes(
        move |_| {
            for _ in 0..20 {
                let (stream, _) = listener.accept().unwrap();
                echo_times(&stream, 3);
            }
        },
        |_| (0..20).for_each(|_| ping(StdStream::connect(address).unwrap(), 3)),
    );
}

/// The free worker homes all of them, so it leaves each to the other one first, who cannot come.
#[test]
fn threads_of_connections_start_though_the_other_worker_computes() {
    const CONNECTIONS: usize = 200;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    on_a_worker_and_beside_it_when_it_computes(
        move |round| {
            let accept = |_| {
                let (stream, _) = listener.accept().unwrap();
                thread::spawn(move || echo(&stream))
            };
            let echoes: Vec<_> = (0..round * CONNECTIONS).map(accept).collect();
            echoes.into_iter().for_each(|echo| echo.join().unwrap());
        },
        |round| {
            let connect = |_| StdStream::connect(address).unwrap();
            let clients: Vec<_> = (0..round * CONNECTIONS).map(connect).collect();
            // The last one first: none has its turn because another one has ended.
            clients.iter().rev().for_each(|client| ping(client, 3));
        },
    );
}

/// The socket stays with the first worker, whose thread waits for it still.
#[test]
fn writer_goes_on_though_the_worker_of_the_reader_computes() {
    const LENGTH: usize = 2 * MEGABYTE;
    let (stream, peer) = with_std_unix_peer();
    let stream = Arc::new(stream);
    let reads = Arc::new(std::sync::Mutex::new(None));
    let left = reads.clone();
    on_a_worker_and_beside_it_when_it_computes(
        move |round| match round {
            0 => *left.lock().unwrap() = Some(reader_of_this_worker(&stream)),
            _ => (&*stream).write_all(&sample::bytes(5, LENGTH)).unwrap(),
        },
        |round| {
            if round == 1 {
                let mut got = vec![0; LENGTH];
                (&peer).read_exact(&mut got).unwrap();
                sample::expect(5, 0, &got);
                // Only now, for this is what the reader waits for.
                (&peer).write_all(&[7]).unwrap();
            }
        },
    );
}

/// A thread that reads one byte and runs on the caller's worker.
fn reader_of_this_worker(stream: &Arc<UnixStream>) -> thread::JoinHandle<bool> {
    let here = kernel_thread().id();
    loop {
        let (begun, stream) = (Arc::new(AtomicBool::new(false)), stream.clone());
        let begins = begun.clone();
        let reads = thread::spawn(move || {
            let is_here = kernel_thread().id() == here;
            begins.store(true, SeqCst);
            let mut byte = [0];
            is_here && (&*stream).read_exact(&mut byte).is_ok() && byte == [7]
        });
        until(|| begun.load(SeqCst));
        // If it is here it has had its turn, in which it began to wait.
        (0..100).for_each(|_| thread::yield_now());
        if !reads.is_finished() {
            return reads;
        }
    }
}

/// Counts turns: how often another thread runs than the one before.
#[derive(Default)]
struct Turns {
    count: AtomicUsize,
    last: AtomicUsize,
}

impl Turns {
    fn note(&self, thread: usize) -> usize {
        if self.last.swap(thread, SeqCst) != thread {
            self.count.fetch_add(1, SeqCst);
        }
        self.count.load(SeqCst)
    }
}

const SOCKETS: usize = 500;

/// Sockets whose peers have sent so much that it does not end.
fn full_sockets() -> Vec<(UnixStream, StdUnixStream)> {
    let pair = |_| {
        let (near, far) = StdUnixStream::pair().unwrap();
        far.set_nonblocking(true).unwrap();
        while (&far).write(&[3; 4096]).is_ok() {}
        (UnixStream::from(near), far)
    };
    (0..SOCKETS).map(pair).collect()
}

/// Runs `body` beside threads of which each reads from a socket that is always ready.
fn beside_ready_sockets(turns: &Turns, body: impl FnOnce()) {
    let (sockets, stop) = (full_sockets(), AtomicBool::new(false));
    thread::scope(|scope| {
        for (number, (socket, _)) in sockets.iter().enumerate() {
            let stop = &stop;
            scope.spawn(move || {
                while !stop.load(SeqCst) {
                    turns.note(1 + number);
                    (&mut &*socket).read_exact(&mut [0]).unwrap();
                }
            });
        }
        body();
        stop.store(true, SeqCst);
    });
}

fn raise_the_limit() {
    let (_, most) = allowance::limits();
    allowance::limit(most.min(4096));
}

#[test]
fn thread_that_yields_gets_its_turns_while_500_sockets_are_ready() {
    const NAME: &str =
        "faults::shares::thread_that_yields_gets_its_turns_while_500_sockets_are_ready";
    let child = in_child(NAME, &[], || {
        raise_the_limit();
        let runtime = Runtime::builder().mapping(Mapping::ManyToOne).build().unwrap();
        let turns = Turns::default();
        let mut longest = 0;
        runtime.run(|| {
            beside_ready_sockets(&turns, || {
                let mut last = turns.note(0);
                for _ in 0..20 {
                    thread::yield_now();
                    let now = turns.note(0);
                    longest = longest.max(now - last);
                    last = now;
                }
            });
        });
        // Everybody once, and then it is its turn again.
        assert!(longest <= SOCKETS + 10, "{longest} turns of others between two of its own");
        assert!(longest >= SOCKETS / 2, "{longest}: the sockets were not ready");
    });
    child.expect_success();
}

#[test]
fn timers_are_kept_while_500_sockets_are_ready() {
    const NAME: &str = "faults::shares::timers_are_kept_while_500_sockets_are_ready";
    let child = in_child(NAME, &[], || {
        raise_the_limit();
        for mapping in [Mapping::ManyToOne, Mapping::ManyToMany] {
            let runtime = Runtime::builder().mapping(mapping).workers(2).build().unwrap();
            let turns = Turns::default();
            runtime.run(|| {
                beside_ready_sockets(&turns, || {
                    for _ in 0..5 {
                        let before = turns.note(0);
                        thread::sleep(Duration::from_micros(10));
                        if mapping == Mapping::ManyToOne {
                            // It was over within the round in which it was asked for.
                            let meanwhile = turns.note(0) - before;
                            assert!(meanwhile <= 2 * SOCKETS + 20, "{meanwhile} turns");
                        }
                    }
                });
            });
        }
    });
    child.expect_success();
}

/// Here they are ready again and again, each time by an event: who waits comes with a flood.
#[test]
fn thread_that_yields_gets_its_turns_while_events_come_for_500_sockets() {
    const NAME: &str =
        "faults::shares::thread_that_yields_gets_its_turns_while_events_come_for_500_sockets";
    let child = in_child(NAME, &[], || {
        raise_the_limit();
        let runtime = Runtime::builder().mapping(Mapping::ManyToOne).build().unwrap();
        let (turns, stop) = (Turns::default(), AtomicBool::new(false));
        let pairs: Vec<_> = (0..SOCKETS).map(|_| UnixStream::pair().unwrap()).collect();
        let mut longest = 0;
        runtime.run(|| {
            thread::scope(|scope| {
                for (number, (near, far)) in pairs.iter().enumerate() {
                    let (turns, stop) = (&turns, &stop);
                    scope.spawn(move || {
                        while !stop.load(SeqCst) {
                            turns.note(1 + number);
                            (&mut &*near).write_all(&[1]).unwrap();
                            (&mut &*near).read_exact(&mut [0]).unwrap();
                        }
                        (&mut &*near).write_all(&[0]).unwrap();
                    });
                    scope.spawn(move || {
                        let mut byte = [1];
                        while byte == [1] {
                            (&mut &*far).read_exact(&mut byte).unwrap();
                            turns.note(1 + SOCKETS + number);
                            (&mut &*far).write_all(&byte).unwrap();
                        }
                    });
                }
                let mut last = turns.note(0);
                while last < 50_000 {
                    thread::yield_now();
                    let now = turns.note(0);
                    longest = longest.max(now - last);
                    last = now;
                }
                stop.store(true, SeqCst);
            });
        });
        assert!(longest <= 2 * SOCKETS + 10, "{longest} turns of others between two of its own");
    });
    child.expect_success();
}
