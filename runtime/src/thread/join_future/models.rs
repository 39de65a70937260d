//! Loom models of awaiting a thread: the waker that was left last is called when the thread ends,
//! and each is given up once, by whoever has it.

use std::panic::Location;
use std::pin::Pin;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use loom::thread;

use super::{Awaited, JoinFuture};
use crate::primitives::{Bell, check};
use crate::sched::life;
use crate::stack::Class;
use crate::task::header::Birth;
use crate::task::{Header, HeaderRef, Kind, State, current, packet};
use crate::thread::join::JoinInner;

/// A task that sleeps until it is woken. Its count tells who has a waker of it still.
struct Task(Bell);

impl Task {
    fn new() -> Arc<Task> {
        Arc::new(Task(Bell::new()))
    }
}

impl Wake for Task {
    fn wake(self: Arc<Task>) {
        self.0.ring();
    }
}

/// What the thread gives: something whose drops are counted.
type Outcome = Arc<()>;

struct Carried(NonNull<Header>);

// SAFETY: the scheduler's reference to a thread that has not started.
unsafe impl Send for Carried {}

/// A thread that gives `outcome`, and the future of its end. The steps are those of `one_to_one`.
fn spawn(outcome: &Outcome) -> (JoinFuture<Outcome>, thread::JoinHandle<()>) {
    let outcome = outcome.clone();
    let header = header_of(move || outcome);
    let carried = Carried(header);
    let ending = thread::spawn(move || {
        let carried = carried;
        // SAFETY: the scheduler's reference, which is given up below.
        let header = unsafe { carried.0.as_ref() };
        life::run_closure(header, None, None);
        let at_end = life::end_user_code(header, || (), || ());
        // SAFETY: S1: it has ended just now.
        if let Some(waker) = unsafe { life::announce_end(carried.0, ptr::null(), at_end) } {
            life::call_quietly(waker);
        }
    });
    // SAFETY: S1: the second of the two references.
    let handle = unsafe { HeaderRef::from_owned(header) };
    (JoinFuture(Awaited::new(JoinInner::with(handle, None))), ending)
}

fn header_of<F: FnOnce() -> Outcome>(closure: F) -> NonNull<Header> {
    let header = Header::allocate(Birth {
        kind: Kind::Kernel,
        state: State::unstarted(true),
        class: Class::DEFAULT,
        vtable: packet::vtable::<F, Outcome>(),
        site: Location::caller(),
        name: None,
        boxed: packet::needs_box::<F, Outcome>(),
        refs: 2,
        id: current::next_id(),
    });
    // SAFETY: made above and known to nobody.
    let new = unsafe { header.as_ref() };
    // SAFETY: S1: made for the same types.
    unsafe { packet::store_closure::<F, Outcome>(new, closure) };
    header
}

fn poll(future: &mut JoinFuture<Outcome>, task: &Arc<Task>) -> Option<Outcome> {
    let waker = Waker::from(task.clone());
    match Pin::new(future).poll(&mut Context::from_waker(&waker)) {
        Poll::Ready(result) => Some(result.expect("it does not panic")),
        Poll::Pending => None,
    }
}

fn assert_none_is_left(tasks: &[Arc<Task>]) {
    for task in tasks {
        assert_eq!(Arc::strong_count(task), 1, "each waker is given up once");
    }
}

#[test]
fn end_of_a_thread_calls_the_waker_that_was_left_last() {
    check(|| {
        let outcome = Outcome::new(());
        let tasks = [Task::new(), Task::new()];
        let (mut future, ending) = spawn(&outcome);
        let mut got = poll(&mut future, &tasks[0]);
        if got.is_none() {
            got = poll(&mut future, &tasks[1]);
        }
        let got = got.unwrap_or_else(|| {
            // Never ends if nobody, or only the first one, is woken.
            tasks[1].0.wait();
            poll(&mut future, &tasks[1]).expect("woken, so it has ended")
        });
        ending.join().unwrap();
        assert_none_is_left(&tasks);
        drop((got, future));
        assert_eq!(Arc::strong_count(&outcome), 1);
    });
}

#[test]
fn waker_that_is_left_twice_is_called() {
    check(|| {
        let outcome = Outcome::new(());
        let tasks = [Task::new()];
        // The same waker, as an executor has it.
        let waker = Waker::from(tasks[0].clone());
        let mut context = Context::from_waker(&waker);
        let (mut future, ending) = spawn(&outcome);
        let mut polls = 0;
        while Pin::new(&mut future).poll(&mut context).is_pending() {
            polls += 1;
            if polls == 2 {
                tasks[0].0.wait();
            }
        }
        assert!(polls <= 2);
        ending.join().unwrap();
        drop(waker);
        assert_none_is_left(&tasks);
        assert_eq!(Arc::strong_count(&outcome), 1);
    });
}

#[test]
fn future_dropped_while_its_thread_ends_takes_its_waker_along_or_leaves_it_to_be_called() {
    check(|| {
        let outcome = Outcome::new(());
        let tasks = [Task::new()];
        let (mut future, ending) = spawn(&outcome);
        let got = poll(&mut future, &tasks[0]);
        drop(future);
        ending.join().unwrap();
        assert_none_is_left(&tasks);
        drop(got);
        assert_eq!(Arc::strong_count(&outcome), 1);
    });
}
