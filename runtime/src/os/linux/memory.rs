//! Address space: reserving it, guarding parts of it, giving its pages back, and finding out how
//! much more of it the kernel will describe for us.
//!
//! A reservation is readable and writable from the start and costs no memory until touched. Two
//! kinds of guard exist. `install_guard` marks page table entries (Linux 6.13 and later): the
//! mapping stays one entry in the kernel's list, and the guard survives `discard`. `protect_none`
//! splits the mapping, two entries more each, of which a process may have `vm.max_map_count`.
//!
//! Nothing here tracks what it mapped; whoever reserves a range unmaps exactly that range.

use std::fs::File;
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Returns the size of a page in bytes.
pub(crate) fn page_size() -> usize {
    static CACHED: AtomicUsize = AtomicUsize::new(0);
    // ORDERING: Relaxed, for the value is a constant of the machine; whoever sees 0 asks again.
    let cached = CACHED.load(Ordering::Relaxed);
    if cached != 0 {
        return cached;
    }
    // SAFETY: `sysconf` reads a constant; it has no preconditions.
    let asked = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    let bytes = usize::try_from(asked).expect("every Linux tells its page size");
    // ORDERING: Relaxed, as the load above.
    CACHED.store(bytes, Ordering::Relaxed);
    bytes
}

/// Reserves `len` bytes of private, readable and writable memory that holds no pages yet.
///
/// Swap and commit space are not set aside (`MAP_NORESERVE`) and no huge pages form (one touched
/// byte would otherwise cost 2 MiB). The mapping is called "sylvan stacks" in `/proc/self/maps`.
/// Flags and name are set before the first touch: only then do neighbours merge into one entry of
/// the kernel's list (300 reservations of 64 MiB cost 4 to 6 entries).
///
/// # Errors
///
/// The kernel's own: `ENOMEM` for an exhausted address space or `ulimit -v`, `EAGAIN` for
/// `ulimit -l` while `mlockall(MCL_FUTURE)` holds.
pub(crate) fn map_reserve(len: usize) -> io::Result<*mut u8> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: without MAP_FIXED the kernel picks a free range, so no existing memory is touched.
    let mapped = unsafe { libc::mmap(std::ptr::null_mut(), len, protection, flags, -1, 0) };
    if mapped == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // Both are wishes: a kernel built without huge pages or without names for anonymous memory
    // refuses, and nothing but cost or beauty is lost.
    // SAFETY: the range is the mapping just made, which nobody else knows yet.
    let _ = unsafe { libc::madvise(mapped, len, libc::MADV_NOHUGEPAGE) };
    let name = c"sylvan stacks".as_ptr();
    let subject = libc::PR_SET_VMA_ANON_NAME as usize;
    // SAFETY: as above; the name is a string that ends in NUL, which the kernel copies.
    let _ = unsafe { libc::prctl(libc::PR_SET_VMA, subject, mapped as usize, len, name) };
    Ok(mapped.cast())
}

/// Gives a reservation back to the kernel.
///
/// # Safety
///
/// S1: `address` and `len` are exactly what one call of [`map_reserve`] gave and was given.
/// S2: nothing in the range is used any more, and nobody keeps a reference into it.
pub(crate) unsafe fn unmap(address: *mut u8, len: usize) {
    // SAFETY: S1 and S2 are this call's own conditions. It fails only for a range that is no
    // mapping, or for want of memory to split one, and S1 excludes both.
    let result = unsafe { libc::munmap(address.cast(), len) };
    debug_assert_eq!(result, 0, "munmap of a reservation: {}", io::Error::last_os_error());
}

/// Makes a range fault on every access, without splitting its mapping (`MADV_GUARD_INSTALL`).
///
/// Installing over a guard that is there already changes nothing. The guard outlives [`discard`].
///
/// # Errors
///
/// `EINVAL` on a kernel before 6.13, and for memory that is locked (`mlockall`).
///
/// # Safety
///
/// S1: the range lies in one reservation. S2: nothing that it holds is needed any more.
pub(crate) unsafe fn install_guard(address: *mut u8, len: usize) -> io::Result<()> {
    // SAFETY: S1 and S2; the call drops the pages of the range and nothing else.
    checked(unsafe { libc::madvise(address.cast(), len, MADV_GUARD_INSTALL) })
}

/// Makes a range fault on every access by taking its permissions away (`mprotect`).
///
/// Costs two entries of the kernel's list of mappings, unless the range lies at a mapping's end.
///
/// # Errors
///
/// `ENOMEM` when the list is full.
///
/// # Safety
///
/// S1: the range lies in one reservation. S2: nothing that it holds is needed any more.
pub(crate) unsafe fn protect_none(address: *mut u8, len: usize) -> io::Result<()> {
    // SAFETY: S1 and S2; later accesses fault instead of reaching other memory.
    checked(unsafe { libc::mprotect(address.cast(), len, libc::PROT_NONE) })
}

