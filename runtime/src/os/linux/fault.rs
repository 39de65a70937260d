//! Signals, as far as a stack overflow needs them: a handler for memory faults that runs on a
//! stack of its own.
//!
//! A kernel thread that overflows its green stack has nowhere to run a handler, so each one has an
//! alternative signal stack (`AltStack`). The handler offers the faulting address to one function;
//! if that does not claim it, the handler that was there before runs as if ours were absent. With
//! std's handler that means: an ordinary thread's overflow gets std's report, and a null
//! dereference dies of `SIGSEGV`.
//!
//! Code on the signal path must not allocate, lock, panic, or use more than a few KiB of stack:
//! std's alternative stacks have 8 KiB, of which the kernel takes up to 3.4 for the registers.

use std::cell::UnsafeCell;
use std::io;
use std::marker::PhantomData;
use std::mem::{self, MaybeUninit};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use super::memory::{map_reserve, page_size, protect_none, unmap};

/// Says whether a fault at this address is the caller's, and does not return if it acts on it.
pub(crate) type Claim = fn(address: usize) -> bool;

/// Installs the handler for `SIGSEGV` and `SIGBUS`; later calls change nothing.
///
/// `claim` runs inside the handler, on the faulting thread. It may do only what a signal handler
/// may. When it returns false the handler that was there before takes over; its mask and flags
/// are not reproduced, except that it gets the arguments that it asked for.
///
/// # Errors
///
/// The kernel's refusal to change a handler.
pub(crate) fn install_fault_handler(claim: Claim) -> io::Result<()> {
    static INSTALLED: OnceLock<Result<(), i32>> = OnceLock::new();
    let installed = INSTALLED.get_or_init(|| {
        CLAIM.set(claim).expect("only the first call gets here");
        SIGNALS.iter().zip(&PREVIOUS).try_for_each(|(&signal, previous)| {
            install(signal, previous).map_err(|error| error.raw_os_error().unwrap_or(0))
        })
    });
    installed.map_err(io::Error::from_raw_os_error)
}

/// Writes all of `text` to the standard error stream, without a lock and without allocating.
///
/// A stream that takes no more bytes ends it: there is nobody left to tell.
pub(crate) fn write_stderr(mut text: &[u8]) {
    while !text.is_empty() {
        // SAFETY: the buffer is valid for its whole length.
        let written = unsafe { libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len()) };
        match usize::try_from(written) {
            Ok(0) => return,
            Ok(len) => text = &text[len..],
            Err(_) if errno() == libc::EINTR => {}
            Err(_) => return,
        }
    }
}

/// The calling kernel thread's alternative signal stack, for as long as this value lives.
///
/// A thread that has one already keeps it: std gives one to each thread that it starts. Ours is
/// removed on drop, on the same thread, unless somebody put another in its place meanwhile.
pub(crate) struct AltStack {
    /// What we mapped: address and length; `None` where the thread had an alternative stack.
    ours: Option<(*mut u8, usize)>,
    /// `sigaltstack` speaks about the calling thread, so the value must not leave it.
    _not_send: PhantomData<*mut u8>,
}

