//! Each protocol, with many connections at once, on every shape of runtime: one worker, too.
//!
//! The server of `converse` begins with nobody before all have come, so these tests end only if a
//! thread that waits, anywhere within somebody else's crate, lets the others go on.
#![forbid(unsafe_code)]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use sylvan::net::{Shutdown, TcpListener, TcpStream};
use sylvan::thread;
use sylvan_ecosystem::{Result, agent, converse, futures, http, tls, websocket};
use sylvan_workspace::{OnDrop, in_every_runtime};
use ureq::config::Config;

#[test]
fn rustls_with_many_connections_gives_the_right_answers() {
    in_every_runtime(|_| assert_eq!(tls::all(30, 10).unwrap(), 300));
}

#[test]
fn rustls_client_that_does_not_trust_the_server_is_told_so_on_both_sides() {
    in_every_runtime(|_| {
        let (ours, others) = (tls::Keys::new().unwrap(), tls::Keys::new().unwrap());
        let outcome = converse(
            1,
            |stream| {
                let error = tls::serve(&ours, stream).unwrap_err().to_string();
                assert!(error.contains("alert"), "{error}");
                Ok(())
            },
            |_, address| {
                let error = tls::ask(&others, address, 0, 1).unwrap_err().to_string();
                assert!(error.contains("certificate"), "{error}");
                Ok(0)
            },
        );
        assert_eq!(outcome.unwrap(), 0);
    });
}

#[test]
fn tungstenite_with_a_hundred_connections_gives_back_every_message() {
    in_every_runtime(|_| assert_eq!(websocket::all(100, 6).unwrap(), 600));
}

#[test]
fn httparse_server_with_many_connections_answers_requests_that_come_in_one_piece() {
    in_every_runtime(|_| assert_eq!(http::all(100, 10).unwrap(), 1_000));
}

#[test]
fn ureq_with_many_agents_keeps_one_connection_each() {
    in_every_runtime(|_| assert_eq!(agent::all(50, 6).unwrap(), 300));
}

#[test]
fn hyper_with_many_connections_gives_the_right_answers_on_both_sides() {
    in_every_runtime(|_| assert_eq!(futures::all(50, 6).unwrap(), 300));
}

#[test]
fn each_client_of_http_understands_each_server() {
    in_every_runtime(|_| {
        let of_hyper = |stream: TcpStream| futures::serve(&stream);
        let of_httparse = |stream: TcpStream| http::serve(&stream);
        let by_ureq =
            |number, address| agent::ask(&agent::agent(Config::default()), address, number, 5);
        let by_hyper = |number, address| futures::ask(address, number, 5);
        assert_eq!(converse(20, of_hyper, by_ureq).unwrap(), 100);
        assert_eq!(converse(20, of_httparse, by_hyper).unwrap(), 100);
    });
}

/// A server for as many connections as come, for as long as `clients` takes.
fn beside_a_server(clients: impl FnOnce(SocketAddr)) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                // What a client does is its own business here.
                scope.spawn(move || http::serve(&stream));
            }
        });
        // Also if a client fails: the scope would wait for the server.
        let _end = OnDrop(|| scope.cancel().unwrap());
        clients(address);
    });
}

#[test]
fn ureq_agent_that_many_threads_share_gives_each_its_own_answer() {
    in_every_runtime(|_| {
        beside_a_server(|address| {
            let shared = agent::agent(Config::default());
            thread::scope(|scope| {
                let shared = &shared;
                let clients = (0..50).map(|number| {
                    scope.spawn(move || agent::ask(shared, address, number, 5).unwrap())
                });
                let clients: Vec<_> = clients.collect();
                assert_eq!(clients.into_iter().map(|c| c.join().unwrap()).sum::<usize>(), 250);
            });
        });
    });
}

#[test]
fn ureq_whose_server_says_nothing_gives_up_in_time_and_says_which_time() {
    in_every_runtime(|_| {
        let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = silent.local_addr().unwrap();
        let config = Config::builder().timeout_global(Some(Duration::from_millis(50))).build();
        let outcome = agent::agent(config).get(format!("http://{address}/")).call();
        assert!(matches!(outcome, Err(ureq::Error::Timeout(_))), "{outcome:?}");
    });
}

/// Sends `request`, closes that half, and gives all that comes.
fn ask(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn httparse_server_refuses_what_it_cannot_take_and_says_why() {
    let large = [b"GET / HTTP/1.1\r\nx: ".as_slice(), &[b'x'; 16 << 10]].concat();
    let cases: [(&[u8], &str); 9] = [
        (b"GET / HTTP/1.1\r\n\r\n", "200 OK"),
        (b"GET /elsewhere HTTP/1.1\r\n\r\n", "404 Not Found"),
        (b"GET / HTTP/1.0\r\n\r\n", "200 OK"),
        (b"\x16\x03\x01 hello\r\n\r\n", "400 Bad Request"),
        (b"POST /echo HTTP/1.1\r\nContent-Length: +3\r\n\r\nabc", "400 Bad Request"),
        (b"POST /echo HTTP/1.1\r\ncontent-length: 3\r\nContent-Length: 3\r\n\r\nabc", "400 Bad"),
        (b"POST /echo HTTP/1.1\r\nContent-Length: 1048577\r\n\r\n", "413 Content Too Large"),
        (b"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "501 Not"),
        (&large, "431 Request Header Fields Too Large"),
    ];
    in_every_runtime(|_| {
        beside_a_server(|address| {
            for (request, expected) in cases {
                let answer = ask(address, request);
                let status = answer.strip_prefix("HTTP/1.1 ").unwrap_or(&answer);
                assert!(status.starts_with(expected), "{request:?}: {answer}");
            }
            assert!(
                ask(address, b"GET / HT").is_empty(),
                "a request that breaks off has no answer"
            );
        });
    });
}

#[test]
fn http_servers_understand_a_client_that_sends_one_byte_at_a_time() {
    let slowly = |_, address: SocketAddr| -> Result<usize> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let request =
            b"POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc";
        for byte in request {
            stream.write_all(&[*byte])?;
            thread::yield_now();
        }
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\nabc"), "{answer}");
        Ok(1)
    };
    in_every_runtime(|_| {
        assert_eq!(converse(10, |stream| http::serve(&stream), slowly).unwrap(), 10);
        assert_eq!(converse(10, |stream| futures::serve(&stream), slowly).unwrap(), 10);
    });
}
