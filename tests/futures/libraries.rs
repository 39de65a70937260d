//! Futures of libraries that know nothing of sylvan.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, join_all, select};
use sylvan::{block_on, thread};
use sylvan_workspace::everywhere;

use crate::support::{some_threads, tokio_beside};

const SOON: Duration = Duration::from_millis(5);

#[test]
fn tasks_of_tokio_are_joined() {
    everywhere(|shape| {
        tokio_beside(|tokio| {
            let tasks: Vec<_> = (0..some_threads(shape))
                .map(|n| {
                    tokio.spawn(async move {
                        tokio::task::yield_now().await;
                        n
                    })
                })
                .collect();
            for (n, task) in tasks.into_iter().enumerate() {
                assert_eq!(block_on(task).unwrap(), n);
            }
        });
    });
}

#[test]
fn channels_of_tokio_lead_in_and_out() {
    everywhere(|_| {
        tokio_beside(|tokio| {
            let (question, mut asked) = tokio::sync::mpsc::channel(1);
            let (answer, mut answered) = tokio::sync::mpsc::channel(1);
            let answering = tokio.spawn(async move {
                while let Some(number) = asked.recv().await {
                    answer.send(number * 2).await.unwrap();
                }
            });
            let asks = thread::spawn(move || {
                for number in 0..100 {
                    block_on(question.send(number)).unwrap();
                }
            });
            for number in 0..100 {
                assert_eq!(block_on(answered.recv()), Some(number * 2));
            }
            assert_eq!(block_on(answered.recv()), None);
            asks.join().unwrap();
            block_on(answering).unwrap();
        });
    });
}

#[test]
fn oneshot_and_notify_of_tokio_work_between_threads() {
    everywhere(|shape| {
        let notify = Arc::new(tokio::sync::Notify::new());
        let (threads, senders): (Vec<_>, Vec<_>) = (0..some_threads(shape))
            .map(|n| {
                let (sender, receiver) = tokio::sync::oneshot::channel();
                let notify = notify.clone();
                let thread = thread::spawn(move || {
                    let number: usize = block_on(receiver).unwrap();
                    assert_eq!(number, n);
                    notify.notify_one();
                    block_on(notify.notified());
                    notify.notify_one();
                });
                (thread, sender)
            })
            .unzip();
        for (n, sender) in senders.into_iter().enumerate() {
            sender.send(n).unwrap();
        }
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn sleeps_of_tokio_that_were_made_inside_of_enter_end() {
    everywhere(|shape| {
        tokio_beside(|tokio| {
            let threads: Vec<_> = (0..some_threads(shape))
                .map(|_| {
                    let handle = tokio.handle().clone();
                    thread::spawn(move || {
                        let begun = std::time::Instant::now();
                        let sleep = {
                            let _entered = handle.enter();
                            tokio::time::sleep(SOON)
                        };
                        block_on(sleep);
                        assert!(begun.elapsed() >= SOON);
                    })
                })
                .collect();
            for thread in threads {
                thread.join().unwrap();
            }
        });
    });
}

#[test]
fn tasks_of_tokio_await_threads() {
    everywhere(|shape| {
        tokio_beside(|tokio| {
            let threads: Vec<_> = (0..some_threads(shape))
                .map(|n| {
                    thread::spawn(move || {
                        thread::yield_now();
                        n
                    })
                })
                .collect();
            let sum = tokio.spawn(async move {
                let mut sum = 0;
                for thread in threads {
                    sum += thread.await.unwrap();
                }
                sum
            });
            let count = some_threads(shape);
            assert_eq!(block_on(sum).unwrap(), count * (count - 1) / 2);
        });
    });
}

#[test]
fn async_channel_works_between_threads() {
    everywhere(|_| {
        let (sender, receiver) = async_channel::bounded(1);
        let senders: Vec<_> = (0..3)
            .map(|n| {
                let sender = sender.clone();
                thread::spawn(move || {
                    for number in 0..50 {
                        block_on(sender.send(n * 50 + number)).unwrap();
                    }
                })
            })
            .collect();
        drop(sender);
        let receivers: Vec<_> = (0..2)
            .map(|_| {
                let receiver = receiver.clone();
                thread::spawn(move || {
                    let mut got = Vec::new();
                    while let Ok(number) = block_on(receiver.recv()) {
                        got.push(number);
                    }
                    got
                })
            })
            .collect();
        for sender in senders {
            sender.join().unwrap();
        }
        let got = receivers.into_iter().map(|receiver| receiver.join().unwrap());
        let mut got: Vec<i32> = got.flatten().collect();
        got.sort_unstable();
        assert_eq!(got, (0..150).collect::<Vec<_>>());
    });
}

#[test]
fn join_all_of_threads_gives_their_results_in_order() {
    everywhere(|_| {
        // More than thirty, and `join_all` has wakers of its own.
        let threads: Vec<_> = (0..50)
            .map(|n| {
                thread::spawn(move || {
                    thread::sleep(Duration::from_micros(50 - n));
                    n
                })
            })
            .collect();
        let results = block_on(join_all(threads.into_iter().map(IntoFuture::into_future)));
        let values: Vec<_> = results.into_iter().map(Result::unwrap).collect();
        assert_eq!(values, (0..50).collect::<Vec<_>>());
    });
}

#[test]
fn select_takes_what_comes_first_and_keeps_the_other() {
    everywhere(|_| {
        let (sender, receiver) = async_channel::bounded(1);
        let slow = thread::spawn(move || {
            let number: i32 = block_on(receiver.recv()).unwrap();
            number + 1
        });
        let quick = thread::spawn(|| "first");
        let (quick, slow) = (quick.into_future(), slow.into_future());
        let Either::Left((Ok("first"), slow)) = block_on(select(quick, slow)) else {
            panic!("the other one waits");
        };
        block_on(sender.send(1)).unwrap();
        assert_eq!(block_on(slow).unwrap(), 2);
    });
}
