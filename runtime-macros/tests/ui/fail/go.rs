//! What `go!` refuses.

use sylvan::go;

fn work() {}

fn main() {
    go!();
    go!(5);
    go!(-5);
    go!("five");
    go!((true));
    go!(name = "alone");
    go!(name = );
    go!(name = "a", name = "b", work);
    go!(nmae = "a", work);
    go!(stack_size = 0, work);
    go!(stack_size = "1G", work);
    go!(work, name = "late");
    go!(name = "a" work);
    go!(|argument| argument);
    go!(async || work());
    go!(async { work() });
    go!(work(), work());
    go!(work(); work());
    go! { let x = 1; x };
    go!(work work);
}
