//! Tests of the kernel's calls: that each does here what its documentation says, and that a fault
//! which is not ours dies as it would without us.

use std::os::unix::process::ExitStatusExt;
use std::ptr;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::*;

#[test]
fn a_reservation_reads_zeros_keeps_what_is_written_and_forgets_it_when_discarded() {
    let len = 16 * page_size();
    let memory = map_reserve(len).unwrap();
    // SAFETY: the reservation is readable and writable, and nobody else knows it.
    assert_eq!(unsafe { memory.read_volatile() }, 0);
    // SAFETY: as above.
    unsafe { memory.write_volatile(7) };
    // SAFETY: as above.
    assert_eq!(unsafe { memory.read_volatile() }, 7);
    // SAFETY: the range is the reservation, and nothing in it is needed.
    unsafe { discard(memory, len) }.unwrap();
    // SAFETY: as the first.
    assert_eq!(unsafe { memory.read_volatile() }, 0);
    // SAFETY: address and length are those of the reservation, which is not used any more.
    unsafe { unmap(memory, len) };
}

#[test]
fn a_reservation_of_the_whole_address_space_is_refused_with_the_kernels_number() {
    let error = map_reserve(1 << 48).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENOMEM));
}

#[test]
fn the_process_has_mappings_and_a_limit_of_them() {
    let (used, limit) = (map_count_used().unwrap(), map_count_limit().unwrap());
    assert!(used > 5 && used < limit, "{used} of {limit}");
}

#[test]
fn a_futex_wait_on_a_changed_word_returns_at_once() {
    let word = AtomicU32::new(1);
    assert_eq!(futex_wait(&word, 0, None), FutexWait::Woken);
}

#[test]
fn a_futex_wait_that_nobody_wakes_times_out_not_early() {
    let word = AtomicU32::new(0);
    let start = Instant::now();
    let timeout = Duration::from_millis(5);
    // A signal may end one wait early, so the test is on the one that timed out.
    while futex_wait(&word, 0, Some(timeout)) != FutexWait::TimedOut {}
    assert!(start.elapsed() >= timeout);
    assert_eq!(futex_wait(&word, 0, Some(Duration::ZERO)), FutexWait::TimedOut);
}

#[test]
fn a_futex_wake_ends_a_wait_without_end_and_one_for_the_longest_time() {
    for timeout in [None, Some(Duration::MAX)] {
        let word = AtomicU32::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while word.load(Ordering::Acquire) == 0 {
                    futex_wait(&word, 0, timeout);
                }
            });
            while futex_wake(&word, u32::MAX) == 0 {
                std::thread::yield_now();
            }
            word.store(1, Ordering::Release);
            futex_wake(&word, 1);
        });
    }
}

#[test]
fn a_futex_wake_at_a_dead_address_wakes_nobody_and_harms_nobody() {
    let memory = map_reserve(page_size()).unwrap();
    // SAFETY: address and length are those of the reservation, which was never used.
    unsafe { unmap(memory, page_size()) };
    assert_eq!(futex_wake(memory.cast(), 1), 0);
    assert_eq!(futex_wake(ptr::null(), 1), 0);
}

#[test]
fn exit_functions_run_at_the_threads_end_newest_first() {
    static ORDER: AtomicUsize = AtomicUsize::new(0);
    unsafe extern "C" fn note(data: *mut u8) {
        let number = data as usize;
        ORDER.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| Some(n * 10 + number)).unwrap();
    }
    let thread = std::thread::spawn(|| {
        for number in [1_usize, 2, 3] {
            // SAFETY: S1: the data is a number and `note` touches one static. S2: `note` cannot
            // unwind, for its update always succeeds.
            if !unsafe { at_thread_exit(number as *mut u8, note) } {
                return false;
            }
        }
        assert_eq!(ORDER.load(Ordering::SeqCst), 0);
        true
    });
    if thread.join().unwrap() {
        assert_eq!(ORDER.load(Ordering::SeqCst), 321);
    } else {
        eprintln!("SKIPPED: this C library has no __cxa_thread_atexit_impl");
    }
}

#[test]
fn the_stack_pointer_lies_below_the_callers_locals_and_near() {
    let local = 0_u8;
    let distance = (&raw const local as usize).abs_diff(stack_pointer());
    assert!(distance < 64 << 10, "{distance}");
    prefetch(ptr::null());
    prefetch(&raw const local);
}

