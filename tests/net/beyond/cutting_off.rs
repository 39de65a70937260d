//! Cancellations and deadlines at every call that waits, after which the socket goes on.
#![forbid(unsafe_code)]

use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use sylvan::net::unix::{UnixDatagram, UnixListener, UnixStream};
use sylvan::net::{TcpListener, TcpStream, UdpSocket};
use sylvan::{thread, time};
use sylvan_workspace::{in_every_runtime, settle};

use crate::place::Place;
use crate::{probe, sample};

const SHORT: Duration = Duration::from_millis(5);

fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

fn udp() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").unwrap()
}

/// Lets `wait`, which has nothing to end it, be cut off in both ways, and `use_it` use the socket.
fn expect_cut_off<S: Send + Sync + 'static>(socket: S, wait: fn(&S), use_it: impl Fn(&S)) {
    let socket = Arc::new(socket);
    for moves in [false, true] {
        let waiter = {
            let socket = socket.clone();
            thread::spawn(move || wait(&socket))
        };
        if moves {
            settle();
        }
        waiter.cancel().unwrap();
        assert!(waiter.join().is_err(), "nothing else could end the wait");
        use_it(&socket);
    }
    let start = time::now();
    assert!(time::timeout(SHORT, || wait(&socket)).is_err());
    assert!(time::now() - start >= SHORT);
    use_it(&socket);
    // What has come before the deadline goes on waits for nothing.
    assert!(time::timeout(Duration::ZERO, || wait(&socket)).is_err());
    use_it(&socket);
}

#[test]
fn reads_are_cut_off_and_take_nothing_along() {
    macro_rules! expect {
        ($stream:ident, $pair:expr) => {
            let (left, right) = $pair;
            let use_it = |pair: &($stream, $stream)| {
                let (mut left, mut right) = (&pair.0, &pair.1);
                Write::write_all(&mut right, b"abc").unwrap();
                let mut got = [0; 3];
                Read::read_exact(&mut left, &mut got).unwrap();
                assert_eq!(&got, b"abc");
            };
            let read: fn(&($stream, $stream)) = |pair| drop((&pair.0).read(&mut [0; 9]));
            expect_cut_off((left, right), read, use_it);
            let (left, right) = $pair;
            let read: fn(&($stream, $stream)) = |pair| {
                let (mut one, mut two) = ([0; 4], [0; 4]);
                let mut rooms = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
                drop((&pair.0).read_vectored(&mut rooms));
            };
            expect_cut_off((left, right), read, use_it);
        };
    }
    in_every_runtime(|_| {
        expect!(TcpStream, tcp_pair());
        expect!(UnixStream, UnixStream::pair().unwrap());
        let peek: fn(&(TcpStream, TcpStream)) = |pair| drop(pair.0.peek(&mut [0; 9]));
        expect_cut_off(tcp_pair(), peek, |pair| {
            (&pair.1).write_all(b"x").unwrap();
            assert_eq!(pair.0.peek(&mut [0; 9]).unwrap(), 1);
            (&pair.0).read_exact(&mut [0]).unwrap();
        });
    });
}

#[test]
fn writes_are_cut_off_and_what_was_written_is_there() {
    macro_rules! expect {
        ($pair:expr, $write:expr) => {
            let (left, right) = $pair;
            probe::shrink_buffers(&left);
            probe::shrink_buffers(&right);
            let write: fn(&(UnixStream, UnixStream)) = $write;
            expect_cut_off((left, right), write, |pair| {
                // Empties the stream, whose bytes are all the same.
                let mut room = [0; 4096];
                pair.1.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
                while let Ok(count) = (&pair.1).read(&mut room) {
                    assert!(room[..count].iter().all(|&byte| byte == 7));
                }
                (&pair.0).write_all(&[7]).unwrap();
                (&pair.1).read_exact(&mut room[..1]).unwrap();
            });
        };
    }
    in_every_runtime(|_| {
        expect!(UnixStream::pair().unwrap(), |pair: &(UnixStream, UnixStream)| {
            drop((&pair.0).write_all(&vec![7; 1 << 20]))
        });
        expect!(UnixStream::pair().unwrap(), |pair: &(UnixStream, UnixStream)| {
            let slices = [IoSlice::new(&[7; 3000]), IoSlice::new(&[7; 3000])];
            while (&pair.0).write_vectored(&slices).is_ok() {}
        });
    });
}

