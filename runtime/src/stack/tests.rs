//! Tests of the arena and the pools as one thing. What counts stacks or mappings of the process,
//! or forces the fallback on it, runs in a child process, where nothing else happens.

use std::fmt::Write;
use std::os::unix::process::ExitStatusExt;
use std::time::Instant;

use super::class::DEFAULT_STRIDE;
use super::*;
use crate::os::{self, child};

mod batches;

const FALLBACK: (&str, &str) = ("SYLVAN_TEST_GUARDS", "mprotect");

/// Writes one byte at an address of a stack.
fn touch(address: usize) {
    // SAFETY: callers pass addresses of stacks that they own and run nothing on, or want the
    // fault.
    unsafe { (address as *mut u8).write_volatile(1) };
}

fn touch_pages(stack: &Stack) {
    (stack.limit()..stack.base()).step_by(os::page_size()).for_each(touch);
}

fn resident_bytes() -> usize {
    memory_bytes(1)
}

/// Reads a column of `statm`: 0 is address space, 1 is resident memory.
fn memory_bytes(column: usize) -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = text.split(' ').nth(column).unwrap().parse().unwrap();
    pages * os::page_size()
}

/// Says whether this kernel has guards without mappings; a test that needs them says so if not.
fn light_guards_or_skip(test: &str) -> bool {
    if cfg!(feature = "sanitizer") {
        eprintln!("SKIPPED {test}: AddressSanitizer maps memory beside ours");
        return false;
    }
    if std::env::var_os(FALLBACK.0).is_some() {
        eprintln!("SKIPPED {test}: the fallback is forced");
        return false;
    }
    let len = 4 * os::page_size();
    let memory = os::map_reserve(len).unwrap();
    // SAFETY: the range lies in the reservation, and nothing is in it.
    let installed = unsafe { os::install_guard(memory, os::page_size()) };
    // SAFETY: address and length are those of the reservation.
    unsafe { os::unmap(memory, len) };
    if installed.is_err() {
        eprintln!("SKIPPED {test}: this kernel has no MADV_GUARD_INSTALL");
    }
    installed.is_ok()
}

#[test]
fn a_stack_is_aligned_usable_to_its_limit_and_reused_when_given_back() {
    let mut pool = Pool::new();
    let stack = pool.take(Class::DEFAULT).unwrap();
    assert_eq!(stack.base() % 4096, 0);
    assert_eq!(stack.base() - stack.limit(), Class::DEFAULT.usable_bytes());
    assert_eq!(stack.limit() - stack.bottom(), GUARD_BYTES);
    assert_eq!(stack.class(), Class::DEFAULT);
    let colour = colour_bytes(stack.index());
    assert!(colour <= 960 && colour.is_multiple_of(64));
    touch(stack.limit());
    touch(stack.base() - 1);
    let (base, index) = (stack.base(), stack.index());
    pool.give(stack);
    let again = pool.take(Class::DEFAULT).unwrap();
    assert_eq!((again.base(), again.index()), (base, index), "the hottest stack comes first");
}

#[test]
fn neighbouring_stacks_start_at_different_cache_lines() {
    let mut pool = Pool::new();
    let stacks: Vec<_> = (0..8).map(|_| pool.take(Class::DEFAULT).unwrap()).collect();
    let mut bases: Vec<_> = stacks.iter().map(Stack::base).collect();
    bases.sort_unstable();
    bases.dedup();
    assert_eq!(bases.len(), 8, "each stack has one owner");
    let first = colour_bytes(stacks[0].index());
    assert!(stacks.iter().any(|stack| colour_bytes(stack.index()) != first));
}

#[test]
fn stacks_of_every_class_up_to_a_gibibyte_can_be_used_at_both_ends() {
    let mut pool = Pool::new();
    let mut class = Class::DEFAULT;
    while class.stride_bytes() <= 1 << 30 {
        let stack = pool.take(class).unwrap();
        touch(stack.limit());
        touch(stack.base() - 1);
        pool.give(stack);
        class = Class::for_usable(class.usable_bytes() + 1).unwrap();
    }
}

#[test]
fn stacks_are_counted_where_they_are_and_none_is_lost() {
    if child::passes("stack::tests::stacks_are_counted_where_they_are_and_none_is_lost", &[]) {
        return;
    }
    assert_eq!((live_stacks(), pooled_stacks()), (0, 0));
    let mut pool = Pool::new();
    let mut stacks: Vec<_> = (0..500).map(|_| pool.take(Class::DEFAULT).unwrap()).collect();
    assert_eq!(live_stacks(), 500);
    drop(stacks.pop());
    assert_eq!(live_stacks(), 499);
    stacks.drain(..).for_each(|stack| pool.give(stack));
    assert_eq!(live_stacks(), 0);
    assert!((1..=64).contains(&pooled_stacks()), "{}", pooled_stacks());
    let leaked = pool.take(Class::DEFAULT).unwrap();
    std::mem::forget(leaked);
    drop(pool);
    assert_eq!((live_stacks(), pooled_stacks()), (1, 0));
}

