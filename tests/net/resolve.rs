//! `ToSocketAddrs`: the same addresses and errors as std's, names on the pool, and numbers never.
//!
//! Only names that the system knows without a network are resolved: `localhost`, and ones that no
//! resolver sends anywhere.
#![forbid(unsafe_code)]

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use sylvan::__private::doors;
use sylvan::net::{TcpListener, TcpStream, ToSocketAddrs};
use sylvan::{Mapping, Runtime, thread};
use sylvan_workspace::{Shape, everywhere, in_child, on_foreign_thread, process};

type Addresses = Result<Vec<SocketAddr>, (ErrorKind, String)>;

fn ours(source: &(impl ToSocketAddrs + ?Sized)) -> Addresses {
    collect(source.to_socket_addrs())
}

fn stds(source: &(impl std::net::ToSocketAddrs + ?Sized)) -> Addresses {
    collect(source.to_socket_addrs())
}

fn collect(given: io::Result<impl Iterator<Item = SocketAddr>>) -> Addresses {
    given.map(Iterator::collect).map_err(|error| (error.kind(), error.to_string()))
}

/// A label of more than 63 characters, which no resolver asks anybody for.
fn impossible_name() -> String {
    format!("{}.invalid", "a".repeat(70))
}

/// In numbers, as far as Rust's parsers go.
const NUMERIC: [&str; 8] = [
    "127.0.0.1:80",
    "0.0.0.0:0",
    "255.255.255.255:65535",
    "[::1]:80",
    "[fe80::1%3]:80",
    "[::ffff:1.2.3.4]:1",
    "::1:80",
    "1.2.3.4:0080",
];

/// Refused before anybody is asked.
const MALFORMED: [&str; 13] = [
    "",
    ":",
    "localhost",
    "127.0.0.1",
    "[::1]",
    "localhost:",
    "localhost:http",
    "localhost:65536",
    "localhost:-1",
    "localhost: 80",
    "localhost:80 ",
    "[::1]:99999",
    "1.2.3.4:0x50",
];

#[test]
fn texts_in_numbers_or_without_form_give_what_std_gives() {
    for text in NUMERIC {
        assert_eq!(ours(text), stds(text), "{text:?}");
        assert!(ours(text).is_ok(), "{text:?}");
    }
    for text in MALFORMED {
        assert_eq!(ours(text), stds(text), "{text:?}");
        let (kind, _) = ours(text).unwrap_err();
        assert_eq!(kind, ErrorKind::InvalidInput, "{text:?}");
    }
    for host in ["127.0.0.1", "::1", "fe80::1"] {
        assert_eq!(ours(&(host, 7)), stds(&(host, 7)), "{host:?}");
    }
}

#[test]
fn texts_for_the_resolver_give_what_std_gives() {
    let impossible = impossible_name();
    let hosts =
        ["localhost", "127.1", "0x7f.1", "2130706433", "", "[::1]", "a\0b", "::1%lo", &impossible];
    for host in hosts {
        let text = format!("{host}:80");
        assert_eq!(ours(&(host, 80)), stds(&(host, 80)), "{host:?}");
        assert_eq!(ours(&*text), stds(&*text), "{text:?}");
    }
}

#[test]
fn each_type_of_stds_gives_what_it_gives_there() {
    macro_rules! same {
        ($($source:expr),* $(,)?) => {$(
            assert_eq!(ours(&$source), stds(&$source), "{}", stringify!($source));
        )*};
    }
    let (v4, v6) = (Ipv4Addr::new(10, 1, 2, 3), Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1));
    let address = SocketAddr::from((v4, 80));
    let list = [address, SocketAddr::from((v6, 81)), address];
    same!(
        address,
        SocketAddrV4::new(v4, 1),
        SocketAddrV6::new(v6, 2, 3, 4),
        (IpAddr::V4(v4), 5),
        (IpAddr::V6(v6), 5),
        (v4, 6),
        (v6, 7),
        ("10.0.0.1", 8),
        ("10.0.0.1".to_owned(), 8),
        ("localhost".to_owned(), 8),
        "[::2]:9",
        "[::2]:9".to_owned(),
        &&"[::2]:9".to_owned(),
        &list[..],
        &list[..0],
    );
}

