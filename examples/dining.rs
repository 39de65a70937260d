//! Philosophers dine round a table with as many forks as there are guests, and each needs two.
//!
//! A fork is a `sylvan::sync::Mutex`. With an order among the forks (everybody takes the one with
//! the lower number first) all of them finish, under every mapping and every schedule. Without one
//! (each takes the fork on the left first) there is a schedule in which everybody holds one fork
//! and waits for ever for the next. On the real scheduler such a dinner goes well or hangs, as it
//! happens. A seeded run finds the schedule, ends by itself, and says who waits for what.
//!
//! ```text
//! $ cargo run --release --example dining
//! lower number first: all 5 have finished
//!   Plato ate 1000 times
//!   Hypatia ate 1000 times
//!   Epicurus ate 1000 times
//!   Diotima ate 1000 times
//!   Zeno ate 1000 times
//! left fork first: nothing can move any more under seed 6 of 200
//!   Plato waits for the fork of Hypatia
//!   Hypatia waits for the fork of Epicurus
//!   Epicurus waits for the fork of Diotima
//!   Diotima waits for the fork of Zeno
//!   Zeno waits for the fork of Plato
//! lower number first: all finish under each of 200 seeds
//! ```
//!
//! `dining [--philosophers N] [--meals N]`; the seeded runs are always those of a table of five.
//! What does not come out as said ends the program with status 1, wrong arguments with status 2.
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use sylvan::sync::Mutex;
use sylvan::testing::Plan;
use sylvan::thread;

#[path = "support/number.rs"]
mod number;

use number::number;

/// A fork knows how often it was used; what a lock guards need not be more.
type Fork = Mutex<u64>;

/// Which fork a philosopher takes first.
#[derive(Clone, Copy)]
enum Habit {
    /// That with the lower number. Along any chain of waits the numbers only grow, so none comes
    /// back to where it began.
    InOrder,
    /// That on the left. Round the table this is a circle: only the last guest's two forks stand in
    /// another order.
    LeftFirst,
}

/// Philosopher `number` has the fork of that number on the left, and the next one on the right.
fn forks_of(number: usize, forks: &[Fork], habit: Habit) -> [&Fork; 2] {
    let (left, right) = (number, (number + 1) % forks.len());
    match habit {
        Habit::InOrder => [&forks[left.min(right)], &forks[left.max(right)]],
        Habit::LeftFirst => [&forks[left], &forks[right]],
    }
}

/// Eats, and returns how often.
fn dine(number: usize, meals: u64, forks: &[Fork], habit: Habit) -> u64 {
    let [first, second] = forks_of(number, forks, habit);
    let mut eaten = 0;
    for _ in 0..meals {
        let mut first = first.lock().expect("nobody panics with a fork in hand");
        let mut second = second.lock().expect("nobody panics with a fork in hand");
        // Locks of sylvan's may be held over anything that waits: others have their turns here.
        thread::yield_now();
        *first += 1;
        *second += 1;
        eaten += 1;
    }
    eaten
}

/// Has everybody dine, and returns how often each of them has eaten.
fn serve(meals: u64, forks: &[Fork], habit: Habit) -> Vec<u64> {
    thread::scope(|scope| {
        let guests: Vec<_> = (0..forks.len())
            .map(|number| {
                let guest = thread::Builder::new().name(name(number));
                guest.spawn_scoped(scope, move || dine(number, meals, forks, habit))
            })
            .collect();
        let eaten = guests.into_iter().map(|guest| {
            let guest = guest.expect("the system has a thread for each guest");
            guest.join().expect("no philosopher panics")
        });
        eaten.collect()
    })
}

fn table(philosophers: usize) -> Vec<Fork> {
    (0..philosophers).map(|_| Mutex::new(0)).collect()
}

fn name(number: usize) -> String {
    match NAMES.get(number) {
        Some(name) => (*name).to_owned(),
        None => format!("philosopher {}", number + 1),
    }
}

