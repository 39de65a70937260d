//! What belongs to one kernel thread: its number, how precisely its sleeps end, and what runs
//! when it exits.
//!
//! `at_thread_exit` joins the list that the C library keeps for thread-locals with destructors;
//! the list runs newest first. It is looked up at run time, for not every C library has it.
//!
//! Nothing here may allocate a thread-local of its own.

use std::ffi::c_void;
use std::ptr;

/// Lets the calling thread's sleeps end at most `ns` late; the kernel's default is 50,000.
///
/// Zero means the thread's default again, which is what its creator had when it made it. The kernel
/// cannot refuse it, and heeds it for threads with ordinary priorities only.
pub(crate) fn set_timer_slack(ns: u64) {
    // SAFETY: the call changes one number of the calling thread.
    let _ = unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, ns as libc::c_ulong) };
}

/// How late the calling thread's sleeps may end, in nanoseconds.
pub(crate) fn timer_slack() -> u64 {
    // By `syscall`, for `prctl` gives 32 bits.
    // SAFETY: the call reads one number of the calling thread, and cannot fail.
    let ns = unsafe { libc::syscall(libc::SYS_prctl, libc::PR_GET_TIMERSLACK, 0, 0, 0, 0) };
    ns as u64
}

/// Calls `f(data)` when the calling kernel thread exits, before every destructor of a
/// thread-local that was registered earlier. Returns false where the C library has no such list.
///
/// # Safety
///
/// S1: `f(data)` is sound when it is called once, on this thread, at its end: `data` lives until
/// then, and `f` copes with thread-locals that are already gone. S2: `f` does not unwind.
pub(crate) unsafe fn at_thread_exit(data: *mut u8, f: unsafe extern "C" fn(*mut u8)) -> bool {
    /// `__cxa_thread_atexit_impl(destructor, object, handle of the shared object)`.
    type Register = unsafe extern "C" fn(
        unsafe extern "C" fn(*mut u8),
        *mut u8,
        *const *mut c_void,
    ) -> libc::c_int;
    unsafe extern "C" {
        /// Names this shared object, so that the C library keeps it loaded while it is needed.
        static __dso_handle: *mut c_void;
    }
    // SAFETY: the name is a string that ends in NUL.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"__cxa_thread_atexit_impl".as_ptr()) };
    // SAFETY: the symbol, if found, is a function of this type (Itanium C++ ABI, 3.3.6.2, which
    // glibc and every other library that offers the name follow); null becomes `None`.
    let register = unsafe { std::mem::transmute::<*mut c_void, Option<Register>>(found) };
    let Some(register) = register else { return false };
    let handle = ptr::addr_of!(__dso_handle);
    // SAFETY: S1 and S2 are the conditions that the list puts on its entries.
    let result = unsafe { register(f, data, handle) };
    result == 0
}

/// Calls `f` in every child that this process forks from now on.
pub(crate) fn at_fork_in_child(f: fn()) {
    static F: std::sync::OnceLock<fn()> = std::sync::OnceLock::new();
    extern "C" fn call() {
        if let Some(f) = F.get() {
            f();
        }
    }
    F.get_or_init(|| f);
    // SAFETY: `call` is a function of the demanded kind and lives as long as the process.
    let _ = unsafe { libc::pthread_atfork(None, None, Some(call)) };
}
