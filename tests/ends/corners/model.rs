//! Random programs of sleeps, timeouts, shields, catches, destructors and children, against a model
//! that knows what a deadline is by a list and a number.
//!
//! On the virtual clock each event has its exact time, so the whole course is compared. A failure
//! prints the program and its number.
#![forbid(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use sylvan::testing::{self, Plan};
use sylvan::thread::{self, Cancelled};
use sylvan::time::{self, Duration, Instant};
use sylvan_workspace::{OnDrop, Random};

/// What a program does, with a number for the course.
#[derive(Debug)]
struct Step(usize, Does);

#[derive(Debug)]
enum Does {
    Sleep(u64),
    /// Lets time pass without a wait.
    Compute(u64),
    /// Asks for the deadline and whether it is over.
    Look,
    Timeout(u64, Vec<Step>),
    Shield(Vec<Step>),
    Catch(Vec<Step>),
    /// With a destructor behind it that sleeps.
    Guard(u64, Vec<Step>),
    /// In a child of a scope, joined.
    Child(Vec<Step>),
}

/// Number of the step, what became of it, and when.
type Event = (usize, String, u64);

fn generate(random: &mut Random, depth: u32, count: &mut usize) -> Vec<Step> {
    let steps = (0..1 + random.below(3)).map(|_| {
        *count += 1;
        let number = *count;
        // Never the same twice, or nearly: what comes at one instant has no order.
        let time = if random.below(12) == 0 { 0 } else { 1 + random.below(1 << 30) };
        let mut body = |random: &mut Random| generate(random, depth - 1, count);
        let does = match random.below(if depth == 0 { 5 } else { 13 }) {
            0..=2 => Does::Sleep(time),
            3 => Does::Compute(time),
            4 => Does::Look,
            5..=7 => Does::Timeout(2 * time, body(random)),
            8 => Does::Shield(body(random)),
            9 | 10 => Does::Catch(body(random)),
            11 => Does::Guard(time / 4, body(random)),
            _ => Does::Child(body(random)),
        };
        Step(number, does)
    });
    steps.collect()
}

/// Runs a program for real.
struct Course {
    begun: Instant,
    events: Mutex<Vec<Event>>,
}

impl Course {
    fn since(&self, instant: Instant) -> u64 {
        u64::try_from((instant - self.begun).as_nanos()).expect("it is no longer")
    }

    fn note(&self, number: usize, what: impl Into<String>) {
        let event = (number, what.into(), self.since(time::now()));
        self.events.lock().unwrap_or_else(|e| e.into_inner()).push(event);
    }

    fn run(&self, steps: &[Step]) {
        for Step(number, does) in steps {
            let number = *number;
            match does {
                Does::Sleep(ns) => {
                    thread::sleep(Duration::from_nanos(*ns));
                    self.note(number, "slept");
                }
                Does::Compute(ns) => testing::advance(Duration::from_nanos(*ns)),
                Does::Look => {
                    let end = time::current_deadline().map(|end| self.since(end));
                    self.note(number, format!("{end:?} {}", thread::cancelled()));
                }
                Does::Timeout(ns, body) => {
                    let outcome = time::timeout(Duration::from_nanos(*ns), || self.run(body));
                    self.note(number, if outcome.is_ok() { "in time" } else { "elapsed" });
                }
                Does::Shield(body) => thread::shield(|| self.run(body)),
                Does::Catch(body) => match catch_unwind(AssertUnwindSafe(|| self.run(body))) {
                    Ok(()) => self.note(number, "passed"),
                    Err(payload) => {
                        assert!(payload.is::<Cancelled>(), "a panic");
                        self.note(number, "caught");
                    }
                },
                Does::Guard(ns, body) => {
                    let _guard = OnDrop(|| {
                        thread::sleep(Duration::from_nanos(*ns));
                        self.note(number, "dropped");
                    });
                    self.run(body);
                }
                Does::Child(body) => {
                    thread::scope(|scope| {
                        let child = scope.spawn(|| {
                            self.run(body);
                            // Without it the end of a child that is late meets the parent's.
                            thread::yield_now();
                        });
                        child.join().unwrap();
                    });
                    self.note(number, "joined");
                }
            }
        }
    }
}

