//! The permits of a semaphore: counted, merged, split, forgotten, and taken along.
#![forbid(unsafe_code)]

use std::sync::Arc;

use sylvan::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use sylvan::thread;
use sylvan_workspace::everywhere;

use super::{panic_of, settle};

#[test]
fn forgotten_permit_does_not_come_back() {
    everywhere(|_| {
        let semaphore = Arc::new(Semaphore::new(6));
        semaphore.acquire_many(2).forget();
        assert_eq!(semaphore.available_permits(), 4);
        semaphore.clone().acquire_many_owned(3).forget();
        assert_eq!(semaphore.available_permits(), 1);
        semaphore.add_permits(5);
        assert_eq!(semaphore.available_permits(), 6);
    });
}

#[test]
fn merged_permits_come_back_together() {
    everywhere(|_| {
        let semaphore = Arc::new(Semaphore::new(6));
        let mut permit = semaphore.acquire();
        permit.merge(semaphore.acquire_many(2));
        assert_eq!((permit.num_permits(), semaphore.available_permits()), (3, 3));
        let mut owned = semaphore.clone().acquire_owned();
        owned.merge(semaphore.clone().acquire_many_owned(2));
        assert_eq!((owned.num_permits(), semaphore.available_permits()), (3, 0));
        drop(permit);
        assert_eq!(semaphore.available_permits(), 3);
        drop(owned);
        assert_eq!(semaphore.available_permits(), 6);
    });
}

#[test]
fn permits_of_two_semaphores_do_not_merge_and_both_come_back() {
    everywhere(|_| {
        let (one, two) = (Arc::new(Semaphore::new(2)), Arc::new(Semaphore::new(2)));
        let mut permit = one.acquire();
        let other = two.acquire();
        let text = panic_of(|| permit.merge(other));
        assert!(text.contains("semaphore"), "{text}");
        assert_eq!((permit.num_permits(), two.available_permits()), (1, 2));
        let mut owned = one.clone().acquire_owned();
        let other = two.clone().acquire_owned();
        let text = panic_of(|| owned.merge(other));
        assert!(text.contains("semaphore"), "{text}");
        assert_eq!((owned.num_permits(), two.available_permits()), (1, 2));
        drop((permit, owned));
        assert_eq!(one.available_permits(), 2);
    });
}

#[test]
fn split_takes_a_part_and_refuses_more_than_there_is() {
    everywhere(|_| {
        let semaphore = Arc::new(Semaphore::new(5));
        let mut permit: SemaphorePermit<'_> = semaphore.acquire_many(5);
        assert!(permit.split(6).is_none());
        assert!(permit.split(usize::MAX).is_none());
        assert_eq!(permit.num_permits(), 5);
        let part = permit.split(2).unwrap();
        assert_eq!((part.num_permits(), permit.num_permits()), (2, 3));
        assert_eq!(semaphore.available_permits(), 0);
        drop(part);
        assert_eq!(semaphore.available_permits(), 2);
        let nothing = permit.split(0).unwrap();
        assert_eq!((nothing.num_permits(), permit.num_permits()), (0, 3));
        let rest = permit.split(3).unwrap();
        assert_eq!((rest.num_permits(), permit.num_permits()), (3, 0));
        drop((permit, nothing));
        assert_eq!(semaphore.available_permits(), 2);
        drop(rest);
        assert_eq!(semaphore.available_permits(), 5);

        let mut owned: OwnedSemaphorePermit = semaphore.clone().acquire_many_owned(5);
        assert!(owned.split(6).is_none());
        let part = owned.split(4).unwrap();
        assert_eq!((part.num_permits(), owned.num_permits()), (4, 1));
        drop(owned);
        assert_eq!(semaphore.available_permits(), 1);
        drop(part);
        assert_eq!(semaphore.available_permits(), 5);
    });
}

#[test]
fn owned_permits_are_counted_like_others() {
    everywhere(|_| {
        let semaphore = Arc::new(Semaphore::new(4));
        let one = semaphore.clone().acquire_owned();
        let two = semaphore.clone().acquire_many_owned(2);
        assert_eq!((one.num_permits(), two.num_permits()), (1, 2));
        assert!(semaphore.clone().try_acquire_many_owned(2).is_none());
        let last = semaphore.clone().try_acquire_owned().unwrap();
        assert!(semaphore.clone().try_acquire_owned().is_none());
        drop((one, two));
        let two = semaphore.clone().try_acquire_many_owned(2).unwrap();
        assert_eq!((two.num_permits(), semaphore.available_permits()), (2, 1));
        drop((two, last));
        assert_eq!(semaphore.available_permits(), 4);
    });
}

#[test]
fn owned_permit_keeps_its_semaphore_alive_and_goes_to_other_threads() {
    everywhere(|_| {
        let semaphore = Arc::new(Semaphore::new(1));
        let weak = Arc::downgrade(&semaphore);
        let permit = semaphore.clone().acquire_owned();
        let waiting = thread::spawn(move || semaphore.acquire_owned().num_permits());
        settle();
        assert!(!waiting.is_finished());
        thread::spawn(move || drop(permit)).join().unwrap();
        assert_eq!(waiting.join().unwrap(), 1);
        assert!(weak.upgrade().is_none());
    });
}

#[test]
fn refused_owned_request_gives_its_reference_back() {
    everywhere(|_| {
        let semaphore = Arc::new(Semaphore::new(0));
        assert!(semaphore.clone().try_acquire_owned().is_none());
        assert!(semaphore.clone().try_acquire_many_owned(3).is_none());
        assert_eq!(Arc::strong_count(&semaphore), 1);
        semaphore.add_permits(2);
        drop(semaphore.clone().acquire_many_owned(2));
        semaphore.clone().acquire_owned().forget();
        assert_eq!(Arc::strong_count(&semaphore), 1, "a forgotten permit keeps no reference");
    });
}

#[test]
fn borrowed_permit_goes_to_other_threads() {
    everywhere(|_| {
        let semaphore = Semaphore::new(1);
        thread::scope(|scope| {
            let permit = semaphore.acquire();
            scope.spawn(move || drop(permit));
            assert_eq!(semaphore.acquire().num_permits(), 1);
        });
        assert_eq!(semaphore.available_permits(), 1);
    });
}

#[test]
fn waiters_are_served_by_what_a_part_gives_back() {
    everywhere(|_| {
        let semaphore = Semaphore::new(3);
        let mut all = semaphore.acquire_many(3);
        thread::scope(|scope| {
            let waiting = scope.spawn(|| semaphore.acquire_many(2).num_permits());
            settle();
            drop(all.split(2).unwrap());
            assert_eq!(waiting.join().unwrap(), 2);
        });
        assert_eq!(semaphore.available_permits(), 2);
        drop(all);
        assert_eq!(semaphore.available_permits(), 3);
    });
}
