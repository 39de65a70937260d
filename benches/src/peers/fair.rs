//! A semaphore for tasks that is first come, first served.
//!
//! For smol, whose own lets the task that has just given a permit take it back before the one that
//! it woke runs; where each permit is meant for whoever waits longest, such a task goes on for
//! ever.
//! The lock is std's and held for a few instructions.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

pub(crate) struct Semaphore(Mutex<Inside>);

struct Inside {
    permits: usize,
    queue: VecDeque<Arc<Mutex<Place>>>,
}

/// Of one who waits.
enum Place {
    Waiting(Waker),
    Granted,
}

impl Semaphore {
    pub(crate) fn new() -> Semaphore {
        Semaphore(Mutex::new(Inside { permits: 0, queue: VecDeque::new() }))
    }

    pub(crate) fn release(&self) {
        let mut inside = self.0.lock().expect("nobody panics inside");
        let Some(next) = inside.queue.pop_front() else {
            inside.permits += 1;
            return;
        };
        drop(inside);
        let place = std::mem::replace(&mut *next.lock().expect("no panic inside"), Place::Granted);
        if let Place::Waiting(waker) = place {
            waker.wake();
        }
    }

    /// Must be awaited to its end: a place that is given up keeps its permit.
    pub(crate) async fn acquire(&self) {
        let mut mine: Option<Arc<Mutex<Place>>> = None;
        poll_fn(|context| {
            if let Some(place) = &mine {
                let mut place = place.lock().expect("nobody panics inside");
                if let Place::Waiting(waker) = &mut *place {
                    waker.clone_from(context.waker());
                    return Poll::Pending;
                }
                return Poll::Ready(());
            }
            let mut inside = self.0.lock().expect("nobody panics inside");
            if inside.permits > 0 {
                inside.permits -= 1;
                return Poll::Ready(());
            }
            let place = Arc::new(Mutex::new(Place::Waiting(context.waker().clone())));
            inside.queue.push_back(place.clone());
            mine = Some(place);
            Poll::Pending
        })
        .await;
    }
}
