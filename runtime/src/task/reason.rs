//! Why a thread waits, in a form that reports can print.
//!
//! Every wait goes through one door and leaves there what a person would ask of a hung program:
//! what kind of wait, on which object, who holds it, since when, and where in the source. The
//! record lies on the waiting thread's stack, so leaving it costs a few stores. It never owns
//! anything: the object is an address for comparison, not for use.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::panic::Location;

use crate::task::state::{Accepts, Sequence};
use crate::wheel::Timer;

/// What kind of wait it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub(crate) enum WaitKind {
    /// `thread::park`, with or without a timeout.
    Park,
    /// `thread::sleep`, `thread::sleep_until`.
    Sleep,
    /// `JoinHandle::join`.
    Join,
    /// The end of `thread::scope`.
    Scope,
    /// The second arm of `join(a, b)`, which another worker runs.
    Arm,
    /// `Runtime::run`: the closure that it was given.
    Run,
    /// The end of a runtime.
    Shutdown,
    /// `testing::wait_until_all_parked`.
    Quiescence,
    /// `sync::Mutex::lock`.
    Mutex,
    /// `sync::RwLock::read`.
    Read,
    /// `sync::RwLock::write`.
    Write,
    /// `sync::Condvar::wait`.
    Condvar,
    /// `sync::Once` and what stands on it: somebody else initialises.
    Once,
    /// `sync::Barrier::wait`.
    Barrier,
    /// `sync::Semaphore::acquire`.
    Semaphore,
    /// `sync::WaitGroup::wait`.
    WaitGroup,
    /// `sync::Event::wait`.
    Event,
    /// Resolving a name, on a thread of the pool for blocking calls.
    Resolve,
    /// Sending on a channel.
    Send,
    /// Receiving from a channel.
    Receive,
    /// Several operations on channels.
    Select,
    /// `block_on`.
    Future,
    /// Reading from a socket.
    SocketRead,
    /// Writing to a socket.
    SocketWrite,
    /// `accept` of a listener.
    Accept,
    /// `connect` of a stream.
    Connect,
}

impl WaitKind {
    /// The words of a report.
    pub(crate) fn describe(self) -> &'static str {
        match self {
            WaitKind::Park => "parked",
            WaitKind::Sleep => "sleeping",
            WaitKind::Join => "joining a thread",
            WaitKind::Scope => "waiting for the end of a scope",
            WaitKind::Arm => "waiting for the second arm of a join",
            WaitKind::Run => "waiting for what a runtime runs",
            WaitKind::Shutdown => "waiting for the end of a runtime",
            WaitKind::Quiescence => "waiting until all others wait",
            WaitKind::Mutex => "waiting for a mutex",
            WaitKind::Read => "waiting for a rwlock, to read",
            WaitKind::Write => "waiting for a rwlock, to write",
            WaitKind::Condvar => "waiting for a condvar",
            WaitKind::Once => "waiting for an initialisation",
            WaitKind::Barrier => "waiting at a barrier",
            WaitKind::Semaphore => "waiting for permits of a semaphore",
            WaitKind::WaitGroup => "waiting for a group",
            WaitKind::Event => "waiting for an event",
            WaitKind::Resolve => "resolving a name",
            WaitKind::Send => "sending on a channel",
            WaitKind::Receive => "receiving from a channel",
            WaitKind::Select => "waiting for one of several operations on channels",
            WaitKind::Future => "waiting for a future",
            WaitKind::SocketRead => "reading from a socket",
            WaitKind::SocketWrite => "writing to a socket",
            WaitKind::Accept => "accepting a connection",
            WaitKind::Connect => "connecting",
        }
    }

    /// How such a wait can be ended for nothing, so that the code that waits shows whether it looks
    /// at its own condition again. `None`: it cannot.
    pub(crate) fn for_nothing(self) -> Option<ForNothing> {
        match self {
            WaitKind::Sleep
            | WaitKind::Join
            | WaitKind::Scope
            | WaitKind::Resolve
            | WaitKind::Run
            | WaitKind::Shutdown => Some(ForNothing::Wake),
            // The condition is the program's.
            WaitKind::Condvar => Some(ForNothing::TimeOut),
            // They look at their word again.
            WaitKind::Once | WaitKind::WaitGroup | WaitKind::Event | WaitKind::Future => {
                Some(ForNothing::TimeOut)
            }
            // They try again.
            WaitKind::SocketRead | WaitKind::SocketWrite => Some(ForNothing::Wake),
            WaitKind::Accept | WaitKind::Connect => Some(ForNothing::Wake),
            // The permit is the program's; the two next rely on the wake that names their wait,
            // and so do those that keep their place in a queue.
            WaitKind::Park | WaitKind::Arm | WaitKind::Quiescence | WaitKind::Mutex => None,
            WaitKind::Read | WaitKind::Write | WaitKind::Semaphore | WaitKind::Barrier => None,
            WaitKind::Send | WaitKind::Receive | WaitKind::Select => None,
        }
    }
}

/// What ends a wait for nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ForNothing {
    /// A wake, for those who are woken without being given anything.
    Wake,
    /// A deadline that has not come, for those to whom a wake means that they were given something.
    TimeOut,
}

/// Why a thread waits.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub(crate) struct Reason {
    pub(crate) kind: WaitKind,
    /// The address of what is waited for; 0 where there is none.
    pub(crate) object: usize,
    /// The number of the thread whose action would end the wait, where that is known.
    pub(crate) owner: Option<std::num::NonZeroU64>,
    /// The call that waits.
    pub(crate) site: &'static Location<'static>,
}

impl Reason {
    /// A reason without object and owner.
    pub(crate) fn new(kind: WaitKind, site: &'static Location<'static>) -> Reason {
        Reason { kind, object: 0, owner: None, site }
    }
}

/// A reason in force: what the header points to while its thread waits.
pub(crate) struct WaitRecord {
    pub(crate) reason: Reason,
    /// When the wait began, in nanoseconds of [`crate::clock`]; 0 when it was not looked up.
    pub(crate) since_ns: u64,
    /// The wait's timer, if it has a deadline.
    pub(crate) timer: Cell<Option<Timer>>,
    /// The number of the wait.
    pub(crate) sequence: Sequence,
    /// What may end the wait, where nobody was told of it: the commit opens it.
    pub(crate) unannounced: Option<Accepts>,
    /// Set while the waiter stands in a queue.
    pub(crate) unlink: Option<Unlink>,
}

/// Takes a waiter out of the queue in which it stands, and passes on what it was given already.
/// Called when its thread is leaked.
#[derive(Clone, Copy)]
pub(crate) struct Unlink {
    pub(crate) waiter: *const (),
    /// To be called once with `waiter`, which lies on the stack of a thread that never goes on.
    pub(crate) call: unsafe fn(*const ()),
}
