//! A bank whose clerks move money between accounts while an auditor counts all of it.
//!
//! Each account is a `sylvan::sync::Mutex`. A clerk locks the two accounts of a transfer in the
//! order of their numbers, so that no two clerks ever wait for each other in a circle, and lets
//! others run in the middle of it, when the money has left one account and has not reached the
//! other. The auditor locks all accounts, in the same order, whenever a hundredth of the transfers
//! has been made: a `Condvar` says when. While it holds them no transfer is half done, so it must
//! find the same sum each time. At the end each account is compared with what the same orders give
//! when one clerk alone carries them out.
//!
//! ```text
//! $ cargo run --release --example bank
//! 100 accounts, 1000 clerks, 100 transfers each
//! 100 audits: each found 100000 in all
//! after 100000 transfers: 100000 in all, and each account as one clerk alone would leave it
//! ```
//!
//! `bank [--accounts N] [--clerks N] [--transfers N]`, the last one for each clerk. What is found
//! wrong is printed and ends the program with status 1, wrong arguments with status 2.
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::process::ExitCode;

use sylvan::sync::{Condvar, Mutex};
use sylvan::thread;

#[path = "support/number.rs"]
mod number;

use number::number;

/// Balances may be below zero. If orders could be refused, the end would depend on which came
/// first, and only the sum could be checked.
struct Bank {
    accounts: Vec<Mutex<i64>>,
    progress: Mutex<Progress>,
    moved: Condvar,
}

struct Progress {
    transfers: u64,
    /// No more will be made.
    closed: bool,
}

/// To move so much from one account to another one.
struct Order {
    from: usize,
    to: usize,
    amount: i64,
}

impl Bank {
    fn new(account_count: usize) -> Bank {
        let accounts = (0..account_count).map(|_| Mutex::new(OPENING_BALANCE)).collect();
        let progress = Mutex::new(Progress { transfers: 0, closed: false });
        Bank { accounts, progress, moved: Condvar::new() }
    }

    fn transfer(&self, order: &Order, audit_every: u64) {
        {
            let (low, high) = (order.from.min(order.to), order.from.max(order.to));
            let mut low_balance = self.accounts[low].lock().expect(NO_PANIC);
            let mut high_balance = self.accounts[high].lock().expect(NO_PANIC);
            let (from, to) = match order.from == low {
                true => (&mut *low_balance, &mut *high_balance),
                false => (&mut *high_balance, &mut *low_balance),
            };
            *from -= order.amount;
            // Others run meanwhile, on this worker too; who needs one of the two accounts waits.
            thread::yield_now();
            *to += order.amount;
        }
        let mut progress = self.progress.lock().expect(NO_PANIC);
        progress.transfers += 1;
        if progress.transfers.is_multiple_of(audit_every) {
            self.moved.notify_one();
        }
    }

    /// All money, counted while no transfer is half done.
    fn sum(&self) -> i64 {
        let balances: Vec<_> =
            self.accounts.iter().map(|account| account.lock().expect(NO_PANIC)).collect();
        balances.iter().map(|balance| **balance).sum()
    }

    /// Counts whenever so many transfers more have been made, until the bank is closed, and
    /// returns what each count has found.
    fn audit(&self, audit_every: u64) -> Vec<i64> {
        let mut found = Vec::new();
        loop {
            let due = (found.len() as u64 + 1) * audit_every;
            let progress = self.progress.lock().expect(NO_PANIC);
            let wait = |progress: &mut Progress| progress.transfers < due && !progress.closed;
            let progress = self.moved.wait_while(progress, wait).expect(NO_PANIC);
            if progress.transfers < due {
                return found;
            }
            // Clerks go on while the accounts are being locked one after the other.
            drop(progress);
            found.push(self.sum());
        }
    }

    fn close(&self) {
        self.progress.lock().expect(NO_PANIC).closed = true;
        self.moved.notify_one();
    }

    fn into_balances(self) -> Vec<i64> {
        self.accounts.into_iter().map(|account| account.into_inner().expect(NO_PANIC)).collect()
    }
}

/// The orders of one clerk: the same in each run, and others than any other clerk's.
fn orders_of(clerk: u64, arguments: &Arguments) -> impl Iterator<Item = Order> {
    let account_count = arguments.accounts;
    // A xorshift generator; any state but zero will do.
    let mut state = (clerk + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut below = move |limit: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % limit
    };
    (0..arguments.transfers).map(move |_| {
        let from = below(account_count);
        let to = (from + 1 + below(account_count - 1)) % account_count;
        Order { from: from as usize, to: to as usize, amount: 1 + below(100) as i64 }
    })
}

