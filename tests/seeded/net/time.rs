//! The same seed gives the same course, the clock waits for what is under way, and a run whose
//! threads wait for sockets that nobody writes to says so.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use sylvan::net::unix::{UnixDatagram, UnixListener, UnixStream};
use sylvan::net::{TcpListener, TcpStream, UdpSocket};
use sylvan::testing::{self, Plan};
use sylvan::{thread, time};
use sylvan_workspace::{in_child, text_of};

use super::{SEEDS, STRATEGIES, free_address, in_either_order, tcp_pair, under_seeds, unix_pair};

const HOUR: Duration = Duration::from_secs(3600);
const PAUSE: Duration = Duration::from_millis(1);

/// A program with something of everything that Unix sockets have; its value depends on the order in
/// which things happen.
fn program() -> Vec<u8> {
    let order = Mutex::new(Vec::new());
    let note = |what: u8| order.lock().unwrap().push(what);
    let address = free_address();
    let listener = UnixListener::bind_addr(&address).unwrap();
    let (to, from) = UnixDatagram::pair().unwrap();
    thread::scope(|scope| {
        for client in 0..3 {
            let (address, note, to) = (&address, &note, &to);
            scope.spawn(move || {
                let mut stream = UnixStream::connect_addr(address).unwrap();
                stream.write_all(&[client, client]).unwrap();
                let mut answer = [0; 2];
                stream.read_exact(&mut answer).unwrap();
                note(answer[0]);
                to.send(&[client]).unwrap();
            });
            scope.spawn(|| {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 2];
                stream.read_exact(&mut request).unwrap();
                note(100 + request[0]);
                stream.write_all(&request).unwrap();
                note(200 + stream.read(&mut request).unwrap() as u8);
            });
        }
        for _ in 0..2 {
            scope.spawn(|| {
                let mut number = [0];
                from.recv(&mut number).unwrap();
                note(50 + number[0]);
            });
        }
        let (near, _far) = unix_pair();
        let cancelled = scope.spawn(move || (&near).read(&mut [0]).map(drop));
        thread::yield_now();
        cancelled.cancel().unwrap();
        assert!(cancelled.join().is_err());
    });
    order.into_inner().unwrap()
}

#[test]
fn same_seed_gives_the_same_course_over_unix_sockets() {
    for strategy in STRATEGIES {
        let mut orders = Vec::new();
        for seed in 0..SEEDS {
            let traced = || Plan::new().strategy(strategy).trace(seed, program);
            let ((first, first_trace), (second, second_trace)) = (traced(), traced());
            assert_eq!(first, second, "{strategy}, seed {seed}");
            assert_eq!(
                first_trace.to_string(),
                second_trace.to_string(),
                "{strategy}, seed {seed}"
            );
            orders.push(first);
        }
        orders.sort();
        orders.dedup();
        assert!(orders.len() > 30, "only {} orders under {strategy}", orders.len());
    }
}

/// A few messages to and fro while an hour waits to jump.
fn talk<S: Send>((near, far): (S, S))
where
    for<'a> &'a S: Read + Write,
{
    let begun = time::now();
    thread::scope(|scope| {
        let sleeper = scope.spawn(|| thread::sleep(HOUR));
        let echo = scope.spawn(move || {
            let mut byte = [0];
            while (&far).read(&mut byte).unwrap() == 1 {
                (&far).write_all(&byte).unwrap();
            }
        });
        let mut byte = [0];
        for number in 0..4 {
            (&near).write_all(&[number]).unwrap();
            (&near).read_exact(&mut byte).unwrap();
            assert_eq!(byte, [number]);
            assert_eq!(time::now(), begun, "the clock has moved while data was under way");
        }
        drop(near);
        echo.join().unwrap();
        assert_eq!(time::now(), begun);
        sleeper.cancel().unwrap();
        assert!(sleeper.join().is_err());
    });
}

