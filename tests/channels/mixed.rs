//! Green threads of several runtimes and kernel threads of none, all at the same channels, in all
//! ways at once.
#![forbid(unsafe_code)]

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use sylvan::channel::{Receiver, Select, Sender, bounded, select, tick, unbounded};
use sylvan::{Mapping, Runtime, thread};
use sylvan_workspace::{Watchdog, everywhere, in_every_runtime};

use crate::support::{Foreign, Ledger, Letter};
use crate::ways::{Kind, ToReceive, ToSend, to_receive, to_send};

/// Runs `body` at the same time in a thread of each of three runtimes and on two kernel threads of
/// none, and gives what they return.
fn on_all_sides<R: Send>(body: impl Fn(usize) -> R + Sync) -> Vec<R> {
    let _watchdog = Watchdog::new("on all sides");
    let runtimes = [Mapping::ManyToMany, Mapping::ManyToOne, Mapping::OneToOne].map(|mapping| {
        Runtime::builder().mapping(mapping).workers(2).build().expect("the runtime can be built")
    });
    std::thread::scope(|scope| {
        let sides: Vec<_> = (0..SIDES)
            .map(|number| {
                let (body, runtime) = (&body, runtimes.get(number));
                scope.spawn(move || match runtime {
                    Some(runtime) => runtime.run(|| body(number)),
                    None => body(number),
                })
            })
            .collect();
        sides.into_iter().map(|side| side.join().expect("no side fails")).collect()
    })
}

const SIDES: usize = 5;

/// So many messages that whatever can come between two of them does.
pub(crate) const ORDERED: usize = 3_000;

/// Unparks a thread, whatever its kind.
struct Unparks(thread::Thread);

impl Wake for Unparks {
    fn wake(self: Arc<Unparks>) {
        self.0.unpark();
    }
}

/// Polls `future` by hand until it is ready.
fn by_hand<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unparks(thread::current())));
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park();
    }
}

fn givers() -> Vec<ToSend<Letter>> {
    let mut ways: Vec<_> = to_send().into_iter().collect();
    ways.push(ToSend {
        name: "by hand",
        kind: Kind::Future,
        call: |to, message| by_hand(to.send_async(message)).map_err(|e| e.into_inner()),
    });
    ways
}

fn takers() -> Vec<ToReceive<Letter>> {
    let mut ways: Vec<_> = to_receive().into_iter().collect();
    ways.push(ToReceive {
        name: "by hand",
        kind: Kind::Future,
        call: |from| by_hand(from.recv_async()).ok(),
    });
    ways
}

/// Each side sends and receives in all ways that meet on such a channel, each in a thread of its
/// own; at the end everything that was sent has been received once. At capacity 0 only one side may
/// watch.
fn exchange(capacity: Option<usize>, may_watch: [bool; 2]) {
    const EACH: usize = 40;
    let (mut give, mut take) = (givers(), takers());
    give.retain(|way| way.kind != Kind::Ready || may_watch[0]);
    take.retain(|way| way.kind != Kind::Ready || may_watch[1]);
    let ledger = Ledger::new(SIDES * give.len() * EACH);
    let (sender, receiver) = capacity.map_or_else(unbounded, bounded);
    let senders: Vec<_> = (0..SIDES).map(|_| std::sync::Mutex::new(Some(sender.clone()))).collect();
    drop(sender);
    let sums = on_all_sides(|side| {
        let sender = senders[side].lock().unwrap().take().unwrap();
        let (received, sum) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for (number, way) in give.iter().enumerate() {
                let (sender, ledger) = (sender.clone(), ledger.clone());
                let first = (side * give.len() + number) * EACH;
                scope.spawn(move || {
                    for number in first..first + EACH {
                        assert!((way.call)(&sender, ledger.letter(number)).is_ok());
                    }
                });
            }
            drop(sender);
            for way in &take {
                let (received, sum, receiver) = (&received, &sum, &receiver);
                scope.spawn(move || {
                    while let Some(letter) = (way.call)(receiver) {
                        received.fetch_add(1, SeqCst);
                        sum.fetch_add(letter.number, SeqCst);
                    }
                });
            }
        });
        (received.into_inner(), sum.into_inner())
    });
    let count = SIDES * give.len() * EACH;
    let received = sums.iter().fold((0, 0), |all, side| (all.0 + side.0, all.1 + side.1));
    assert_eq!(received, (count, count * (count - 1) / 2));
    ledger.expect_all_gone();
}

#[test]
fn all_sides_exchange_messages_from_hand_to_hand() {
    exchange(Some(0), [true, false]);
    exchange(Some(0), [false, true]);
}

#[test]
fn all_sides_exchange_messages_through_little_room() {
    exchange(Some(1), [true; 2]);
    exchange(Some(7), [true; 2]);
}

#[test]
fn all_sides_exchange_messages_without_a_bound() {
    exchange(None, [true; 2]);
}