/// What the N:1 mapping relies on when it puts a slack back: a value that is set is read, and is
/// handed on to threads that are made meanwhile, as the value that zero means there.
#[test]
fn timer_slack_is_read_as_it_was_set_and_zero_means_what_the_creator_had() {
    let body = || {
        let default_ns = timer_slack();
        for ns in [1, 12_345, 5_000_000_000] {
            set_timer_slack(ns);
            assert_eq!(timer_slack(), ns);
        }
        let inherits = || {
            let inherited_ns = timer_slack();
            set_timer_slack(1);
            set_timer_slack(0);
            (inherited_ns, timer_slack())
        };
        let inherited = std::thread::spawn(inherits).join().unwrap();
        assert_eq!(inherited, (5_000_000_000, 5_000_000_000));
        set_timer_slack(0);
        assert_eq!(timer_slack(), default_ns);
    };
    std::thread::spawn(body).join().unwrap();
}

/// A thread of ours gets an alternative stack; one of std's keeps its own.
#[test]
fn an_alternative_signal_stack_is_added_where_there_is_none_and_removed_again() {
    fn current() -> libc::stack_t {
        // SAFETY: all zero is a valid `stack_t`.
        let mut stack: libc::stack_t = unsafe { std::mem::zeroed() };
        // SAFETY: the call only writes to `stack`.
        assert_eq!(unsafe { libc::sigaltstack(ptr::null(), &mut stack) }, 0);
        stack
    }
    extern "C" fn body(_: *mut libc::c_void) -> *mut libc::c_void {
        assert_ne!(current().ss_flags & libc::SS_DISABLE, 0, "a bare thread has none");
        let ours = AltStack::new().unwrap();
        assert_eq!(current().ss_flags & libc::SS_DISABLE, 0);
        assert!(current().ss_size >= 64 << 10);
        drop(AltStack::new().unwrap());
        assert_eq!(current().ss_flags & libc::SS_DISABLE, 0, "the second one kept the first");
        drop(ours);
        assert_ne!(current().ss_flags & libc::SS_DISABLE, 0);
        ptr::null_mut()
    }
    let mut thread = 0;
    // SAFETY: `body` has the right signature and takes no argument.
    let made = unsafe { libc::pthread_create(&mut thread, ptr::null(), body, ptr::null_mut()) };
    assert_eq!(made, 0);
    // SAFETY: the thread was made above and is joined once.
    assert_eq!(unsafe { libc::pthread_join(thread, ptr::null_mut()) }, 0);
}

fn claim_nothing(_: usize) -> bool {
    false
}

#[test]
fn a_null_dereference_still_dies_as_a_segmentation_fault() {
    let name = "os::tests::a_null_dereference_still_dies_as_a_segmentation_fault";
    if let Some(output) = child::run(name, &[]) {
        assert_eq!(output.status.signal(), Some(libc::SIGSEGV));
        return;
    }
    install_fault_handler(claim_nothing).unwrap();
    // SAFETY: none; the process is meant to die of it.
    unsafe { std::hint::black_box(ptr::without_provenance_mut::<u8>(8)).write_volatile(1) };
}

#[test]
fn an_ordinary_threads_overflow_keeps_stds_report() {
    #[allow(unconditional_recursion)]
    fn recurse(depth: &mut [u8; 512]) {
        recurse(std::hint::black_box(&mut [depth[0].wrapping_add(1); 512]));
        std::hint::black_box(depth);
    }
    let name = "os::tests::an_ordinary_threads_overflow_keeps_stds_report";
    if let Some(output) = child::run(name, &[]) {
        assert_eq!(output.status.signal(), Some(libc::SIGABRT));
        let errors = child::text(&output.stderr);
        assert!(errors.contains("'ordinary'") && errors.contains("overflow"), "{errors}");
        return;
    }
    install_fault_handler(claim_nothing).unwrap();
    let thread = std::thread::Builder::new().name("ordinary".into());
    let _ = thread.spawn(|| recurse(&mut [0; 512])).unwrap().join();
}

#[test]
fn a_fault_signal_that_kill_sent_still_ends_a_process_without_handlers() {
    let name = "os::tests::a_fault_signal_that_kill_sent_still_ends_a_process_without_handlers";
    if let Some(output) = child::run(name, &[]) {
        assert_eq!(output.status.signal(), Some(libc::SIGSEGV));
        return;
    }
    // SAFETY: the default action needs no handler.
    unsafe { libc::signal(libc::SIGSEGV, libc::SIG_DFL) };
    install_fault_handler(claim_nothing).unwrap();
    // SAFETY: raising a signal has no preconditions.
    unsafe { libc::raise(libc::SIGSEGV) };
}

#[test]
fn heavy_barrier_that_was_prepared_is_no_refusal() {
    prepare_heavy_barrier();
    assert!(heavy_barrier(), "every Linux since 4.14 has it");
}
