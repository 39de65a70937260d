//! `Barrier`: nobody passes before all are there, one of them leads, and it can be used again.
#![forbid(unsafe_code)]

use super::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use super::sync::{Arc, Barrier, BarrierWaitResult};
use super::{everywhere, settle, thread};

#[test]
fn nobody_passes_before_all_are_there_and_one_leads() {
    everywhere(|| {
        const COUNT: usize = 6;
        let (barrier, arrived) = (Barrier::new(COUNT), AtomicUsize::new(0));
        let leaders = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..COUNT {
                scope.spawn(|| {
                    for round in 1..=10 {
                        arrived.fetch_add(1, SeqCst);
                        if barrier.wait().is_leader() {
                            leaders.fetch_add(1, SeqCst);
                        }
                        // Those who were faster may be in the next round already, but no further.
                        let seen = arrived.load(SeqCst);
                        assert!(seen >= COUNT * round, "passed with {seen} in round {round}");
                        assert!(seen < COUNT * (round + 1), "overtaken");
                    }
                });
            }
        });
        assert_eq!(leaders.load(SeqCst), 10);
        assert_eq!(arrived.load(SeqCst), 10 * COUNT);
    });
}

#[test]
fn one_too_few_wait_on() {
    everywhere(|| {
        let (barrier, passed) = (Arc::new(Barrier::new(4)), Arc::new(AtomicUsize::new(0)));
        let threads: [_; 3] = std::array::from_fn(|_| {
            let (barrier, passed) = (barrier.clone(), passed.clone());
            thread::spawn(move || {
                let result = barrier.wait();
                passed.fetch_add(1, SeqCst);
                result.is_leader()
            })
        });
        settle();
        assert_eq!(passed.load(SeqCst), 0);
        let mut leaders = usize::from(barrier.wait().is_leader());
        for thread in threads {
            leaders += usize::from(thread.join().unwrap());
        }
        assert_eq!(leaders, 1);
    });
}

#[test]
fn barrier_for_none_or_one_lets_everybody_pass_as_leader() {
    everywhere(|| {
        for count in [0, 1] {
            let barrier = Barrier::new(count);
            for _ in 0..3 {
                assert!(barrier.wait().is_leader());
            }
        }
    });
}

#[test]
fn what_was_done_before_the_barrier_is_seen_behind_it() {
    everywhere(|| {
        let barrier = Barrier::new(4);
        let places: [AtomicUsize; 4] = Default::default();
        thread::scope(|scope| {
            for mine in 0..4 {
                let (barrier, places) = (&barrier, &places);
                scope.spawn(move || {
                    places[mine].store(mine + 1, std::sync::atomic::Ordering::Relaxed);
                    barrier.wait();
                    let seen = |n: usize| places[n].load(std::sync::atomic::Ordering::Relaxed);
                    assert_eq!([0, 1, 2, 3].map(seen), [1, 2, 3, 4]);
                });
            }
        });
    });
}

#[test]
fn barrier_goes_with_the_last_who_used_it() {
    everywhere(|| {
        for _ in 0..20 {
            let barrier = Arc::new(Barrier::new(3));
            let threads: [_; 3] = std::array::from_fn(|_| {
                let barrier = barrier.clone();
                thread::spawn(move || barrier.wait().is_leader())
            });
            drop(barrier);
            let leaders = threads.map(|thread| usize::from(thread.join().unwrap()));
            assert_eq!(leaders.iter().sum::<usize>(), 1);
        }
    });
}

#[test]
fn statics_need_no_initialiser_and_debug_says_who_leads() {
    static PAIR: Barrier = Barrier::new(2);
    everywhere(|| {
        thread::scope(|scope| {
            let other = scope.spawn(|| format!("{:?}", PAIR.wait()));
            let mine: BarrierWaitResult = PAIR.wait();
            let leads = mine.is_leader();
            assert_eq!(format!("{mine:?}"), format!("BarrierWaitResult {{ is_leader: {leads} }}"));
            let other_says = format!("BarrierWaitResult {{ is_leader: {} }}", !leads);
            assert_eq!(other.join().unwrap(), other_says);
        });
        assert_eq!(format!("{PAIR:?}"), "Barrier { .. }");
    });
}
