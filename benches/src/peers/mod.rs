//! The peers behind the few calls that the rows need: those whose threads block in `threads`, those
//! whose tasks are futures in `tasks`.

mod fair;
pub(crate) mod tasks;
pub(crate) mod threads;
pub(crate) mod waiter;
