//! A sieve with a thread for each prime, as it is known from the first programs in Go.
//!
//! One thread counts: 2, 3, 4 and so on. The first number that comes out of a channel is a prime.
//! A thread is started for it that passes on what it does not divide, over a channel of its own,
//! and the first number there is the next prime. Each channel has room for nothing: a send waits
//! for the receiver. So no thread runs ahead of its neighbours by more than one number, although
//! nobody watches over it. When enough primes are there, the last receiver is dropped. That ends
//! the thread that sends to it, this drops its own receiver, and so the whole chain ends, up to
//! the thread that counts.
//!
//! ```text
//! $ cargo run --release --example prime_sieve
//!     2     3     5     7    11    13    17    19    23    29    31    37    41    43    47
//!    53    59    61    67    71    73    79    83    89    97   101   103   107   109   113
//!   127   131   137   139   149   151   157   163   167   173   179   181   191   193   197
//!   199   211   223   227   229   233   239   241   251   257   263   269   271   277   281
//!   283   293   307   311   313   317   331   337   347   349   353   359   367   373   379
//!   383   389   397   401   409   419   421   431   433   439   443   449   457   461   463
//!   467   479   487   491   499   503   509   521   523   541   547   557   563   569   571
//!   577   587   593   599   601   607   613   617   619   631   641   643   647   653   659
//!   661   673   677   683   691   701   709   719   727   733   739   743   751   757   761
//!   769   773   787   797   809   811   821   823   827   829   839   853   857   859   863
//!   877   881   883   887   907   911   919   929   937   941   947   953   967   971   977
//!   983   991   997  1009  1013  1019  1021  1031  1033  1039  1049  1051  1061  1063  1069
//!  1087  1091  1093  1097  1103  1109  1117  1123  1129  1151  1153  1163  1171  1181  1187
//!  1193  1201  1213  1217  1223
//! 200 primes by 201 threads: one for each, and one that counts
//! ```
//!
//! `prime_sieve [N]`: how many primes. What trial division finds otherwise, and a thread that the
//! system does not give, end the program with status 1, wrong arguments with status 2.
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::process::ExitCode;

use sylvan::channel::{Receiver, Sender, bounded};
use sylvan::thread::{self, Scope, ScopedJoinHandle};

#[path = "support/number.rs"]
mod number;

use number::number;

/// Sends every number from 2 on, until nobody wants more.
fn count(numbers: &Sender<u64>) {
    for number in 2.. {
        if numbers.send(number).is_err() {
            return;
        }
    }
}

/// Passes on what `prime` does not divide, until nobody wants more.
fn filter(prime: u64, numbers: &Receiver<u64>, rest: &Sender<u64>) {
    for number in numbers.iter().filter(|number| !number.is_multiple_of(prime)) {
        if rest.send(number).is_err() {
            return;
        }
    }
}

/// Returns the first `wanted` primes, and how many threads have found them.
fn sieve(wanted: usize) -> Result<(Vec<u64>, usize), String> {
    let mut primes = Vec::with_capacity(wanted);
    thread::scope(|scope| {
        let (sender, mut numbers) = bounded(0);
        let mut chain = vec![start(scope, move || count(&sender))?];
        for _ in 0..wanted {
            // There is always a next number, so a chain that ends has lost a thread.
            let prime = numbers.recv().map_err(|_| format!("the chain broke at {primes:?}"))?;
            primes.push(prime);
            let (sender, rest) = bounded(0);
            let before = std::mem::replace(&mut numbers, rest);
            chain.push(start(scope, move || filter(prime, &before, &sender))?);
        }
        drop(numbers);
        let thread_count = chain.len();
        let ended = chain.into_iter().filter_map(|thread| thread.join().ok()).count();
        match ended == thread_count {
            true => Ok(thread_count),
            false => Err(format!("{} of {thread_count} threads failed", thread_count - ended)),
        }
    })
    .map(|thread_count| (primes, thread_count))
}

fn start<'scope>(
    scope: &'scope Scope<'scope, '_>,
    body: impl FnOnce() + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, ()>, String> {
    let thread = thread::Builder::new().spawn_scoped(scope, body);
    thread.map_err(|error| format!("a thread cannot start: {error}"))
}

fn is_prime(number: u64) -> bool {
    let mut divisors = (2..number).take_while(|divisor| divisor * divisor <= number);
    !divisors.any(|divisor| number.is_multiple_of(divisor))
}

fn work(wanted: usize) -> Result<(), String> {
    let (primes, thread_count) = sieve(wanted)?;
    if !primes.iter().copied().eq((2..).filter(|&number| is_prime(number)).take(wanted)) {
        return Err(format!("trial division finds other primes than {primes:?}"));
    }
    for line in primes.chunks(PER_LINE) {
        let line: Vec<_> = line.iter().map(|prime| format!("{prime:5}")).collect();
        println!("{}", line.join(" "));
    }
    println!("{wanted} primes by {thread_count} threads: one for each, and one that counts");
    Ok(())
}

#[sylvan::main]
fn main() -> ExitCode {
    let result = match wanted(std::env::args_os().skip(1)) {
        Ok(Some(wanted)) => work(wanted),
        Ok(None) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(message) => {
            eprint!("prime_sieve: {message}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("prime_sieve: {message}");
            ExitCode::FAILURE
        }
    }
}

/// `None`: the user wants to know the usage.
fn wanted(mut given: impl Iterator<Item = OsString>) -> Result<Option<usize>, String> {
    let Some(argument) = given.next() else { return Ok(Some(PRIMES)) };
    if argument == "--help" || argument == "-h" {
        return Ok(None);
    }
    let wanted = number("N", Some(argument), 1, PRIMES_MAX)?;
    match given.next() {
        Some(second) => Err(format!("one N is accepted, and {second:?} is the second")),
        None => Ok(Some(wanted as usize)),
    }
}

const USAGE: &str = "usage: prime_sieve [N]\n";
const PRIMES: usize = 200;
const PRIMES_MAX: u64 = 10_000;
const PER_LINE: usize = 15;
