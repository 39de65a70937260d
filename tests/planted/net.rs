//! Bugs about sockets: streams taken for messages, ends that nobody announces, and connections that
//! several threads use.

use std::io::{Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};

use sylvan::net::Shutdown;
use sylvan::net::unix::{UnixListener, UnixStream};
use sylvan::time::{self, Duration};
use sylvan::{sync, thread};

use crate::{Twin, expect_found};

/// Not "nothing can move": where threads wait for sockets, a run is given up after seconds only.
const LATE: &str = "waits for ever";

/// Under a seed it lasts exactly so long.
const PAUSE: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);

fn pair() -> (UnixStream, UnixStream) {
    UnixStream::pair().unwrap()
}

/// Fails if a thread that should have ended by now waits still, when nothing else is to come.
fn expect_end<T>(thread: thread::ScopedJoinHandle<'_, T>) {
    thread::sleep(HOUR);
    if !thread.is_finished() {
        thread.cancel().unwrap();
        panic!("a thread waits for ever");
    }
    let _ = thread.join();
}

/// An address that nobody else has.
fn free_address() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("sylvan-planted-{}-{}", std::process::id(), NEXT.fetch_add(1, SeqCst));
    SocketAddr::from_abstract_name(name).unwrap()
}

#[test]
fn flag_that_wakes_no_reader() {
    expect_found("net::flag_that_wakes_no_reader", LATE, |twin| {
        let (near, _far) = pair();
        let is_closed = AtomicBool::new(false);
        thread::scope(|scope| {
            let reader = scope.spawn(|| {
                while !is_closed.load(SeqCst) {
                    // Whoever raises the flag now must say so to the socket.
                    if (&near).read(&mut [0]).unwrap() == 0 {
                        return;
                    }
                }
            });
            thread::yield_now();
            is_closed.store(true, SeqCst);
            if twin == Twin::Mended {
                near.shutdown(Shutdown::Both).unwrap();
            }
            expect_end(reader);
        });
    });
}

#[test]
fn two_readers_that_keep_no_order() {
    expect_found("net::two_readers_that_keep_no_order", "out of order", |twin| {
        let (mut to, from) = pair();
        let (received, reading) = (sync::Mutex::new(Vec::new()), sync::Mutex::new(()));
        thread::scope(|scope| {
            for _ in 0..2 {
                let (mut from, received, reading) = (&from, &received, &reading);
                scope.spawn(move || {
                    let _guard = (twin == Twin::Mended).then(|| reading.lock().unwrap());
                    let mut byte = [0];
                    from.read_exact(&mut byte).unwrap();
                    received.lock().unwrap().push(byte[0]);
                });
            }
            to.write_all(&[1, 2]).unwrap();
        });
        assert!(received.into_inner().unwrap().is_sorted(), "received out of order");
    });
}

#[test]
fn one_read_taken_for_one_message() {
    expect_found("net::one_read_taken_for_one_message", "half a message", |twin| {
        let (mut to, mut from) = pair();
        let sends = thread::spawn(move || {
            to.write_all(b"head ").unwrap();
            to.write_all(b"and body").unwrap();
        });
        let mut message = [0; 13];
        let count = match twin {
            Twin::Broken => from.read(&mut message).unwrap(),
            Twin::Mended => from.read_exact(&mut message).map(|()| message.len()).unwrap(),
        };
        sends.join().unwrap();
        assert_eq!(count, message.len(), "half a message was taken for one");
    });
}

#[test]
fn writes_of_two_threads_that_mix() {
    expect_found("net::writes_of_two_threads_that_mix", "the messages are mixed", |twin| {
        let (to, mut from) = pair();
        thread::scope(|scope| {
            for number in [1, 2] {
                let to = &to;
                scope.spawn(move || {
                    let mut to = to;
                    match twin {
                        Twin::Broken => [number, number].map(|half| to.write_all(&[half]).unwrap()),
                        // What fits into the buffer is written in one piece.
                        Twin::Mended => [to.write_all(&[number, number]).unwrap(), ()],
                    }
                });
            }
        });
        let mut both = [0; 4];
        from.read_exact(&mut both).unwrap();
        assert!(both[0] == both[1] && both[2] == both[3], "the messages are mixed");
    });
}

