//! locality: each thread owns an array, writes at random to some words of it, and then takes the
//! seat of a random spot and wakes whoever sat there. There are as many spots as threads less the
//! workers, so about as many threads run as there are workers. "Sharing" it gives its array to the
//! one that it wakes, and goes on with the one that it is given when it is woken itself. A
//! scheduler that runs the woken thread on the waker's worker finds the array in that cache.
#![forbid(unsafe_code)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::THREADS_PER_WORKER;
use crate::measure::each;
use crate::peers::tasks::Tasks;
use crate::peers::threads::Threads;
use crate::peers::waiter::Waiter;
use crate::random::Random;
use crate::row::{Game, Outcome, Row, Scale};
use crate::suites::gathering::{Gathering, await_start, await_start_of_tasks};

/// Words of an array, and how many of them are written each time.
const WORDS: usize = 1_024;
const WRITES: u64 = 64;

pub(super) fn rows(scale: Scale, workers: usize) -> Vec<Row> {
    let row = |title: &str, share: bool| {
        Row::new("cforall", title).workers(workers).unit("ns per step").everyone(Locality {
            scale,
            workers,
            share,
        })
    };
    vec![
        row("cforall: locality, own arrays", false),
        row("cforall: locality, sharing arrays", true),
    ]
}

#[derive(Clone, Copy)]
struct Locality {
    scale: Scale,
    workers: usize,
    share: bool,
}

type Array = Box<[u64; WORDS]>;

fn work(array: &mut Array, random: &mut Random) {
    for _ in 0..WRITES {
        let at = random.below(WORDS as u64) as usize;
        array[at] = array[at].wrapping_add(1);
    }
}

/// A thread that sits somewhere: how to wake it, and the array that it will go on with.
struct Sitter<W> {
    who: W,
    array: Mutex<Option<Array>>,
}

/// A place for one; closed at the end.
enum Spot<W> {
    Free,
    Taken(Arc<Sitter<W>>),
    Closed,
}

struct Hall<W> {
    spots: Vec<Mutex<Spot<W>>>,
    share: bool,
}

impl<W> Hall<W> {
    fn new(game: Locality) -> Arc<Hall<W>> {
        let spots = game.threads_count() - game.workers as u64;
        Arc::new(Hall {
            spots: (0..spots).map(|_| Mutex::new(Spot::Free)).collect(),
            share: game.share,
        })
    }

    /// Sits down somewhere at random with `array`; gives back whom to wake, or `Err` when closed.
    fn sit(
        &self,
        me: &Arc<Sitter<W>>,
        array: Array,
        random: &mut Random,
    ) -> Result<Option<Arc<Sitter<W>>>, ()> {
        let at = random.below(self.spots.len() as u64) as usize;
        let mut mine = Some(array);
        if !self.share {
            *me.array.lock().expect("nobody panics inside") = mine.take();
        }
        let mut spot = self.spots[at].lock().expect("nobody panics inside");
        let former = match &*spot {
            Spot::Closed => return Err(()),
            Spot::Free => None,
            Spot::Taken(former) => Some(former.clone()),
        };
        if let Some(array) = mine {
            // The first one in a spot has nobody to give its array to, and keeps it.
            let owner = former.as_ref().unwrap_or(me);
            *owner.array.lock().expect("nobody panics inside") = Some(array);
        }
        *spot = Spot::Taken(me.clone());
        Ok(former)
    }

    /// Closes all spots; gives back who sat there.
    fn close(&self) -> Vec<Arc<Sitter<W>>> {
        let close = |spot: &Mutex<Spot<W>>| {
            let mut spot = spot.lock().expect("nobody panics inside");
            match std::mem::replace(&mut *spot, Spot::Closed) {
                Spot::Taken(sitter) => Some(sitter),
                Spot::Free | Spot::Closed => None,
            }
        };
        self.spots.iter().filter_map(close).collect()
    }
}