#[sylvan::main]
fn main() -> ExitCode {
    let result = match Arguments::parse(std::env::args_os().skip(1)) {
        Ok(Some(arguments)) => work(&arguments),
        Ok(None) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(message) => {
            eprint!("bank: {message}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("bank: {message}");
            ExitCode::FAILURE
        }
    }
}

fn work(arguments: &Arguments) -> Result<(), String> {
    let Arguments { accounts, clerks, transfers } = *arguments;
    println!("{accounts} accounts, {clerks} clerks, {transfers} transfers each");
    let bank = Bank::new(accounts as usize);
    let audits = employ(&bank, arguments)?;
    let money = accounts as i64 * OPENING_BALANCE;
    if let Some(found) = audits.iter().find(|&&found| found != money) {
        return Err(format!("an audit found {found}, and there are {money}"));
    }
    println!("{} audits: each found {money} in all", audits.len());

    let balances = bank.into_balances();
    let (sum, total) = (balances.iter().sum::<i64>(), clerks * transfers);
    for (number, (has, should)) in balances.iter().zip(one_clerk_alone(arguments)).enumerate() {
        if *has != should {
            return Err(format!("account {number} has {has}, and should have {should}"));
        }
    }
    println!(
        "after {total} transfers: {sum} in all, and each account as one clerk alone would leave it"
    );
    Ok(())
}

/// Has the clerks carry out their orders, and returns what the auditor has found meanwhile.
fn employ(bank: &Bank, arguments: &Arguments) -> Result<Vec<i64>, String> {
    let clerks = arguments.clerks;
    let audit_every = (clerks * arguments.transfers / AUDITS_MAX).max(1);
    thread::scope(|scope| {
        let auditor = scope.spawn(move || bank.audit(audit_every));
        let mut staff = Vec::new();
        let mut outcome = Ok(());
        for number in 0..clerks {
            let clerk = move || {
                for order in orders_of(number, arguments) {
                    bank.transfer(&order, audit_every);
                }
            };
            match thread::Builder::new().spawn_scoped(scope, clerk) {
                Ok(clerk) => staff.push(clerk),
                Err(error) => {
                    outcome = Err(format!("clerk {number} of {clerks} cannot start: {error}"));
                    break;
                }
            }
        }
        for (number, clerk) in staff.into_iter().enumerate() {
            if clerk.join().is_err() && outcome.is_ok() {
                outcome = Err(format!("clerk {number} of {clerks} has not done the work"));
            }
        }
        // Also after a failure: the auditor would wait for ever.
        bank.close();
        let audits = auditor.join().expect("the auditor does not panic");
        outcome.map(|()| audits)
    })
}

/// The balances to which the same orders lead without any threads.
fn one_clerk_alone(arguments: &Arguments) -> Vec<i64> {
    let mut balances = vec![OPENING_BALANCE; arguments.accounts as usize];
    for order in (0..arguments.clerks).flat_map(|number| orders_of(number, arguments)) {
        balances[order.from] -= order.amount;
        balances[order.to] += order.amount;
    }
    balances
}

struct Arguments {
    accounts: u64,
    clerks: u64,
    /// For each clerk.
    transfers: u64,
}

impl Arguments {
    /// `None`: the user wants to know the usage.
    fn parse(mut given: impl Iterator<Item = OsString>) -> Result<Option<Arguments>, String> {
        let mut arguments = Arguments { accounts: 100, clerks: 1_000, transfers: 100 };
        while let Some(option) = given.next() {
            let (name, value, min, max) = match option.to_str() {
                // A transfer needs two.
                Some(name @ "--accounts") => (name, &mut arguments.accounts, 2, ACCOUNTS_MAX),
                Some(name @ "--clerks") => (name, &mut arguments.clerks, 1, CLERKS_MAX),
                Some(name @ "--transfers") => (name, &mut arguments.transfers, 1, TRANSFERS_MAX),
                Some("--help" | "-h") => return Ok(None),
                _ => {
                    return Err(format!(
                        "unknown argument {option:?}; accepted: --accounts N, --clerks N, \
                         --transfers N"
                    ));
                }
            };
            *value = number(name, given.next(), min, max)?;
        }
        Ok(Some(arguments))
    }
}

const USAGE: &str = "usage: bank [--accounts N] [--clerks N] [--transfers N]\n";
const NO_PANIC: &str = "nobody panics with an account in hand";
const OPENING_BALANCE: i64 = 1_000;
const AUDITS_MAX: u64 = 100;
const ACCOUNTS_MAX: u64 = 100_000;
const CLERKS_MAX: u64 = 10_000;
const TRANSFERS_MAX: u64 = 1_000_000;