#[test]
fn clock_stands_while_data_is_under_way() {
    under_seeds(|| talk(unix_pair()));
    under_seeds(|| talk(tcp_pair()));
    under_seeds(|| {
        let begun = time::now();
        let (near, far) =
            (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        let address = far.local_addr().unwrap();
        thread::scope(|scope| {
            let sleeper = scope.spawn(|| thread::sleep(HOUR));
            let receiver = scope.spawn(|| far.recv(&mut [0]).unwrap());
            near.send_to(&[1], address).unwrap();
            receiver.join().unwrap();
            assert_eq!(time::now(), begun);
            sleeper.cancel().unwrap();
            assert!(sleeper.join().is_err());
        });
    });
}

#[test]
fn deadline_and_data_at_one_instant_come_in_either_order_and_lose_nothing() {
    in_either_order(|| {
        let (mut to, from) = unix_pair();
        thread::scope(|scope| {
            scope.spawn(move || {
                thread::sleep(PAUSE);
                to.write_all(&[7]).unwrap();
                // The connection stays open until somebody has read.
                let _ = to.read(&mut [0]);
            });
            let got = Cell::new(0);
            let begun = time::now();
            let read = || {
                let mut byte = [0];
                let count = (&from).read(&mut byte).unwrap();
                assert_eq!(count, 1);
                got.set(byte[0]);
            };
            let in_time = time::timeout(PAUSE, read).is_ok();
            assert_eq!(time::now() - begun, PAUSE);
            if got.get() == 0 {
                assert!(!in_time);
                read();
            }
            assert_eq!(got.get(), 7);
            drop(from);
            in_time
        })
    });
}

#[test]
fn timeout_of_a_socket_and_data_at_one_instant_come_in_either_order_and_lose_nothing() {
    in_either_order(|| {
        let (to, mut from) = tcp_pair();
        from.set_read_timeout(Some(PAUSE)).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(PAUSE);
                (&to).write_all(&[7]).unwrap();
            });
            let (begun, mut byte) = (time::now(), [0]);
            let in_time = match from.read(&mut byte) {
                Ok(count) => count == 1,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    from.read_exact(&mut byte).unwrap();
                    false
                }
            };
            assert_eq!(byte, [7]);
            assert_eq!(time::now() - begun, PAUSE);
            in_time
        })
    });
}

/// Stops the parent, and lets it go on when it has come to a stop.
const STOP: &str = "kill -STOP $PPID
    until grep -q '^State:.T' /proc/$PPID/status; do :; done
    kill -CONT $PPID";

/// As by Ctrl-Z, or by a debugger: the kernel's wait for events ends early then.
#[test]
fn run_whose_process_is_stopped_waits_on_for_what_is_under_way() {
    const NAME: &str = "net::time::run_whose_process_is_stopped_waits_on_for_what_is_under_way";
    let child = in_child(NAME, &[], || {
        Plan::new().run(0, || {
            let (mut to, from) = StdUnixStream::pair().unwrap();
            let mut from = UnixStream::from(from);
            let (begun, begins) = mpsc::channel();
            // The run does not know of it, as it knows nothing of the kernel's part in TCP.
            let sends = std::thread::spawn(move || {
                begins.recv().unwrap();
                for _ in 0..5 {
                    assert!(Command::new("sh").args(["-c", STOP]).status().unwrap().success());
                }
                to.write_all(&[7]).unwrap();
            });
            begun.send(()).unwrap();
            let mut byte = [0];
            from.read_exact(&mut byte).unwrap();
            assert_eq!(byte, [7]);
            sends.join().unwrap();
        });
    });
    child.expect_success();
}

