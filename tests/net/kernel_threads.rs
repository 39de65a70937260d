//! Waits of kernel threads for sockets: in `poll`, with a doorbell for all that may end the wait
//! from elsewhere.
//!
//! What ends a wait is sent at moments that are drawn, so that it also comes between the decision
//! to wait and the system call, and when the wait is over. A wake that is lost is a hang, which the
//! watchdog turns into a failure. What no test here may do: count on a moment being met.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::io::{ErrorKind, Read, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use sylvan::net::unix::UnixStream;
use sylvan::net::{Shutdown, TcpListener, TcpStream};
use sylvan::{Mapping, Runtime, testing, thread, time};
use sylvan_workspace::{Random, Watchdog, in_child};

fn one_to_one() -> Runtime {
    Runtime::builder().mapping(Mapping::OneToOne).build().unwrap()
}

fn pair() -> (UnixStream, UnixStream) {
    UnixStream::pair().unwrap()
}

fn read_byte(mut stream: &UnixStream) -> u8 {
    let mut byte = [0];
    stream.read_exact(&mut byte).unwrap();
    byte[0]
}

fn write_byte(mut stream: &UnixStream, byte: u8) {
    stream.write_all(&[byte]).unwrap();
}

fn random() -> Random {
    let seed = testing::seed().unwrap_or_else(|| u64::from(std::process::id()));
    println!("seed {seed}");
    Random::new(seed)
}

/// Lets up to a few microseconds pass.
fn pause(random: &mut Random) {
    for _ in 0..random.below(400) {
        std::hint::spin_loop();
    }
    if random.below(4) == 0 {
        std::thread::yield_now();
    }
}

#[test]
fn cancellation_at_any_moment_ends_a_read_and_takes_no_byte_along() {
    let _watchdog = Watchdog::new("cancel");
    let mut random = random();
    one_to_one().run(|| {
        let (near, far) = pair();
        for _ in 0..500 {
            thread::scope(|scope| {
                let reader = scope.spawn(|| read_byte(&far));
                pause(&mut random);
                let writes = random.below(2) == 0;
                if writes {
                    write_byte(&near, 7);
                    pause(&mut random);
                }
                reader.cancel().unwrap();
                let got = reader.join();
                match got {
                    Ok(byte) => assert!(writes && byte == 7),
                    Err(payload) => {
                        assert!(payload.is::<thread::Cancelled>());
                        if writes {
                            assert_eq!(read_byte(&far), 7);
                        }
                    }
                }
            });
        }
    });
}

#[test]
fn deadlines_and_bytes_at_any_moment_lose_no_byte() {
    const BYTES: usize = 1000;
    const LAST: u8 = 2;
    let _watchdog = Watchdog::new("deadlines");
    let mut random = random();
    let (near, far) = pair();
    let cuts = Arc::new(AtomicUsize::new(0));
    let reader = std::thread::spawn({
        let cuts = cuts.clone();
        move || {
            let mut read = 0;
            loop {
                let got = RefCell::new(None);
                // None is over before the read has begun, or nothing would ever be read.
                let limit = Duration::from_micros(20 * (1 + cuts.load(SeqCst) as u64 % 8));
                if time::timeout(limit, || *got.borrow_mut() = Some(read_byte(&far))).is_err() {
                    cuts.fetch_add(1, SeqCst);
                }
                match got.into_inner() {
                    Some(LAST) => return read,
                    got => read += usize::from(got.is_some()),
                }
            }
        }
    });
    for _ in 0..BYTES {
        pause(&mut random);
        write_byte(&near, 1);
    }
    while cuts.load(SeqCst) == 0 {
        // Nothing comes any more, so a deadline does.
        std::thread::yield_now();
    }
    write_byte(&near, LAST);
    assert_eq!(reader.join().unwrap(), BYTES);
}

#[test]
fn waits_by_doorbell_and_by_futex_in_turn_lose_no_wake() {
    const ROUNDS: usize = 1000;
    let _watchdog = Watchdog::new("in turn");
    let mut random = random();
    let (near, far) = pair();
    let (tell, told) = mpsc::channel();
    let parks = Arc::new(AtomicUsize::new(0));
    let waits = {
        let parks = parks.clone();
        std::thread::spawn(move || {
            tell.send(thread::current()).unwrap();
            for _ in 0..ROUNDS {
                read_byte(&far);
                // The permit may have come during the read, and was not for it.
                thread::park();
                parks.fetch_add(1, SeqCst);
            }
        })
    };
    let waiting = told.recv().unwrap();
    for round in 0..ROUNDS {
        let mut unpark_and_write = [true, false];
        if random.below(2) == 0 {
            unpark_and_write.reverse();
        }
        for unparks in unpark_and_write {
            pause(&mut random);
            match unparks {
                true => waiting.unpark(),
                false => write_byte(&near, 1),
            }
        }
        // Otherwise the next permit could fall together with this one.
        while parks.load(SeqCst) <= round {
            std::thread::yield_now();
        }
    }
    waits.join().unwrap();
}

