//! Loom models of the idle protocol: work that was pushed while a worker sleeps is found by
//! somebody other than its owner, though the owner and everybody who finds other work are stuck.
//!
//! The steps are those of `pause`, with its numbers; the word, the mask and the mailboxes are the
//! real ones. A deque is a flag per job, stored relaxed by its owner, and looked at relaxed before
//! it is stolen, so that thieves may miss what a store buffer holds. The rare side of the
//! asymmetric fence is a full fence here, as the light side is. A worker in user code that never
//! returns is a thread of the model that ends; the model itself waits for its jobs to be taken,
//! which loom reports as a deadlock, or a sentinel that turns for ever, when nobody takes them.
//! A sentinel's time-out may come at every step.

use loom::sync::Arc;
use loom::thread;

use super::{Idle, Role, Sleep};
use crate::primitives::{AtomicBool, AtomicUsize, Bell, Ordering, check_within, fence};
use crate::task::header::Header;
use crate::task::mailbox::{Mailbox, Pushed};

struct World {
    idle: Idle,
    mailboxes: Vec<std::sync::Arc<Mailbox>>,
    /// Work: not there, pushed, taken.
    jobs: Vec<AtomicUsize>,
    place: Place,
    taken: Vec<Bell>,
    /// The phase of the runtime: it has ended.
    ended: AtomicBool,
}

const PUSHED: usize = 1;
const TAKEN: usize = 2;

/// Where a model's jobs lie.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Deque,
    Injector,
}

/// How a worker left the model.
#[derive(Debug, PartialEq)]
enum Left {
    /// It runs a job, or a thread of its own, that never returns.
    Stuck,
    /// The runtime has ended.
    Ended,
}

impl World {
    /// A runtime in which the workers in `asleep`, the first of them as sentinel if another
    /// worker is awake, have fallen asleep already.
    fn new(
        workers: usize,
        asleep: &[usize],
        place: Place,
        jobs: usize,
    ) -> (Arc<World>, Vec<Sleep>) {
        let world = World {
            idle: Idle::new(workers),
            mailboxes: (0..workers).map(|_| std::sync::Arc::new(Mailbox::new())).collect(),
            place,
            jobs: (0..jobs).map(|_| AtomicUsize::new(0)).collect(),
            taken: (0..jobs).map(|_| Bell::new()).collect(),
            ended: AtomicBool::new(false),
        };
        let fall = |index: &usize| {
            assert!(world.mailboxes[*index].announce_sleep(false));
            world.idle.fall_asleep(*index, false)
        };
        let sleeps = asleep.iter().map(fall).collect();
        (Arc::new(world), sleeps)
    }

    /// Steps 1 and 2: a worker pushes into its deque, and picks if it must.
    fn push(&self, job: usize) {
        self.jobs[job].store(PUSHED, Ordering::Relaxed);
        if self.idle.anybody_sleeps() && self.idle.must_pick() {
            self.pick_searcher();
        }
    }

    /// The same of a worker whose heuristic says that a pick is worth its price.
    fn push_and_pick(&self, job: usize) {
        self.jobs[job].store(PUSHED, Ordering::Relaxed);
        if self.idle.anybody_sleeps() && (self.idle.must_pick() || self.idle.may_pick()) {
            self.pick_searcher();
        }
    }

    /// `Shared::inject`.
    fn inject(&self, job: usize) {
        self.jobs[job].store(PUSHED, Ordering::Relaxed);
        if self.idle.must_pick_for_outside() {
            self.pick_searcher();
        }
    }

    fn pick_searcher(&self) {
        if let Some(index) = self.idle.pick(|_| 0) {
            self.nudge(index);
        }
    }

    fn nudge(&self, index: usize) {
        if self.mailboxes[index].nudge() {
            self.mailboxes[index].wake_owner();
        }
    }

    fn sees_work(&self) -> bool {
        self.jobs.iter().any(|job| job.load(Ordering::Relaxed) == PUSHED)
    }

