//! Tickers: due instants exact to the nanosecond, and what becomes of missed ticks.
//!
//! Where clocks are real, lateness comes from first ticks that lie hours in the past, which no
//! stall of the machine can change; what waits for a certain time does so under seeds.
#![forbid(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use sylvan::testing;
use sylvan::thread;
use sylvan::time::{self, MissedTicks, Ticker};
use sylvan_workspace::{everywhere, in_every_runtime, settle, text_of};

const MODES: [MissedTicks; 3] = [MissedTicks::Skip, MissedTicks::Burst, MissedTicks::Delay];
const HOUR: Duration = Duration::from_secs(3600);
const MOMENT: Duration = Duration::from_millis(2);

/// A tick that has been due for three hours and a half, and a ticker that begins with it.
fn late(missed: MissedTicks) -> (Instant, Ticker) {
    let first = time::now().checked_sub(HOUR * 7 / 2).expect("a clock may show less than zero");
    (first, Ticker::starting_at(first, HOUR).missed(missed))
}

/// Fails if the ticker, which gives `due` next, does not wait for that: cuts it short.
#[track_caller]
fn expect_wait(mut ticker: Ticker) {
    thread::scope(|scope| {
        let waits = scope.spawn(move || ticker.tick());
        settle();
        assert!(!waits.is_finished(), "a tick that is not due was given");
        waits.cancel().unwrap();
        assert!(waits.join().is_err());
    });
}

#[test]
fn ticks_come_a_period_apart_and_none_before_it_is_due() {
    everywhere(|_| {
        for missed in MODES {
            let begun = time::now();
            let mut ticker = Ticker::starting_at(begun + MOMENT, MOMENT).missed(missed);
            let mut last = begun;
            for _ in 0..5 {
                let due = ticker.tick();
                assert!(time::now() >= due);
                assert!(due >= last + MOMENT);
                if missed != MissedTicks::Delay {
                    let since = (due - begun).as_nanos();
                    assert_eq!(since % MOMENT.as_nanos(), 0, "the phase is kept");
                }
                if missed == MissedTicks::Burst {
                    assert_eq!(due, last + MOMENT);
                }
                last = due;
            }
        }
    });
}

#[test]
fn late_thread_that_skips_gets_the_latest_tick_and_waits_for_the_next() {
    everywhere(|_| {
        let (first, mut ticker) = late(MissedTicks::Skip);
        assert_eq!(ticker.tick(), first + 3 * HOUR);
        expect_wait(ticker);
    });
}

#[test]
fn late_thread_gets_a_burst_of_all_ticks_and_waits_for_the_next() {
    everywhere(|_| {
        let (first, mut ticker) = late(MissedTicks::Burst);
        for number in 0..4 {
            assert_eq!(ticker.tick(), first + number * HOUR);
        }
        expect_wait(ticker);
    });
}

#[test]
fn late_thread_that_delays_gets_one_tick_and_waits_for_the_next() {
    everywhere(|_| {
        let (first, mut ticker) = late(MissedTicks::Delay);
        assert_eq!(ticker.tick(), first);
        expect_wait(ticker);
    });
}

#[test]
fn missed_ticks_are_skipped_if_nothing_else_is_said() {
    assert_eq!(MissedTicks::default(), MissedTicks::Skip);
    let first = time::now().checked_sub(HOUR * 3 / 2).unwrap();
    assert_eq!(Ticker::starting_at(first, HOUR).tick(), first + HOUR);
}

#[sylvan::test(seeds = 20)]
fn first_tick_is_a_period_away_or_where_it_was_asked_for() {
    for missed in MODES {
        let begun = time::now();
        assert_eq!(Ticker::new(HOUR).missed(missed).tick(), begun + HOUR);
        assert_eq!(time::now(), begun + HOUR);
        let first = begun + HOUR + MOMENT;
        let mut ticker = Ticker::starting_at(first, HOUR).missed(missed);
        assert_eq!((ticker.tick(), time::now()), (first, first));
        assert_eq!((ticker.tick(), time::now()), (first + HOUR, first + HOUR));
        assert_eq!(ticker.period(), HOUR);
    }
}

/// When the ticks of a thread were due, and when it had them, each in minutes, if it takes so many
/// after having been away until minute 35, with a period of ten.
fn minutes_of_ticks(missed: MissedTicks, count: usize) -> Vec<(u64, u64)> {
    let minute = Duration::from_secs(60);
    let begun = time::now();
    let minutes = |at: Instant| (at - begun).as_secs() / 60;
    let mut ticker = Ticker::new(10 * minute).missed(missed);
    let mut ticks = vec![(minutes(ticker.tick()), minutes(time::now()))];
    thread::sleep_until(begun + 35 * minute);
    for _ in 0..count {
        ticks.push((minutes(ticker.tick()), minutes(time::now())));
    }
    ticks
}