impl<W> Sitter<W> {
    fn new(who: W) -> Arc<Sitter<W>> {
        Arc::new(Sitter { who, array: Mutex::new(None) })
    }

    /// The array to go on with; none if the hall was closed.
    fn take(&self) -> Option<Array> {
        self.array.lock().expect("nobody panics inside").take()
    }
}

impl Locality {
    fn threads_count(self) -> u64 {
        THREADS_PER_WORKER * self.workers as u64
    }
}

impl Game for Locality {
    fn threads<P: Threads>(self) -> Outcome {
        let runtime = P::start(self.workers);
        each(self.scale, 4 * self.threads_count(), |count| {
            runtime.run(move || moving_threads::<P>(self, count))
        })
    }

    fn tasks<P: Tasks>(self) -> Outcome {
        let runtime = P::start(self.workers);
        each(self.scale, 4 * self.threads_count(), |count| {
            runtime.run(moving_tasks::<P>(self, count))
        })
    }
}

fn moving_threads<P: Threads>(game: Locality, count: u64) -> Duration {
    let threads = game.threads_count();
    let gathering = Gathering::new(threads, P::semaphore());
    let hall = Hall::<Waiter<P>>::new(game);
    let share = count.div_ceil(threads);
    let spawn = |at: u64| {
        let (gathering, hall) = (gathering.clone(), hall.clone());
        P::spawn(move || moving_thread::<P>(at, share, &gathering, &hall))
    };
    let handles: Vec<_> = (0..threads).map(spawn).collect();
    for handle in handles {
        P::join(handle);
    }
    gathering.race.time_of(count)
}

fn moving_thread<P: Threads>(
    at: u64,
    share: u64,
    gathering: &Gathering<P::Semaphore>,
    hall: &Hall<Waiter<P>>,
) {
    let me = Sitter::new(Waiter::<P>::new());
    let mut random = Random::new(at);
    let mut array: Array = Box::new([0; WORDS]);
    await_start::<P>(gathering);
    let race = &gathering.race;
    let mut steps = 0;
    loop {
        work(&mut array, &mut random);
        let Ok(former) = hall.sit(&me, array, &mut random) else { break };
        if let Some(former) = former {
            former.who.wake();
        }
        me.who.wait();
        let Some(next) = me.take().filter(|_| !race.all_done()) else { break };
        array = next;
        steps += 1;
        if steps == share && race.note_done() {
            hall.close().iter().for_each(|sitter| sitter.who.wake());
            break;
        }
    }
    race.count(steps);
}

async fn moving_tasks<P: Tasks>(game: Locality, count: u64) -> Duration {
    let threads = game.threads_count();
    let gathering = Gathering::new(threads, P::semaphore());
    let hall = Hall::<P::Gate>::new(game);
    let share = count.div_ceil(threads);
    let spawn = |at: u64| P::spawn(moving_task::<P>(at, share, gathering.clone(), hall.clone()));
    let handles: Vec<_> = (0..threads).map(spawn).collect();
    for handle in handles {
        P::join(handle).await;
    }
    gathering.race.time_of(count)
}

async fn moving_task<P: Tasks>(
    at: u64,
    share: u64,
    gathering: Arc<Gathering<P::Semaphore>>,
    hall: Arc<Hall<P::Gate>>,
) {
    let me = Sitter::new(P::gate());
    let mut random = Random::new(at);
    let mut array: Array = Box::new([0; WORDS]);
    await_start_of_tasks::<P>(&gathering).await;
    let race = &gathering.race;
    let mut steps = 0;
    loop {
        work(&mut array, &mut random);
        let Ok(former) = hall.sit(&me, array, &mut random) else { break };
        if let Some(former) = former {
            P::open(&former.who);
        }
        P::pass(&me.who).await;
        let Some(next) = me.take().filter(|_| !race.all_done()) else { break };
        array = next;
        steps += 1;
        if steps == share && race.note_done() {
            hall.close().iter().for_each(|sitter| P::open(&sitter.who));
            break;
        }
    }
    race.count(steps);
}