    fn take(&self, job: usize) -> bool {
        let flag = &self.jobs[job];
        flag.load(Ordering::Relaxed) == PUSHED
            && flag.compare_exchange(PUSHED, TAKEN, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// `Worker::search`, one look long. True: a job was taken, and the search has ended.
    fn search(&self) -> bool {
        for job in 0..self.jobs.len() {
            if self.take(job) {
                // Step 3.
                if self.idle.end_search_with_work() && (self.idle.is_vacant() || self.sees_work()) {
                    self.pick_searcher();
                }
                self.taken[job].ring();
                return true;
            }
        }
        false
    }

    fn give_up_search(&self) {
        self.idle.end_search();
        self.hand_over();
    }

    /// Step 6.
    fn hand_over(&self) {
        if self.idle.is_vacant() {
            // The heavy barrier.
            fence(Ordering::SeqCst);
            if self.sees_work() {
                self.pick_searcher();
            }
        }
    }

    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Turns and pauses, over and over, from a point where the worker has nothing to run.
    fn work(&self, index: usize) -> Left {
        loop {
            if self.has_ended() {
                return Left::Ended;
            }
            if self.take_injected() {
                return Left::Stuck;
            }
            let searching = self.idle.start_search();
            if searching && self.search() {
                return Left::Stuck;
            }
            if let Some(left) = self.sleep_and_search(index, searching) {
                return left;
            }
            // Tells loom that this loop gets nowhere until another thread has run.
            thread::yield_now();
        }
    }

    /// The loop at the end of `pause`. `None`: the worker looks at its queues again.
    fn sleep_and_search(&self, index: usize, mut searching: bool) -> Option<Left> {
        loop {
            if !self.mailboxes[index].announce_sleep(false) {
                if searching {
                    self.give_up_search();
                }
                return self.look_at_own(index);
            }
            let sleep = self.idle.fall_asleep(index, searching);
            match self.sleep(index, sleep) {
                Woken::Own => return self.look_at_own(index),
                Woken::Stuck => return Some(Left::Stuck),
                Woken::Searcher => searching = true,
            }
            if self.search() {
                return Some(Left::Stuck);
            }
            if self.has_ended() {
                self.give_up_search();
                return Some(Left::Ended);
            }
        }
    }

    fn look_at_own(&self, index: usize) -> Option<Left> {
        (!self.mailboxes[index].drain().is_null()).then_some(Left::Stuck)
    }

    /// A worker that sleeps since before the model began.
    fn sleep_on(&self, index: usize, sleep: Sleep) -> Left {
        match self.sleep(index, sleep) {
            Woken::Stuck => return Left::Stuck,
            Woken::Own => (),
            Woken::Searcher => {
                if self.search() {
                    return Left::Stuck;
                }
                if let Some(left) = self.sleep_and_search(index, true) {
                    return left;
                }
            }
        }
        self.work(index)
    }

    /// `Worker::sleep`, after `fall_asleep`.
    fn sleep(&self, index: usize, mut sleep: Sleep) -> Woken {
        let mailbox = &self.mailboxes[index];
        // Step 5.
        if !self.injector_holds_work() && !self.has_ended() {
            self.sleep_until_needed(index, &mut sleep);
        }
        mailbox.retract_sleep();
        let own = !mailbox.drain().is_null();
        let role = self.idle.wake_up(index, sleep);
        if role == Role::OwnFromPost {
            self.hand_over();
        }
        match role {
            Role::Searcher if own => {
                // It looks round once, as `search` does, before it sees what came for itself.
                if !self.search() {
                    self.give_up_search();
                }
                Woken::Stuck
            }
            Role::Searcher => Woken::Searcher,
            Role::Own | Role::OwnFromPost if own => Woken::Stuck,
            Role::Own | Role::OwnFromPost => Woken::Own,
        }
    }

    /// What step 5 sees: not the deques.
    fn injector_holds_work(&self) -> bool {
        self.place == Place::Injector && self.sees_work()
    }

    /// What every turn looks at that finds nothing else.
    fn take_injected(&self) -> bool {
        let injected = if self.place == Place::Injector { self.jobs.len() } else { 0 };
        let Some(job) = (0..injected).find(|job| self.take(*job)) else { return false };
        self.taken[job].ring();
        true
    }

    /// Steps 4a to 4c.
    fn sleep_until_needed(&self, index: usize, sleep: &mut Sleep) {
        let mailbox = &self.mailboxes[index];
        loop {
            match sleep {
                Sleep::Plain => mailbox.sleep(None),
                Sleep::Sentinel => mailbox.sleep(Some(std::time::Duration::ZERO)),
            }
            if !mailbox.is_sleeping() {
                return;
            }
            if *sleep == Sleep::Sentinel {
                if self.sees_work() {
                    return;
                }
                if self.idle.leave_post() {
                    *sleep = Sleep::Plain;
                }
            }
        }
    }

    /// Waits until every job was taken, and ends the runtime.
    fn wait_for_all(&self) {
        for taken in &self.taken {
            taken.wait();
        }
        self.ended.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        for index in 0..self.mailboxes.len() {
            self.nudge(index);
        }
    }
}

/// Why a sleep ended.
enum Woken {
    Searcher,
    Own,
    /// For a thread of its own, which never returns.
    Stuck,
}

/// Starts worker `index`, asleep.
fn asleep(world: &Arc<World>, index: usize, sleep: Sleep) -> thread::JoinHandle<Left> {
    let world = world.clone();
    thread::spawn(move || world.sleep_on(index, sleep))
}

/// Starts worker `index`, with nothing to do.
fn awake(world: &Arc<World>, index: usize) -> thread::JoinHandle<Left> {
    let world = world.clone();
    thread::spawn(move || world.work(index))
}

#[test]
fn work_from_outside_is_found_while_two_workers_fall_asleep() {
    check_within(2, || {
        let (world, _) = World::new(2, &[], Place::Injector, 1);
        let workers = [awake(&world, 0), awake(&world, 1)];
        world.inject(0);
        world.wait_for_all();
        for worker in workers {
            worker.join().unwrap();
        }
    });
}

#[test]
fn work_from_outside_is_found_by_the_only_worker() {
    check_within(3, || {
        let (world, _) = World::new(1, &[], Place::Injector, 1);
        let worker = awake(&world, 0);
        world.inject(0);
        world.wait_for_all();
        assert_eq!(worker.join().unwrap(), Left::Stuck);
    });
}

#[test]
fn work_from_outside_wakes_one_of_two_that_sleep() {
    check_within(2, || {
        let (world, sleeps) = World::new(2, &[0, 1], Place::Injector, 1);
        let workers = [asleep(&world, 0, sleeps[0]), asleep(&world, 1, sleeps[1])];
        world.inject(0);
        world.wait_for_all();
        for worker in workers {
            worker.join().unwrap();
        }
    });
}

#[test]
fn push_of_a_stuck_owner_is_found_by_a_worker_that_falls_asleep() {
    check_within(3, || {
        let (world, _) = World::new(2, &[], Place::Deque, 1);
        let other = awake(&world, 1);
        world.push(0);
        world.wait_for_all();
        assert_eq!(other.join().unwrap(), Left::Stuck);
    });
}

#[test]
fn two_jobs_of_a_stuck_owner_are_found_though_the_first_thief_is_stuck() {
    check_within(2, || {
        let (world, sleeps) = World::new(3, &[1, 2], Place::Deque, 2);
        assert_eq!(sleeps, [Sleep::Sentinel, Sleep::Plain]);
        let workers = [asleep(&world, 1, sleeps[0]), asleep(&world, 2, sleeps[1])];
        world.push_and_pick(0);
        world.push(1);
        world.wait_for_all();
        for worker in workers {
            assert_eq!(worker.join().unwrap(), Left::Stuck);
        }
    });
}

/// Worker 1 is sentinel and picked, and gets a thread of its own at the same time, in which it is
/// stuck. So it leaves the post and ends a search on which the pusher relied.
#[test]
fn sentinel_that_is_picked_and_stuck_in_its_own_work_leaves_nobody_behind() {
    check_within(2, || {
        let (world, sleeps) = World::new(3, &[1, 2], Place::Deque, 1);
        let thread = Header::for_model();
        let sentinel = asleep(&world, 1, sleeps[0]);
        let other = asleep(&world, 2, sleeps[1]);
        let mailbox = std::ptr::NonNull::from(&*world.mailboxes[1]);
        // SAFETY: S1: pushed once, and kept by `thread` until the owner has gone. S2: the world
        // keeps it.
        let pushed = unsafe { Mailbox::push(mailbox, std::ptr::NonNull::from(&*thread)) };
        if let Pushed::Sleeping(mailbox) = pushed {
            mailbox.wake_owner();
        }
        world.push(0);
        world.wait_for_all();
        sentinel.join().unwrap();
        other.join().unwrap();
    });
}

/// A pick finds that the only sleeper, the sentinel, is waking by itself, while another worker
/// falls asleep and a third pushes and relies on the pick.
#[test]
fn pick_that_finds_nobody_leaves_nobody_behind() {
    check_within(2, || {
        let (world, sleeps) = World::new(4, &[2], Place::Deque, 1);
        let sentinel = thread::spawn({
            let (world, sleep) = (world.clone(), sleeps[0]);
            move || {
                // Its timer is due, and its own thread never returns.
                world.mailboxes[2].retract_sleep();
                match world.idle.wake_up(2, sleep) {
                    Role::OwnFromPost => world.hand_over(),
                    Role::Own => (),
                    Role::Searcher => world.give_up_search(),
                }
            }
        });
        let sleeper = thread::spawn({
            let world = world.clone();
            move || world.sleep_and_search(3, false).unwrap_or_else(|| world.work(3))
        });
        let picker = thread::spawn({
            let world = world.clone();
            // Its heuristic says pick, for a job that it runs itself meanwhile.
            move || {
                if world.idle.may_pick() {
                    world.pick_searcher();
                }
            }
        });
        world.push(0);
        world.wait_for_all();
        sentinel.join().unwrap();
        picker.join().unwrap();
        assert_eq!(sleeper.join().unwrap(), Left::Stuck);
    });
}
