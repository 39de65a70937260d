//! More descriptors than the process may have: whoever wants one is told so, nobody spins, and all
//! goes on when there are some again. In child processes, which have a limit of their own.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::TcpStream as StdStream;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::time::{Duration, Instant};

use sylvan::net::unix::UnixStream;
use sylvan::net::{SocketAddr, TcpListener};
use sylvan::thread;
use sylvan_workspace::{Shape, in_child, on_foreign_thread};

use super::{allowance, echo, ping};

const SHAPES: [Shape; 3] = [Shape::OneToOne, Shape::ManyToOne, Shape::ManyToMany(2)];

/// Opens files until there is no descriptor left.
fn take_all() -> Vec<File> {
    let mut files = Vec::new();
    loop {
        match File::open("/dev/null") {
            Ok(file) => files.push(file),
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
                return files;
            }
        }
    }
}

struct Server {
    listener: TcpListener,
    is_over: AtomicBool,
    errors: AtomicU32,
}

impl Server {
    fn run(&self) {
        thread::scope(|scope| {
            while !self.is_over.load(SeqCst) {
                match self.listener.accept() {
                    Ok((stream, _)) => drop(scope.spawn(move || echo(&stream))),
                    Err(error) => {
                        assert_eq!(error.raw_os_error(), Some(libc::EMFILE), "{error}");
                        self.errors.fetch_add(1, SeqCst);
                    }
                }
            }
        });
    }

    fn wait_for_errors(&self, count: u32) {
        while self.errors.load(SeqCst) < count {
            std::thread::yield_now();
        }
    }
}

/// The clients, on a kernel thread.
fn run_out_and_go_on(server: &Server, address: SocketAddr) {
    let connect = || StdStream::connect(address).unwrap();
    let mut clients = [(); 3].map(|()| connect());
    clients.iter().for_each(|client| ping(client, 10));
    assert_eq!(server.errors.load(SeqCst), 0);
    let mut files = take_all();
    // One for a client, and none for its server.
    files.pop();
    let late = connect();
    server.wait_for_errors(1);
    const ERRORS: u32 = 20;
    let (before, begun) = (server.errors.load(SeqCst), Instant::now());
    // Those who have their descriptors go on as before.
    clients.iter().for_each(|client| ping(client, 10));
    server.wait_for_errors(before + ERRORS);
    // The first one may have been about to come.
    let least = Duration::from_millis(10) * (ERRORS - 1);
    let taken = begun.elapsed();
    assert!(taken >= least, "{ERRORS} errors in {taken:?}: it spins");
    // Somebody goes, and the late one comes in. Its worker may never have waited for a socket, and
    // opens what it needs for that now.
    let leaves = std::mem::replace(&mut clients[0], late);
    drop(leaves);
    files.truncate(files.len() - 4);
    clients.iter().for_each(|client| ping(client, 10));
    server.is_over.store(true, SeqCst);
    drop(files);
    drop(connect());
}

#[test]
fn accept_loop_says_that_descriptors_are_out_and_serves_when_others_have_closed() {
    const NAME: &str = "faults::limits::accept_loop_says_that_descriptors_are_out_\
                        and_serves_when_others_have_closed";
    let child = in_child(NAME, &[], || {
        allowance::limit(64);
        for shape in SHAPES {
            let runtime = shape.build();
            let server = Server {
                listener: TcpListener::bind("127.0.0.1:0").unwrap(),
                is_over: AtomicBool::new(false),
                errors: AtomicU32::new(0),
            };
            let address = server.listener.local_addr().unwrap();
            std::thread::scope(|scope| {
                scope.spawn(|| run_out_and_go_on(&server, address));
                runtime.run(|| server.run());
            });
        }
    });
    child.expect_success();
}

fn expect_exhaustion<T: std::fmt::Debug>(result: io::Result<T>) {
    assert_eq!(result.unwrap_err().raw_os_error(), Some(libc::EMFILE));
}

/// A worker opens what it needs for its waits at the first of them.
#[test]
fn first_wait_without_a_descriptor_for_it_waits_all_the_same() {
    const NAME: &str = "faults::limits::first_wait_without_a_descriptor_for_it_waits_all_the_same";
    let child = in_child(NAME, &[], || {
        allowance::limit(64);
        let body = || {
            let (near, mut far) = UnixStream::pair().unwrap();
            let mut byte = [0];
            let files = take_all();
            // It needs descriptors of its own to wait, gets none, and tries again until its time is
            // over, or what it waits for is there.
            near.set_read_timeout(Some(Duration::from_millis(30))).unwrap();
            let late = (&near).read(&mut byte).unwrap_err();
            assert_eq!(late.kind(), io::ErrorKind::WouldBlock, "{late}");
            near.set_read_timeout(None).unwrap();
            thread::scope(|scope| {
                let reads = scope.spawn(|| {
                    let mut byte = [0];
                    (&near).read_exact(&mut byte).map(|()| byte)
                });
                (0..50).for_each(|_| thread::yield_now());
                far.write_all(&[8]).unwrap();
                assert_eq!(reads.join().unwrap().unwrap(), [8]);
            });
            expect_exhaustion(near.try_clone());
            expect_exhaustion(UnixStream::pair());
            expect_exhaustion(TcpListener::bind("127.0.0.1:0"));
            drop(files);
            thread::scope(|scope| {
                let reads = scope.spawn(|| {
                    let mut byte = [0];
                    (&near).read_exact(&mut byte).map(|()| byte)
                });
                (0..50).for_each(|_| thread::yield_now());
                far.write_all(&[9]).unwrap();
                assert_eq!(reads.join().unwrap().unwrap(), [9]);
            });
        };
        for shape in SHAPES {
            shape.build().run(body);
        }
        on_foreign_thread(body);
    });
    child.expect_success();
}