fn main() -> ExitCode {
    match Arguments::parse(std::env::args_os().skip(1)) {
        Ok(Some(arguments)) => {
            let good = sylvan::run(|| all_finish_in_order(&arguments)) && deadlock_is_found();
            if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Ok(None) => {
            print!("{USAGE}");
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprint!("dining: {message}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn all_finish_in_order(arguments: &Arguments) -> bool {
    let Arguments { philosophers, meals } = *arguments;
    let forks = table(philosophers);
    let eaten = serve(meals, &forks, Habit::InOrder);
    println!("lower number first: all {philosophers} have finished");
    for (number, eaten) in eaten.iter().enumerate() {
        println!("  {} ate {eaten} times", name(number));
    }
    // Each fork has been in the hands of two neighbours.
    let used = forks.into_iter().map(|fork| fork.into_inner().expect("nobody has panicked"));
    eaten.iter().all(|&eaten| eaten == meals) && used.into_iter().all(|used| used == 2 * meals)
}

fn deadlock_is_found() -> bool {
    // A harness prints each panic; here the text is all that is wanted.
    std::panic::set_hook(Box::new(|_| ()));
    let plan = Plan::new();
    let found = (0..SEEDS).find_map(|seed| {
        let forks = table(NAMES.len());
        let dinner = || serve(MEALS_UNDER_SEEDS, &forks, Habit::LeftFirst);
        let payload = catch_unwind(AssertUnwindSafe(|| plan.run(seed, dinner))).err()?;
        Some((seed, waits_in(payload.downcast_ref::<String>()?, &forks)))
    });
    let Some((seed, waits)) = found else {
        println!("left fork first: none of {SEEDS} seeds shows the deadlock");
        return false;
    };
    println!("left fork first: nothing can move any more under seed {seed} of {SEEDS}");
    for (number, fork) in &waits {
        // Who waits at this table holds the fork on the left, which has the guest's own number.
        println!("  {} waits for the fork of {}", name(*number), name(*fork));
    }

    for seed in 0..SEEDS {
        let forks = table(NAMES.len());
        plan.run(seed, || serve(MEALS_UNDER_SEEDS, &forks, Habit::InOrder));
    }
    println!("lower number first: all finish under each of {SEEDS} seeds");
    waits.len() == NAMES.len()
}

/// Reads from the report of a run in which nothing can move who waits for which fork, by numbers.
///
/// A report has a line for each thread, with its name in quotes, and names a lock by its address,
/// which differs from process to process; the place of the lock in the table does not.
fn waits_in(report: &str, forks: &[Fork]) -> Vec<(usize, usize)> {
    let wait = |line: &str| {
        let guest = (0..forks.len()).find(|&number| line.contains(&format!("'{}'", name(number))));
        let (_, object) = line.split_once("object 0x")?;
        let digits = object.split(|c: char| !c.is_ascii_hexdigit()).next()?;
        let address = usize::from_str_radix(digits, 16).ok()?;
        let offset = address.checked_sub(forks.as_ptr().addr())?;
        Some((guest?, offset / size_of::<Fork>()))
    };
    let waits = report.lines().filter_map(wait).filter(|(_, fork)| *fork < forks.len());
    let mut waits: Vec<_> = waits.collect();
    waits.sort_unstable();
    waits
}

struct Arguments {
    philosophers: usize,
    meals: u64,
}

impl Arguments {
    /// `None`: the user wants to know the usage.
    fn parse(mut given: impl Iterator<Item = OsString>) -> Result<Option<Arguments>, String> {
        let mut arguments = Arguments { philosophers: NAMES.len(), meals: 1_000 };
        while let Some(option) = given.next() {
            match option.to_str() {
                Some("--philosophers") => {
                    let number = number("--philosophers", given.next(), 2, PHILOSOPHERS_MAX)?;
                    arguments.philosophers = number as usize;
                }
                Some("--meals") => {
                    arguments.meals = number("--meals", given.next(), 1, MEALS_MAX)?;
                }
                Some("--help" | "-h") => return Ok(None),
                _ => {
                    return Err(format!(
                        "unknown argument {option:?}; accepted: --philosophers N, --meals N"
                    ));
                }
            }
        }
        Ok(Some(arguments))
    }
}

const USAGE: &str = "usage: dining [--philosophers N] [--meals N]\n";
const NAMES: [&str; 5] = ["Plato", "Hypatia", "Epicurus", "Diotima", "Zeno"];
const PHILOSOPHERS_MAX: u64 = 1_000;
const MEALS_MAX: u64 = 1_000_000;
const SEEDS: u64 = 200;
const MEALS_UNDER_SEEDS: u64 = 5;