#[test]
fn pools_made_and_dropped_in_a_loop_leave_no_mapping_and_no_memory_behind() {
    let name =
        "stack::tests::pools_made_and_dropped_in_a_loop_leave_no_mapping_and_no_memory_behind";
    if child::passes(name, &[]) {
        return;
    }
    let round = || {
        let mut pool = Pool::new();
        let stacks: Vec<_> = (0..600).map(|_| pool.take(Class::DEFAULT).unwrap()).collect();
        stacks.iter().for_each(|stack| touch(stack.base() - 1));
        stacks.into_iter().for_each(|stack| pool.give(stack));
    };
    round();
    let (mappings, resident) = (os::map_count_used().unwrap(), resident_bytes());
    (0..50).for_each(|_| round());
    assert!(os::map_count_used().unwrap() <= mappings + 2);
    // 50 rounds of 600 leaked pages would be 117 MiB.
    assert!(resident_bytes() < resident + (8 << 20));
}

#[test]
fn workers_that_exchange_stacks_never_share_one() {
    std::thread::scope(|scope| {
        for worker in 0..4_u8 {
            scope.spawn(move || {
                let mut pool = Pool::new();
                let mut held = Vec::new();
                for turn in 0..4_000_usize {
                    let stack = pool.take(Class::DEFAULT).unwrap();
                    let word = (stack.base() - 64) as *mut usize;
                    // SAFETY: the word lies in a stack that this worker owns.
                    unsafe { word.write_volatile(turn << 8 | usize::from(worker)) };
                    held.push((stack, turn << 8 | usize::from(worker)));
                    // A different rhythm for each worker, so that the sets drift apart.
                    if held.len() > 40 + 30 * usize::from(worker) {
                        for (stack, expected) in held.drain(..) {
                            let word = (stack.base() - 64) as *const usize;
                            // SAFETY: as above.
                            assert_eq!(unsafe { word.read_volatile() }, expected);
                            pool.give(stack);
                        }
                        while pool.on_idle() {}
                    }
                }
            });
        }
    });
}

#[test]
fn stacks_that_grew_give_their_pages_back_when_the_worker_is_idle() {
    let name = "stack::tests::stacks_that_grew_give_their_pages_back_when_the_worker_is_idle";
    if child::passes(name, &[]) {
        return;
    }
    let mut pool = Pool::new();
    let before = resident_bytes();
    // 400 MiB at the end of the peak, in stacks that are given back with every page touched.
    let count = (400 << 20) / Class::DEFAULT.usable_bytes();
    let mut stacks = Vec::new();
    for _ in 0..count {
        let stack = pool.take(Class::DEFAULT).unwrap();
        touch_pages(&stack);
        stacks.push(stack);
    }
    let peak = resident_bytes();
    assert!(peak > before + (390 << 20));
    stacks.drain(..).for_each(|stack| pool.give(stack));
    assert!(resident_bytes() > peak - (8 << 20), "giving itself discards nothing");
    while pool.on_idle() {}
    let idle = resident_bytes();
    assert!(idle < before + (52 << 20), "{before} before, {peak} peak, {idle} idle");
    // The same stacks serve again, and their guards are still there.
    let stack = pool.take(Class::DEFAULT).unwrap();
    touch_pages(&stack);
    pool.give(stack);
    drop(pool);
    let end = resident_bytes();
    assert!(end < before + (8 << 20), "{before} before, {end} at the end");
}

#[test]
fn a_very_large_stack_gives_its_pages_back_at_once() {
    let name = "stack::tests::a_very_large_stack_gives_its_pages_back_at_once";
    if child::passes(name, &[]) {
        return;
    }
    let mut pool = Pool::new();
    let before = resident_bytes();
    let stack = pool.take(Class::for_usable(100 << 20).unwrap()).unwrap();
    touch_pages(&stack);
    assert!(resident_bytes() > before + (100 << 20));
    pool.give(stack);
    assert!(resident_bytes() < before + (8 << 20));
}

/// Takes stacks that all stay in use; prints what each cost.
fn take_many(count: usize) -> Vec<Stack> {
    let mut pool = Pool::new();
    let start = Instant::now();
    let stacks: Vec<_> = (0..count).map(|_| pool.take(Class::DEFAULT).unwrap()).collect();
    eprintln!("{count} stacks taken and guarded: {:?} each", start.elapsed() / count as u32);
    stacks
}

