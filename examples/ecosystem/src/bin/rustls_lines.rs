//! A hundred clients ask over TLS, by `rustls`, and are answered in capitals.
//!
//! ```text
//! $ cargo run --release -p sylvan-ecosystem --bin rustls_lines
//! 100 clients, 1000 answers
//! ```
//!
//! The same under every mapping, with any number of workers. What is done is in `tls.rs`.
#![forbid(unsafe_code)]

#[sylvan::main]
fn main() -> sylvan_ecosystem::Result<()> {
    let answers = sylvan_ecosystem::tls::all(CLIENTS, QUESTIONS)?;
    println!("{CLIENTS} clients, {answers} answers");
    Ok(())
}

const CLIENTS: usize = 100;
const QUESTIONS: usize = 10;
