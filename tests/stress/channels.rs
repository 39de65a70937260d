//! Channels: messages that are sent, chosen, refused, put back and dropped by threads that are
//! cancelled, run out of time and panic, of several runtimes and of none.
//!
//! Conserved is this: each message that was made is dropped once, by whomever, and whoever receives
//! one gets it as a whole. And everybody comes to an end. How many were sent is no use for a
//! balance: a future that is dropped may have sent its message, and nobody knows.
#![forbid(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use sylvan::channel::{Receiver, Select, Sender, bounded, select, unbounded};
use sylvan::{Mapping, Runtime, thread};
use sylvan_workspace::{Random, Shape};

use crate::storms;

/// What became of messages.
#[derive(Default)]
struct Counts {
    made: AtomicU64,
    dropped: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
}

/// A message. Its tail tells whether it has come as a whole.
struct Message {
    counts: Arc<Counts>,
    number: u64,
    tail: [u64; 5],
}

impl Message {
    fn new(counts: &Arc<Counts>, number: u64) -> Message {
        counts.made.fetch_add(1, SeqCst);
        Message { counts: counts.clone(), number, tail: [!number; 5] }
    }

    fn receive(self) {
        assert_eq!(self.tail, [!self.number; 5], "a message has come in pieces");
        self.counts.received.fetch_add(1, SeqCst);
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        self.counts.dropped.fetch_add(1, SeqCst);
    }
}

/// Channels of each kind, which live as long as the storm.
struct World {
    counts: Arc<Counts>,
    channels: Vec<(Sender<Message>, Receiver<Message>)>,
    over: AtomicBool,
    /// How many groups of threads are still at it.
    groups: AtomicUsize,
}

impl World {
    fn new() -> World {
        let capacities = [Some(0), Some(0), Some(1), Some(3), None];
        World {
            counts: Arc::default(),
            channels: capacities.map(|it| it.map_or_else(unbounded, bounded)).into(),
            over: AtomicBool::new(false),
            groups: AtomicUsize::new(0),
        }
    }

    fn pick(&self, random: &mut Random) -> &(Sender<Message>, Receiver<Message>) {
        &self.channels[random.below(self.channels.len() as u64) as usize]
    }

    fn message(&self, random: &mut Random) -> Message {
        Message::new(&self.counts, random.number())
    }

    fn note<E>(&self, sent: Result<(), E>) {
        self.counts.sent.fetch_add(u64::from(sent.is_ok()), SeqCst);
    }

    /// One random act. None waits for ever, for the others may have ended.
    fn act(&self, random: &mut Random) {
        let moment = Duration::from_micros(random.below(300));
        match random.below(12) {
            0 => self.note(self.pick(random).0.try_send(self.message(random))),
            1 | 2 => self.note(self.pick(random).0.send_timeout(self.message(random), moment)),
            3 => drop(self.pick(random).1.try_recv().map(Message::receive)),
            4 | 5 => drop(self.pick(random).1.recv_timeout(moment).map(Message::receive)),
            6 | 7 => self.select(random, moment),
            8 => self.select_by_list(random, moment),
            9 => self.poll(random),
            10 => self.watch(random, moment),
            _ => self.fresh(random, moment),
        }
    }

    /// Both ways, on two channels that may be the same one.
    fn select(&self, random: &mut Random, moment: Duration) {
        let (one, other) = (self.pick(random), self.pick(random));
        if random.below(3) == 0 {
            select! {
                recv(one.1) -> it => it.unwrap().receive(),
                send(other.0, self.message(random)) -> sent => self.note(sent),
                default => (),
            }
        }
        select! {
            recv(one.1) -> it => it.unwrap().receive(),
            send(one.0, self.message(random)) -> sent => self.note(sent),
            recv(other.1) -> it => it.unwrap().receive(),
            send(other.0, self.message(random)) -> sent => self.note(sent),
            default(moment) => (),
        }
    }

    /// The same by a list, of which the chosen operation is sometimes not completed, or late.
    fn select_by_list(&self, random: &mut Random, moment: Duration) {
        let mut list = Select::new();
        let count = 1 + random.below(3) as usize;
        let picked: Vec<_> = (0..count).map(|_| self.pick(random)).collect();
        for (sender, receiver) in &picked {
            list.send(sender);
            list.recv(receiver);
        }
        let Ok(operation) = list.select_timeout(moment) else { return };
        let index = operation.index();
        let (sender, receiver) = picked[index / 2];
        match random.below(6) {
            0 => {
                let unwound = catch_unwind(AssertUnwindSafe(|| {
                    let _operation = operation;
                    std::panic::resume_unwind(Box::new(()));
                }));
                assert!(unwound.is_err());
                return;
            }
            // May be cancelled here.
            1 => thread::yield_now(),
            2 => thread::sleep(moment / 4),
            _ => (),
        }
        if index % 2 == 0 {
            self.note(operation.send(sender, self.message(random)));
        } else {
            // At capacity 0 the other side may give up, and then it waits for the next message.
            operation.recv(receiver).unwrap().receive();
        }
    }

    /// Futures that are polled a few times and dropped.
    fn poll(&self, random: &mut Random) {
        let (one, other) = (self.pick(random), self.pick(random));
        let mut context = Context::from_waker(Waker::noop());
        let mut sends = pin!(one.0.send_async(self.message(random)));
        let mut receives = pin!(other.1.recv_async());
        let (mut is_sent, mut is_received) = (false, false);
        for _ in 0..random.below(4) {
            if !is_sent && let std::task::Poll::Ready(sent) = sends.as_mut().poll(&mut context) {
                self.note(sent);
                is_sent = true;
            }
            if random.below(2) == 0 {
                thread::yield_now();
            }
            if !is_received && let std::task::Poll::Ready(it) = receives.as_mut().poll(&mut context)
            {
                it.unwrap().receive();
                is_received = true;
            }
        }
    }

