//! transfer: one thread of many leads; it must not go on before every other one has seen that it
//! leads, and then hands the lead to a random one. The leader *spins* until all have seen it, and
//! keeps its worker busy all the time, so whoever was queued behind it must be run by somebody
//! else. Threads that have seen it yield, or ("parking") wait until the leader releases them.
//!
//! A runtime that never moves a started thread cannot run those that are at home on the leader's
//! worker: it does not finish, and the row says so. That is the price of what it promises instead.
//! The row "with a leader that yields" is not of the thesis: there everybody can finish.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::THREADS_PER_WORKER;
use crate::peers::tasks::Tasks;
use crate::peers::threads::Threads;
use crate::random::Random;
use crate::row::{Game, Outcome, Row, Scale};

pub(super) fn rows(scale: Scale, workers: usize) -> Vec<Row> {
    let row = |title: &str, parking: bool, polite: bool| {
        Row::new("cforall", title).workers(workers).unit("µs per transfer").everyone(Transfer {
            scale,
            workers,
            parking,
            polite,
        })
    };
    let mut rows = vec![row("cforall: transfer, with a leader that yields", false, true)];
    // Alone, a leader that spins waits for ever, whatever the runtime.
    if workers > 1 {
        rows.push(row("cforall: transfer", false, false));
        rows.push(row("cforall: transfer, parking", true, false));
    }
    rows
}

#[derive(Clone, Copy)]
struct Transfer {
    scale: Scale,
    workers: usize,
    parking: bool,
    polite: bool,
}

impl Transfer {
    fn threads_count(self) -> u64 {
        THREADS_PER_WORKER * self.workers as u64
    }

    fn transfers(self) -> u64 {
        self.scale.pick(200, 20)
    }

    /// How long a leader waits before the pattern counts as not finished.
    fn patience(self) -> Duration {
        self.scale.pick(Duration::from_secs(5), Duration::from_millis(500))
    }
}

/// What all threads see. `S` is what a thread waits for in "parking".
struct Stage<S> {
    game: Transfer,
    leader: AtomicU64,
    /// The number of the present lead.
    lead: AtomicU64,
    /// The lead that each thread has seen last.
    seen: Vec<AtomicU64>,
    doors: Vec<S>,
    over: AtomicBool,
    /// How many had not seen a leader that lost its patience.
    missing: AtomicU64,
}

/// What a leader has to do next.
enum Lead {
    /// Look again; yield before, if it is polite.
    Wait,
    /// Release the others and hand the lead on.
    Seen,
    /// All is over.
    Over,
}

impl<S> Stage<S> {
    fn new(game: Transfer, door: fn() -> S) -> Arc<Stage<S>> {
        let count = game.threads_count();
        Arc::new(Stage {
            game,
            leader: AtomicU64::new(0),
            lead: AtomicU64::new(0),
            seen: (0..count).map(|_| AtomicU64::new(0)).collect(),
            doors: (0..count).map(|_| door()).collect(),
            over: AtomicBool::new(false),
            missing: AtomicU64::new(0),
        })
    }

