//! A hundred clients of `hyper` send requests to a server of `hyper`, all on green threads.
//!
//! ```text
//! $ cargo run --release -p sylvan-ecosystem --bin hyper_both
//! 100 clients, 1000 answers
//! ```
//!
//! The same under every mapping, with any number of workers. What is done is in `futures.rs`.
#![forbid(unsafe_code)]

#[sylvan::main]
fn main() -> sylvan_ecosystem::Result<()> {
    let answers = sylvan_ecosystem::futures::all(CLIENTS, REQUESTS)?;
    println!("{CLIENTS} clients, {answers} answers");
    Ok(())
}

const CLIENTS: usize = 100;
const REQUESTS: usize = 10;