#[sylvan::test(seeds = 20)]
fn each_mode_does_what_its_table_says() {
    let skip = minutes_of_ticks(MissedTicks::Skip, 3);
    assert_eq!(skip, [(10, 10), (30, 35), (40, 40), (50, 50)]);
    let burst = minutes_of_ticks(MissedTicks::Burst, 4);
    assert_eq!(burst, [(10, 10), (20, 35), (30, 35), (40, 40), (50, 50)]);
    let delay = minutes_of_ticks(MissedTicks::Delay, 3);
    assert_eq!(delay, [(10, 10), (20, 35), (45, 45), (55, 55)]);
}

#[sylvan::test(seeds = 20)]
fn tick_that_is_late_by_less_than_a_period_moves_the_phase_only_of_who_delays() {
    for missed in MODES {
        let begun = time::now();
        let mut ticker = Ticker::new(HOUR).missed(missed);
        thread::sleep(HOUR * 3 / 2);
        assert_eq!(ticker.tick(), begun + HOUR);
        let second = begun + if missed == MissedTicks::Delay { HOUR * 5 / 2 } else { 2 * HOUR };
        assert_eq!((ticker.tick(), time::now()), (second, second));
    }
}

#[sylvan::test(seeds = 20)]
fn tick_taken_as_the_next_one_comes_due_has_missed_it() {
    for missed in MODES {
        let begun = time::now();
        let mut ticker = Ticker::new(HOUR).missed(missed);
        thread::sleep(2 * HOUR);
        let given = [ticker.tick(), ticker.tick()].map(|due| due - begun);
        let expected = match missed {
            MissedTicks::Skip => [2 * HOUR, 3 * HOUR],
            MissedTicks::Burst => [HOUR, 2 * HOUR],
            MissedTicks::Delay => [HOUR, 3 * HOUR],
        };
        assert_eq!(given, expected, "{missed:?}");
    }
}

/// The thread asks in time, but the clock has gone on by periods when it gets to run.
#[sylvan::test(seeds = 20)]
fn ticks_missed_during_the_wait_count_as_missed() {
    for missed in MODES {
        let registered = testing::outside();
        let begun = time::now();
        let waits = thread::spawn(move || {
            let mut ticker = Ticker::new(HOUR).missed(missed);
            let first = ticker.tick() - begun;
            (first, ticker.tick() - begun)
        });
        testing::wait_until_all_parked();
        testing::advance(HOUR * 7 / 2);
        drop(registered);
        let expected = match missed {
            MissedTicks::Skip => (3 * HOUR, 4 * HOUR),
            MissedTicks::Burst => (HOUR, 2 * HOUR),
            MissedTicks::Delay => (HOUR, HOUR * 9 / 2),
        };
        assert_eq!(waits.join().unwrap(), expected, "{missed:?}");
    }
}

#[sylvan::test(seeds = 10)]
fn reset_begins_a_period_anew() {
    for missed in MODES {
        let mut ticker = Ticker::new(HOUR).missed(missed);
        thread::sleep(HOUR * 7 / 2);
        ticker.reset();
        let begun = time::now();
        assert_eq!((ticker.tick(), time::now()), (begun + HOUR, begun + HOUR));
        // In the midst of one, too.
        thread::sleep(HOUR / 2);
        ticker.reset();
        assert_eq!(ticker.tick(), begun + HOUR * 5 / 2);
    }
}

#[test]
fn million_ticks_are_as_exact_as_the_first() {
    // No multiple of a tick of the timer wheel, or of anything else.
    const PERIOD: Duration = Duration::from_nanos(1_234_567);
    testing::run_seeded(0, || {
        for (missed, count) in [(MissedTicks::Skip, 1_000_000), (MissedTicks::Delay, 10_000)] {
            let begun = time::now();
            let mut ticker = Ticker::new(PERIOD).missed(missed);
            for number in 1..=count {
                assert_eq!(ticker.tick() - begun, number * PERIOD);
            }
            assert_eq!(time::now() - begun, count * PERIOD);
        }
    });
}

#[test]
fn burst_of_many_ticks_and_a_million_that_are_skipped_are_exact() {
    const PERIOD: Duration = Duration::from_nanos(333_333_333);
    const COUNT: u32 = 1_000_000;
    everywhere(|_| {
        let count = 20_000;
        let back = count * PERIOD;
        let first = time::now().checked_sub(back).unwrap();
        let mut ticker = Ticker::starting_at(first, PERIOD).missed(MissedTicks::Burst);
        for number in 0..=count {
            assert_eq!(ticker.tick(), first + number * PERIOD);
        }
        // Half an hour in the midst of a period, or a slow machine would be a period further.
        let period = 7 * HOUR + Duration::from_nanos(1);
        let first = time::now().checked_sub(COUNT * period + HOUR / 2).unwrap();
        let mut ticker = Ticker::starting_at(first, period);
        assert_eq!(ticker.tick(), first + COUNT * period);
    });
}

#[test]
fn period_of_zero_is_refused_by_name() {
    let message_of = |make: fn() -> Ticker| {
        let payload = catch_unwind(make).unwrap_err();
        text_of(&*payload).to_owned()
    };
    let rule = "a period of 0ns is not valid; accepted: 1ns to Duration::MAX";
    let message = message_of(|| Ticker::new(Duration::ZERO));
    assert_eq!(message, format!("Ticker::new: {rule}"));
    let message = message_of(|| Ticker::starting_at(time::now(), Duration::ZERO));
    assert_eq!(message, format!("Ticker::starting_at: {rule}"));
}