impl AltStack {
    /// Makes sure that the calling kernel thread has an alternative signal stack.
    ///
    /// # Errors
    ///
    /// The kernel has no memory for a stack of 64 KiB and its guard page.
    pub(crate) fn new() -> io::Result<AltStack> {
        if current_alternative()?.ss_flags & libc::SS_DISABLE == 0 {
            return Ok(AltStack { ours: None, _not_send: PhantomData });
        }
        let usable = ALT_STACK_BYTES.max(min_signal_stack_bytes() + (32 << 10));
        let len = usable.next_multiple_of(page_size()) + page_size();
        let bottom = map_reserve(len)?;
        // The mapping is freed by the drop of this value if one of the next steps fails.
        let alternative = AltStack { ours: Some((bottom, len)), _not_send: PhantomData };
        // SAFETY: S1: the page is the first of the mapping just made. S2: nothing is in it.
        unsafe { protect_none(bottom, page_size()) }?;
        let stack = libc::stack_t {
            ss_sp: bottom.wrapping_add(page_size()).cast(),
            ss_flags: 0,
            ss_size: len - page_size(),
        };
        // SAFETY: the range above the guard page is ours, mapped until this value is dropped, and
        // used for nothing else.
        if unsafe { libc::sigaltstack(&stack, ptr::null_mut()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(alternative)
    }
}

impl Drop for AltStack {
    fn drop(&mut self) {
        let Some((bottom, len)) = self.ours else { return };
        let first_usable = bottom.wrapping_add(page_size());
        if let Ok(current) = current_alternative()
            && current.ss_flags & libc::SS_DISABLE == 0
            && ptr::eq(current.ss_sp.cast(), first_usable)
        {
            let none =
                libc::stack_t { ss_sp: ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 };
            // SAFETY: disabling touches no memory.
            if unsafe { libc::sigaltstack(&none, ptr::null_mut()) } != 0 {
                // We run on it, inside a handler: it must stay mapped.
                return;
            }
        }
        // SAFETY: S1: address and length are the ones of `new`. S2: the kernel no longer has the
        // range as this thread's signal stack, and no other thread ever had it.
        unsafe { unmap(bottom, len) };
    }
}

fn current_alternative() -> io::Result<libc::stack_t> {
    let mut current = MaybeUninit::uninit();
    // SAFETY: without a new stack the call only writes the present one to `current`.
    if unsafe { libc::sigaltstack(ptr::null(), current.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so it filled the structure in.
    Ok(unsafe { current.assume_init() })
}

/// What the kernel needs on a signal stack to save the registers of this processor.
fn min_signal_stack_bytes() -> usize {
    // SAFETY: `getauxval` reads a table that the kernel passed at start-up; 0 means "not there".
    let bytes = unsafe { libc::getauxval(libc::AT_MINSIGSTKSZ) };
    usize::try_from(bytes).unwrap_or(0)
}

fn install(signal: libc::c_int, previous: &Previous) -> io::Result<()> {
    // SAFETY: all bytes zero is a valid `sigaction`: default action, empty mask, no flags.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = on_fault as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    // The previous handler is stored before ours can run, hence the separate question.
    // SAFETY: without a new action the call only writes the present one into our cell, which no
    // one reads before `stored` is set.
    if unsafe { libc::sigaction(signal, ptr::null(), previous.action.get().cast()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // ORDERING: Release; pairs with the Acquire in `chain`; publishes the stored action.
    previous.stored.store(true, Ordering::Release);
    // SAFETY: `on_fault` has the signature that SA_SIGINFO asks for and does only what a signal
    // handler may.
    if unsafe { libc::sigaction(signal, &action, ptr::null_mut()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

extern "C" fn on_fault(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    // The interrupted code may be about to read `errno` if the chained handler lets it go on.
    let saved_errno = errno();
    // SAFETY: with SA_SIGINFO the kernel passes a valid structure.
    let details = unsafe { &*info };
    // Kernel guards fault with code 1 ("not mapped"), those made by `mprotect` with 2 ("not
    // permitted"). Other codes carry no address, such as a signal that `kill` sent.
    if matches!(details.si_code, 1 | 2) {
        // SAFETY: for these codes the structure holds the faulting address.
        let address = unsafe { details.si_addr() };
        if CLAIM.get().is_some_and(|claim| claim(address as usize)) {
            return;
        }
    }
    chain(signal, info, context);
    set_errno(saved_errno);
}

/// Hands the signal to the handler that was there before ours.
fn chain(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let Some(index) = SIGNALS.iter().position(|&known| known == signal) else { return };
    // ORDERING: Acquire; pairs with the Release in `install`; the action is complete.
    if !PREVIOUS[index].stored.load(Ordering::Acquire) {
        return;
    }
    // SAFETY: the cell is a static's, and nobody writes to it once `stored` is set.
    let previous = unsafe { &*PREVIOUS[index].action.get() };
    // SAFETY: the cell was filled before `stored` was set.
    let previous = unsafe { previous.assume_init_ref() };
    match previous.sa_sigaction {
        libc::SIG_DFL | libc::SIG_IGN => {
            // The faulting instruction runs again and meets the action that would have met it
            // without us. A signal that `kill` sent has no instruction to repeat, so it is sent
            // again; it is blocked until this handler returns.
            // SAFETY: the action is the one that the kernel gave us.
            let _ = unsafe { libc::sigaction(signal, previous, ptr::null_mut()) };
            // SAFETY: with SA_SIGINFO the kernel passes a valid structure.
            if unsafe { (*info).si_code } <= 0 {
                // SAFETY: raising a signal has no preconditions.
                let _ = unsafe { libc::raise(signal) };
            }
        }
        handler if previous.sa_flags & libc::SA_SIGINFO != 0 => {
            type Handler =
                unsafe extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);
            // SAFETY: a handler that was installed with SA_SIGINFO has this signature.
            let handler = unsafe { mem::transmute::<usize, Handler>(handler) };
            // SAFETY: it gets exactly what the kernel would have given it.
            unsafe { handler(signal, info, context) };
        }
        handler => {
            type Handler = unsafe extern "C" fn(libc::c_int);
            // SAFETY: a handler that was installed without SA_SIGINFO has this signature.
            let handler = unsafe { mem::transmute::<usize, Handler>(handler) };
            // SAFETY: as above.
            unsafe { handler(signal) };
        }
    }
}

fn errno() -> i32 {
    // SAFETY: the call has no preconditions.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: the C library gives each thread a valid `errno`, for as long as it runs.
    unsafe { *place }
}

fn set_errno(value: i32) {
    // SAFETY: the call has no preconditions.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: as in `errno`.
    unsafe { *place = value };
}

/// The action that was in force for a signal before ours.
struct Previous {
    /// Whether `action` is filled in: set once, by `install`.
    stored: AtomicBool,
    action: UnsafeCell<MaybeUninit<libc::sigaction>>,
}

// SAFETY: `action` is written by the one thread inside the `OnceLock` of `install_fault_handler`,
// before `stored` is set, and only read afterwards.
unsafe impl Sync for Previous {}

impl Previous {
    const fn new() -> Previous {
        Previous { stored: AtomicBool::new(false), action: UnsafeCell::new(MaybeUninit::uninit()) }
    }
}

/// A load of a full `OnceLock` is one atomic read, so the handler may use it.
static CLAIM: OnceLock<Claim> = OnceLock::new();
static PREVIOUS: [Previous; 2] = [Previous::new(), Previous::new()];

/// Some systems report a touched guard as `SIGBUS`.
const SIGNALS: [libc::c_int; 2] = [libc::SIGSEGV, libc::SIGBUS];

/// Room for the registers, for the report and for a handler of the user's that we chain to.
const ALT_STACK_BYTES: usize = 64 << 10;
