//! Descriptor numbers that are used again at once: no byte, no wake and no end goes to who has the
//! number now.
#![forbid(unsafe_code)]

use std::net::{SocketAddr, TcpStream as StdStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use sylvan::net::TcpStream;
use sylvan::thread;
use sylvan_workspace::{Random, Shape, everywhere};

use super::choices;
use super::clients::{Client, Server};
use crate::probe;

/// Connects and closes again and again, in a way that chance decides.
fn churn(address: SocketAddr, mut random: Random, times: usize) -> u64 {
    for _ in 0..times {
        match random.below(5) {
            0 => drop(TcpStream::connect(address).unwrap()),
            1 => {
                let stream = TcpStream::connect(address).unwrap();
                probe::reset_when_closed(&stream);
                // Somebody waits there until the number goes.
                let waits = stream.try_clone().unwrap();
                let reads = thread::spawn(move || {
                    let _ = std::io::Read::read(&mut &waits, &mut [0]);
                });
                (0..random.below(4)).for_each(|_| thread::yield_now());
                reads.cancel().unwrap();
                let _ = reads.join();
            }
            2 => {
                // Given away and taken back: another registration of the same number.
                let mut client = Client::new(address);
                client.ask(&mut random);
                let mut client = client.map(|it| TcpStream::from(StdStream::from(it)));
                client.ask(&mut random);
            }
            3 => {
                // The original goes, and its number, and the socket lives on.
                let mut client = Client::new(address);
                client.ask(&mut random);
                let mut client = client.map(|it| it.try_clone().unwrap());
                client.ask(&mut random);
                client.end(&mut random);
            }
            _ => {
                let mut client = Client::new(address);
                client.ask(&mut random);
                client.end(&mut random);
            }
        }
    }
    times as u64
}

/// Keeps its connection, and asks now and then.
fn stay(address: SocketAddr, mut random: Random, is_over: &AtomicBool) -> u64 {
    let mut client = Client::new(address);
    while !is_over.load(SeqCst) {
        client.ask(&mut random);
        (0..random.below(20)).for_each(|_| thread::yield_now());
    }
    client.end(&mut random);
    1
}

#[test]
fn bytes_go_to_nobody_else_though_numbers_are_used_again_at_once() {
    let choices = choices();
    everywhere(|shape| {
        let mut random = choices.clone();
        let times = if matches!(shape, Shape::Seeded(_)) { 10 } else { 60 };
        let (server, is_over) = (Server::new(), AtomicBool::new(false));
        let address = server.address();
        let connected: u64 = thread::scope(|scope| {
            scope.spawn(|| server.run());
            let _ending = server.end_when_left();
            let churning: Vec<_> = (0..6)
                .map(|_| {
                    let random = random.split();
                    scope.spawn(move || churn(address, random, times))
                })
                .collect();
            let staying: Vec<_> = (0..6)
                .map(|_| {
                    let (random, is_over) = (random.split(), &is_over);
                    scope.spawn(move || stay(address, random, is_over))
                })
                .collect();
            let churned: u64 = churning.into_iter().map(|it| it.join().unwrap()).sum();
            is_over.store(true, SeqCst);
            let stayed: u64 = staying.into_iter().map(|it| it.join().unwrap()).sum();
            churned + stayed
        });
        assert_eq!(server.accepted.load(SeqCst), connected);
    });
}
