//! Reading and writing streams of bytes: what is the same for TCP and for Unix.
//!
//! `read_exact` and `write_all` do what std's default methods do. They stand here because those
//! cannot hand on whose call it is that waits: a report would name a line of std's.
#![forbid(unsafe_code)]

use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::AsFd;

use crate::os::BUFFERS_MAX;
use crate::reactor::Source;

/// How many bytes one call could read into the buffers.
pub(super) fn room(bufs: &[IoSliceMut<'_>]) -> usize {
    bufs.iter().take(BUFFERS_MAX).map(|buf| buf.len()).fold(0, usize::saturating_add)
}

/// Whether one call would write nothing out of the buffers.
pub(super) fn is_empty(bufs: &[IoSlice<'_>]) -> bool {
    bufs.iter().take(BUFFERS_MAX).all(|buf| buf.is_empty())
}

/// Reads or writes nothing. Of a write, the kernel looks whether the stream is still open; there is
/// nothing to wait for, even if the stream is full.
// SUSPENDS
pub(super) fn without_wait<S: AsFd, R>(
    source: &Source<S>,
    attempt: impl FnOnce(&S) -> io::Result<R>,
) -> io::Result<R> {
    source.pass();
    attempt(source.get())
}

// SUSPENDS
#[track_caller]
pub(super) fn read_exact(stream: &mut impl Read, buf: &mut [u8]) -> io::Result<()> {
    let mut filled = 0;
    while filled < buf.len() {
        match stream.read(&mut buf[filled..]) {
            Ok(0) => return Err(io::Error::new(ErrorKind::UnexpectedEof, "the stream has ended")),
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

// SUSPENDS
#[track_caller]
pub(super) fn write_all(stream: &mut impl Write, buf: &[u8]) -> io::Result<()> {
    let mut written = 0;
    while written < buf.len() {
        match stream.write(&buf[written..]) {
            Ok(0) => return Err(io::Error::new(ErrorKind::WriteZero, "the stream takes no more")),
            Ok(count) => written += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