#[test]
fn a_hundred_thousand_guarded_stacks_cost_at_most_sixteen_mappings() {
    let name = "stack::tests::a_hundred_thousand_guarded_stacks_cost_at_most_sixteen_mappings";
    if !light_guards_or_skip(name) || child::passes(name, &[]) {
        return;
    }
    let before = os::map_count_used().unwrap();
    let stacks = take_many(100_000);
    let used = os::map_count_used().unwrap() - before;
    assert!(used <= 16, "{used} mappings for {} stacks", stacks.len());
}

#[test]
#[ignore = "needs 4.5 GiB of memory with a touched page in each stack"]
fn a_million_guarded_stacks_cost_at_most_sixteen_mappings() {
    let name = "stack::tests::a_million_guarded_stacks_cost_at_most_sixteen_mappings";
    if !light_guards_or_skip(name) {
        return;
    }
    let before = os::map_count_used().unwrap();
    let stacks = take_many(1_000_000);
    stacks.iter().for_each(|stack| touch(stack.base() - 1));
    let used = os::map_count_used().unwrap() - before;
    assert!(used <= 16, "{used} mappings");
}

#[test]
fn touching_a_guard_ends_in_the_report_with_either_kind_of_guard() {
    let name = "stack::tests::touching_a_guard_ends_in_the_report_with_either_kind_of_guard";
    let describe = |report: &mut overflow::Report| {
        let _ = write!(report, "thread 'deep' (green thread 7, spawned at here:1)");
    };
    for variables in [&[][..], &[FALLBACK]] {
        let Some(output) = child::run(name, variables) else {
            overflow::set_describer(describe);
            overflow::install().unwrap();
            let _prepared = overflow::prepare_thread().unwrap();
            let mut pool = Pool::new();
            // Trimmed and given round once, so that the guard is one that survived that.
            let stack = pool.take(Class::DEFAULT).unwrap();
            touch_pages(&stack);
            drop(stack);
            drop(pool);
            let stack = Pool::new().take(Class::DEFAULT).unwrap();
            touch(stack.limit() - 1);
            return;
        };
        assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{variables:?}");
        let errors = child::text(&output.stderr);
        let expected = format!(
            "thread 'deep' (green thread 7, spawned at here:1) \
             has overflowed its stack of {} bytes",
            Class::DEFAULT.usable_bytes()
        );
        assert!(errors.contains(&expected), "{errors}");
        assert!(errors.contains("fatal runtime error: stack overflow"), "{errors}");
    }
}

#[test]
fn the_whole_guard_is_known_to_the_handler_and_nothing_else_is() {
    let mut pool = Pool::new();
    let stack = pool.take(Class::DEFAULT).unwrap();
    for address in [stack.bottom(), stack.bottom() + GUARD_BYTES / 2, stack.limit() - 1] {
        let hit = table::guard_at(address).expect("the guard is in the table");
        assert_eq!((hit.bottom, hit.class), (stack.bottom(), Class::DEFAULT));
    }
    for address in [0, 8, stack.limit(), stack.base() - 1, &raw const stack as usize, usize::MAX] {
        assert_eq!(table::guard_at(address), None, "{address:#x}");
    }
}

#[test]
fn without_light_guards_the_budget_ends_in_an_error_and_what_exists_goes_on() {
    let name =
        "stack::tests::without_light_guards_the_budget_ends_in_an_error_and_what_exists_goes_on";
    let limit = os::map_count_limit().unwrap();
    if limit > 200_000 {
        eprintln!("SKIPPED {name}: vm.max_map_count={limit} takes too long to fill");
        return;
    }
    if child::passes(name, &[FALLBACK]) {
        return;
    }
    let mut pool = Pool::new();
    let mut stacks = Vec::new();
    let error = loop {
        match pool.take(Class::DEFAULT) {
            Ok(stack) => stacks.push(stack),
            Err(error) => break error,
        }
    };
    let expected = (limit - 8_000) / 2;
    eprintln!("{} stacks of {expected}: {error}", stacks.len());
    assert!(stacks.len() <= expected && stacks.len() + 300 > expected, "{}", stacks.len());
    assert_eq!(error.kind(), std::io::ErrorKind::OutOfMemory);
    let text = error.to_string();
    assert!(text.contains("vm.max_map_count"), "{text}");
    assert!(text.contains(&limit.to_string()), "{text}");
    // The heap and kernel threads still have room, and refusals do not count the mappings each.
    std::thread::spawn(|| vec![1_u8; 100 << 20]).join().unwrap();
    let (start, looks) = (Instant::now(), guard::looks());
    (0..100).for_each(|_| drop(pool.take(Class::DEFAULT).unwrap_err()));
    let looks = (guard::looks() - looks) as u128;
    let most = 1 + start.elapsed().as_nanos() / guard::LOOK_AGAIN_AFTER.as_nanos();
    assert!(looks <= most, "{looks} looks, and at most {most} are due");
    // A stack that comes back is handed out again, with its guard.
    let base = stacks[17].base();
    drop(stacks.swap_remove(17));
    assert_eq!(pool.take(Class::DEFAULT).unwrap().base(), base);
    // And mappings that chunks of one class held serve another class.
    stacks.clear();
    let larger = Class::for_usable(4 * DEFAULT_STRIDE).unwrap();
    let others: Vec<_> = (0..1_000).map(|_| pool.take(larger).unwrap()).collect();
    others.iter().for_each(|stack| touch(stack.limit()));
}

