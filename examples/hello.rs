//! The smallest program: a few threads, joined.
use sylvan::go;

#[sylvan::main]
fn main() {
    let threads: Vec<_> = (0..4).map(|n| go!(move || n * n)).collect();
    for t in threads { println!("{}", t.join().unwrap()); }
}