#[test]
fn unparks_in_a_flood_end_no_read_and_leave_one_permit() {
    let _watchdog = Watchdog::new("flood");
    let (near, far) = pair();
    let (tell, told) = mpsc::channel();
    let is_written = Arc::new(AtomicBool::new(false));
    let waits = {
        let is_written = is_written.clone();
        std::thread::spawn(move || {
            tell.send(thread::current()).unwrap();
            read_byte(&far);
            assert!(is_written.load(SeqCst));
            thread::park();
            // One permit, however often.
            let begun = time::now();
            thread::park_timeout(Duration::from_millis(2));
            assert!(time::now() - begun >= Duration::from_millis(2));
        })
    };
    let waiting = told.recv().unwrap();
    (0..5000).for_each(|_| waiting.unpark());
    is_written.store(true, SeqCst);
    write_byte(&near, 1);
    waits.join().unwrap();
}

#[test]
fn handles_of_kernel_threads_that_have_ended_ring_nobody_elses_bell() {
    const THREADS: usize = 300;
    let _watchdog = Watchdog::new("handles");
    let handles = Mutex::new(Vec::new());
    let (near, far) = pair();
    let ended = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while ended.load(SeqCst) < THREADS {
                let known: Vec<thread::Thread> = handles.lock().unwrap().clone();
                known.iter().rev().take(20).for_each(thread::Thread::unpark);
                std::thread::yield_now();
            }
        });
        for _ in 0..THREADS / 3 {
            let readers: Vec<_> = (0..3)
                .map(|_| {
                    scope.spawn(|| {
                        handles.lock().unwrap().push(thread::current());
                        let byte = read_byte(&far);
                        ended.fetch_add(1, SeqCst);
                        byte
                    })
                })
                .collect();
            (&near).write_all(&[1, 2, 4]).unwrap();
            let sum: u8 = readers.into_iter().map(|reader| reader.join().unwrap()).sum();
            assert_eq!(sum, 7);
        }
    });
}

#[test]
fn hundreds_of_waits_on_shared_and_own_sockets_are_all_cancelled() {
    const OWN: usize = 50;
    const SHARED: usize = 150;
    let _watchdog = Watchdog::new("hundreds");
    one_to_one().run(|| {
        let (near, far) = pair();
        let (near, far) = (&near, &far);
        let own: Vec<_> = (0..OWN).map(|_| pair()).collect();
        for _ in 0..3 {
            thread::scope(|scope| {
                let mut readers: Vec<_> =
                    own.iter().map(|(_, far)| scope.spawn(|| read_byte(far))).collect();
                readers.extend((0..SHARED).map(|_| scope.spawn(|| read_byte(far))));
                // Some of them before they wait.
                for reader in &readers {
                    reader.cancel().unwrap();
                }
                for reader in readers {
                    assert!(reader.join().unwrap_err().is::<thread::Cancelled>());
                }
            });
        }
        // All of them serve still.
        for (near, far) in own.iter().map(|(near, far)| (near, far)).chain([(near, far)]) {
            write_byte(near, 9);
            assert_eq!(read_byte(far), 9);
        }
    });
}

#[test]
fn green_and_kernel_readers_of_one_socket_share_what_comes() {
    const ROUNDS: usize = 100;
    let _watchdog = Watchdog::new("green and kernel");
    let runtime = Runtime::builder().mapping(Mapping::ManyToMany).workers(2).build().unwrap();
    let mut random = random();
    for _ in 0..ROUNDS {
        let (near, far) = pair();
        let far = Arc::new(far);
        let read_all = |far: Arc<UnixStream>| {
            move || {
                let (mut count, mut room) = (0, [0; 2]);
                loop {
                    match (&*far).read(&mut room).unwrap() {
                        0 => return count,
                        read => count += read,
                    }
                }
            }
        };
        let kernel = [(); 2].map(|()| std::thread::spawn(read_all(far.clone())));
        let green = [(); 3].map(|()| runtime.handle().spawn(read_all(far.clone())));
        let [cut, first, second] = green;
        for _ in 0..10 {
            write_byte(&near, 1);
            pause(&mut random);
        }
        // What it was woken for goes to somebody else, of either kind; what it has read is gone.
        cut.cancel().unwrap();
        for _ in 0..10 {
            write_byte(&near, 1);
            pause(&mut random);
        }
        drop(near);
        let mut count = 0;
        for reader in kernel {
            count += reader.join().unwrap();
        }
        count += first.join().unwrap() + second.join().unwrap();
        match cut.join() {
            Ok(read) => assert_eq!(count + read, 20),
            Err(payload) => {
                assert!(payload.is::<thread::Cancelled>());
                assert!((1..=20).contains(&count), "{count}");
            }
        }
    }
}

