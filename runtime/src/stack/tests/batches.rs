//! Tests of guards that are installed many at a time: every stack has its guard, nobody pays for
//! many in vain, and where the kernel stops halfway or refuses, nothing is lost.

use super::*;

/// Says whether the kernel can read the byte at `address` for us.
fn is_readable(address: usize) -> bool {
    let mut ends = [0; 2];
    // SAFETY: the array holds two descriptors.
    assert_eq!(unsafe { libc::pipe(ends.as_mut_ptr()) }, 0);
    // SAFETY: the kernel checks the address itself; a byte fits into an empty pipe.
    let written = unsafe { libc::write(ends[1], address as *const _, 1) };
    let error = std::io::Error::last_os_error();
    for end in ends {
        // SAFETY: a descriptor of ours, closed once.
        unsafe { libc::close(end) };
    }
    assert!(written == 1 || error.raw_os_error() == Some(libc::EFAULT), "{error}");
    written == 1
}

fn assert_guarded(stack: &Stack) {
    assert!(!is_readable(stack.bottom()), "the guard's lowest byte");
    assert!(!is_readable(stack.limit() - 1), "the guard's highest byte");
    assert!(is_readable(stack.limit()), "the stack's lowest byte");
    assert!(is_readable(stack.base() - 1), "the stack's highest byte");
}

/// Says whether this kernel guards several ranges by one call, and may.
fn takes_batches() -> bool {
    if std::env::var_os(FALLBACK.0).is_some() {
        return false;
    }
    let page = os::page_size();
    let memory = os::map_reserve(4 * page).unwrap();
    let places = [memory, memory.wrapping_add(2 * page)];
    // SAFETY: S1: pages of the reservation. S2: nothing is in it.
    let count = unsafe { os::install_guards(places.into_iter(), page) };
    // SAFETY: address and length are those of the reservation.
    unsafe { os::unmap(memory, 4 * page) };
    count == 2
}

#[test]
fn every_stack_has_its_guard_and_fewer_are_made_ahead_than_were_used() {
    let name = "stack::tests::batches::\
                every_stack_has_its_guard_and_fewer_are_made_ahead_than_were_used";
    if child::passes(name, &[]) {
        return;
    }
    let mut pool = Pool::new();
    let (mut stacks, mut most) = (Vec::new(), 0);
    for used in 1..=200 {
        stacks.push(pool.take(Class::DEFAULT).unwrap());
        assert!(pool.guarded_ahead() < used, "{} after {used}", pool.guarded_ahead());
        most = most.max(pool.guarded_ahead());
    }
    stacks.iter().for_each(assert_guarded);
    // All that a pool takes from the arena at once, but for the one that was wanted.
    let expected = if takes_batches() { if cfg!(debug_assertions) { 7 } else { 31 } } else { 0 };
    assert_eq!(most, expected);
}

#[test]
fn where_batches_are_refused_each_stack_gets_its_guard_and_pages_still_go() {
    let name = "stack::tests::batches::\
                where_batches_are_refused_each_stack_gets_its_guard_and_pages_still_go";
    if child::passes(name, &[]) {
        return;
    }
    os::refuse_batches();
    let mut pool = Pool::new();
    let before = resident_bytes();
    let count = (100 << 20) / Class::DEFAULT.usable_bytes();
    let stacks: Vec<_> = (0..count).map(|_| pool.take(Class::DEFAULT).unwrap()).collect();
    assert_eq!(pool.guarded_ahead(), 0);
    for stack in &stacks {
        assert_guarded(stack);
        touch_pages(stack);
    }
    stacks.into_iter().for_each(|stack| pool.give(stack));
    while pool.on_idle() {}
    assert!(resident_bytes() < before + (52 << 20));
}

#[test]
fn a_batch_stops_at_the_first_range_that_is_refused() {
    let name = "stack::tests::batches::a_batch_stops_at_the_first_range_that_is_refused";
    if !light_guards_or_skip(name) || child::passes(name, &[]) {
        return;
    }
    let page = os::page_size();
    let memory = os::map_reserve(8 * page).unwrap();
    let at = |number: usize| memory.wrapping_add(number * page);
    // SAFETY: a page of the reservation; locking changes no contents.
    if unsafe { libc::mlock(at(4).cast(), page) } != 0 {
        eprintln!("SKIPPED {name}: mlock is not permitted");
        return;
    }
    // SAFETY: S1: pages of the reservation. S2: nothing is in it.
    let count = unsafe { os::install_guards([0, 2, 4, 6].map(at).into_iter(), page) };
    if count == 0 {
        eprintln!("SKIPPED {name}: this kernel takes no batches");
        return;
    }
    assert_eq!(count, 2);
    let readable = [0, 1, 2, 3, 4, 5, 6].map(|number| is_readable(at(number) as usize));
    assert_eq!(readable, [false, true, false, true, true, true, true]);
    // It is not taken for a kernel that has no batches.
    // SAFETY: as above.
    assert_eq!(unsafe { os::install_guards([5, 6].map(at).into_iter(), page) }, 2);
    // SAFETY: address and length are those of the reservation.
    unsafe { os::unmap(memory, 8 * page) };
}
