//! `proxy`: both directions, each with its own end.
#![forbid(unsafe_code)]

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

use super::{Server, ask, ask_with_tools, patient};
use crate::MAPPINGS;

/// A proxy, and the listener that is its target.
fn proxy(mapping: &str) -> (Server, TcpListener) {
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = target.local_addr().unwrap().to_string();
    (Server::start("proxy", mapping, &["127.0.0.1:0", &address]), target)
}

/// A client of the proxy, and what the target has of it.
fn pair(server: &Server, target: &TcpListener) -> (TcpStream, TcpStream) {
    let client = server.connect();
    (client, patient(target.accept().unwrap().0))
}

/// What there is until the end, however that comes.
fn rest(mut stream: &TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => (),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
    }
    bytes
}

#[test]
fn proxy_keeps_the_half_close_of_either_side() {
    for mapping in MAPPINGS {
        let (server, target) = proxy(mapping);
        let (mut client, mut served) = pair(&server, &target);
        client.write_all(b"a question").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(rest(&served), b"a question", "under {mapping}");
        served.write_all(b"an answer").unwrap();
        let mut answer = [0; 9];
        client.read_exact(&mut answer).unwrap();
        served.write_all(b", and more").unwrap();
        drop(served);
        assert_eq!((&answer, &*rest(&client)), (b"an answer", &b", and more"[..]));

        let (mut client, mut served) = pair(&server, &target);
        served.write_all(b"no questions, please").unwrap();
        served.shutdown(Shutdown::Write).unwrap();
        assert_eq!(rest(&client), b"no questions, please", "under {mapping}");
        client.write_all(b"one").unwrap();
        served.read_exact(&mut [0; 3]).unwrap();
        client.write_all(b"two").unwrap();
        drop(client);
        assert_eq!(rest(&served), b"two", "under {mapping}");

        let said = server.end();
        assert!(said.stdout.contains(": 10 bytes there, 19 back\n"), "{}", said.stdout);
        assert!(said.stdout.contains(": 6 bytes there, 20 back\n"), "{}", said.stdout);
        assert!(said.stdout.ends_with("\n2 connections: 16 bytes there, 39 back\n"));
        assert_eq!(said.stderr, "", "under {mapping}");
    }
}

#[test]
fn proxy_carries_a_megabyte_each_way_at_once() {
    for mapping in MAPPINGS {
        let (server, target) = proxy(mapping);
        std::thread::scope(|scope| {
            for number in 0..4 {
                let (client, served) = pair(&server, &target);
                let there: Vec<u8> = (0..1 << 20).map(|n| (n * 7 + number) as u8).collect();
                let back: Vec<u8> = (0..1 << 20).map(|n| (n * 3 + number) as u8).collect();
                scope.spawn(move || {
                    std::thread::scope(|scope| {
                        let answer = scope.spawn(|| ask(&client, &there));
                        assert!(ask(&served, &back) == there, "under {mapping}");
                        assert!(answer.join().unwrap() == back, "under {mapping}");
                    });
                });
            }
        });
        let said = server.end();
        let total = "4 connections: 4194304 bytes there, 4194304 back\n";
        assert!(said.stdout.ends_with(total), "{}", said.stdout);
    }
}

#[test]
fn proxy_tells_each_side_that_the_other_was_reset_and_goes_on() {
    for mapping in MAPPINGS {
        let (server, target) = proxy(mapping);
        for is_client in [true, false] {
            let (client, served) = pair(&server, &target);
            let (mut gone, mut stays) = if is_client { (client, served) } else { (served, client) };
            stays.write_all(&[7; 1_000]).unwrap();
            gone.read_exact(&mut [0; 1]).unwrap();
            // What lies there unread makes the kernel send a reset.
            drop(gone);
            assert_eq!(rest(&stays), b"", "under {mapping}");
        }
        let (mut client, served) = pair(&server, &target);
        client.write_all(b"still there?").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(rest(&served), b"still there?");
        drop(served);
        assert_eq!(rest(&client), b"");
        let said = server.end();
        assert_eq!(said.stderr.matches("onnection reset").count(), 2, "{}", said.stderr);
        assert!(said.stdout.contains("\n3 connections: "), "{}", said.stdout);
    }
}

#[test]
fn proxy_whose_target_refuses_closes_the_client_and_goes_on() {
    for mapping in MAPPINGS {
        let target = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = target.local_addr().unwrap();
        drop(target);
        let server = Server::start("proxy", mapping, &["127.0.0.1:0", &address.to_string()]);
        for _ in 0..3 {
            assert_eq!(rest(&server.connect()), b"", "under {mapping}");
        }
        let said = server.end();
        assert_eq!(said.stderr.matches("onnection refused").count(), 3, "{}", said.stderr);
        assert_eq!(said.stdout, "3 connections: 0 bytes there, 0 back\n");
    }
}

#[test]
fn proxy_before_echo_answers_what_people_ask_it_with_and_ends_with_clients_in_it() {
    for mapping in MAPPINGS {
        let echo = Server::start("echo", mapping, &[]);
        let server = Server::start("proxy", mapping, &["localhost:0", &echo.place]);
        ask_with_tools(server.address(), "through both\n", "through both\n");
        let mut silent = server.connect();
        silent.write_all(b"once").unwrap();
        silent.read_exact(&mut [0; 4]).unwrap();
        server.end();
        assert_eq!(rest(&silent), b"", "under {mapping}");
        echo.end();
    }
}
