//! Who is woken, whatever comes first: the attempt, the event, the wait, or what cuts it off.
#![forbid(unsafe_code)]

use std::io::{ErrorKind, Read, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use sylvan::net::unix::{UnixDatagram, UnixListener, UnixStream};
use sylvan::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use sylvan::thread;

use super::{free_address, in_either_order, tcp_pair, under_seeds, unix_pair};

/// More than the buffers of a connection take.
const LARGE: usize = 300_000;

/// Reads to the end, by at most `room` bytes.
fn read_all(mut stream: impl Read, room: usize) -> Vec<u8> {
    let (mut all, mut piece) = (Vec::new(), vec![0; room]);
    loop {
        match stream.read(&mut piece).unwrap() {
            0 => return all,
            count => all.extend_from_slice(&piece[..count]),
        }
    }
}

fn read_byte(mut stream: impl Read) -> u8 {
    let mut byte = [0];
    stream.read_exact(&mut byte).unwrap();
    byte[0]
}

/// Each stage adds one to what it reads and hands it on, in pieces of a size of its own.
fn pipeline<S: Send>(pair: fn() -> (S, S))
where
    for<'a> &'a S: Read + Write,
{
    const STAGES: u8 = 4;
    thread::scope(|scope| {
        let (first, mut from) = pair();
        for stage in 0..STAGES {
            let (to, next) = pair();
            let source = std::mem::replace(&mut from, next);
            scope.spawn(move || {
                let mut piece = vec![0; usize::from(stage) + 1];
                loop {
                    let count = (&source).read(&mut piece).unwrap();
                    if count == 0 {
                        return;
                    }
                    piece.iter_mut().for_each(|byte| *byte += 1);
                    (&to).write_all(&piece[..count]).unwrap();
                }
            });
        }
        scope.spawn(move || {
            for byte in 0..12 {
                (&first).write_all(&[byte]).unwrap();
            }
        });
        let all = read_all(&from, 7);
        assert_eq!(all, (0..12).map(|byte| byte + STAGES).collect::<Vec<_>>());
    });
}

#[test]
fn pipelines_carry_everything_in_order_and_end() {
    under_seeds(|| pipeline(unix_pair));
    under_seeds(|| pipeline(tcp_pair));
}

#[test]
fn many_readers_of_one_socket_take_each_byte_once_and_all_see_the_end() {
    fn body<S: Send + Sync>((to, from): (S, S))
    where
        for<'a> &'a S: Read + Write,
    {
        let taken = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for room in [1, 1, 2, 5] {
                let (from, taken) = (&from, &taken);
                scope.spawn(move || {
                    let own = read_all(from, room);
                    taken.lock().unwrap().extend(own);
                });
            }
            for start in [0, 1, 4, 9] {
                let bytes: Vec<u8> = (start..2 * start + 1).collect();
                (&to).write_all(&bytes).unwrap();
                thread::yield_now();
            }
            drop(to);
        });
        let mut taken = taken.into_inner().unwrap();
        taken.sort_unstable();
        let mut sent: Vec<u8> = [0, 1, 4, 9].into_iter().flat_map(|n| n..2 * n + 1).collect();
        sent.sort_unstable();
        assert_eq!(taken, sent);
    }
    under_seeds(|| body(unix_pair()));
    under_seeds(|| body(tcp_pair()));
}

#[test]
fn one_event_for_two_bytes_wakes_both_readers_of_one_byte() {
    under_seeds(|| {
        let (mut to, from) = unix_pair();
        thread::scope(|scope| {
            let readers = [scope.spawn(|| read_byte(&from)), scope.spawn(|| read_byte(&from))];
            sylvan::testing::wait_until_all_parked();
            to.write_all(&[1, 2]).unwrap();
            let sum: u8 = readers.into_iter().map(|reader| reader.join().unwrap()).sum();
            assert_eq!(sum, 3);
        });
    });
}

#[test]
fn reader_and_writer_of_one_socket_do_not_take_each_others_wakes() {
    fn body<S: Send + Sync>((near, far): (S, S))
    where
        for<'a> &'a S: Read + Write,
    {
        thread::scope(|scope| {
            for end in [&near, &far] {
                scope.spawn(move || {
                    let mut end = end;
                    end.write_all(&vec![7; LARGE]).unwrap();
                });
                scope.spawn(move || {
                    let mut end = end;
                    let mut all = vec![0; LARGE];
                    end.read_exact(&mut all).unwrap();
                    assert!(all == vec![7; LARGE]);
                });
            }
        });
    }
    under_seeds(|| body(unix_pair()));
}