#[test]
fn token_goes_round_all_sides() {
    const ROUNDS: usize = 100;
    let ends: Vec<_> = (0..SIDES).map(|_| bounded(0)).collect();
    let sums = on_all_sides(|side| {
        let (next, mine) = (&ends[(side + 1) % SIDES].0, &ends[side].1);
        let mut sum = 0;
        if side == 0 {
            next.send(0).unwrap();
        }
        for round in 0..ROUNDS {
            let token = match round % 3 {
                0 => mine.recv().unwrap(),
                1 => select! { recv(mine) -> token => token.unwrap() },
                _ => by_hand(mine.recv_async()).unwrap(),
            };
            sum += token;
            if side > 0 || round + 1 < ROUNDS {
                next.send(token + 1).unwrap();
            }
        }
        sum
    });
    let passes = SIDES * ROUNDS;
    assert_eq!(sums.iter().sum::<usize>(), passes * (passes - 1) / 2);
}

/// Selects that want to send and to receive on the same two channels: whoever meets, one has given
/// and the other has taken.
#[test]
fn selects_of_all_sides_meet_each_other_at_capacity_0() {
    let (one, other) = (bounded::<usize>(0), bounded::<usize>(0));
    let stop = bounded::<()>(0);
    let stops = std::sync::Mutex::new(Some(stop.0));
    let left = AtomicUsize::new(SIDES);
    let balances = on_all_sides(|_| {
        let mut balance = 0_isize;
        let act = |balance: &mut isize| {
            select! {
                recv(one.1) -> it => *balance -= it.unwrap() as isize,
                send(one.0, 3) -> sent => { sent.unwrap(); *balance += 3 }
                recv(other.1) -> it => *balance -= it.unwrap() as isize,
                send(other.0, 5) -> sent => { sent.unwrap(); *balance += 5 }
                recv(stop.1) -> _ => return false,
            }
            true
        };
        for _ in 0..200 {
            act(&mut balance);
        }
        if left.fetch_sub(1, SeqCst) == 1 {
            // All have done their part; whoever waits for a partner is told to go.
            drop(stops.lock().unwrap().take());
        }
        while act(&mut balance) {}
        balance
    });
    assert_eq!(balances.iter().sum::<isize>(), 0, "what was given was not taken");
}

#[test]
fn one_tick_is_received_on_one_side_only() {
    let ticks = tick(Duration::from_micros(100));
    let all = on_all_sides(|side| {
        let mut mine = Vec::new();
        for _ in 0..20 {
            mine.push(match side % 3 {
                0 => ticks.recv().unwrap(),
                1 => select! { recv(ticks) -> tick => tick.unwrap() },
                _ => ticks.recv_timeout(Duration::MAX).unwrap(),
            });
        }
        mine
    });
    let mut all: Vec<_> = all.into_iter().flatten().collect();
    all.sort();
    assert!(all.windows(2).all(|pair| pair[0] < pair[1]), "a tick was received twice");
}

#[test]
fn list_of_a_select_wanders_between_threads_of_all_kinds() {
    in_every_runtime(|_| {
        let (sender, receiver) = bounded(0);
        let (_keep, empty) = bounded::<usize>(0);
        let mut select = Select::new();
        select.recv(&empty);
        select.recv(&receiver);
        fn receive<'a>(select: &mut Select<'a>, receiver: &Receiver<usize>) -> usize {
            let operation = select.select();
            assert_eq!(operation.index(), 1);
            operation.recv(receiver).unwrap()
        }
        let send = |sender: &Sender<usize>, number| sender.send(number).unwrap();
        thread::scope(|scope| {
            let (sender, receiver) = (&sender, &receiver);
            scope.spawn(move || (0..3).for_each(|number| send(sender, number)));
            assert_eq!(receive(&mut select, receiver), 0);
            let green = scope.spawn(move || {
                assert_eq!(receive(&mut select, receiver), 1);
                select
            });
            let mut select = green.join().unwrap();
            std::thread::scope(|kernel| {
                Foreign::spawn(kernel, move || assert_eq!(receive(&mut select, receiver), 2))
                    .join();
            });
        });
    });
}

/// `ready` once chose a sender that waited in a select although a message lay in the channel by
/// then, and put the later one in front of it.
#[test]
fn ready_keeps_the_order_of_messages_of_a_select() {
    everywhere(|_| {
        for capacity in [0, 1, 2] {
            let (sender, receiver) = bounded(capacity);
            thread::scope(move |scope| {
                scope.spawn(move || {
                    for number in 0..ORDERED {
                        // Fails with the receiver.
                        select! { send(sender, number) -> sent => sent.unwrap() }
                    }
                });
                let take = to_receive().into_iter().find(|way| way.kind == Kind::Ready).unwrap();
                let receiver = receiver;
                for number in 0..ORDERED {
                    assert_eq!((take.call)(&receiver), Some(number));
                }
            });
        }
    });
}
