//! Ends of waits that come from this side of the socket: it is shut down, the runtime of those who
//! wait ends, or a shutdown leaves one of them behind.
#![forbid(unsafe_code)]

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc;
use std::time::Duration;

use sylvan::__private::doors::live_stacks;
use sylvan::net::unix::UnixStream;
use sylvan::net::{TcpListener, TcpStream};
use sylvan::thread;
use sylvan_workspace::{
    Shape, Wait, Watchdog, in_child, leave_kept, on_foreign_thread, process, until,
    with_every_runtime, with_time_enough,
};

use super::{allowance, connected, many_to_many, with_std_unix_peer};
use crate::probe;

/// What all kinds of streams can do, by reference.
trait Stream: Send + Sync + Sized + 'static {
    fn pair() -> (Self, Self);
    fn read_by_ref(&self) -> std::io::Result<usize>;
    fn write_by_ref(&self) -> std::io::Result<()>;
    fn shut_down(&self, how: Shutdown);
    fn second(&self) -> Self;
}

macro_rules! streams {
    ($($stream:ty, $pair:expr;)*) => {$(
        impl Stream for $stream {
            fn pair() -> ($stream, $stream) {
                $pair
            }

            fn read_by_ref(&self) -> std::io::Result<usize> {
                (&mut &*self).read(&mut [0; 8])
            }

            fn write_by_ref(&self) -> std::io::Result<()> {
                (&mut &*self).write_all(&[5; 65_536])
            }

            fn shut_down(&self, how: Shutdown) {
                self.shutdown(how).unwrap();
            }

            fn second(&self) -> $stream {
                self.try_clone().unwrap()
            }
        }
    )*};
}

streams! {
    TcpStream, connected();
    UnixStream, UnixStream::pair().unwrap();
}

/// Starts `wait` on threads of all kinds, and gives what they give when all have ended.
fn on_all_kinds<T: Send + 'static>(
    wait: impl Fn() -> T + Send + Sync + 'static,
    meanwhile: impl FnOnce(),
) -> Vec<T> {
    let wait = Arc::new(wait);
    let shapes = [Shape::OneToOne, Shape::ManyToOne, Shape::ManyToMany(2), Shape::ManyToMany(4)];
    let (begun, begins) = mpsc::channel();
    let kinds: Vec<_> = shapes
        .into_iter()
        .map(Some)
        .chain([None])
        .map(|shape| {
            let (wait, begun) = (wait.clone(), begun.clone());
            std::thread::spawn(move || {
                let wait = move || {
                    begun.send(()).unwrap();
                    wait()
                };
                // The second of a green kind is a thread of its own, so not where `run` is.
                match shape {
                    Some(shape) => shape.build().run(|| thread::spawn(wait).join().unwrap()),
                    None => wait(),
                }
            })
        })
        .collect();
    kinds.iter().for_each(|_| begins.recv().unwrap());
    // Most have come to their waits then; the others find the end, and give the same.
    (0..100).for_each(|_| std::thread::yield_now());
    meanwhile();
    kinds.into_iter().map(|kind| kind.join().unwrap()).collect()
}

fn shutdown_ends_waits<S: Stream>() {
    let _watchdog = Watchdog::new("shutdown of a stream");
    for by_clone in [false, true] {
        for how in [Shutdown::Read, Shutdown::Both] {
            let (near, _far) = S::pair();
            let near = Arc::new(near);
            let (reads, closes) = (near.clone(), if by_clone { Some(near.second()) } else { None });
            let close = || closes.as_ref().unwrap_or(&near).shut_down(how);
            let got = on_all_kinds(move || reads.read_by_ref().unwrap(), close);
            assert!(got.iter().all(|&count| count == 0), "{got:?}");
        }
        for how in [Shutdown::Write, Shutdown::Both] {
            let (near, _far) = S::pair();
            let near = Arc::new(near);
            let (writes, closes) = (near.clone(), by_clone.then(|| near.second()));
            let write = move || {
                loop {
                    if let Err(error) = writes.write_by_ref() {
                        return error.kind();
                    }
                }
            };
            let close = || closes.as_ref().unwrap_or(&near).shut_down(how);
            let got = on_all_kinds(write, close);
            assert!(got.iter().all(|&kind| kind == ErrorKind::BrokenPipe), "{got:?}");
        }
    }
}

#[test]
fn shutdown_of_a_tcp_stream_ends_the_waits_of_threads_of_all_kinds() {
    shutdown_ends_waits::<TcpStream>();
}

#[test]
fn shutdown_of_a_unix_stream_ends_the_waits_of_threads_of_all_kinds() {
    shutdown_ends_waits::<UnixStream>();
}

/// As std's `accept` ends, with the same error.
#[test]
fn shutdown_of_a_listener_ends_the_waits_of_threads_of_all_kinds() {
    let _watchdog = Watchdog::new("shutdown of a listener");
    let listener = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
    let accepts = listener.clone();
    let accept = move || accepts.accept().map(drop).unwrap_err().kind();
    let got = on_all_kinds(accept, || probe::shut_down(&*listener, Shutdown::Both));
    assert!(got.iter().all(|&kind| kind == ErrorKind::InvalidInput), "{got:?}");
}

