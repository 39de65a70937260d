//! One socket and many users: green threads of several runtimes, kernel threads of none, and
//! descriptors whose numbers are used again at once.
#![forbid(unsafe_code)]

use std::fs;
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use sylvan::net::unix::UnixStream;
use sylvan::net::{TcpListener, TcpStream};
use sylvan::{Mapping, Runtime, thread};
use sylvan_workspace::{Watchdog, in_every_runtime, settle};

use crate::sample;

const LENGTH: usize = 300_000;

fn runtimes() -> [Runtime; 3] {
    [Mapping::ManyToMany, Mapping::ManyToOne, Mapping::OneToOne].map(|mapping| {
        Runtime::builder().mapping(mapping).workers(2).build().expect("the runtime can be built")
    })
}

fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

#[test]
fn reader_and_writer_of_one_socket_are_of_two_runtimes_or_none() {
    let _watchdog = Watchdog::new("two runtimes");
    type Job<'a> = &'a (dyn Fn() + Sync);
    let on = |side: usize, one: Job<'_>, two: Job<'_>| match runtimes().get(side) {
        Some(runtime) => runtime.run(|| {
            thread::scope(|scope| {
                scope.spawn(one);
                scope.spawn(two);
            });
        }),
        None => std::thread::scope(|scope| {
            scope.spawn(one);
            scope.spawn(two);
        }),
    };
    for (reads, writes) in [(0, 1), (1, 0), (0, 2), (2, 1), (3, 0), (1, 3), (3, 3), (1, 1)] {
        let (left, right) = tcp_pair();
        let (left, right) = (&left, &right);
        let write = |stream: &TcpStream, number| {
            let mut stream = stream;
            stream.write_all(&sample::bytes(number, LENGTH)).unwrap();
        };
        let read = |stream: &TcpStream, number| {
            let (mut stream, mut got) = (stream, vec![0; LENGTH]);
            stream.read_exact(&mut got).unwrap();
            sample::expect(number, 0, &got);
        };
        std::thread::scope(|scope| {
            // Both ends are used by both sides at once.
            scope.spawn(|| on(reads, &|| read(left, 2), &|| write(right, 2)));
            scope.spawn(|| on(writes, &|| write(left, 1), &|| read(right, 1)));
        });
    }
}

#[test]
fn readers_of_all_sides_share_what_comes() {
    let _watchdog = Watchdog::new("all sides");
    let runtimes = runtimes();
    let (left, right) = UnixStream::pair().unwrap();
    std::thread::scope(|scope| {
        let mut sides = Vec::new();
        for side in 0..5 {
            let (runtime, left) = (runtimes.get(side), &left);
            let read = move || {
                let (mut stream, mut sum, mut byte) = (left, 0, [0]);
                while stream.read(&mut byte).unwrap() == 1 {
                    sum += u32::from(byte[0]);
                }
                sum
            };
            let in_two = move || {
                thread::scope(|scope| {
                    let other = scope.spawn(read);
                    read() + other.join().unwrap()
                })
            };
            sides.push(scope.spawn(move || match runtime {
                Some(runtime) => runtime.run(in_two),
                None => read(),
            }));
        }
        for round in 0..2000_u32 {
            (&right).write_all(&[u8::try_from(round % 200).unwrap()]).unwrap();
            if round % 50 == 0 {
                settle();
            }
        }
        drop(right);
        let sum: u32 = sides.into_iter().map(|side| side.join().unwrap()).sum();
        assert_eq!(sum, (0..2000).map(|round| round % 200).sum());
    });
}

#[test]
fn socket_moves_from_runtime_to_runtime_and_is_waited_for_in_each() {
    let _watchdog = Watchdog::new("moved");
    let (mut left, mut right) = tcp_pair();
    for round in 0..12 {
        let runtimes = runtimes();
        let (here, there) = (&runtimes[round % 3], &runtimes[(round + 1) % 3]);
        (left, right) = std::thread::scope(|scope| {
            let answer = scope.spawn(move || {
                there.run(move || {
                    let mut got = [0; 4];
                    right.read_exact(&mut got).unwrap();
                    right.write_all(&got).unwrap();
                    right
                })
            });
            let left = here.run(move || {
                let ping = move || {
                    settle();
                    left.write_all(b"ping").unwrap();
                    left.read_exact(&mut [0; 4]).unwrap();
                    left
                };
                thread::spawn(ping).join().unwrap()
            });
            (left, answer.join().unwrap())
        });
    }
}

