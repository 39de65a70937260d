//! `echo`, with every kind of socket.
#![forbid(unsafe_code)]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;

use super::{PATIENCE, Server, ask, ask_with_tools, output_of};
use crate::{MAPPINGS, Place};

/// Bytes that tell where they belong.
fn payload(length: usize, salt: usize) -> Vec<u8> {
    (0..length).map(|n| ((n + salt) * 31 % 251) as u8).collect()
}

#[test]
fn echo_answers_each_client_in_full_also_one_that_has_closed_its_half() {
    for mapping in MAPPINGS {
        let server = Server::start("echo", mapping, &[]);
        let large = payload(3 << 20, 1);
        assert!(ask(&server.connect(), &large) == large, "under {mapping}");
        assert_eq!(ask(&server.connect(), b""), b"");
        ask_with_tools(server.address(), "is anybody there?\n", "is anybody there?\n");
        let said = server.end();
        assert!(said.stdout.contains(" connections, "), "{}", said.stdout);
        assert_eq!(said.stderr, "", "under {mapping}");
    }
}

#[test]
fn echo_answers_many_clients_at_once_and_silent_ones_hold_up_nobody() {
    for mapping in MAPPINGS {
        let server = Server::start("echo", mapping, &[]);
        let silent: Vec<TcpStream> = (0..20).map(|_| server.connect()).collect();
        let mut clients: Vec<TcpStream> = (0..50).map(|_| server.connect()).collect();
        for turn in 0..20 {
            for (number, client) in clients.iter_mut().enumerate() {
                client.write_all(&payload(64, turn + number)).unwrap();
            }
            for (number, client) in clients.iter_mut().enumerate().rev() {
                let mut answer = [0; 64];
                client.read_exact(&mut answer).unwrap();
                assert_eq!(answer[..], payload(64, turn + number), "under {mapping}");
            }
        }
        for client in &clients {
            assert_eq!(ask(client, b"goodbye"), b"goodbye");
        }
        let said = server.end();
        assert_eq!(said.stdout, format!("50 connections, {} bytes\n", 50 * (20 * 64 + 7)));
        // They were cut off.
        for mut client in silent {
            assert_eq!(client.read(&mut [0; 8]).unwrap(), 0, "under {mapping}");
        }
    }
}

#[test]
fn echo_goes_on_after_a_client_that_breaks_off() {
    for mapping in MAPPINGS {
        let server = Server::start("echo", mapping, &[]);
        for _ in 0..10 {
            let mut client = server.connect();
            client.write_all(&[7; 10_000]).unwrap();
            client.read_exact(&mut [0; 1]).unwrap();
            // What lies there unread makes the kernel send a reset.
            drop(client);
        }
        assert_eq!(ask(&server.connect(), b"still there?"), b"still there?");
        server.end();
    }
}

#[test]
fn echo_by_datagrams_sends_each_one_back_to_its_sender() {
    for mapping in MAPPINGS {
        let server = Server::start("echo", mapping, &["--udp"]);
        let clients = [(); 3].map(|()| {
            let client = UdpSocket::bind("127.0.0.1:0").unwrap();
            client.set_read_timeout(Some(PATIENCE)).unwrap();
            client.connect(server.address()).unwrap();
            client
        });
        for length in [1, 0, 1_400, 65_507] {
            for (number, client) in clients.iter().enumerate() {
                client.send(&payload(length, number)).unwrap();
            }
            for (number, client) in clients.iter().enumerate() {
                let mut answer = vec![0; 65_535];
                let received = client.recv(&mut answer).unwrap();
                assert!(answer[..received] == payload(length, number), "under {mapping}");
            }
        }
        let (host, port) = (server.address().ip().to_string(), server.address().port().to_string());
        // `read` would take one byte, and with it the whole datagram.
        let script = "exec 3<>/dev/udp/$0/$1 && head -n 1 >&3 && head -n 1 <&3";
        let mut count = 12;
        match output_of("bash", &["-c", script, &host, &port], "hello\n") {
            Some(said) => {
                assert_eq!(said, "hello\n");
                count += 1;
            }
            None => eprintln!("NOT TESTED: bash is not to be had"),
        }
        let said = server.end();
        assert!(said.stdout.starts_with(&format!("{count} datagrams, ")), "{}", said.stdout);
    }
}

#[test]
fn echo_by_a_path_answers_there_and_removes_it_in_the_end() {
    let place = Place::new();
    let path = place.dir.join("echo.socket");
    let path = path.to_str().unwrap();
    for mapping in MAPPINGS {
        let server = Server::start("echo", mapping, &["--unix", path]);
        assert_eq!(server.place, path);
        let mut clients = [(); 10].map(|()| UnixStream::connect(path).unwrap());
        for (number, client) in clients.iter_mut().enumerate() {
            client.set_read_timeout(Some(PATIENCE)).unwrap();
            client.write_all(&payload(100, number)).unwrap();
        }
        for (number, mut client) in clients.into_iter().enumerate().rev() {
            client.shutdown(Shutdown::Write).unwrap();
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).unwrap();
            assert_eq!(answer, payload(100, number), "under {mapping}");
        }
        let said = server.end();
        assert_eq!(said.stdout, "10 connections, 1000 bytes\n");
        assert!(!std::fs::exists(path).unwrap(), "under {mapping}");
    }
}