    fn watch(&self, random: &mut Random, moment: Duration) {
        let (one, other) = (self.pick(random), self.pick(random));
        let mut list = Select::new();
        list.recv(&one.1);
        list.send(&other.0);
        match list.ready_timeout(moment) {
            Ok(0) => drop(one.1.try_recv().map(Message::receive)),
            Ok(_) => self.note(other.0.try_send(self.message(random))),
            Err(_) => (),
        }
    }

    /// A channel of its own, whose ends go while others wait.
    fn fresh(&self, random: &mut Random, moment: Duration) {
        let (sender, receiver) = match random.below(3) {
            0 => bounded(0),
            1 => bounded(2),
            _ => unbounded(),
        };
        let message = self.message(random);
        let gives = move || sender.send_timeout(message, moment).is_ok();
        if random.below(2) == 0 {
            let gives = thread::spawn(gives);
            if random.below(2) == 0 {
                drop(receiver);
            } else if let Ok(message) = receiver.recv_timeout(moment) {
                // It counts on neither side.
                assert_eq!(message.tail[0], !message.number);
            }
            if random.below(2) == 0 {
                gives.cancel().expect("this program unwinds");
            }
            let _ = gives.join();
        } else {
            let takes = thread::spawn(move || {
                receiver.iter().for_each(|message| assert_eq!(message.tail[4], !message.number));
            });
            gives();
            let _ = takes.join();
        }
    }

    /// Sends where a receiver may have been left alone, until all groups are done.
    fn feed(&self, mut random: Random) {
        while self.groups.load(SeqCst) > 0 {
            for (sender, _) in &self.channels {
                if sender.capacity() == Some(0) {
                    let moment = Duration::from_micros(random.below(200));
                    self.note(sender.send_timeout(self.message(&mut random), moment));
                }
            }
        }
    }

    /// A life of acts.
    fn live(&self, mut random: Random) {
        for _ in 0..1 + random.below(20) {
            self.act(&mut random);
        }
    }
}

/// Threads of a runtime of its own, until the storm is over.
fn second_runtime(world: &World, mut random: Random) {
    let builder = Runtime::builder().mapping(Mapping::ManyToMany).workers(2);
    let runtime = builder.build().expect("a second runtime can be built");
    runtime.run(|| {
        while !world.over.load(SeqCst) {
            thread::scope(|scope| {
                for _ in 0..8 {
                    let random = random.split();
                    scope.spawn(move || world.live(random));
                }
            });
        }
    });
}

/// Waves of threads of the current runtime, of which some are cancelled; how many have failed.
fn waves(world: &World, size: usize, mut random: Random, deadline: Instant) -> usize {
    let mut unexpected = 0;
    while Instant::now() < deadline {
        thread::scope(|scope| {
            let threads: Vec<_> = (0..size)
                .map(|_| {
                    let random = random.split();
                    scope.spawn(move || world.live(random))
                })
                .collect();
            for thread in &threads {
                if random.below(3) == 0 {
                    thread.cancel().expect("this program unwinds");
                }
                if random.below(8) == 0 {
                    thread::yield_now();
                }
            }
            for thread in threads {
                let failed = |it: Box<dyn std::any::Any + Send>| !it.is::<thread::Cancelled>();
                unexpected += usize::from(thread.join().is_err_and(failed));
            }
        });
    }
    unexpected
}

fn storm(shape: Shape, runtime: Runtime, mut random: Random, deadline: Instant) {
    let world = World::new();
    let size = if shape.is_green() { 100 } else { 10 };
    // A seeded run is not repeated by its seed if kernel threads take part.
    let is_alone = matches!(shape, Shape::Seeded(_));
    world.groups.store(if is_alone { 1 } else { 3 }, SeqCst);
    std::thread::scope(|outside| {
        let world = &world;
        let [mut outsider, second, feeder, own] = std::array::from_fn(|_| random.split());
        if !is_alone {
            outside.spawn(move || {
                while !world.over.load(SeqCst) {
                    world.live(outsider.split());
                }
                world.groups.fetch_sub(1, SeqCst);
            });
            outside.spawn(move || {
                second_runtime(world, second);
                world.groups.fetch_sub(1, SeqCst);
            });
        }
        let unexpected = runtime.run(|| {
            thread::scope(|scope| {
                scope.spawn(|| world.feed(feeder));
                let unexpected = waves(world, size, own, deadline);
                world.over.store(true, SeqCst);
                world.groups.fetch_sub(1, SeqCst);
                unexpected
            })
        });
        assert_eq!(unexpected, 0, "threads failed; see their texts above");
    });
    drop(runtime);
    let World { counts, channels, .. } = world;
    let left: usize = channels.iter().map(|(_, receiver)| receiver.try_iter().count()).sum();
    drop(channels);
    let [made, dropped, sent, received] =
        [&counts.made, &counts.dropped, &counts.sent, &counts.received].map(|it| it.load(SeqCst));
    eprintln!("  {made} messages, {sent} sent, {received} received, {left} left");
    assert_eq!(made, dropped, "messages were lost or doubled");
    assert!(received > 0 || matches!(shape, Shape::Seeded(_)));
}

#[test]
fn storm_of_channels_loses_no_message_and_nobody() {
    storms(storm);
}