#[test]
fn shutdown_ends_the_waits_of_kernel_threads_for_both_directions() {
    let _watchdog = Watchdog::new("shutdown");
    let mut random = random();
    for how in [Shutdown::Read, Shutdown::Write, Shutdown::Both] {
        for _ in 0..30 {
            let (near, far) = pair();
            std::thread::scope(|scope| {
                if how != Shutdown::Write {
                    let read = || assert_eq!((&near).read(&mut [0]).unwrap(), 0);
                    scope.spawn(read);
                    scope.spawn(read);
                }
                if how != Shutdown::Read {
                    scope.spawn(|| {
                        let error = (&near).write_all(&vec![0; 300_000]).unwrap_err();
                        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
                    });
                }
                pause(&mut random);
                near.shutdown(how).unwrap();
            });
            drop(far);
        }
    }
}

#[test]
fn program_under_one_to_one_serves_connections_on_kernel_threads() {
    let test = "kernel_threads::program_under_one_to_one_serves_connections_on_kernel_threads";
    let child = in_child(test, &[("SYLVAN_MAPPING", "1:1")], || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let serve = |mut stream: TcpStream| {
                let mut request = [0; 4];
                while stream.read_exact(&mut request).is_ok() {
                    stream.write_all(&request).unwrap();
                }
                std::thread::current().id()
            };
            let mut kernel_threads = Vec::new();
            let streams: Vec<_> = (0..8).map(|_| listener.accept().unwrap().0).collect();
            let serving: Vec<_> =
                streams.into_iter().map(|stream| thread::spawn(move || serve(stream))).collect();
            for serving in serving {
                kernel_threads.push(serving.join().unwrap());
            }
            kernel_threads.sort_by_key(|id| format!("{id:?}"));
            kernel_threads.dedup();
            kernel_threads.len()
        });
        thread::scope(|scope| {
            for client in 0..8_u32 {
                scope.spawn(move || {
                    let mut stream = TcpStream::connect(address).unwrap();
                    for round in 0..100_u32 {
                        let request = (client * 1000 + round).to_ne_bytes();
                        stream.write_all(&request).unwrap();
                        let mut answer = [0; 4];
                        stream.read_exact(&mut answer).unwrap();
                        assert_eq!(answer, request);
                    }
                });
            }
        });
        assert_eq!(server.join().unwrap(), 8, "each connection has a kernel thread of its own");
    });
    child.expect_success();
}

/// Does its work when its kernel thread's thread-locals go.
struct AtEnd(fn() -> u32, mpsc::Sender<u32>);

impl Drop for AtEnd {
    fn drop(&mut self) {
        self.1.send(self.0()).unwrap();
    }
}

std::thread_local! {
    static AT_END: RefCell<Option<AtEnd>> = const { RefCell::new(None) };
}

/// Has `work` done by a kernel thread that has lost sylvan's thread-locals: a foreign one, and one
/// of a 1:1 runtime. With and without a wait for a socket before, which makes its first doorbell.
fn at_the_end(work: fn() -> u32) -> Vec<u32> {
    let _watchdog = Watchdog::new("at the end");
    let mut results = Vec::new();
    for (ours, has_waited) in [(false, false), (false, true), (true, false), (true, true)] {
        let (sender, receiver) = mpsc::channel();
        let body = move || {
            // Made before sylvan's own are, and so destroyed after them.
            AT_END.with(|place| *place.borrow_mut() = Some(AtEnd(work, sender)));
            if has_waited {
                let (near, _far) = pair();
                near.set_read_timeout(Some(Duration::from_micros(100))).unwrap();
                (&near).read(&mut [0]).unwrap_err();
            } else {
                thread::sleep(Duration::ZERO);
            }
        };
        if ours {
            one_to_one().run(|| thread::spawn(body).join().unwrap());
        } else {
            std::thread::spawn(body).join().unwrap();
        }
        results.push(receiver.recv().expect("the destructor has run"));
    }
    results
}

#[test]
fn destructor_of_a_thread_local_waits_for_data_that_comes_later() {
    let read = at_the_end(|| {
        let (near, far) = pair();
        let writer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(1));
            write_byte(&near, 7);
            std::thread::sleep(Duration::from_millis(1));
            write_byte(&near, 8);
        });
        let sum = u32::from(read_byte(&far)) + u32::from(read_byte(&far));
        writer.join().unwrap();
        sum
    });
    assert_eq!(read, [15; 4]);
}

#[test]
fn destructor_of_a_thread_local_is_cut_off_by_its_deadlines() {
    let cut = at_the_end(|| {
        let (near, _far) = pair();
        let elapsed = time::timeout(Duration::from_millis(1), || read_byte(&near)).is_err();
        near.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let error = (&near).read(&mut [0]).unwrap_err();
        u32::from(elapsed) + 2 * u32::from(error.kind() == ErrorKind::WouldBlock)
    });
    assert_eq!(cut, [3; 4]);
}

#[test]
fn destructor_of_a_thread_local_talks_to_green_threads_and_accepts() {
    let answered = at_the_end(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let runtime = Runtime::builder().mapping(Mapping::ManyToMany).workers(1).build().unwrap();
        let client = runtime.handle().spawn(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            stream.write_all(&[byte[0] + 1]).unwrap();
        });
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(&[20]).unwrap();
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        client.join().unwrap();
        u32::from(byte[0])
    });
    assert_eq!(answered, [21; 4]);
}
