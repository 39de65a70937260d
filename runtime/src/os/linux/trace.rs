//! Return addresses of the running stack, by the unwinder that panics use.
//!
//! For a dump a thread reads its own stack, so no debugger and no frame pointers are needed. The
//! unwinder allocates nothing and, with a C library from 2022 on, takes no lock; it needs some 3
//! KiB of stack, 7 the first time.

use std::ffi::{CStr, c_int, c_void};

/// One frame: where it will return to, and its canonical frame address, which lies on its stack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    pub(crate) return_address: usize,
    pub(crate) stack_address: usize,
}

type Callback = extern "C" fn(context: *mut c_void, data: *mut c_void) -> c_int;

unsafe extern "C" {
    fn _Unwind_Backtrace(callback: Callback, data: *mut c_void) -> c_int;
    fn _Unwind_GetIP(context: *mut c_void) -> usize;
    fn _Unwind_GetCFA(context: *mut c_void) -> usize;
}

/// The unwinder's codes for "go on" and "that is enough".
const NO_REASON: c_int = 0;
const END_OF_STACK: c_int = 5;

/// Calls `visit` with each frame of the caller, innermost first, until it says false. It must not
/// unwind.
pub(crate) fn visit_frames(mut visit: &mut dyn FnMut(Frame) -> bool) {
    extern "C" fn callback(context: *mut c_void, data: *mut c_void) -> c_int {
        let visit: *mut &mut dyn FnMut(Frame) -> bool = data.cast();
        // SAFETY: `data` is the reference below, which outlives the call.
        let visit = unsafe { &mut *visit };
        // SAFETY: the unwinder's own context, during its callback.
        let return_address = unsafe { _Unwind_GetIP(context) };
        // SAFETY: as above.
        let stack_address = unsafe { _Unwind_GetCFA(context) };
        if visit(Frame { return_address, stack_address }) { NO_REASON } else { END_OF_STACK }
    }
    let data: *mut &mut dyn FnMut(Frame) -> bool = &raw mut visit;
    // SAFETY: the callback takes exactly this data, and does not unwind.
    let _ = unsafe { _Unwind_Backtrace(callback, data.cast()) };
}

/// The file that holds the code at `address`, and the address within it, as `addr2line` takes it.
pub(crate) fn locate(address: usize) -> Option<(String, usize)> {
    let mut info = libc::Dl_info {
        dli_fname: std::ptr::null(),
        dli_fbase: std::ptr::null_mut(),
        dli_sname: std::ptr::null(),
        dli_saddr: std::ptr::null_mut(),
    };
    // SAFETY: the call only reads the table of loaded files and fills `info`.
    let known = unsafe { libc::dladdr(address as *const c_void, &raw mut info) };
    if known == 0 || info.dli_fname.is_null() {
        return None;
    }
    // SAFETY: a string of the loader's, which lives as long as the file is loaded; it is copied.
    let file = unsafe { CStr::from_ptr(info.dli_fname) };
    Some((file.to_string_lossy().into_owned(), address - info.dli_fbase as usize))
}