#[test]
fn type_of_a_users_own_is_taken() {
    struct Service;
    impl ToSocketAddrs for Service {
        type Iter = std::vec::IntoIter<SocketAddr>;

        fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
            ("127.0.0.1", 4_000).to_socket_addrs()
        }
    }
    assert_eq!(ours(&&Service), Ok(vec![SocketAddr::from(([127, 0, 0, 1], 4_000))]));
}

#[test]
fn localhost_is_resolved_under_every_shape() {
    let expected = stds("localhost:80");
    assert!(expected.is_ok(), "{expected:?}");
    everywhere(|_| {
        thread::scope(|scope| {
            let resolves = || ours("localhost:80");
            let handles: Vec<_> = (0..16).map(|_| scope.spawn(resolves)).collect();
            for handle in handles {
                assert_eq!(handle.join().unwrap(), expected);
            }
        });
        assert_eq!(ours(&(impossible_name(), 1)), stds(&(impossible_name(), 1)));
    });
}

#[test]
fn sockets_take_names() {
    everywhere(|_| {
        let listener = TcpListener::bind(("localhost", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = TcpStream::connect(format!("localhost:{port}")).unwrap();
        let (_, peer) = listener.accept().unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
        let error = TcpStream::connect((impossible_name(), port)).unwrap_err();
        assert_eq!(Err((error.kind(), error.to_string())), stds(&(impossible_name(), port)));
    });
}

#[test]
fn numeric_addresses_never_reach_the_pool() {
    let child = in_child("resolve::numeric_addresses_never_reach_the_pool", &[], || {
        let runtime = Runtime::builder().mapping(Mapping::ManyToOne).build().unwrap();
        runtime.run(|| {
            let before = process::kernel_threads();
            for text in NUMERIC {
                assert!(ours(text).is_ok());
            }
            for text in MALFORMED {
                assert!(ours(text).is_err());
            }
            assert!(ours(&("::1", 80)).is_ok());
            assert!(ours(&(Ipv4Addr::LOCALHOST, 80)).is_ok());
            assert_eq!(doors::pool_threads(), 0);
            assert_eq!(process::kernel_threads(), before);
            // And that this would be seen.
            assert!(ours("localhost:80").is_ok());
            assert_eq!(doors::pool_threads(), 1);
            assert!(process::kernel_thread_names().contains(&"sylvan-blocking".to_owned()));
        });
    });
    child.expect_success();
}

#[test]
fn wrong_variable_is_an_error_where_no_runtime_has_checked_it() {
    let test = "resolve::wrong_variable_is_an_error_where_no_runtime_has_checked_it";
    let child = in_child(test, &[("SYLVAN_BLOCKING_THREADS", "few")], || {
        let (kind, message) = on_foreign_thread(|| ours("localhost:80")).unwrap_err();
        assert_eq!(kind, ErrorKind::InvalidInput);
        assert!(message.contains("SYLVAN_BLOCKING_THREADS=\"few\""), "{message}");
        assert!(on_foreign_thread(|| ours("127.0.0.1:80")).is_ok());
    });
    child.expect_success();
}

#[test]
fn cancelled_thread_resolves_no_name_and_reads_numbers() {
    everywhere(|shape| {
        if shape == Shape::Outside {
            return;
        }
        let handle = thread::spawn(|| {
            while !thread::cancelled() {
                thread::shield(thread::yield_now);
            }
            assert!(ours("127.0.0.1:80").is_ok());
            let resolved = ours("localhost:80");
            unreachable!("a cancellation was lost: {resolved:?}");
        });
        handle.cancel().unwrap();
        let payload = handle.join().unwrap_err();
        assert!(payload.is::<thread::Cancelled>());
    });
}