#[test]
fn answer_that_is_read_by_somebody_else() {
    expect_found("net::answer_that_is_read_by_somebody_else", "another's answer", |twin| {
        let (near, mut far) = pair();
        let calling = sync::Mutex::new(());
        thread::scope(|scope| {
            let callers = [1, 2].map(|number| {
                let (near, calling) = (&near, &calling);
                scope.spawn(move || {
                    let _guard = (twin == Twin::Mended).then(|| calling.lock().unwrap());
                    let (mut near, mut answer) = (near, [0]);
                    near.write_all(&[number]).unwrap();
                    near.read_exact(&mut answer).unwrap();
                    answer[0] == number + 10
                })
            });
            for _ in 0..2 {
                let mut request = [0];
                far.read_exact(&mut request).unwrap();
                far.write_all(&[request[0] + 10]).unwrap();
            }
            for caller in callers {
                assert!(caller.join().unwrap(), "a caller got another's answer");
            }
        });
    });
}

#[test]
fn deadline_that_throws_away_what_was_read() {
    expect_found("net::deadline_that_throws_away_what_was_read", LATE, |twin| {
        let (mut to, mut from) = pair();
        let sends = thread::spawn(move || {
            to.write_all(&[1]).unwrap();
            thread::sleep(PAUSE);
            to.write_all(&[2]).unwrap();
            to
        });
        let (mut message, mut filled, mut rounds) = ([0; 2], 0, 0);
        while filled < message.len() {
            // It looks round each time before it goes on.
            let _ = time::timeout(PAUSE, || match twin {
                // A part may have come when the time is over.
                Twin::Broken => {
                    from.read_exact(&mut message).unwrap();
                    filled = message.len();
                }
                Twin::Mended => filled += from.read(&mut message[filled..]).unwrap(),
            });
            rounds += 1;
            assert!(rounds < 10, "whose half was thrown away waits for ever");
        }
        drop(sends.join().unwrap());
    });
}

#[test]
fn stop_that_is_said_after_the_last_visitor() {
    expect_found("net::stop_that_is_said_after_the_last_visitor", LATE, |twin| {
        let address = free_address();
        let listener = UnixListener::bind_addr(&address).unwrap();
        let is_stopped = AtomicBool::new(false);
        thread::scope(|scope| {
            let server = scope.spawn(|| {
                while !is_stopped.load(SeqCst) {
                    listener.accept().unwrap();
                }
            });
            let stop = || is_stopped.store(true, SeqCst);
            if twin == Twin::Mended {
                stop();
            }
            // It only ends the wait of `accept`, which then looks at the flag.
            drop(UnixStream::connect_addr(&address).unwrap());
            thread::yield_now();
            stop();
            expect_end(server);
        });
    });
}

#[test]
fn end_that_overtakes_the_last_answer() {
    expect_found("net::end_that_overtakes_the_last_answer", "an answer is lost", |twin| {
        let (near, far) = pair();
        thread::scope(|scope| {
            scope.spawn(move || {
                let (mut request, mut far) = ([0], &far);
                while far.read(&mut request).unwrap() == 1 {
                    thread::yield_now();
                    // The asking side may have gone.
                    if far.write_all(&request).is_err() {
                        return;
                    }
                }
            });
            let mut answers = Vec::new();
            (&near).write_all(&[1, 2, 3]).unwrap();
            thread::yield_now();
            match twin {
                // That all is sent does not say that all was answered.
                Twin::Broken => {
                    let mut room = [0; 3];
                    near.shutdown(Shutdown::Write).unwrap();
                    let count = (&near).read(&mut room).unwrap();
                    answers.extend_from_slice(&room[..count]);
                }
                Twin::Mended => {
                    near.shutdown(Shutdown::Write).unwrap();
                    (&near).read_to_end(&mut answers).unwrap();
                }
            }
            assert_eq!(answers, [1, 2, 3], "an answer is lost");
        });
    });
}
