//! What `join!` refuses.

use sylvan::join;

fn main() {
    join!();
    join!(,);
    join!(|| 1, 2);
    join!(1, move || 2);
    join!(1; 2);
    join!(1 2);
    join!(1,, 2);
}
