//! The scheduler: who runs which thread when, how threads wait, and how workers sleep.
//!
//! `README.md` beside this file holds the idle protocol with its proof. Reading order: `door`
//! (how a thread waits), `life` (how it runs), `turn` (what runs next), `pause` (how a worker
//! sleeps), `worker` (what it owns), `shared` (what all see), `shutdown`.

pub(crate) mod arm;
pub(crate) mod ballast;
pub(crate) mod budget;
pub(crate) mod choices;
pub(crate) mod config;
pub(crate) mod cut;
pub(crate) mod default;
pub(crate) mod door;
pub(crate) mod events;
pub(crate) mod idle;
pub(crate) mod inplace;
pub(crate) mod job;
pub(crate) mod life;
pub(crate) mod linger;
pub(crate) mod loan;
pub(crate) mod many_to_many;
pub(crate) mod many_to_one;
pub(crate) mod one_to_one;
pub(crate) mod pause;
pub(crate) mod random;
pub(crate) mod readiness;
pub(crate) mod ready;
pub(crate) mod registry;
pub(crate) mod report;
pub(crate) mod seeded;
pub(crate) mod share;
pub(crate) mod shared;
pub(crate) mod short_turn;
pub(crate) mod shutdown;
pub(crate) mod slot;
pub(crate) mod sources;
pub(crate) mod spawn;
pub(crate) mod start;
pub(crate) mod trials;
pub(crate) mod turn;
pub(crate) mod woken;
pub(crate) mod worker;