#[test]
fn accepts_are_cut_off_and_lose_no_connection() {
    in_every_runtime(|_| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let use_it = |listener: &TcpListener| {
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            assert_eq!(listener.accept().unwrap().1, client.local_addr().unwrap());
        };
        expect_cut_off(listener, |listener| drop(listener.accept()), use_it);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        expect_cut_off(listener, |listener| listener.incoming().for_each(drop), use_it);
        let place = Place::new();
        let path = place.path("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let accept: fn(&UnixListener) = |listener| drop(listener.accept());
        expect_cut_off(listener, accept, |listener| {
            let _client = UnixStream::connect(&path).unwrap();
            listener.accept().unwrap();
        });
    });
}

#[test]
fn connects_are_cut_off_and_their_sockets_are_closed() {
    in_every_runtime(|_| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        probe::set_backlog(&listener, 0);
        let _first = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let connect: fn(&TcpListener) =
            |listener| drop(TcpStream::connect(listener.local_addr().unwrap()));
        expect_cut_off(listener, connect, |_| {});
        let place = Place::new();
        let listener = UnixListener::bind(place.path("socket")).unwrap();
        probe::set_backlog(&listener, 0);
        let _first = UnixStream::connect_addr(&listener.local_addr().unwrap()).unwrap();
        let connect: fn(&UnixListener) =
            |listener| drop(UnixStream::connect_addr(&listener.local_addr().unwrap()));
        expect_cut_off(listener, connect, |_| {});
    });
}

#[test]
fn datagram_calls_are_cut_off_and_take_nothing_along() {
    in_every_runtime(|_| {
        let waits: [fn(&UdpSocket); 4] = [
            |socket| drop(socket.recv(&mut [0; 9])),
            |socket| drop(socket.recv_from(&mut [0; 9])),
            |socket| drop(socket.peek(&mut [0; 9])),
            |socket| drop(socket.peek_from(&mut [0; 9])),
        ];
        for wait in waits {
            expect_cut_off(udp(), wait, |socket| {
                udp().send_to(b"abc", socket.local_addr().unwrap()).unwrap();
                assert_eq!(socket.recv(&mut [0; 9]).unwrap(), 3);
            });
        }
        let waits: [fn(&(UnixDatagram, UnixDatagram)); 2] =
            [|pair| drop(pair.0.recv(&mut [0; 9])), |pair| drop(pair.0.recv_from(&mut [0; 9]))];
        for wait in waits {
            expect_cut_off(UnixDatagram::pair().unwrap(), wait, |pair| {
                pair.1.send(b"abc").unwrap();
                assert_eq!(pair.0.recv(&mut [0; 9]).unwrap(), 3);
            });
        }
        let send: fn(&(UnixDatagram, UnixDatagram)) =
            |pair| while pair.0.send(&[0; 5000]).is_ok() {};
        expect_cut_off(UnixDatagram::pair().unwrap(), send, |pair| {
            pair.1.set_nonblocking(true).unwrap();
            while pair.1.recv(&mut [0; 5000]).is_ok() {}
            pair.0.send(b"abc").unwrap();
            assert_eq!(pair.1.recv(&mut [0; 9]).unwrap(), 3);
        });
    });
}

#[test]
fn deadline_in_the_middle_of_read_exact_has_taken_what_had_come() {
    in_every_runtime(|_| {
        let (left, right) = tcp_pair();
        (&right).write_all(&sample::bytes(1, 5)).unwrap();
        let mut got = [0; 20];
        assert!(time::timeout(SHORT, || (&left).read_exact(&mut got)).is_err());
        // Gone from the socket, and still in the buffer.
        sample::expect(1, 0, &got[..5]);
        (&right).write_all(b"later").unwrap();
        let mut later = [0; 5];
        (&left).read_exact(&mut later).unwrap();
        assert_eq!(&later, b"later");
    });
}

#[test]
fn byte_that_meets_a_cancellation_is_read_by_it_or_by_the_next() {
    in_every_runtime(|_| {
        let (left, right) = UnixStream::pair().unwrap();
        let left = Arc::new(left);
        for round in 0..60 {
            let [one, two] = [(); 2].map(|()| {
                let left = left.clone();
                thread::spawn(move || (&*left).read(&mut [0]).unwrap())
            });
            for _ in 0..round % 7 {
                thread::yield_now();
            }
            (&right).write_all(&[round]).unwrap();
            if round % 3 == 0 {
                thread::yield_now();
            }
            one.cancel().unwrap();
            // Whoever is left gets the byte, unless the cancelled one has read it before.
            if one.join().is_ok() {
                (&right).write_all(&[round]).unwrap();
            }
            assert_eq!(two.join().unwrap(), 1);
            assert_eq!(probe::unread(&*left), 0);
        }
    });
}