#[test]
fn smallest_period_gives_every_tick_or_the_latest() {
    everywhere(|_| {
        let ns = Duration::from_nanos(1);
        let begun = time::now();
        for missed in MODES {
            let mut ticker = Ticker::starting_at(begun, ns).missed(missed);
            let ticks: Vec<_> = (0..50).map(|_| ticker.tick()).collect();
            assert!(ticks[0] >= begun);
            assert!(ticks.is_sorted_by(|a, b| a < b), "no tick comes twice");
            assert!(time::now() >= ticks[49]);
        }
    });
}

#[test]
fn periods_beyond_all_instants_wait_for_ever() {
    everywhere(|_| {
        for missed in MODES {
            expect_wait(Ticker::new(Duration::MAX).missed(missed));
            // An instant that there is, but which no clock of ours will show.
            expect_wait(Ticker::new(HOUR * 24 * 365 * 1000).missed(missed));
            let now = time::now();
            let mut ticker = Ticker::starting_at(now, Duration::MAX).missed(missed);
            assert_eq!(ticker.tick(), now, "the first one is due");
            expect_wait(ticker);
            let (_, mut ticker) = late(missed);
            let due = ticker.tick();
            let mut ticker = Ticker::starting_at(due, Duration::MAX).missed(missed);
            assert_eq!(ticker.tick(), due);
            ticker.reset();
            expect_wait(ticker);
        }
    });
}

#[test]
fn tick_that_was_cut_off_is_there_for_who_goes_on() {
    in_every_runtime(|_| {
        for missed in MODES {
            let first = time::now() + 10 * MOMENT;
            let ticker = Mutex::new(Ticker::starting_at(first, HOUR).missed(missed));
            thread::scope(|scope| {
                let waits = scope.spawn(|| {
                    let mut ticker = ticker.lock().unwrap();
                    catch_unwind(AssertUnwindSafe(|| ticker.tick())).is_err()
                });
                settle();
                waits.cancel().unwrap();
                // Or the tick was taken before the cancellation came: then the next is an hour on.
                // A thread that was cancelled before its first turn has no value.
                if waits.join().unwrap_or(true) {
                    assert_eq!(ticker.lock().unwrap().tick(), first);
                }
            });
        }
    });
}

#[sylvan::test(seeds = 20)]
fn thread_that_catches_a_cancellation_keeps_its_ticks() {
    for missed in MODES {
        let begun = time::now();
        let waits = thread::spawn(move || {
            let mut ticker = Ticker::new(HOUR).missed(missed);
            assert_eq!(ticker.tick(), begun + HOUR);
            catch_unwind(AssertUnwindSafe(|| ticker.tick())).unwrap_err();
            ticker
        });
        thread::sleep(HOUR * 3 / 2);
        waits.cancel().unwrap();
        let mut ticker = waits.join().unwrap();
        assert_eq!(ticker.tick(), begun + 2 * HOUR, "the tick that was waited for");
        assert_eq!(ticker.tick(), begun + 3 * HOUR);
    }
}

#[sylvan::test(seeds = 20)]
fn deadline_in_the_midst_of_a_period_leaves_the_tick_to_who_goes_on() {
    for missed in MODES {
        let begun = time::now();
        let mut ticker = Ticker::new(HOUR).missed(missed);
        let mut ticks = 0;
        let cut = time::timeout(HOUR * 7 / 2, || {
            while ticks < 100 {
                ticker.tick();
                ticks += 1;
            }
        });
        assert!(cut.is_err());
        assert_eq!((ticks, time::now()), (3, begun + HOUR * 7 / 2));
        assert_eq!((ticker.tick(), time::now()), (begun + 4 * HOUR, begun + 4 * HOUR));
    }
}

#[test]
fn burst_without_waits_lets_others_run_and_ends_by_cancellation() {
    in_every_runtime(|_| {
        // Due for ever: a thread that never catches up.
        let first = time::now().checked_sub(HOUR * 1000).unwrap();
        let ticks = thread::spawn(move || {
            let mut ticker =
                Ticker::starting_at(first, Duration::from_nanos(1)).missed(MissedTicks::Burst);
            loop {
                ticker.tick();
            }
        });
        // Under N:1 this returns only if the other one is made to let go.
        for _ in 0..3 {
            thread::spawn(thread::yield_now).join().unwrap();
        }
        ticks.cancel().unwrap();
        assert!(ticks.join().is_err());
    });
}

#[test]
fn ticker_goes_on_in_another_thread() {
    everywhere(|_| {
        let (first, mut ticker) = late(MissedTicks::Burst);
        assert_eq!(ticker.tick(), first);
        let mut ticker = thread::spawn(move || {
            assert_eq!(ticker.tick(), first + HOUR);
            ticker
        })
        .join()
        .unwrap();
        assert_eq!(ticker.tick(), first + 2 * HOUR);
    });
}
