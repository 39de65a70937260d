//! A chat server: many clients, rooms, and nobody waits for a slow reader.
//!
//! `chat [ADDRESS]`; without ADDRESS it takes a free port of this machine. Each client has two
//! threads, one that reads its lines and one that writes what it is to see, and between them an
//! outbox for 256 lines. A line that is said in a room goes into the outboxes of all who are there,
//! by `try_send`, under one lock over which nobody waits. If an outbox is full, its client misses
//! all that comes until it has read what was there, and is told how many lines these were. So a
//! client that reads slowly, or never, costs the memory of its outbox, and no time of the others.
//!
//! ```text
//! $ cargo run --release --example chat -- 127.0.0.1:7777
//! listening on 127.0.0.1:7777
//! ```
//!
//! Join from another terminal by `nc 127.0.0.1 7777`; what is typed is marked by > here:
//!
//! ```text
//! * you are guest1, and in the room lobby; /help tells what can be done
//! > /nick ada
//! * guest1 is called ada now
//! > hello
//! ada: hello
//! * guest2 has come
//! > /join garden
//! * ada has come
//! > /who
//! * in the garden: ada
//! > /quit
//! ```
//!
//! A line is 1000 bytes at most; what makes it longer begins a new one. It ends when its input
//! does, by Ctrl-D, and cuts off who is still there. Wrong arguments end it with status 2, an
//! address that cannot be had with status 1.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use sylvan::channel::{Receiver, Sender, TryRecvError, TrySendError, bounded};
use sylvan::net::{TcpListener, TcpStream};
use sylvan::sync::Mutex;
use sylvan::{thread, time};

#[path = "support/service.rs"]
mod service;

type Line = Arc<str>;

/// Who is there.
#[derive(Default)]
struct House {
    guests: BTreeMap<u64, Guest>,
    /// How many have ever come; the last of them has this number.
    count: u64,
}

struct Guest {
    name: String,
    room: String,
    outbox: Sender<Line>,
    /// How many lines it has missed since its outbox was full.
    missed: u64,
}

impl Guest {
    /// Never waits.
    fn tell(&mut self, line: &Line) {
        // Who has missed something gets nothing more before it has been told so: otherwise the gap
        // would be somewhere else than it says.
        if self.missed > 0
            || matches!(self.outbox.try_send(line.clone()), Err(TrySendError::Full(_)))
        {
            self.missed += 1;
        }
    }
}

impl House {
    fn enter(&mut self, outbox: Sender<Line>) -> u64 {
        self.count += 1;
        let mut name = format!("guest{}", self.count);
        // Somebody may have taken that name.
        while self.is_taken(&name) {
            name.push('_');
        }
        let welcome =
            format!("* you are {name}, and in the room {LOBBY}; /help tells what can be done");
        let guest = Guest { name, room: LOBBY.to_owned(), outbox, missed: 0 };
        self.announce(LOBBY, format!("* {} has come", guest.name));
        self.guests.insert(self.count, guest);
        self.tell(self.count, welcome);
        self.count
    }

    fn leave(&mut self, number: u64) {
        if let Some(Guest { name, room, .. }) = self.guests.remove(&number) {
            self.announce(&room, format!("* {name} has gone"));
        }
    }

    fn guest(&mut self, number: u64) -> &mut Guest {
        self.guests.get_mut(&number).expect("a guest is there until its own thread has it leave")
    }

    fn is_taken(&self, name: &str) -> bool {
        self.guests.values().any(|guest| guest.name == name)
    }

    /// Tells one guest.
    fn tell(&mut self, number: u64, line: String) {
        self.guest(number).tell(&line.into());
    }

    /// Tells all who are in a room.
    fn announce(&mut self, room: &str, line: String) {
        let line = Line::from(line);
        for guest in self.guests.values_mut().filter(|guest| guest.room == room) {
            guest.tell(&line);
        }
    }

    /// Does what a guest's line says. False: it wants to leave.
    fn obey(&mut self, number: u64, line: &str) -> bool {
        let (command, argument) = line.split_once(' ').unwrap_or((line, ""));
        let Guest { name, room, .. } = self.guest(number);
        let (name, room) = (name.clone(), room.clone());
        match (command, argument.trim()) {
            ("", _) => (),
            ("/quit", _) => return false,
            ("/help", _) => self.tell(number, HELP.to_owned()),
            ("/who", _) => {
                let mut line = format!("* in the {room}:");
                for guest in self.guests.values().filter(|guest| guest.room == room) {
                    let _ = write!(line, " {}", guest.name);
                }
                self.tell(number, line);
            }
            ("/nick" | "/join", word) if !is_name(word) => {
                let accepted = "accepted: 1 to 20 letters and digits";
                self.tell(number, format!("* {command} {word:?} is not possible; {accepted}"));
            }
            ("/nick", new) if self.is_taken(new) => {
                self.tell(number, format!("* somebody is called {new} already"));
            }
            ("/nick", new) => {
                self.guest(number).name = new.to_owned();
                self.announce(&room, format!("* {name} is called {new} now"));
            }
            ("/join", new) => {
                self.guest(number).room = new.to_owned();
                self.announce(&room, format!("* {name} has left for the {new}"));
                self.announce(new, format!("* {name} has come"));
            }
            (unknown, _) if unknown.starts_with('/') => {
                self.tell(number, format!("* unknown: {unknown:?}; {}", &HELP[2..]));
            }
            (..) => self.announce(&room, format!("{name}: {line}")),
        }
        true
    }
}