#[test]
fn numbers_that_are_used_again_at_once_wake_nobody_else() {
    in_every_runtime(|_| {
        let (left, right) = UnixStream::pair().unwrap();
        thread::scope(|scope| {
            // Waits all the time, and must get its own byte alone.
            let waiter = scope.spawn(|| {
                let mut got = Vec::new();
                (&left).read_to_end(&mut got).unwrap();
                got
            });
            let loops: [_; 3] = std::array::from_fn(|_| {
                scope.spawn(|| {
                    for round in 0..40 {
                        let (one, two) = UnixStream::pair().unwrap();
                        thread::scope(|scope| {
                            let reader = scope.spawn(|| {
                                let mut byte = [0];
                                (&one).read_exact(&mut byte).unwrap();
                                byte[0]
                            });
                            if round % 2 == 0 {
                                thread::yield_now();
                            }
                            (&two).write_all(&[round]).unwrap();
                            assert_eq!(reader.join().unwrap(), round);
                        });
                        // Closed after an event, and the next pair has the same numbers.
                        drop(two);
                        drop(one);
                    }
                })
            });
            for one in loops {
                one.join().unwrap();
            }
            (&right).write_all(b"own").unwrap();
            drop(right);
            assert_eq!(waiter.join().unwrap(), b"own");
        });
    });
}

#[test]
fn crowd_that_waits_for_one_socket_is_woken_to_the_last() {
    const WAITERS: usize = 50;
    in_every_runtime(|_| {
        let (left, right) = UnixStream::pair().unwrap();
        thread::scope(|scope| {
            let waiters: Vec<_> =
                (0..WAITERS).map(|_| scope.spawn(|| (&left).read(&mut [0]).unwrap())).collect();
            settle();
            // One byte for each of the first half, and the end for the rest.
            (&right).write_all(&[1; WAITERS / 2]).unwrap();
            settle();
            drop(right);
            let got: usize = waiters.into_iter().map(|waiter| waiter.join().unwrap()).sum();
            assert_eq!(got, WAITERS / 2);
        });
    });
}

#[test]
fn threads_that_wait_at_the_shutdown_let_go_of_their_sockets() {
    let _watchdog = Watchdog::new("shutdown");
    for runtime in runtimes() {
        let (left, right) = tcp_pair();
        let left = Arc::new(left);
        let waiters = 5;
        runtime.run(|| {
            for _ in 0..waiters {
                let left = left.clone();
                drop(thread::spawn(move || (&*left).read(&mut [0])));
            }
            settle();
        });
        drop(runtime);
        // Nobody of the runtime holds it any more, and it works still.
        let left = Arc::into_inner(left).expect("all threads have ended");
        (&right).write_all(b"on").unwrap();
        let mut got = [0; 2];
        (&left).read_exact(&mut got).unwrap();
        left.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        assert!((&left).read(&mut got).is_err());
    }
}

#[test]
fn burst_of_clients_finds_room_though_nobody_accepts() {
    // std's listeners have room for 128; the next client waits for a second, and the next ones are
    // reset in the end.
    let most: usize = {
        let text = fs::read_to_string("/proc/sys/net/core/somaxconn").expect("Linux tells it");
        text.trim().parse().expect("a number")
    };
    in_every_runtime(|_| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let clients: Vec<_> = (0..most.min(300))
            .map(|number| {
                TcpStream::connect_timeout(&address, Duration::from_secs(20))
                    .unwrap_or_else(|error| panic!("client {number}: {error}"))
            })
            .collect();
        for client in &clients {
            let accepted = listener.accept().unwrap();
            assert_eq!(accepted.1, client.local_addr().unwrap());
        }
    });
}