/// Gives the pages of a range back to the kernel; the next touch finds zeros. Guards stay.
///
/// # Errors
///
/// `EINVAL` for locked memory, whose pages then stay where they are.
///
/// # Safety
///
/// S1: the range lies in one reservation. S2: nothing that it holds is needed any more.
pub(crate) unsafe fn discard(address: *mut u8, len: usize) -> io::Result<()> {
    // SAFETY: S1 and S2.
    checked(unsafe { libc::madvise(address.cast(), len, libc::MADV_DONTNEED) })
}

/// Discards several ranges, as if each were [`discard`]ed, with one system call for up to 128 of
/// them where the kernel can (`process_madvise` on itself, Linux 6.15).
///
/// Each discard has to tell all processors that run this process to forget the range; together
/// they do it once. That is most of the cost of a short range: 0.7 µs instead of 2.4 here.
///
/// Errors are of no use to callers, who can only leave the pages where they are.
///
/// # Safety
///
/// S1, S2: as for [`discard`], for each range.
pub(crate) unsafe fn discard_all(ranges: impl Iterator<Item = (*mut u8, usize)>) {
    const BATCH: usize = 128;
    let mut batch = [EMPTY_RANGE; BATCH];
    let mut len = 0;
    for (address, bytes) in ranges {
        batch[len] = libc::iovec { iov_base: address.cast(), iov_len: bytes };
        len += 1;
        if len == BATCH {
            // SAFETY: S1, S2 of ours.
            unsafe { discard_batch(&batch) };
            len = 0;
        }
    }
    // SAFETY: as above.
    unsafe { discard_batch(&batch[..len]) };
}

/// # Safety
///
/// S1, S2: as for [`discard_all`].
unsafe fn discard_batch(batch: &[libc::iovec]) {
    // SAFETY: S1: ours. S2: ours; the advice drops pages.
    let mut done = unsafe { advise_batch(batch, libc::MADV_DONTNEED, &DISCARDS_REFUSED) };
    // What the kernel stopped before, at a range that is locked or because it cannot do it at all.
    for range in batch {
        match done.checked_sub(range.iov_len) {
            Some(rest) => done = rest,
            None => {
                // All that follows is left, too, however short.
                done = 0;
                // SAFETY: S1 and S2.
                let _ = unsafe { discard(range.iov_base.cast(), range.iov_len) };
            }
        }
    }
}

/// Makes ranges of `len` bytes each fault on every access, as if each were given to
/// [`install_guard`], with one system call for up to 32 of them where the kernel can
/// (`process_madvise` on itself, Linux 6.15). Says how many of them, counted from the first, have
/// their guard now; the rest must be guarded one by one, which also tells why it cannot be done.
///
/// A range then costs 1.3 µs instead of 1.7 here, the rest being the walk to its page table.
///
/// # Safety
///
/// S1, S2: as for [`install_guard`], for each range.
pub(crate) unsafe fn install_guards(ranges: impl Iterator<Item = *mut u8>, len: usize) -> usize {
    const BATCH: usize = 32;
    let mut batch = [EMPTY_RANGE; BATCH];
    let mut count = 0;
    for (place, address) in batch.iter_mut().zip(ranges) {
        *place = libc::iovec { iov_base: address.cast(), iov_len: len };
        count += 1;
    }
    // SAFETY: S1: ours. S2: ours; the advice drops pages.
    unsafe { advise_batch(&batch[..count], MADV_GUARD_INSTALL, &GUARDS_REFUSED) / len }
}

/// Gives `advice` on all ranges of a batch by one system call, and returns how many of their
/// bytes, counted from the first, it was carried out for. That is 0 where the kernel cannot do it;
/// `refused` remembers that, so that it is asked once. Of locked memory the answer looks the same:
/// a process that locks some goes on without batches, at no other cost.
///
/// # Safety
///
/// S1: each range lies in one reservation. S2: `advice` does no harm to what the ranges hold.
unsafe fn advise_batch(batch: &[libc::iovec], advice: libc::c_int, refused: &AtomicBool) -> usize {
    /// `PIDFD_SELF_THREAD_GROUP` of `linux/pidfd.h`: this process, without a descriptor.
    const PIDFD_SELF: libc::c_int = -10_001;
    // ORDERING: Relaxed; it tells of the kernel alone, and whoever does not see it asks again.
    if batch.len() < 2 || refused.load(Ordering::Relaxed) {
        return 0;
    }
    let (first, count) = (batch.as_ptr(), batch.len());
    // SAFETY: S1 and S2; the array outlives the call.
    let advised =
        unsafe { libc::syscall(libc::SYS_process_madvise, PIDFD_SELF, first, count, advice, 0) };
    if let Ok(bytes) = usize::try_from(advised) {
        return bytes;
    }
    let error = io::Error::last_os_error().raw_os_error();
    if !matches!(error, Some(libc::EINTR | libc::EAGAIN | libc::ENOMEM)) {
        // ORDERING: Relaxed; as above.
        refused.store(true, Ordering::Relaxed);
    }
    0
}