#[test]
fn peer_that_goes_ends_readers_and_writers_of_one_socket() {
    under_seeds(|| {
        let (near, far) = unix_pair();
        thread::scope(|scope| {
            let read = || (&near).read(&mut [0; 8]).map_err(|error| error.kind());
            let write = || (&near).write_all(&vec![7; LARGE]).unwrap_err().kind();
            let readers = [scope.spawn(read), scope.spawn(read)];
            let writers = [scope.spawn(write), scope.spawn(write)];
            let cancelled = scope.spawn(read);
            sylvan::testing::wait_until_all_parked();
            cancelled.cancel().unwrap();
            drop(far);
            // One of them is told that what was written is lost.
            for reader in readers {
                let end = reader.join().unwrap();
                assert!(matches!(end, Ok(0) | Err(ErrorKind::ConnectionReset)), "{end:?}");
            }
            for writer in writers {
                let end = writer.join().unwrap();
                assert!(matches!(end, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset));
            }
        });
    });
}

#[test]
fn wake_of_a_reader_that_is_cancelled_goes_to_the_next() {
    in_either_order(|| {
        let (mut to, from) = unix_pair();
        thread::scope(|scope| {
            let first = scope.spawn(|| read_byte(&from));
            sylvan::testing::wait_until_all_parked();
            let second = scope.spawn(|| read_byte(&from));
            sylvan::testing::wait_until_all_parked();
            let cancels = scope.spawn(move || first.cancel().map(|()| first));
            to.write_all(&[1]).unwrap();
            let first = cancels.join().unwrap().unwrap();
            match first.join() {
                Ok(byte) => {
                    assert_eq!(byte, 1);
                    to.write_all(&[2]).unwrap();
                    assert_eq!(second.join().unwrap(), 2);
                    true
                }
                Err(_) => {
                    assert_eq!(second.join().unwrap(), 1);
                    false
                }
            }
        })
    });
}

#[test]
fn room_that_a_cancelled_writer_was_woken_for_goes_to_the_next() {
    under_seeds(|| {
        let (to, from) = unix_pair();
        to.set_nonblocking(true).unwrap();
        let piece = [3; 4096];
        let mut sent = 0;
        while let Ok(count) = (&to).write(&piece) {
            sent += count;
        }
        to.set_nonblocking(false).unwrap();
        let written = AtomicUsize::new(0);
        thread::scope(|scope| {
            let write = || {
                let count = (&to).write(&piece).unwrap();
                written.fetch_add(count, SeqCst);
            };
            let first = scope.spawn(write);
            let second = scope.spawn(write);
            sylvan::testing::wait_until_all_parked();
            let cancels = scope.spawn(move || first.cancel().map(|()| first));
            let mut all = vec![0; sent];
            (&from).read_exact(&mut all).unwrap();
            let first = cancels.join().unwrap().unwrap();
            second.join().unwrap();
            let _ = first.join();
            let mut rest = vec![0; written.load(SeqCst)];
            (&from).read_exact(&mut rest).unwrap();
        });
    });
}

#[test]
fn short_reads_are_followed_by_what_is_under_way_and_by_the_end() {
    fn body<S: Send>((to, from): (S, S))
    where
        for<'a> &'a S: Read + Write,
    {
        thread::scope(|scope| {
            let reader = scope.spawn(move || read_all(&from, 64));
            for round in 0_u8..8 {
                (&to).write_all(&[round, round]).unwrap();
                if round % 3 == 0 {
                    thread::yield_now();
                }
            }
            // The end comes right behind the data, perhaps into the middle of a short read.
            drop(to);
            let all: Vec<u8> = (0..8).flat_map(|round| [round, round]).collect();
            assert_eq!(reader.join().unwrap(), all);
        });
    }
    under_seeds(|| body(unix_pair()));
    under_seeds(|| body(tcp_pair()));
}

#[test]
fn half_that_is_shut_down_ends_its_reader_and_leaves_the_other_direction() {
    under_seeds(|| {
        let (near, far) = unix_pair();
        thread::scope(|scope| {
            let reader = scope.spawn(|| read_all(&near, 8));
            scope.spawn(|| near.shutdown(Shutdown::Read).unwrap());
            assert!(reader.join().unwrap().is_empty());
            (&near).write_all(&[5]).unwrap();
            assert_eq!(read_byte(&far), 5);
        });
    });
    under_seeds(|| {
        let (near, far) = tcp_pair();
        thread::scope(|scope| {
            let readers = [scope.spawn(|| read_all(&far, 8)), scope.spawn(|| read_all(&far, 8))];
            scope.spawn(|| near.shutdown(Shutdown::Write).unwrap());
            for reader in readers {
                assert!(reader.join().unwrap().is_empty());
            }
            (&far).write_all(&[5]).unwrap();
            assert_eq!(read_byte(&near), 5);
        });
    });
}

#[test]
fn shutdown_during_a_write_that_waits_for_room_ends_it_with_a_broken_pipe() {
    under_seeds(|| {
        let (near, far) = unix_pair();
        thread::scope(|scope| {
            let writer = scope.spawn(|| (&near).write_all(&vec![1; LARGE]));
            scope.spawn(|| near.shutdown(Shutdown::Write).unwrap());
            let error = writer.join().unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        });
        drop(far);
    });
}

