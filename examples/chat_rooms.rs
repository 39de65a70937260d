//! Chat rooms, each a thread that waits for all its guests at once and for none in particular.
//!
//! A room has a channel by which guests join, one by which they leave, and one from each guest for
//! what is said. How many these are changes all the time, so it waits with a `Select`. Whatever
//! comes it tells to all its guests, by `try_send`: a guest whose channel is full misses it, and
//! the room goes on. A guest may sit in two rooms, and waits with `select!` for the one and the
//! other. Zeno sits in all of them and reads nothing until the others have gone.
//!
//! The guests play by a script: who hears the line before their own says it, or goes to another
//! room. So the order in each room is fixed, however the threads run, and what came out is compared
//! with the script.
//!
//! ```text
//! $ cargo run --release --example chat_rooms
//! garden
//!   Ada joins
//!   Ben joins
//!   Cleo joins
//!   Zeno joins
//!   Ada: who has seen the cat?
//!   Ben: not I
//!   Cleo: I shall look in the kitchen
//!   Cleo leaves for the kitchen
//!   Cleo joins
//!   Cleo: it has eaten the fish
//!   Ben: then I shall catch another
//!   Ben leaves for the harbour
//!   Ada: and what do we eat meanwhile?
//!   not waited for: Zeno, who missed 8
//! kitchen
//!   Dot joins
//!   Zeno joins
//!   Cleo joins
//!   Cleo: is the cat here?
//!   Dot: it was, and so was the fish
//!   Cleo leaves for the garden
//!   not waited for: Zeno, who missed 3
//! harbour
//!   Dot joins
//!   Zeno joins
//!   Ben joins
//!   Ben: do they bite today?
//!   Dot: ask the cat
//!   not waited for: Zeno, who missed 2
//! Ada heard 13 events
//! Ben heard 13 events
//! Cleo heard 13 events
//! Dot heard 11 events
//! Zeno heard 6 events
//! the same under each of 100 seeds
//! ```
//!
//! What does not come out as said ends the program with status 1.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use sylvan::channel::{
    Receiver, RecvError, Select, Sender, TrySendError, after, bounded, never, select,
};
use sylvan::testing::Plan;
use sylvan::thread;

use Act::{GoesTo, Joins, Says};

/// What happens in one room.
struct Play {
    room: &'static str,
    /// So many of the first lines are said by `converse`, before anybody plays.
    at_start: usize,
    lines: &'static [(&'static str, Act)],
}

