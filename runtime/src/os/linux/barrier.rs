//! A memory barrier that makes *other* kernel threads pay: the rare side of an asymmetric fence.
//!
//! A worker that leaves its post as sentinel must see every push that was made before, but a push
//! is far too frequent to carry a fence. The kernel can run one on every processor that executes
//! this process: `membarrier(2)`, since Linux 4.14.

use std::sync::OnceLock;

/// Commands of `membarrier(2)`, from `linux/membarrier.h`.
const PRIVATE_EXPEDITED: libc::c_int = 1 << 3;
const REGISTER_PRIVATE_EXPEDITED: libc::c_int = 1 << 4;

fn membarrier(command: libc::c_int) -> bool {
    // SAFETY: the call takes three integers and touches no memory of ours.
    unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
}

static REGISTERED: OnceLock<bool> = OnceLock::new();

/// Announces to the kernel that the process will use [`heavy_barrier`]. That takes 3 µs in a
/// process of one kernel thread and 14 to 24 ms in one of several, for the kernel waits until all
/// processors have passed by: so it is done when the first workers start, and by none of them.
pub(crate) fn prepare_heavy_barrier() {
    REGISTERED.get_or_init(|| membarrier(REGISTER_PRIVATE_EXPEDITED));
}

/// Makes every kernel thread of the process pass a full fence now. False: the kernel refuses, or
/// nothing was prepared, and the caller must do without.
pub(crate) fn heavy_barrier() -> bool {
    REGISTERED.get() == Some(&true) && membarrier(PRIVATE_EXPEDITED)
}
