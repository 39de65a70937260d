//! What of `sylvan::sync` must not go to other threads, or be seen from there, for what is inside.
//!
//! The guards are missing on purpose: the compiler quotes the library's source when it says why
//! they stay with their thread. `tests/sync/traits.rs` asks for them without its words.

use std::cell::Cell;
use std::rc::Rc;

use sylvan::sync::{LazyLock, Mutex, OnceLock, RwLock};

fn sent<T: Send>() {}
fn shared<T: Sync>() {}

fn values_that_stay_on_one_thread() {
    sent::<Mutex<Rc<i32>>>();
    shared::<Mutex<Rc<i32>>>();
    sent::<RwLock<Rc<i32>>>();
    sent::<OnceLock<Rc<i32>>>();
    sent::<LazyLock<Rc<i32>>>();
}

fn values_that_many_would_see_at_once() {
    shared::<RwLock<Cell<i32>>>();
    shared::<OnceLock<Cell<i32>>>();
    shared::<LazyLock<Cell<i32>>>();
}

fn main() {}