#[derive(Clone, Copy)]
enum Act {
    Joins,
    Says(&'static str),
    /// Leaves this room, and joins that one.
    GoesTo(usize),
}

/// Of what happened in a room, this is what the guests are told.
#[derive(Clone)]
struct Event {
    number: usize,
    text: Arc<str>,
}

/// What a room has of a guest.
struct Guest {
    name: &'static str,
    says: Receiver<&'static str>,
    hears: Sender<Event>,
}

/// What a guest has of a room.
struct Seat {
    room: usize,
    says: Sender<&'static str>,
    hears: Receiver<Event>,
}

/// The way into a room and out of it. A room is open as long as somebody has one.
#[derive(Clone)]
struct Door {
    join: Sender<Guest>,
    leave: Sender<(&'static str, usize)>,
}

struct Room {
    joins: Receiver<Guest>,
    leaves: Receiver<(&'static str, usize)>,
    guests: Vec<Guest>,
    /// What has happened, and how often a guest was not told because its channel was full.
    events: Vec<Arc<str>>,
    missed: usize,
}

/// What a room may have to do next. A guest is named by its place in the list.
enum Next {
    Join(Guest),
    Leave(&'static str, usize),
    Tell(usize, &'static str),
    /// The guest's end has been dropped.
    Forget(usize),
    Close,
}

impl Room {
    fn new() -> (Room, Door) {
        let ((join, joins), (leave, leaves)) = (bounded(0), bounded(0));
        let (guests, events) = (Vec::new(), Vec::new());
        (Room { joins, leaves, guests, events, missed: 0 }, Door { join, leave })
    }

    /// Waits for whoever comes first.
    fn next(&self) -> Next {
        let mut select = Select::new();
        let (join, leave) = (select.recv(&self.joins), select.recv(&self.leaves));
        for guest in &self.guests {
            select.recv(&guest.says);
        }
        let Ok(operation) = select.select_timeout(PATIENCE) else { return Next::Close };
        match operation.index() {
            index if index == join => operation.recv(&self.joins).map_or(Next::Close, Next::Join),
            index if index == leave => {
                let left = operation.recv(&self.leaves);
                left.map_or(Next::Close, |(name, to)| Next::Leave(name, to))
            }
            index => {
                let guest = index - 2;
                let said = operation.recv(&self.guests[guest].says);
                said.map_or(Next::Forget(guest), |text| Next::Tell(guest, text))
            }
        }
    }

    fn keep(mut self) -> Room {
        loop {
            match self.next() {
                Next::Join(guest) => {
                    let text = text_of(guest.name, Joins);
                    self.guests.push(guest);
                    self.tell(text);
                }
                Next::Leave(name, to) => {
                    self.guests.retain(|guest| guest.name != name);
                    self.tell(text_of(name, GoesTo(to)));
                }
                Next::Tell(guest, text) => {
                    self.tell(text_of(self.guests[guest].name, Says(text)));
                }
                Next::Forget(guest) => drop(self.guests.remove(guest)),
                Next::Close => return self,
            }
        }
    }

    /// Tells all who are there, and waits for none of them.
    fn tell(&mut self, text: String) {
        let event = Event { number: self.events.len(), text: text.into() };
        for guest in &self.guests {
            // Who is not connected any more will be forgotten when its turn comes.
            if let Err(TrySendError::Full(_)) = guest.hears.try_send(event.clone()) {
                self.missed += 1;
            }
        }
        self.events.push(event.text);
    }
}

fn text_of(name: &str, act: Act) -> String {
    match act {
        Joins => format!("{name} joins"),
        Says(text) => format!("{name}: {text}"),
        GoesTo(room) => format!("{name} leaves for the {}", PLAYS[room].room),
    }
}

/// Takes a seat in a room, with place for so many events that have not been read.
fn sit_down(doors: &[Door], room: usize, name: &'static str, events: usize) -> Seat {
    let ((says, from_guest), (to_guest, hears)) = (bounded(0), bounded(events));
    let guest = Guest { name, says: from_guest, hears: to_guest };
    doors[room].join.send(guest).expect("a room is open as long as it has a door");
    Seat { room, says, hears }
}

/// What a guest has heard, and in which room.
type Diary = Vec<(usize, Arc<str>)>;

/// Plays until all plays that the guest sees the end of are over.
fn play(name: &'static str, mut seats: [Option<Seat>; 2], doors: &[Door]) -> Diary {
    let mut diary = Vec::new();
    while seats.iter().any(Option::is_some) {
        let (place, event) = listen(&seats);
        let (Some(seat), Ok(event)) = (&seats[place], event) else {
            // The room has closed for want of anything to do.
            seats[place] = None;
            continue;
        };
        diary.push((seat.room, event.text));
        match PLAYS[seat.room].lines.get(event.number + 1) {
            Some(&(who, Says(text))) if who == name => {
                seat.says.send(text).expect("a room listens to its guests");
            }
            Some(&(who, GoesTo(room))) if who == name => {
                let left = doors[seat.room].leave.send((name, room));
                left.expect("a room is open as long as it has a door");
                seats[place] = Some(sit_down(doors, room, name, EVENTS_MAX));
            }
            Some(_) => (),
            None => seats[place] = None,
        }
    }
    diary
}

/// Waits for an event in one room or the other. From an empty seat nothing is ever heard.
fn listen(seats: &[Option<Seat>; 2]) -> (usize, Result<Event, RecvError>) {
    let ears = seats.each_ref().map(|seat| match seat {
        Some(seat) => seat.hears.clone(),
        None => never(),
    });
    select! {
        recv(ears[0]) -> event => (0, event),
        recv(ears[1]) -> event => (1, event),
    }
}

/// Reads when the others have gone, and the rooms have closed: each has a sender until then.
fn read_late(seats: &[Seat], others: &Receiver<()>) -> Diary {
    select! {
        recv(others) -> _ => (),
        recv(after(PATIENCE)) -> _ => (),
    }
    let heard = seats.iter().map(|seat| seat.hears.try_iter().map(|event| (seat.room, event.text)));
    heard.flatten().collect()
}

/// What came out: each room, and what each guest heard, Zeno last.
struct Outcome {
    rooms: Vec<Room>,
    diaries: Vec<Diary>,
}

fn converse() -> Outcome {
    thread::scope(|scope| {
        let (here, others) = bounded(0);
        let mut doors = Vec::new();
        let rooms = PLAYS.each_ref().map(|_| {
            let (room, door) = Room::new();
            doors.push(door);
            let here = here.clone();
            scope.spawn(move || {
                let _here = here;
                room.keep()
            })
        });
        let mut seats = NAMES.map(|_| [const { None }; 2]);
        let mut late = Vec::new();
        for (room, play) in PLAYS.iter().enumerate() {
            for &(name, _) in &play.lines[..play.at_start] {
                match NAMES.iter().position(|&other| other == name) {
                    None => late.push(sit_down(&doors, room, name, EVENTS_LATE)),
                    Some(guest) => {
                        let seat = sit_down(&doors, room, name, EVENTS_MAX);
                        let free = seats[guest].iter_mut().find(|seat| seat.is_none());
                        *free.expect("nobody sits in three rooms") = Some(seat);
                    }
                }
            }
        }
        let late = scope.spawn(move || read_late(&late, &others));
        let mut guests = Vec::new();
        for (name, seats) in NAMES.into_iter().zip(seats) {
            let (doors, here) = (doors.clone(), here.clone());
            guests.push(scope.spawn(move || {
                let _here = here;
                play(name, seats, &doors)
            }));
        }
        drop((doors, here));
        guests.push(late);
        let diaries = guests.into_iter().map(|guest| guest.join().expect("no guest panics"));
        let diaries = diaries.collect();
        Outcome { rooms: rooms.map(|room| room.join().expect("no room panics")).into(), diaries }
    })
}

/// What `name` hears in a room where all goes as written: from the own joining to the own leaving.
fn should_hear(name: &str, room: usize) -> Diary {
    let mut present = false;
    let mut heard = Vec::new();
    for &(who, act) in PLAYS[room].lines {
        match act {
            Joins if who == name => present = true,
            GoesTo(_) if who == name => present = false,
            _ => (),
        }
        if present {
            heard.push((room, text_of(who, act).into()));
        }
    }
    heard
}

impl Outcome {
    /// Compares with the script.
    fn check(&self) -> Result<(), String> {
        for (number, (room, play)) in self.rooms.iter().zip(&PLAYS).enumerate() {
            let lines: Vec<_> = play.lines.iter().map(|&(who, act)| text_of(who, act)).collect();
            if !room.events.iter().map(|event| &**event).eq(lines.iter().map(|line| &**line)) {
                return Err(format!("in the {} it went otherwise: {:?}", play.room, room.events));
            }
            for (name, diary) in NAMES.iter().chain([&LATE]).zip(&self.diaries) {
                let mut should = should_hear(name, number);
                if *name == LATE {
                    should.truncate(EVENTS_LATE);
                }
                let heard: Diary =
                    diary.iter().filter(|(in_room, _)| *in_room == number).cloned().collect();
                if heard != should {
                    return Err(format!("{name} heard {heard:?} in the {}", play.room));
                }
            }
            let missed = should_hear(LATE, number).len() - EVENTS_LATE;
            if room.missed != missed {
                return Err(format!("{} events were missed in the {}", room.missed, play.room));
            }
        }
        Ok(())
    }

    fn print(&self) {
        for (room, play) in self.rooms.iter().zip(&PLAYS) {
            println!("{}", play.room);
            for event in &room.events {
                println!("  {event}");
            }
            println!("  not waited for: {LATE}, who missed {}", room.missed);
        }
        for (name, diary) in NAMES.iter().chain([&LATE]).zip(&self.diaries) {
            println!("{name} heard {} events", diary.len());
        }
    }
}

fn work() -> Result<(), String> {
    let outcome = sylvan::run(converse);
    outcome.print();
    outcome.check()?;
    for seed in 0..SEEDS {
        Plan::new().run(seed, converse).check().map_err(|error| format!("seed {seed}: {error}"))?;
    }
    println!("the same under each of {SEEDS} seeds");
    Ok(())
}

fn main() -> ExitCode {
    match work() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("chat_rooms: {message}");
            ExitCode::FAILURE
        }
    }
}

const NAMES: [&str; 4] = ["Ada", "Ben", "Cleo", "Dot"];
const LATE: &str = "Zeno";
const GARDEN: usize = 0;
const KITCHEN: usize = 1;
const HARBOUR: usize = 2;
const PLAYS: [Play; 3] = [
    Play {
        room: "garden",
        at_start: 4,
        lines: &[
            ("Ada", Joins),
            ("Ben", Joins),
            ("Cleo", Joins),
            ("Zeno", Joins),
            ("Ada", Says("who has seen the cat?")),
            ("Ben", Says("not I")),
            ("Cleo", Says("I shall look in the kitchen")),
            ("Cleo", GoesTo(KITCHEN)),
            ("Cleo", Joins),
            ("Cleo", Says("it has eaten the fish")),
            ("Ben", Says("then I shall catch another")),
            ("Ben", GoesTo(HARBOUR)),
            ("Ada", Says("and what do we eat meanwhile?")),
        ],
    },
    Play {
        room: "kitchen",
        at_start: 2,
        lines: &[
            ("Dot", Joins),
            ("Zeno", Joins),
            ("Cleo", Joins),
            ("Cleo", Says("is the cat here?")),
            ("Dot", Says("it was, and so was the fish")),
            ("Cleo", GoesTo(GARDEN)),
        ],
    },
    Play {
        room: "harbour",
        at_start: 2,
        lines: &[
            ("Dot", Joins),
            ("Zeno", Joins),
            ("Ben", Joins),
            ("Ben", Says("do they bite today?")),
            ("Dot", Says("ask the cat")),
        ],
    },
];
/// No room has so many events.
const EVENTS_MAX: usize = 100;
const EVENTS_LATE: usize = 2;
/// So long a room waits for something to happen; it never comes to that.
const PATIENCE: Duration = Duration::from_secs(10);
const SEEDS: u64 = 100;