/// Threads that wait in every way, each with sockets of its own.
fn wait_in_every_way(number: usize, begun: &AtomicUsize) {
    let (near, far) = UnixStream::pair().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    begun.fetch_add(1, SeqCst);
    match number % 5 {
        0 => drop((&near).read(&mut [0])),
        1 => while (&near).write(&[0; 4096]).is_ok() {},
        2 => drop(listener.accept()),
        3 => {
            near.set_read_timeout(Some(Duration::from_secs(3600))).unwrap();
            drop((&near).read(&mut [0]));
        }
        _ => {
            // Two wait at one socket, in both directions.
            thread::scope(|scope| {
                scope.spawn(|| while (&near).write(&[0; 4096]).is_ok() {});
                drop((&near).read(&mut [0]));
            });
        }
    }
    drop(far);
    unreachable!("nothing comes");
}

#[test]
fn runtime_that_ends_unwinds_hundreds_of_waits_and_all_sockets_are_closed() {
    const WAITS: usize = 300;
    const NAME: &str =
        "faults::closing::runtime_that_ends_unwinds_hundreds_of_waits_and_all_sockets_are_closed";
    let child = in_child(NAME, &[], || {
        let (_, most) = allowance::limits();
        allowance::limit(most.min(4096));
        let counts = || (process::kernel_threads(), process::descriptors(), live_stacks());
        let before = counts();
        with_every_runtime(|shape, runtime| {
            let begun = Arc::new(AtomicUsize::new(0));
            let waits = runtime.run(|| {
                let spawn = |number| {
                    let begun = begun.clone();
                    thread::spawn(move || wait_in_every_way(number, &begun))
                };
                let waits: Vec<_> = (0..WAITS).map(spawn).collect();
                until(|| begun.load(SeqCst) == WAITS);
                (0..20).for_each(|_| thread::yield_now());
                waits
            });
            drop(runtime);
            for wait in waits {
                let ended = wait.join().unwrap_err();
                assert!(ended.is::<thread::Cancelled>(), "under {shape}");
            }
        });
        until(|| counts() == before);
    });
    child.expect_success();
}

/// Two of another runtime are told of two bytes. The first to read leaves one, and wakes who has
/// waited for the longest; who can do no more with it, and is left behind with the wake.
#[test]
fn wake_in_the_hands_of_a_waiter_that_is_left_behind_goes_to_another_one() {
    const NAME: &str = "faults::closing::wake_in_the_hands_of_a_waiter_that_is_left_behind_\
                        goes_to_another_one";
    let child = in_child(NAME, &[], || {
        let runtime = many_to_many(1);
        for _ in 0..10 {
            let (reads, _far) = with_time_enough(|time| {
                let (near, mut far) = with_std_unix_peer();
                let near = Arc::new(near);
                let waits = near.clone();
                let wait: Wait = Box::new(move || drop((&*waits).read(&mut [0])));
                let mut reads = None;
                let write = || {
                    reads = Some([(); 2].map(|()| {
                        let near = near.clone();
                        runtime.handle().spawn(move || (&*near).read_exact(&mut [0]).unwrap())
                    }));
                    // It has its turn after theirs, so both wait.
                    runtime.handle().spawn(|| ()).join().unwrap();
                    far.write_all(&[1, 2]).unwrap();
                    true
                };
                leave_kept(time, vec![wait], write).then_some((reads, far))
            });
            let reads = reads.expect("they were begun");
            reads.into_iter().for_each(|reads| reads.join().unwrap());
        }
        println!("all were woken");
    });
    child.expect_success();
    assert!(child.stdout.contains("all were woken"), "{}", child.stdout);
}

#[test]
fn waiter_that_is_left_behind_takes_no_wake_from_the_others() {
    const NAME: &str = "faults::closing::waiter_that_is_left_behind_takes_no_wake_from_the_others";
    let child = in_child(NAME, &[], || {
        let (near, far) = with_time_enough(|time| {
            let (near, far) = UnixStream::pair().unwrap();
            let (near, far) = (Arc::new(near), Arc::new(far));
            let are_left = (0..3).all(|_| {
                let waits = near.clone();
                let wait: Wait = Box::new(move || drop((&*waits).read(&mut [0])));
                leave_kept(time, vec![wait], || true)
            });
            are_left.then_some((near, far))
        });
        let runtime = many_to_many(2);
        for kind in 0..20 {
            let (near, far) = (near.clone(), far.clone());
            let read = move || (&*near).read_exact(&mut [0]).unwrap();
            let write = move || (&*far).write_all(&[1]).unwrap();
            let reads = [read.clone(), read].map(|read| runtime.handle().spawn(read));
            (0..kind).for_each(|_| std::thread::yield_now());
            on_foreign_thread(|| {
                write();
                write();
            });
            reads.into_iter().for_each(|reads| reads.join().unwrap());
        }
        println!("all were woken");
    });
    child.expect_success();
    assert!(child.stdout.contains("all were woken"), "{}", child.stdout);
}
