//! `break` and `continue` belong to the arm, which is no loop.

fn main() {
    loop {
        sylvan::join!(break, 1);
        sylvan::join!(1, continue);
    }
}