#[test]
fn forcing_the_fallback_changes_guards_from_then_on_and_both_kinds_mix() {
    let name = "stack::tests::forcing_the_fallback_changes_guards_from_then_on_and_both_kinds_mix";
    if child::passes(name, &[]) {
        return;
    }
    let mut pool = Pool::new();
    let mut stacks: Vec<_> = (0..40).map(|_| pool.take(Class::DEFAULT).unwrap()).collect();
    let before = os::map_count_used().unwrap();
    force_mprotect_guards(true);
    // Those come first that were guarded ahead.
    let count = pool.guarded_ahead() + 40;
    stacks.extend((0..count).map(|_| pool.take(Class::DEFAULT).unwrap()));
    assert!(os::map_count_used().unwrap() >= before + 70);
    // A worker that has guards of one kind at hand may get the other kind next.
    force_mprotect_guards(false);
    stacks.extend((0..40).map(|_| pool.take(Class::DEFAULT).unwrap()));
    stacks.iter().for_each(touch_pages);
    stacks.drain(..).for_each(|stack| pool.give(stack));
    drop(pool);
    assert_eq!(live_stacks(), 0);
}

#[test]
fn locked_memory_gets_guards_of_the_other_kind() {
    let name = "stack::tests::locked_memory_gets_guards_of_the_other_kind";
    if cfg!(feature = "sanitizer") {
        eprintln!("SKIPPED {name}: AddressSanitizer lets no memory be locked");
        return;
    }
    if child::passes(name, &[]) {
        return;
    }
    // SAFETY: locking memory changes no contents.
    if unsafe { libc::mlockall(libc::MCL_FUTURE) } != 0 {
        eprintln!("SKIPPED {name}: mlockall is not permitted");
        return;
    }
    let mut pool = Pool::new();
    match pool.take(Class::DEFAULT) {
        Ok(stack) => {
            let before = os::map_count_used().unwrap();
            touch_pages(&stack);
            let second = pool.take(Class::DEFAULT).unwrap();
            assert!(os::map_count_used().unwrap() > before, "mprotect guards cost mappings");
            pool.give(second);
            pool.give(stack);
        }
        // A small limit of locked memory refuses the chunk, and the error says so.
        Err(error) => assert!(error.to_string().contains("ulimit -l"), "{error}"),
    }
}

#[test]
fn a_refused_reservation_is_an_error_that_names_it_and_what_exists_goes_on() {
    let name =
        "stack::tests::a_refused_reservation_is_an_error_that_names_it_and_what_exists_goes_on";
    if child::passes(name, &[]) {
        return;
    }
    let mut pool = Pool::new();
    let first = pool.take(Class::DEFAULT).unwrap();
    let bytes = (memory_bytes(0) + (300 << 20)) as u64;
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
    // SAFETY: the structure is complete, and a limit changes no memory.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
    let mut stacks = Vec::new();
    let error = loop {
        match pool.take(Class::DEFAULT) {
            Ok(stack) => stacks.push(stack),
            Err(error) => break error,
        }
    };
    let text = error.to_string();
    assert_eq!(error.kind(), std::io::ErrorKind::OutOfMemory);
    for part in ["mmap", &(64 << 20).to_string(), "ulimit -v"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(stacks.len() >= 4 * Class::DEFAULT.slots_per_chunk(), "300 MiB hold four chunks");
    touch_pages(&first);
    pool.give(first);
    let again = pool.take(Class::DEFAULT).unwrap();
    // What one class no longer needs serves another.
    stacks.clear();
    let other = pool.take(Class::for_usable(DEFAULT_STRIDE).unwrap()).unwrap();
    touch(other.limit());
    drop(again);
}
