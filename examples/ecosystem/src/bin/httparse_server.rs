//! A hundred clients send requests in one piece to a server on `httparse`.
//!
//! ```text
//! $ cargo run --release -p sylvan-ecosystem --bin httparse_server
//! 100 clients, 1000 answers
//! ```
//!
//! The same under every mapping, with any number of workers. What is done is in `http.rs`.
#![forbid(unsafe_code)]

#[sylvan::main]
fn main() -> sylvan_ecosystem::Result<()> {
    let answers = sylvan_ecosystem::http::all(CLIENTS, REQUESTS)?;
    println!("{CLIENTS} clients, {answers} answers");
    Ok(())
}

const CLIENTS: usize = 100;
const REQUESTS: usize = 10;
