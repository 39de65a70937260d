//! One seeded run, or as many as it takes.
#![forbid(unsafe_code)]

use std::io::Write;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use crate::embed::Builder;
use crate::sched::config;
use crate::sched::seeded::{self, Faults, RemoteRun, Strategy, Trace};
use crate::task::current;

/// Runs `f` as the first thread of a seeded run, with virtual time and the random strategy.
///
/// The run has a kernel thread of its own, which is its one worker. When `f` has returned, what is
/// left of its threads is cancelled. [`Plan`] has the settings.
///
/// # Blocking
///
/// The calling kernel thread blocks until the run has ended. If that takes longer than 10 s, a line
/// on stderr says which thread had the last turn: a call that blocks the only worker for real, and
/// a loop that never waits, are not seen otherwise.
///
/// # Panics
///
/// With what unwinds `f`. If nothing can move any more, with a list of who waits for what. Inside
/// a thread of a runtime, seeded or not: a run begins on a kernel thread.
///
/// # Examples
///
/// ```
/// let order = |seed| {
///     sylvan::testing::run_seeded(seed, || {
///         let (sender, receiver) = std::sync::mpsc::channel();
///         for n in 0..8 {
///             let sender = sender.clone();
///             sylvan::go!(move || sender.send(n));
///         }
///         drop(sender);
///         sylvan::testing::wait_until_all_parked();
///         receiver.iter().collect::<Vec<i32>>()
///     })
/// };
/// assert_eq!(order(7), order(7));
/// assert!((0..10).any(|seed| order(seed) != order(7)));
/// ```
#[track_caller]
pub fn run_seeded<F, T>(seed: u64, f: F) -> T
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    Plan::new().run(seed, f)
}

/// Runs `f` once for each seed, with virtual time and the random strategy, until one fails.
///
/// The seed that failed is printed with the command that replays it: `SYLVAN_SEED=N` before the
/// program makes this function run that seed alone, and print the last steps of its course.
///
/// # Blocking
///
/// As [`run_seeded`], once for each seed.
///
/// # Panics
///
/// With what unwinds `f` under the first seed that fails; see [`run_seeded`]. If there is no seed
/// in the range, and if `SYLVAN_SEED` is not a whole number.
#[track_caller]
pub fn explore<F>(seeds: Range<u64>, f: F)
where
    F: Fn() + Sync,
{
    Plan::new().explore(seeds, f);
}

/// The settings of seeded runs.
///
/// # Examples
///
/// ```
/// use sylvan::testing::{Plan, Strategy};
///
/// let plan = Plan::new().strategy(Strategy::Pct { depth: 2 });
/// let (sum, trace) = plan.trace(3, || {
///     let other = sylvan::thread::spawn(|| 1);
///     other.join().unwrap() + 1
/// });
/// assert_eq!(sum, 2);
/// let again = plan.trace(3, || sylvan::thread::spawn(|| 1).join().unwrap() + 1).1;
/// assert_eq!(trace, again);
/// ```
#[derive(Clone, Debug)]
#[must_use = "a plan runs nothing before one of its run methods is called"]
pub struct Plan {
    plan: seeded::Plan,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan::new()
    }
}

/// How the harness and a person can find the test again.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Its path, as the harness prints it.
    pub(super) test: String,
    /// The package that it belongs to, where that is known.
    pub(super) package: Option<&'static str>,
}

impl Plan {
    /// Returns the plan of [`run_seeded`]: the random strategy, virtual time, no faults.
    pub fn new() -> Plan {
        Plan {
            plan: seeded::Plan {
                seed: 0,
                strategy: Strategy::Random,
                virtual_time: true,
                faults: Faults::none(),
                spurious_parks: false,
                keeps_trace: false,
            },
        }
    }

    /// Says how a run chooses who goes on.
    ///
    /// # Panics
    ///
    /// For a depth of PCT that is not from 1 to 64.
    #[track_caller]
    pub fn strategy(mut self, strategy: Strategy) -> Plan {
        if let Strategy::Pct { depth } = strategy
            && strategy.to_string().parse() != Ok(strategy)
        {
            panic!("Plan::strategy: a depth of {depth} is not valid; accepted: 1 to 64");
        }
        self.plan.strategy = strategy;
        self
    }

    /// Says whether time is virtual; it is, unless `false` is said.
    ///
    /// With the real clock sleeps take their time, and a run with timers is no longer decided by
    /// its seed alone.
    pub fn virtual_time(mut self, wanted: bool) -> Plan {
        self.plan.virtual_time = wanted;
        self
    }

