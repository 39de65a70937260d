//! Waits at channels and for futures: a message is with one side, and a future is dropped.
#![forbid(unsafe_code)]

use std::future::pending;

use sylvan::channel::{self, Receiver, Select, Sender, broadcast, oneshot, watch};
use sylvan::sync::{Mutex, mpsc};
use sylvan::thread;
use sylvan_workspace::settle;

use super::{Row, next_one_is_served};
use crate::{HOUR, pass_time};

pub(super) const CHANNELS: [Row; 14] = [
    ("receive", |way| {
        let (sender, receiver) = channel::unbounded::<u32>();
        next_one_is_served(way, || assert_eq!(receiver.recv(), Ok(1)), || sender.send(1).unwrap());
        assert!(receiver.is_empty());
    }),
    ("receive in a loop", |way| {
        let (sender, receiver) = channel::bounded(2);
        sender.send(1).unwrap();
        let mut sum = 0;
        way.cut(|| receiver.iter().for_each(|number: u32| sum += number));
        sender.send(2).unwrap();
        // The one before may have been left, if the deadline came first.
        assert_eq!(receiver.try_iter().sum::<u32>() + sum, 3);
    }),
    ("receive, for a time", |way| {
        let (sender, receiver) = channel::bounded::<u32>(0);
        way.cut(|| receiver.recv_timeout(HOUR));
        assert!(sender.try_send(1).is_err(), "a receiver that has gone is met");
    }),
    ("send to a full channel", |way| {
        let (sender, receiver) = channel::bounded(1);
        sender.send(1).unwrap();
        way.cut(|| sender.send(2).unwrap());
        assert_eq!(receiver.recv(), Ok(1));
        assert!(receiver.is_empty());
        sender.send(3).unwrap();
        assert_eq!(receiver.recv(), Ok(3));
    }),
    ("meeting, as a sender", |way| {
        let (sender, receiver) = channel::bounded(0);
        way.cut(|| sender.send(1).unwrap());
        assert!(receiver.try_recv().is_err(), "a sender that has gone is met");
        meet(&sender, &receiver);
    }),
    ("meeting, as a receiver", |way| {
        let (sender, receiver) = channel::bounded::<u32>(0);
        way.cut(|| receiver.recv().unwrap());
        meet(&sender, &receiver);
    }),
    ("select", |way| {
        let ((sender, receiver), (full, drain)) = (channel::bounded::<u32>(0), channel::bounded(1));
        full.send(7).unwrap();
        way.cut(|| {
            channel::select! {
                recv(receiver) -> message => assert!(message.is_err()),
                send(full, 8) -> sent => sent.unwrap(),
            }
        });
        assert_eq!(drain.try_iter().collect::<Vec<_>>(), [7]);
        assert!(sender.try_send(1).is_err());
        meet(&sender, &receiver);
    }),
    ("list of operations", |way| {
        let ((sender, receiver), (other, its)) = (channel::bounded::<u32>(0), channel::bounded(0));
        way.cut(|| {
            let mut select = Select::new();
            select.recv(&receiver);
            select.send(&other);
            let _ = select.select().index();
        });
        assert!(sender.try_send(1).is_err());
        meet(&sender, &receiver);
        meet(&other, &its);
    }),
    ("readiness", |way| {
        let (sender, receiver) = channel::bounded::<u32>(0);
        way.cut(|| {
            let mut select = Select::new();
            select.recv(&receiver);
            select.ready();
        });
        meet(&sender, &receiver);
    }),
    ("timer's channel", |way| {
        let (after, tick) = (channel::after(HOUR), channel::tick(HOUR));
        way.cut(|| after.recv().unwrap());
        way.cut(|| tick.recv().unwrap());
        let never: Receiver<()> = channel::never();
        way.cut(|| never.recv());
    }),
    ("std's channel", |way| {
        let (sender, receiver) = mpsc::channel();
        let receiver = Mutex::new(receiver);
        way.cut(|| receiver.lock().unwrap().recv());
        sender.send(1).unwrap();
        let receiver = receiver.into_inner().expect("a deadline poisons nothing");
        assert_eq!(receiver.recv(), Ok(1));
        let (sender, receiver) = mpsc::sync_channel(1);
        sender.send(1).unwrap();
        way.cut(|| sender.send(2).unwrap());
        assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [1]);
    }),
    ("oneshot", |way| {
        let (sender, receiver) = oneshot::channel::<u32>();
        way.cut(move || receiver.recv());
        assert!(sender.send(1).is_err(), "the receiver has gone with its call");
    }),
    ("broadcast", |way| {
        let (sender, mut receiver) = broadcast::channel(4);
        way.cut(|| receiver.recv());
        sender.send(1).unwrap();
        assert_eq!(receiver.recv(), Ok(1));
    }),
    ("watch", |way| {
        let (sender, mut receiver) = watch::channel(0);
        way.cut(|| receiver.recv());
        way.cut(|| receiver.wait_for(|value| *value == 1));
        sender.send(1).unwrap();
        assert_eq!(*receiver.recv().unwrap(), 1);
    }),
];

/// A message goes from one side to the other, and from nobody who was there before.
fn meet(sender: &Sender<u32>, receiver: &Receiver<u32>) {
    thread::scope(|scope| {
        scope.spawn(|| sender.send(42).unwrap());
        assert_eq!(receiver.recv(), Ok(42));
    });
}

pub(super) const FUTURES: [Row; 5] = [
    ("future", |way| way.cut(|| sylvan::block_on(pending::<()>()))),
    ("future that wakes itself for ever", |way| {
        way.cut(|| {
            sylvan::block_on(std::future::poll_fn(|context| {
                pass_time();
                context.waker().wake_by_ref();
                std::task::Poll::<()>::Pending
            }));
        });
    }),
    ("future of a receiver", |way| {
        let (sender, receiver) = channel::bounded::<u32>(0);
        way.cut(|| sylvan::block_on(receiver.recv_async()));
        meet(&sender, &receiver);
    }),
    ("future of a sender", |way| {
        let (sender, receiver) = channel::bounded(1);
        sender.send(1).unwrap();
        way.cut(|| sylvan::block_on(sender.send_async(2)));
        assert_eq!(receiver.recv(), Ok(1));
        assert!(receiver.is_empty());
    }),
    ("future of a thread", |way| {
        let (end, ends) = channel::bounded::<()>(0);
        let joined = thread::spawn(move || ends.recv());
        way.cut(move || sylvan::block_on(joined));
        settle();
        assert!(end.send(()).is_ok());
    }),
];
