//! A server that answers each frame with itself, and its clients: those whose answers are checked,
//! and those that do it wrong.
//!
//! A frame is its length in four bytes, and so many more. Also part of `tests/stress`.
#![forbid(unsafe_code)]

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use sylvan::net::{TcpListener, TcpStream};
use sylvan::sync::Event;
use sylvan::thread;
use sylvan_workspace::Random;

/// A longer frame is nonsense.
const LONGEST: u64 = 64 << 10;

/// What a client does that does not mind its answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// Resets the connection while the answer is under way.
    Reset,
    /// Sends a part of a frame, and then nothing until all is over.
    Stall,
    /// Sends a part of a frame, and closes.
    Truncate,
    /// Sends what is no frame.
    Garbage,
    /// Connects and says nothing until all is over.
    Silence,
    /// Connects and closes.
    Nothing,
    /// Asks without reading until the server waits for room to answer, and closes then.
    Deafness,
}

impl Fault {
    pub(crate) const ALL: [Fault; 7] = [
        Fault::Reset,
        Fault::Stall,
        Fault::Truncate,
        Fault::Garbage,
        Fault::Silence,
        Fault::Nothing,
        Fault::Deafness,
    ];
}

/// The server, and what it counts.
pub(crate) struct Server {
    listener: TcpListener,
    is_over: AtomicBool,
    pub(crate) accepted: AtomicU64,
    /// Connections whose frames were all whole.
    pub(crate) ended_well: AtomicU64,
}

impl Server {
    pub(crate) fn new() -> Server {
        Server {
            listener: TcpListener::bind("127.0.0.1:0").expect("a port"),
            is_over: AtomicBool::new(false),
            accepted: AtomicU64::new(0),
            ended_well: AtomicU64::new(0),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("it is bound")
    }

    /// Accepts until it is told to end, and returns when all connections have ended.
    pub(crate) fn run(&self) {
        thread::scope(|scope| {
            loop {
                let (stream, _) = self.listener.accept().expect("the system has enough of all");
                if self.is_over.load(SeqCst) {
                    return;
                }
                self.accepted.fetch_add(1, SeqCst);
                scope.spawn(move || match serve(stream) {
                    Ok(()) => _ = self.ended_well.fetch_add(1, SeqCst),
                    Err(error) => assert!(is_a_peers_fault(&error), "{error:?}"),
                });
            }
        });
    }

    /// Ends `run` when it is dropped, so that a test whose clients panic ends as well.
    pub(crate) fn end_when_left(&self) -> Ending<'_> {
        Ending(self)
    }
}

/// See [`Server::end_when_left`].
pub(crate) struct Ending<'a>(&'a Server);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, SeqCst);
        drop(TcpStream::connect(self.0.address()).expect("it listens"));
    }
}

fn serve(mut stream: TcpStream) -> io::Result<()> {
    let mut frame = vec![0; 4];
    loop {
        frame.truncate(4);
        if stream.read(&mut frame[..1])? == 0 {
            return Ok(());
        }
        stream.read_exact(&mut frame[1..])?;
        let length = u32::from_le_bytes(frame[..].try_into().expect("four bytes"));
        if u64::from(length) > LONGEST {
            return Err(ErrorKind::InvalidData.into());
        }
        frame.resize(4 + length as usize, 0);
        stream.read_exact(&mut frame[4..])?;
        stream.write_all(&frame)?;
    }
}

fn is_a_peers_fault(error: &io::Error) -> bool {
    let kinds = [
        ErrorKind::ConnectionReset,
        ErrorKind::BrokenPipe,
        ErrorKind::UnexpectedEof,
        ErrorKind::InvalidData,
    ];
    kinds.contains(&error.kind())
}

fn frame(random: &mut Random) -> Vec<u8> {
    // Mostly small ones.
    let most = if random.below(32) == 0 { LONGEST } else { 200 };
    let length = u32::try_from(random.below(most)).expect("a few bytes");
    let mut frame = length.to_le_bytes().to_vec();
    let whole = frame.len() + length as usize;
    while frame.len() < whole {
        frame.extend_from_slice(&random.number().to_le_bytes());
    }
    frame.truncate(whole);
    frame
}

fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).expect("the server lives")
}

/// A connection whose answers are checked.
pub(crate) struct Client {
    stream: TcpStream,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Client {
        Client { stream: connect(address) }
    }