fn is_name(word: &str) -> bool {
    (1..=20).contains(&word.chars().count()) && word.chars().all(char::is_alphanumeric)
}

/// What a client sends, line by line, until it leaves.
fn listen(stream: &TcpStream, house: &Mutex<House>, number: u64) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        stream.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(());
        }
        // Nothing that a terminal would take for an order.
        let line = String::from_utf8_lossy(&line).replace(char::is_control, " ");
        if !house.lock().unwrap().obey(number, line.trim()) {
            return Ok(());
        }
    }
}

/// Sends what is in the outbox, until its guest has left.
fn send(
    stream: &TcpStream,
    lines: &Receiver<Line>,
    house: &Mutex<House>,
    number: u64,
) -> io::Result<()> {
    let mut stream = BufWriter::new(stream);
    loop {
        match lines.try_recv() {
            Ok(line) => writeln!(stream, "{line}")?,
            Err(TryRecvError::Disconnected) => return stream.flush(),
            Err(TryRecvError::Empty) => {
                stream.flush()?;
                if let Some(missed) = catch_up(house, number) {
                    writeln!(stream, "* lines missed here: {missed}, for you read too slowly")?;
                } else if let Ok(line) = lines.recv() {
                    writeln!(stream, "{line}")?;
                }
            }
        }
    }
}

/// From now on a guest whose outbox is empty is told everything again. Gives what it has missed.
fn catch_up(house: &Mutex<House>, number: u64) -> Option<u64> {
    let mut house = house.lock().unwrap();
    let guest = house.guests.get_mut(&number)?;
    // It may have filled up since the caller's look.
    if guest.missed == 0 || !guest.outbox.is_empty() {
        return None;
    }
    Some(std::mem::take(&mut guest.missed))
}

/// A client, from its coming to its leaving.
fn talk(stream: &TcpStream, house: &Mutex<House>) {
    let (outbox, lines) = bounded(OUTBOX_LINES);
    let number = house.lock().unwrap().enter(outbox);
    thread::scope(|scope| {
        let writer = scope.spawn(move || send(stream, &lines, house, number));
        // Broken off or closed: it is gone.
        let _ = listen(stream, house, number);
        house.lock().unwrap().leave(number);
        // What was said to it before it left, if it still wants that.
        if time::timeout(FAREWELL, || writer.join()).is_err() {
            scope.cancel_with("it does not read").expect("this program unwinds");
        }
    });
}

fn run(address: &str) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    println!("listening on {}", listener.local_addr()?);
    let house = Mutex::new(House::default());
    service::serve(listener.incoming(), |stream| talk(&stream, &house));
    println!("{} guests have been here", house.lock().unwrap().count);
    Ok(())
}

#[sylvan::main]
fn main() -> ExitCode {
    let address = match parse(std::env::args_os().skip(1)) {
        Ok(Some(address)) => address,
        Ok(None) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(message) => {
            eprint!("chat: {message}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&address) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chat: cannot listen on {address}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// `None`: the user wants to know the usage.
fn parse(given: impl Iterator<Item = OsString>) -> Result<Option<String>, String> {
    let mut address = None;
    for argument in given {
        match argument.to_str() {
            Some("--help" | "-h") => return Ok(None),
            _ if address.is_some() => {
                return Err(format!("one ADDRESS is accepted, and {argument:?} is the second"));
            }
            _ => address = Some(service::address("ADDRESS", argument)?),
        }
    }
    Ok(Some(address.unwrap_or_else(|| ANY_PORT.to_owned())))
}

const USAGE: &str = "usage: chat [ADDRESS]\n";
const ANY_PORT: &str = "127.0.0.1:0";
const LOBBY: &str = "lobby";
const HELP: &str = "* /nick NAME, /join ROOM, /who, /quit; all else is said to the room";
const OUTBOX_LINES: usize = 256;
const LINE_BYTES_MAX: u64 = 1_000;
/// So long a client that leaves may take for what is in its outbox.
const FAREWELL: Duration = Duration::from_secs(5);