/// What is around the step that runs.
#[derive(Clone, Copy)]
enum Around {
    /// A timeout, by its step and its end.
    Ends(usize, u64),
    Shield,
}

/// The step for whose end the program unwinds.
struct Cut(usize);

#[derive(Default)]
struct Model {
    now: u64,
    around: Vec<Around>,
    events: Vec<Event>,
}

impl Model {
    fn note(&mut self, number: usize, what: impl Into<String>) {
        self.events.push((number, what.into(), self.now));
    }

    /// The one that comes first; of two at one instant the outer one.
    fn nearest(&self) -> Option<(usize, u64)> {
        let mut nearest = None;
        for around in self.around.iter().rev() {
            match *around {
                Around::Shield => break,
                Around::Ends(number, end) => {
                    if nearest.is_none_or(|(_, first)| end <= first) {
                        nearest = Some((number, end));
                    }
                }
            }
        }
        nearest
    }

    fn switch_point(&self) -> Result<(), Cut> {
        match self.nearest() {
            Some((number, end)) if end <= self.now => Err(Cut(number)),
            _ => Ok(()),
        }
    }

    fn sleep(&mut self, ns: u64) -> Result<(), Cut> {
        self.switch_point()?;
        match self.nearest() {
            Some((number, end)) if end <= self.now + ns && ns > 0 => {
                self.now = end;
                Err(Cut(number))
            }
            _ => {
                self.now += ns;
                Ok(())
            }
        }
    }

    fn within(&mut self, around: Around, body: &[Step]) -> Result<(), Cut> {
        self.around.push(around);
        let result = self.run(body);
        self.around.pop();
        result
    }

    /// A child sees what its parent sees. It runs on when the parent is cut off, to its own end, and
    /// the parent waits for that.
    fn child(&mut self, body: &[Step]) -> Result<(), Cut> {
        self.switch_point()?;
        let end = self.nearest();
        let ended = self.run(body).and_then(|()| self.switch_point());
        match end {
            Some((number, end)) if end <= self.now || ended.is_err() => Err(Cut(number)),
            _ => ended,
        }
    }

    fn run(&mut self, steps: &[Step]) -> Result<(), Cut> {
        for Step(number, does) in steps {
            let number = *number;
            match does {
                Does::Sleep(ns) => {
                    self.sleep(*ns)?;
                    self.note(number, "slept");
                }
                Does::Compute(ns) => self.now += ns,
                Does::Look => {
                    let end = self.nearest().map(|(_, end)| end);
                    self.note(number, format!("{end:?} {}", end.is_some_and(|it| it <= self.now)));
                }
                Does::Timeout(ns, body) => {
                    match self.within(Around::Ends(number, self.now + ns), body) {
                        Ok(()) => self.note(number, "in time"),
                        Err(Cut(target)) if target == number => self.note(number, "elapsed"),
                        Err(cut) => return Err(cut),
                    }
                }
                Does::Shield(body) => self.within(Around::Shield, body)?,
                Does::Catch(body) => {
                    let what = if self.run(body).is_ok() { "passed" } else { "caught" };
                    self.note(number, what);
                }
                Does::Guard(ns, body) => {
                    let result = self.run(body);
                    match &result {
                        Ok(()) => self.sleep(*ns)?,
                        Err(_) => self.now += ns,
                    }
                    self.note(number, "dropped");
                    result?;
                }
                Does::Child(body) => {
                    self.child(body)?;
                    self.note(number, "joined");
                }
            }
        }
        Ok(())
    }
}

#[test]
fn random_programs_end_as_the_model_says() {
    for number in 0..2_000 {
        let mut random = Random::new(number);
        let program = generate(&mut random, 5, &mut 0);
        let mut model = Model::default();
        assert!(model.run(&program).is_ok(), "nothing is around the program");
        let events = Plan::new().run(number, || {
            let course = Course { begun: time::now(), events: Mutex::default() };
            course.run(&program);
            course.events.into_inner().unwrap_or_else(|e| e.into_inner())
        });
        assert_eq!(events, model.events, "program {number}: {program:?}");
    }
}