    /// Says what goes wrong on purpose from the beginning; see [`inject`](crate::testing::inject).
    pub fn faults(mut self, faults: Faults) -> Plan {
        self.plan.faults = faults;
        self
    }

    /// Says whether [`thread::park`](crate::thread::park) returns without a permit now and then.
    /// It does not, unless `true` is said.
    ///
    /// Sylvan's `park` never does so otherwise, but std's may: for code that is to run on both.
    pub fn spurious_parks(mut self, wanted: bool) -> Plan {
        self.plan.spurious_parks = wanted;
        self
    }

    /// Returns a builder for a runtime that is seeded by this plan, for tests that embed one.
    ///
    /// The runtime is N:1: whoever calls its `run` first is its worker. What the builder is told
    /// besides holds, and so do the variables, except for the mapping.
    pub fn builder(&self, seed: u64) -> Builder {
        Builder::seeded(self.with_seed(seed))
    }

    /// Runs `f` under `seed`; see [`run_seeded`].
    ///
    /// # Blocking
    ///
    /// As [`run_seeded`].
    ///
    /// # Panics
    ///
    /// As [`run_seeded`].
    #[track_caller]
    pub fn run<F, T>(&self, seed: u64, f: F) -> T
    where
        F: FnOnce() -> T + Send,
        T: Send,
    {
        match start(Builder::seeded(self.with_seed(seed)), f).result {
            Ok(value) => value,
            Err(payload) => resume_unwind(payload),
        }
    }

    /// Runs `f` under `seed` and returns the course of the run besides.
    ///
    /// # Blocking
    ///
    /// As [`run_seeded`].
    ///
    /// # Panics
    ///
    /// As [`run_seeded`].
    #[track_caller]
    pub fn trace<F, T>(&self, seed: u64, f: F) -> (T, Trace)
    where
        F: FnOnce() -> T + Send,
        T: Send,
    {
        let mut plan = self.with_seed(seed);
        plan.keeps_trace = true;
        let ended = start(Builder::seeded(plan), f);
        match ended.result {
            Ok(value) => (value, ended.trace.unwrap_or_else(|| Trace::new(true))),
            Err(payload) => resume_unwind(payload),
        }
    }

    /// Runs `f` once for each seed until one fails; see [`explore`].
    ///
    /// # Blocking
    ///
    /// As [`explore`].
    ///
    /// # Panics
    ///
    /// As [`explore`].
    #[track_caller]
    pub fn explore<F>(&self, seeds: Range<u64>, f: F)
    where
        F: Fn() + Sync,
    {
        let test = std::thread::current().name().unwrap_or("main").to_owned();
        let place = Place { test, package: None };
        let builder = |seed, keeps_trace| self.traced_builder(seed, keeps_trace);
        explore_each(builder, self.plan.strategy, seeds, &place, &f, |()| false);
    }

    pub(super) fn traced_builder(&self, seed: u64, keeps_trace: bool) -> Builder {
        let mut plan = self.with_seed(seed);
        plan.keeps_trace = keeps_trace;
        Builder::seeded(plan)
    }

    fn with_seed(&self, seed: u64) -> seeded::Plan {
        seeded::Plan { seed, ..self.plan.clone() }
    }
}

/// Runs `f` for each seed on what `builder` makes for it, until one panics or gives a value that
/// `fails`; gives the last value.
#[track_caller]
pub(super) fn explore_each<T: Send>(
    builder: impl Fn(u64, bool) -> Builder,
    strategy: Strategy,
    seeds: Range<u64>,
    place: &Place,
    f: &(impl Fn() -> T + Sync),
    fails: impl Fn(&T) -> bool,
) -> T {
    assert!(
        !seeds.is_empty(),
        "testing::explore: {}..{} holds no seed, so nothing would run; accepted: a range of at \
         least one",
        seeds.start,
        seeds.end
    );
    let replayed = match config::replayed_seed() {
        Ok(replayed) => replayed,
        Err(error) => panic!("{error}"),
    };
    let tried = match replayed {
        None => seeds.clone(),
        // The last seed of all has no end that a range could name.
        Some(u64::MAX) => panic!("SYLVAN_SEED={} is kept free; accepted: less", u64::MAX),
        Some(seed) => seed..seed + 1,
    };
    let mut last = None;
    for seed in tried {
        let ended = start(builder(seed, replayed.is_some()), f);
        let failed = match &ended.result {
            Ok(value) => fails(value),
            Err(_) => true,
        };
        if failed {
            ended.say_how_to_replay(seed, &seeds, strategy, place, replayed.is_some());
        }
        match ended.result {
            Err(payload) => resume_unwind(payload),
            Ok(value) if failed => return value,
            Ok(value) => last = Some(value),
        }
    }
    last.expect("at least one seed was run")
}