    /// The same connection behind another handle.
    #[allow(dead_code, reason = "not used by the load")]
    pub(crate) fn map(self, f: impl FnOnce(TcpStream) -> TcpStream) -> Client {
        Client { stream: f(self.stream) }
    }

    /// One frame whole, or byte by byte with pauses, or several at once.
    pub(crate) fn ask(&mut self, random: &mut Random) {
        let pause = Duration::from_micros(random.below(200));
        let mut asked = Vec::new();
        match random.below(8) {
            0 => {
                asked.extend(frame(random));
                // The rest of a long one goes at once: the test is to end.
                let slow = asked.len().min(50);
                for byte in &asked[..slow] {
                    self.stream.write_all(&[*byte]).expect("the server lives");
                    thread::sleep(pause);
                }
                self.stream.write_all(&asked[slow..]).expect("the server lives");
            }
            1 => {
                // What the two directions have room for, while nobody reads yet.
                for _ in 0..3 {
                    asked.extend(frame(random));
                }
                self.stream.write_all(&asked).expect("the server lives");
            }
            _ => {
                asked = frame(random);
                self.stream.write_all(&asked).expect("the server lives");
            }
        }
        let mut answer = vec![0; asked.len()];
        self.stream.read_exact(&mut answer).expect("the server lives");
        assert!(answer == asked, "wrong bytes in an answer of {}", asked.len());
    }

    /// Asks a last time, says that no more will come, and gets the rest and the end.
    pub(crate) fn end(mut self, random: &mut Random) {
        let asked = frame(random);
        self.stream.write_all(&asked).expect("the server lives");
        self.stream.shutdown(Shutdown::Write).expect("it is connected");
        let mut answer = Vec::new();
        self.stream.read_to_end(&mut answer).expect("the server lives");
        assert!(answer == asked, "wrong bytes in a last answer of {}", asked.len());
    }
}

/// Connects once and does it wrong. `reset` resets a connection; `over` is when all is over.
pub(crate) fn misbehave(
    fault: Fault,
    address: SocketAddr,
    random: &mut Random,
    reset: fn(TcpStream),
    over: &Event,
) {
    let mut stream = connect(address);
    let frame = frame(random);
    let part = random.below(frame.len() as u64) as usize;
    match fault {
        Fault::Reset => {
            stream.write_all(&frame).expect("the server lives");
            (0..random.below(5)).for_each(|_| thread::yield_now());
            reset(stream);
        }
        Fault::Stall => {
            stream.write_all(&frame[..part]).expect("the server lives");
            over.wait();
        }
        Fault::Truncate => stream.write_all(&frame[..part]).expect("the server lives"),
        Fault::Garbage => talk_nonsense(&mut stream, random),
        Fault::Silence => over.wait(),
        Fault::Nothing => (),
        Fault::Deafness => ask_without_reading(&mut stream, random),
    }
}

/// The server closes in the middle of it, or at its end.
fn talk_nonsense(stream: &mut TcpStream, random: &mut Random) {
    let mut nonsense: Vec<_> = (0..64).flat_map(|_| random.number().to_le_bytes()).collect();
    // Too long for sure.
    nonsense[3] |= 0x80;
    for piece in nonsense.chunks(7) {
        if let Err(error) = stream.write_all(piece) {
            assert!(is_a_peers_fault(&error), "{error:?}");
            return;
        }
    }
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer) {
        assert!(is_a_peers_fault(&error), "{error:?}");
    }
    assert!(answer.is_empty(), "nonsense was answered");
}

fn ask_without_reading(stream: &mut TcpStream, random: &mut Random) {
    // Far more than the system keeps for a connection.
    const MOST: usize = 256;
    let mut frame = u32::try_from(LONGEST).expect("it fits").to_le_bytes().to_vec();
    frame.resize(4 + LONGEST as usize, 7);
    stream.set_write_timeout(Some(Duration::from_millis(3))).expect("it is not zero");
    for _ in 0..MOST {
        match stream.write_all(&frame) {
            Ok(()) => (),
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("the server has gone: {error}"),
        }
    }
    let mut some = vec![0; 1 + random.below(100_000) as usize];
    if random.below(2) == 0 {
        stream.read_exact(&mut some).expect("the server lives");
        // The length of the frame stands before its bytes.
        assert!(some.iter().skip(4).take(LONGEST as usize).all(|&byte| byte == 7));
    }
}