#[test]
fn clones_that_wait_are_all_told() {
    fn body<S: Send>((to, from): (S, S), clone: fn(&S) -> S)
    where
        for<'a> &'a S: Read + Write,
    {
        let clones = [clone(&from), clone(&from), from];
        let count = AtomicUsize::new(0);
        thread::scope(|scope| {
            for own in clones {
                let count = &count;
                scope.spawn(move || {
                    count.fetch_add(read_all(&own, 1).len(), SeqCst);
                });
            }
            for _ in 0..6 {
                (&to).write_all(&[1]).unwrap();
            }
            drop(to);
        });
        assert_eq!(count.into_inner(), 6);
    }
    under_seeds(|| body(unix_pair(), |stream: &UnixStream| stream.try_clone().unwrap()));
    under_seeds(|| body(tcp_pair(), |stream: &TcpStream| stream.try_clone().unwrap()));
}

#[test]
fn socket_that_goes_from_thread_to_thread_tells_each_of_them() {
    under_seeds(|| {
        let (mut to, mut from) = unix_pair();
        let feeds = thread::spawn(move || {
            for byte in 0..6 {
                to.write_all(&[byte]).unwrap();
                thread::yield_now();
            }
        });
        for expected in 0..6 {
            from = thread::spawn(move || {
                assert_eq!(read_byte(&from), expected);
                from
            })
            .join()
            .unwrap();
        }
        feeds.join().unwrap();
        assert_eq!(from.read(&mut [0]).unwrap(), 0);
    });
}

/// A server for `clients` connections, each of which is answered and then at its end.
fn serve<S: Send>(clients: u8, accept: impl Fn() -> S + Sync, connect: impl Fn() -> S + Sync)
where
    for<'a> &'a S: Read + Write,
{
    let (accept, connect) = (&accept, &connect);
    thread::scope(|scope| {
        // Two that accept from one listener.
        for count in [clients / 2, clients - clients / 2] {
            scope.spawn(move || {
                for _ in 0..count {
                    let stream = accept();
                    scope.spawn(move || {
                        let request = read_byte(&stream);
                        (&stream).write_all(&[request + 100]).unwrap();
                        assert!(read_all(&stream, 4).is_empty());
                    });
                }
            });
        }
        for client in 0..clients {
            scope.spawn(move || {
                let stream = connect();
                (&stream).write_all(&[client]).unwrap();
                assert_eq!(read_byte(&stream), client + 100);
            });
        }
    });
}

#[test]
fn listeners_of_two_who_accept_miss_nobody() {
    under_seeds(|| {
        let address = free_address();
        let listener = UnixListener::bind_addr(&address).unwrap();
        serve(4, || listener.accept().unwrap().0, || UnixStream::connect_addr(&address).unwrap());
    });
    under_seeds(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        serve(4, || listener.accept().unwrap().0, || TcpStream::connect(address).unwrap());
    });
}

#[test]
fn listener_that_is_left_by_a_cancelled_thread_serves_the_next() {
    in_either_order(|| {
        let address = free_address();
        let listener = UnixListener::bind_addr(&address).unwrap();
        thread::scope(|scope| {
            let first = scope.spawn(|| listener.accept().map(drop).unwrap());
            let second = scope.spawn(|| listener.accept().map(drop).unwrap());
            sylvan::testing::wait_until_all_parked();
            let cancels = scope.spawn(move || first.cancel().map(|()| first));
            let client = UnixStream::connect_addr(&address).unwrap();
            let first = cancels.join().unwrap().unwrap();
            let is_served = first.join().is_ok();
            if is_served {
                drop(UnixStream::connect_addr(&address).unwrap());
            }
            second.join().unwrap();
            drop(client);
            is_served
        })
    });
}

#[test]
fn datagrams_are_received_once_each_by_whoever_waits() {
    const SENDERS: u8 = 4;
    under_seeds(|| {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = receiver.local_addr().unwrap();
        let sum = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..SENDERS {
                        let mut room = [0; 8];
                        assert_eq!(receiver.recv(&mut room).unwrap(), 1);
                        sum.fetch_add(usize::from(room[0]), SeqCst);
                    }
                });
            }
            for sender in 0..SENDERS {
                scope.spawn(move || {
                    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
                    socket.send_to(&[sender], address).unwrap();
                    socket.send_to(&[sender + 10], address).unwrap();
                });
            }
        });
        assert_eq!(sum.into_inner(), 2 * (1 + 2 + 3) + 40);
    });
    under_seeds(|| {
        let (to, from) = UnixDatagram::pair().unwrap();
        thread::scope(|scope| {
            // More than the peer's queue takes.
            scope.spawn(move || {
                for number in 0_u16..50 {
                    to.send(&number.to_ne_bytes()).unwrap();
                }
            });
            for expected in 0_u16..50 {
                let mut number = [0; 2];
                from.recv(&mut number).unwrap();
                assert_eq!(u16::from_ne_bytes(number), expected);
            }
        });
    });
}
