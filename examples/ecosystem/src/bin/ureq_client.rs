//! A hundred agents of `ureq`, on sylvan's sockets, send requests one after the other.
//!
//! ```text
//! $ cargo run --release -p sylvan-ecosystem --bin ureq_client
//! 100 clients, 1000 answers
//! ```
//!
//! The same under every mapping, with any number of workers. What is done is in `agent.rs`.
#![forbid(unsafe_code)]

#[sylvan::main]
fn main() -> sylvan_ecosystem::Result<()> {
    let answers = sylvan_ecosystem::agent::all(CLIENTS, REQUESTS)?;
    println!("{CLIENTS} clients, {answers} answers");
    Ok(())
}

const CLIENTS: usize = 100;
const REQUESTS: usize = 10;