/// Makes this process behave as on a kernel that takes no batches.
#[cfg(test)]
pub(crate) fn refuse_batches() {
    for refused in [&DISCARDS_REFUSED, &GUARDS_REFUSED] {
        // ORDERING: Relaxed, as in `advise_batch`.
        refused.store(true, Ordering::Relaxed);
    }
}

/// Returns how many mappings a process may have (`vm.max_map_count`), if `/proc` tells.
pub(crate) fn map_count_limit() -> Option<usize> {
    let mut text = [0; 32];
    let mut file = File::open("/proc/sys/vm/max_map_count").ok()?;
    let len = file.read(&mut text).ok()?;
    std::str::from_utf8(&text[..len]).ok()?.trim().parse().ok()
}

/// Returns how many mappings this process has, if `/proc` tells: one per line of its list.
///
/// Costs about half a microsecond per mapping. It allocates nothing, for it is called when the
/// list is nearly full and an allocation might need a new mapping.
pub(crate) fn map_count_used() -> Option<usize> {
    let mut block = [0; 4096];
    let mut file = File::open("/proc/self/maps").ok()?;
    let mut lines = 0;
    loop {
        match file.read(&mut block) {
            Ok(0) => return Some(lines),
            Ok(len) => lines += block[..len].iter().filter(|&&byte| byte == b'\n').count(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}

/// Maps `len` bytes of private, readable and writable memory, aligned to `align`, a power of two.
///
/// It holds no pages yet. `huge_pages` says whether a touch may make 2 MiB of it resident at once;
/// where the system forms such pages for everybody, false keeps it from it. Called "sylvan headers"
/// in `/proc/self/maps`, and never unmapped.
///
/// # Errors
///
/// As for [`map_reserve`].
pub(crate) fn map_aligned(len: usize, align: usize, huge_pages: bool) -> io::Result<*mut u8> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    let more = len + align;
    // SAFETY: without MAP_FIXED the kernel picks a free range, so no existing memory is touched.
    let mapped = unsafe { libc::mmap(std::ptr::null_mut(), more, protection, flags, -1, 0) };
    if mapped == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let before = mapped.addr().next_multiple_of(align) - mapped.addr();
    // SAFETY: `before` is less than `align`, so all of this lies in the mapping just made.
    let aligned = unsafe { mapped.byte_add(before) };
    if before > 0 {
        // SAFETY: as above; the part before the aligned one, which nobody knows.
        unsafe { libc::munmap(mapped, before) };
    }
    // SAFETY: as above; `align - before` is not 0.
    let after = unsafe { aligned.byte_add(len) };
    // SAFETY: as above; the part behind the aligned one.
    unsafe { libc::munmap(after, align - before) };
    // Both are wishes, as in `map_reserve`.
    let pages = if huge_pages { libc::MADV_HUGEPAGE } else { libc::MADV_NOHUGEPAGE };
    // SAFETY: the range is the mapping just made, which nobody else knows yet.
    let _ = unsafe { libc::madvise(aligned, len, pages) };
    let name = c"sylvan headers".as_ptr();
    let subject = libc::PR_SET_VMA_ANON_NAME as usize;
    // SAFETY: as above; the name is a string that ends in NUL, which the kernel copies.
    let _ = unsafe { libc::prctl(libc::PR_SET_VMA, subject, aligned as usize, len, name) };
    Ok(aligned.cast())
}

fn checked(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// `MADV_GUARD_INSTALL` of `linux/mman.h`, which the oldest `libc` we accept does not name.
const MADV_GUARD_INSTALL: libc::c_int = 102;
/// What the kernel has refused once to do for several ranges; see [`advise_batch`].
static DISCARDS_REFUSED: AtomicBool = AtomicBool::new(false);
static GUARDS_REFUSED: AtomicBool = AtomicBool::new(false);
const EMPTY_RANGE: libc::iovec = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