#[test]
fn timeouts_of_sockets_are_exact_in_virtual_time() {
    // Each jump waits for the kernel for a millisecond of real time, so there are few of them.
    for strategy in STRATEGIES {
        Plan::new().strategy(strategy).explore(0..SEEDS, || {
            let (near, _far) = unix_pair();
            near.set_read_timeout(Some(HOUR)).unwrap();
            let begun = time::now();
            let error = (&near).read(&mut [0]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            assert_eq!(time::now() - begun, HOUR);
            near.set_nonblocking(true).unwrap();
            assert_eq!((&near).read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
            assert_eq!(time::now() - begun, HOUR);
        });
    }
}

/// The text with which a run of `body` fails.
fn failure(plan: &Plan, seed: u64, body: fn()) -> String {
    let run = AssertUnwindSafe(|| plan.run(seed, body));
    text_of(&*catch_unwind(run).expect_err("it must fail")).to_owned()
}

/// It takes seconds of real time to be sure, so all runs are at the same time.
#[test]
fn waits_for_sockets_that_nobody_serves_are_listed_with_what_they_are() {
    let read: fn() = || {
        let (near, far) = unix_pair();
        let _ = (&near).read(&mut [0]);
        drop(far);
    };
    let write: fn() = || {
        let (near, far) = unix_pair();
        let _ = (&near).write_all(&vec![0; 1_000_000]);
        drop(far);
    };
    let accept: fn() = || drop(TcpListener::bind("127.0.0.1:0").unwrap().accept());
    let receive: fn() = || drop(UdpSocket::bind("127.0.0.1:0").unwrap().recv(&mut [0]));
    let cases = [
        (read, "reading from a socket"),
        (write, "writing to a socket"),
        (accept, "accepting a connection"),
        (receive, "reading from a socket"),
    ];
    std::thread::scope(|scope| {
        for (strategy, (body, words)) in
            STRATEGIES.into_iter().flat_map(|strategy| cases.map(|case| (strategy, case)))
        {
            scope.spawn(move || {
                let text = failure(&Plan::new().strategy(strategy), 1, body);
                let begins = "nothing can move any more in this seeded run";
                assert!(text.starts_with(begins), "{text}");
                let waits = format!("is waiting: {words} at tests/seeded/net/time.rs:");
                assert!(text.contains(&waits), "{text}");
            });
        }
    });
}

#[test]
fn two_who_both_wait_for_the_other_to_speak_first_are_both_listed() {
    let text = failure(&Plan::new(), 3, || {
        let (near, far) = tcp_pair();
        let named = |name: &str| thread::Builder::new().name(name.to_owned());
        let speak = |mut stream: TcpStream| {
            move || {
                let mut greeting = [0; 5];
                stream.read_exact(&mut greeting).unwrap();
                stream.write_all(b"hello").unwrap();
            }
        };
        let client = named("client").spawn(speak(near)).unwrap();
        named("server").spawn(speak(far)).unwrap().join().unwrap();
        client.join().unwrap();
    });
    for name in ["'client'", "'server'"] {
        let line = text.lines().find(|line| line.contains(name) && line.contains("is waiting"));
        let line = line.unwrap_or_else(|| panic!("{text}"));
        assert!(line.contains("reading from a socket at tests/seeded/net/time.rs:"), "{text}");
    }
}

#[test]
fn registered_peer_outside_holds_clock_and_verdict() {
    for seed in 0..20 {
        testing::run_seeded(seed, || {
            let (near, far) = unix_pair();
            let mut far = std::os::unix::net::UnixStream::from(far);
            let registered = testing::outside();
            let (go, gone) = mpsc::channel::<()>();
            let peer = std::thread::spawn(move || {
                gone.recv().unwrap();
                // Real time, in which the virtual hour would be over at once.
                std::thread::sleep(Duration::from_millis(2));
                far.write_all(&[7]).unwrap();
                drop(registered);
            });
            let begun = time::now();
            near.set_read_timeout(Some(HOUR)).unwrap();
            go.send(()).unwrap();
            let mut byte = [0];
            (&near).read_exact(&mut byte).unwrap();
            assert_eq!((byte, time::now()), ([7], begun));
            peer.join().unwrap();
        });
    }
}
