//! `UdpSocket`: datagrams come whole or cut, from one peer or from all, and options are kept.
#![forbid(unsafe_code)]

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::net::{SocketAddr, UdpSocket};
use super::pairs::{ANY, Pair};
use super::{everywhere, settle, thread};
use crate::{probe, sample};

#[test]
fn datagrams_are_sent_to_addresses_and_tell_their_senders() {
    everywhere(|| {
        let (left, right) = (UdpSocket::bind(ANY).unwrap(), UdpSocket::bind(ANY).unwrap());
        let (here, there) = (left.local_addr().unwrap(), right.local_addr().unwrap());
        assert!(probe::is_close_on_exec(&left));
        assert_eq!(left.peer_addr().unwrap_err().kind(), ErrorKind::NotConnected);
        thread::scope(|scope| {
            let echo = scope.spawn(|| {
                let mut room = [0; 100];
                for _ in 0..4 {
                    let (size, from) = right.recv_from(&mut room).unwrap();
                    assert_eq!(right.send_to(&room[..size], from).unwrap(), size);
                }
            });
            let mut room = [0; 100];
            settle();
            for (size, number) in [(5, 0), (0, 1), (100, 2), (1, 3)] {
                let bytes = sample::bytes(number, size);
                let sent = match number {
                    0 => left.send_to(&bytes, there),
                    1 => left.send_to(&bytes, &there),
                    2 => left.send_to(&bytes, ("127.0.0.1", there.port())),
                    _ => left.send_to(&bytes, there.to_string()),
                };
                assert_eq!(sent.unwrap(), size);
                assert_eq!(left.recv_from(&mut room).unwrap(), (size, there));
                assert_eq!(room[..size], bytes);
            }
            echo.join().unwrap();
        });
        let none: &[SocketAddr] = &[];
        assert_eq!(left.send_to(b"x", none).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(here, left.local_addr().unwrap());
    });
}

#[test]
fn bind_fails_as_the_system_says() {
    everywhere(|| {
        let taken = UdpSocket::bind(ANY).unwrap();
        let in_use = taken.local_addr().unwrap();
        assert_eq!(UdpSocket::bind(in_use).unwrap_err().kind(), ErrorKind::AddrInUse);
        let any: SocketAddr = ANY.parse().unwrap();
        assert_ne!(UdpSocket::bind(&[in_use, any][..]).unwrap().local_addr().unwrap(), in_use);
    });
}

#[test]
fn datagram_that_has_no_room_is_cut() {
    everywhere(|| {
        let (left, right) = UdpSocket::connected();
        left.send(b"0123456789").unwrap();
        left.send(b"next").unwrap();
        let mut room = [0; 4];
        assert_eq!(right.recv(&mut room).unwrap(), 4);
        assert_eq!(&room, b"0123");
        assert_eq!(right.recv(&mut room).unwrap(), 4);
        assert_eq!(&room, b"next");
        left.send(b"gone").unwrap();
        assert_eq!(right.recv(&mut []).unwrap(), 0);
        left.send(b"").unwrap();
        assert_eq!(right.recv(&mut room).unwrap(), 0);
    });
}

#[test]
fn datagram_of_the_largest_size_goes_through_and_a_larger_one_is_refused() {
    everywhere(|| {
        let (left, right) = UdpSocket::connected();
        let bytes = sample::bytes(1, 65_507);
        assert_eq!(left.send(&bytes).unwrap(), 65_507);
        let mut room = vec![0; 70_000];
        assert_eq!(right.recv(&mut room).unwrap(), 65_507);
        sample::expect(1, 0, &room[..65_507]);
        let error = left.send(&vec![0; 65_508]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
    });
}

#[test]
fn connected_socket_hears_its_peer_alone_and_can_change_it() {
    everywhere(|| {
        let [one, two, three] = [(); 3].map(|()| UdpSocket::bind(ANY).unwrap());
        let addresses = [&one, &two, &three].map(|socket| socket.local_addr().unwrap());
        assert!(one.send(b"to nobody").is_err());
        one.connect(addresses[1]).unwrap();
        assert_eq!(one.peer_addr().unwrap(), addresses[1]);
        three.send_to(b"unheard", addresses[0]).unwrap();
        two.send_to(b"heard", addresses[0]).unwrap();
        let mut room = [0; 9];
        assert_eq!(one.recv_from(&mut room).unwrap(), (5, addresses[1]));
        one.connect(addresses[2]).unwrap();
        one.send(b"to three").unwrap();
        assert_eq!(three.recv_from(&mut room).unwrap(), (8, addresses[0]));
    });
}

#[test]
fn refusal_comes_with_the_next_call_or_by_take_error() {
    everywhere(|| {
        let (left, right) = UdpSocket::connected();
        assert!(left.take_error().unwrap().is_none());
        drop(right);
        left.send(b"anybody?").unwrap();
        let error = left.recv(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        left.send(b"anybody?").unwrap();
        let refused = loop {
            if let Some(error) = left.take_error().unwrap() {
                break error;
            }
            thread::yield_now();
        };
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        left.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        assert_eq!(left.recv(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn clone_sends_and_receives_from_another_thread() {
    everywhere(|| {
        let (left, right) = UdpSocket::connected();
        let clone = left.try_clone().unwrap();
        assert_eq!(clone.local_addr().unwrap(), left.local_addr().unwrap());
        thread::scope(|scope| {
            scope.spawn(move || {
                for number in 0..50 {
                    clone.send(&[number]).unwrap();
                    // One at a time, so that the system throws none away.
                    let mut answer = [0];
                    clone.recv(&mut answer).unwrap();
                    assert_eq!(answer[0], number);
                }
            });
            for number in 0..50 {
                let mut got = [0];
                right.recv(&mut got).unwrap();
                assert_eq!(got[0], number);
                right.send(&got).unwrap();
            }
        });
        left.send(b"still").unwrap();
        assert_eq!(right.recv(&mut [0; 9]).unwrap(), 5);
    });
}

#[test]
fn receivers_of_one_socket_get_each_datagram_once() {
    everywhere(|| {
        let (left, right) = UdpSocket::connected();
        thread::scope(|scope| {
            let receivers = [(); 5].map(|()| {
                scope.spawn(|| {
                    let mut got = Vec::new();
                    loop {
                        let mut byte = [0];
                        right.recv(&mut byte).unwrap();
                        match byte[0] {
                            0 => break got,
                            number => got.push(number),
                        }
                    }
                })
            });
            for number in 1..=60 {
                left.send(&[number]).unwrap();
                if number % 16 == 0 {
                    settle();
                }
            }
            for _ in 0..5 {
                left.send(&[0]).unwrap();
            }
            let mut all = receivers.map(|receiver| receiver.join().unwrap()).concat();
            all.sort_unstable();
            assert_eq!(all, Vec::from_iter(1..=60));
        });
    });
}

#[test]
fn options_are_read_back() {
    everywhere(|| {
        let socket = UdpSocket::bind(ANY).unwrap();
        assert!(!socket.broadcast().unwrap());
        let error = socket.send_to(b"x", "255.255.255.255:9").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        for on in [true, false] {
            socket.set_broadcast(on).unwrap();
            assert_eq!(socket.broadcast().unwrap(), on);
            socket.set_multicast_loop_v4(on).unwrap();
            assert_eq!(socket.multicast_loop_v4().unwrap(), on);
        }
        assert_eq!(socket.multicast_ttl_v4().unwrap(), 1);
        socket.set_multicast_ttl_v4(0).unwrap();
        assert_eq!(socket.multicast_ttl_v4().unwrap(), 0);
        socket.set_ttl(99).unwrap();
        assert_eq!(socket.ttl().unwrap(), 99);
        assert_eq!(socket.try_clone().unwrap().ttl().unwrap(), 99);
        assert!(socket.multicast_loop_v6().is_err(), "it has version 4");
        let socket = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
        for on in [false, true] {
            socket.set_multicast_loop_v6(on).unwrap();
            assert_eq!(socket.multicast_loop_v6().unwrap(), on);
        }
    });
}

#[test]
fn group_that_was_joined_on_the_loopback_is_heard_until_it_is_left() {
    let group = Ipv4Addr::new(239, 255, 77, 77);
    everywhere(|| {
        let member = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        let port = member.local_addr().unwrap().port();
        member.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST).unwrap();
        let twice = member.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST).unwrap_err();
        assert_eq!(twice.kind(), ErrorKind::AddrInUse);
        let sender = UdpSocket::bind(ANY).unwrap();
        // Its address is the loopback's, so that is where it sends.
        sender.send_to(b"group", (group, port)).unwrap();
        let mut room = [0; 9];
        let from = sender.local_addr().unwrap();
        assert_eq!(member.recv_from(&mut room).unwrap(), (5, from));
        member.leave_multicast_v4(&group, &Ipv4Addr::LOCALHOST).unwrap();
        let twice = member.leave_multicast_v4(&group, &Ipv4Addr::LOCALHOST).unwrap_err();
        assert_eq!(twice.kind(), ErrorKind::AddrNotAvailable);
        let error = member.join_multicast_v4(&Ipv4Addr::LOCALHOST, &Ipv4Addr::LOCALHOST);
        assert_eq!(error.unwrap_err().kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn group_of_version_6_is_joined_and_left() {
    // Of the interface alone, and free for experiments.
    let group = Ipv6Addr::new(0xff01, 0, 0, 0, 0, 0, 0, 0x114);
    everywhere(|| {
        let member = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
        // The loopback is the first interface.
        member.join_multicast_v6(&group, 1).unwrap();
        assert!(member.join_multicast_v6(&group, 1).is_err());
        member.leave_multicast_v6(&group, 1).unwrap();
        assert!(member.leave_multicast_v6(&group, 1).is_err());
        let error = member.join_multicast_v6(&Ipv6Addr::LOCALHOST, 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
}