/// How a run has ended.
struct Ended<T> {
    result: std::thread::Result<T>,
    trace: Option<Trace>,
    disturbed: bool,
}

impl<T> Ended<T> {
    fn say_how_to_replay(
        &self,
        seed: u64,
        seeds: &Range<u64>,
        strategy: Strategy,
        place: &Place,
        replayed: bool,
    ) {
        if let Some(trace) = self.trace.as_ref().filter(|_| replayed) {
            eprintln!("sylvan: the last steps of the run (of {} in all):", trace.len());
            eprint!("{}", trace.tail(STEPS_SHOWN));
        }
        let seeds = format!("seeds {}..{}, strategy {strategy}", seeds.start, seeds.end);
        eprintln!("sylvan: '{}' fails with seed {seed} ({seeds})", place.test);
        if self.disturbed {
            eprintln!("sylvan: kernel threads from outside had a part in it: the seed may not do");
        }
        if place.package.is_none() && place.test == "main" {
            eprintln!("sylvan: to replay it, run the program with SYLVAN_SEED={seed}");
            return;
        }
        let package = place.package.map_or(String::new(), |package| format!(" -p {package}"));
        eprintln!(
            "sylvan: to replay it: SYLVAN_SEED={seed} cargo test{package} -- --exact {}",
            place.test
        );
    }
}

/// How many steps of a replayed run are printed.
const STEPS_SHOWN: usize = 200;
/// How long a run may take, in milliseconds, before a person is told where it is.
static PATIENCE_MS: AtomicU64 = AtomicU64::new(10_000);

/// Has runs that do not end speak up after `patience` instead of 10 s. A door for sylvan's own
/// tests.
pub fn set_patience(patience: Duration) {
    // ORDERING: Relaxed; a setting.
    PATIENCE_MS.store(patience.as_millis() as u64, Ordering::Relaxed);
}

/// Runs `f` on the runtime of `builder`, on a kernel thread of its own.
#[track_caller]
fn start<F, T>(builder: Builder, f: F) -> Ended<T>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    assert!(
        current::worker().is_null() && current::kernel_runtime().is_none(),
        "a seeded run cannot begin inside a thread of a runtime, seeded or not: it would keep that \
         worker for real. Begin it on a kernel thread that no runtime knows"
    );
    let runtime = match builder.build() {
        Ok(runtime) => runtime,
        Err(error) => panic!("the seeded run could not be set up: {error}"),
    };
    let site = Location::caller();
    let remote = runtime.seeded_run().expect("a seeded builder makes a seeded runtime");
    let result = std::thread::scope(|scope| {
        let (alive, gone) = channel::<()>();
        // Named like the caller: std's message about a panic names the kernel thread, and the
        // harness calls that after the test.
        let name = std::thread::current().name().unwrap_or("sylvan-seeded").to_owned();
        let body = move || {
            let _alive = alive;
            // A panic of the shutdown's is the run's, too.
            let result = catch_unwind(AssertUnwindSafe(|| runtime.run_at(site, f)));
            catch_unwind(AssertUnwindSafe(|| drop(runtime))).and(result)
        };
        let kernel = match std::thread::Builder::new().name(name).spawn_scoped(scope, body) {
            Ok(kernel) => kernel,
            Err(error) => panic!("the kernel thread of the seeded run could not be had: {error}"),
        };
        // ORDERING: Relaxed; a setting.
        let patience = Duration::from_millis(PATIENCE_MS.load(Ordering::Relaxed));
        while gone.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
            say_where_it_is(&remote, patience);
        }
        kernel.join().and_then(|result| result)
    });
    let trace = remote.trace.lock().unwrap_or_else(|e| e.into_inner()).take();
    Ended { result, trace, disturbed: remote.is_disturbed() }
}

/// Straight to the descriptor, for a harness shows nothing of a test that has not ended.
fn say_where_it_is(remote: &Arc<RemoteRun>, patience: Duration) {
    let text = format!(
        "sylvan: a seeded run (seed {}) has not ended in another {patience:?}, {}. Either that \
         thread blocks the only worker for real (std's locks, sleep, channels and input do), or \
         a loop never waits\n",
        remote.plan.seed,
        remote.progress(),
    );
    // If it cannot be written, there is nobody to be told.
    let _ = std::io::stderr().write_all(text.as_bytes());
}