    // All words here are read and written in sequential consistency: the pattern is about
    // scheduling, and its few hundred operations a transfer are the same for every peer.
    fn leads(&self, me: u64) -> bool {
        self.leader.load(Ordering::SeqCst) == me
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    /// Begins a lead and returns its number, or none if there were enough.
    fn begin(&self, me: u64) -> Option<u64> {
        let lead = self.lead.load(Ordering::SeqCst) + 1;
        self.seen[me as usize].store(lead, Ordering::SeqCst);
        if lead > self.game.transfers() {
            self.over.store(true, Ordering::SeqCst);
            return None;
        }
        self.lead.store(lead, Ordering::SeqCst);
        Some(lead)
    }

    /// How it stands with a lead that began at `since`.
    fn look(&self, lead: u64, since: Instant) -> Lead {
        let unseen = |seen: &&AtomicU64| seen.load(Ordering::SeqCst) != lead;
        if self.seen.iter().find(unseen).is_none() {
            return Lead::Seen;
        }
        if since.elapsed() < self.game.patience() {
            return Lead::Wait;
        }
        let missing = self.seen.iter().filter(unseen).count() as u64;
        self.missing.store(missing, Ordering::SeqCst);
        self.over.store(true, Ordering::SeqCst);
        Lead::Over
    }

    fn hand_on(&self, random: &mut Random) {
        self.leader.store(random.below(self.game.threads_count()), Ordering::SeqCst);
    }

    /// Notes the present lead as seen by `me`; says whether it was new.
    fn see(&self, me: u64) -> bool {
        let lead = self.lead.load(Ordering::SeqCst);
        self.seen[me as usize].swap(lead, Ordering::SeqCst) != lead
    }

    /// Microseconds a transfer, or why there are none.
    fn outcome(&self, took: Duration) -> Outcome {
        match self.missing.load(Ordering::SeqCst) {
            0 => Ok(vec![took.as_secs_f64() * 1e6 / self.game.transfers() as f64]),
            missing => Err(format!(
                "does not finish: {missing} of {} threads had not seen a leader within {:?}",
                self.game.threads_count(),
                self.game.patience()
            )),
        }
    }
}

impl Game for Transfer {
    fn threads<P: Threads>(self) -> Outcome {
        let runtime = P::start(self.workers);
        runtime.run(move || {
            let stage = Stage::new(self, P::semaphore);
            let start = Instant::now();
            let spawn = |me: u64| {
                let stage = stage.clone();
                P::spawn(move || acting_thread::<P>(me, &stage))
            };
            let handles: Vec<_> = (0..self.threads_count()).map(spawn).collect();
            for handle in handles {
                P::join(handle);
            }
            stage.outcome(start.elapsed())
        })
    }

    fn tasks<P: Tasks>(self) -> Outcome {
        let runtime = P::start(self.workers);
        runtime.run(async move {
            let stage = Stage::new(self, P::semaphore);
            let start = Instant::now();
            let spawn = |me: u64| P::spawn(acting_task::<P>(me, stage.clone()));
            let handles: Vec<_> = (0..self.threads_count()).map(spawn).collect();
            for handle in handles {
                P::join(handle).await;
            }
            stage.outcome(start.elapsed())
        })
    }
}

fn acting_thread<P: Threads>(me: u64, stage: &Stage<P::Semaphore>) {
    let release = || stage.doors.iter().for_each(P::release);
    let mut random = Random::new(me);
    while !stage.is_over() {
        if !stage.leads(me) {
            P::yield_now();
            // A leader sees itself; and whoever parks must not do so once it leads.
            if stage.see(me) && stage.game.parking {
                P::acquire(&stage.doors[me as usize]);
            }
            continue;
        }
        let Some(lead) = stage.begin(me) else { break };
        let since = Instant::now();
        while let Lead::Wait = stage.look(lead, since) {
            if stage.game.polite {
                P::yield_now();
            } else {
                std::hint::spin_loop();
            }
        }
        stage.hand_on(&mut random);
        if stage.game.parking {
            release();
            // Its own permit, which it just gave.
            P::acquire(&stage.doors[me as usize]);
        }
        P::yield_now();
    }
    release();
}

async fn acting_task<P: Tasks>(me: u64, stage: Arc<Stage<P::Semaphore>>) {
    let release = || stage.doors.iter().for_each(P::release);
    let mut random = Random::new(me);
    while !stage.is_over() {
        if !stage.leads(me) {
            P::yield_now().await;
            if stage.see(me) && stage.game.parking {
                P::acquire(&stage.doors[me as usize]).await;
            }
            continue;
        }
        let Some(lead) = stage.begin(me) else { break };
        let since = Instant::now();
        while let Lead::Wait = stage.look(lead, since) {
            if stage.game.polite {
                P::yield_now().await;
            } else {
                std::hint::spin_loop();
            }
        }
        stage.hand_on(&mut random);
        if stage.game.parking {
            release();
            P::acquire(&stage.doors[me as usize]).await;
        }
        P::yield_now().await;
    }
    release();
}
