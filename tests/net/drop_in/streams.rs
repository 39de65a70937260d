//! Streams of both kinds: bytes go through in order, whole or in pieces, by every call that reads
//! or writes.
#![forbid(unsafe_code)]

use std::io::{
    self, BufRead, BufReader, BufWriter, Cursor, ErrorKind, IoSlice, IoSliceMut, Read, Write,
};
use std::net::Shutdown;

use super::pairs::{Pair, with_streams};
use super::{settle, thread};
use crate::{probe, sample};

const MEGABYTE: usize = 1 << 20;

#[test]
fn bytes_come_in_order_however_they_are_read() {
    with_streams!(Stream, {
        let (mut left, mut right) = Stream::connected();
        assert_eq!(left.write(&sample::bytes(1, 1000)).unwrap(), 1000);
        left.flush().unwrap();
        let mut read = 0;
        for size in [1, 2, 3, 100, 894] {
            let mut got = vec![0; size];
            assert_eq!(right.read(&mut got).unwrap(), size);
            sample::expect(1, read, &got);
            read += size;
        }
        right.write_all(b"and back").unwrap();
        drop(right);
        let mut text = String::new();
        assert_eq!(left.read_to_string(&mut text).unwrap(), 8);
        assert_eq!(text, "and back");
        assert_eq!(left.read(&mut [0; 9]).unwrap(), 0);
    });
}

#[test]
fn read_waits_for_the_first_byte_and_gives_what_there_is() {
    with_streams!(Stream, {
        let (mut left, mut right) = Stream::connected();
        thread::scope(|scope| {
            let reader = scope.spawn(move || {
                let mut room = [0; 100];
                let counts = [(); 3].map(|()| {
                    let count = right.read(&mut room).unwrap();
                    right.write_all(&room[..count]).unwrap();
                    count
                });
                (counts, right.read(&mut room).unwrap())
            });
            for size in [5, 100, 1] {
                settle();
                let sent = sample::bytes(2, size);
                left.write_all(&sent).unwrap();
                let mut got = vec![0; size];
                left.read_exact(&mut got).unwrap();
                assert_eq!(got, sent);
            }
            drop(left);
            assert_eq!(reader.join().unwrap(), ([5, 100, 1], 0));
        });
    });
}

#[test]
fn end_that_comes_with_the_last_bytes_is_seen_after_them() {
    with_streams!(Stream, {
        for wait_first in [true, false] {
            let (left, mut right) = Stream::connected();
            let send = move || {
                (&left).write_all(b"end").unwrap();
                drop(left);
            };
            thread::scope(|scope| {
                let reader = || {
                    let mut room = [0; 64];
                    // One wait, and then a read that is shorter than its buffer.
                    assert_eq!(right.read(&mut room).unwrap(), 3);
                    assert_eq!(right.read(&mut room).unwrap(), 0);
                    assert_eq!(right.read(&mut room).unwrap(), 0);
                };
                if wait_first {
                    let reader = scope.spawn(reader);
                    settle();
                    send();
                    reader.join().unwrap();
                } else {
                    send();
                    scope.spawn(reader).join().unwrap();
                }
            });
        }
    });
}

#[test]
fn megabytes_go_both_ways_at_once_through_one_socket_of_two_threads() {
    with_streams!(Stream, {
        let (left, right) = Stream::connected();
        thread::scope(|scope| {
            for (number, stream, other) in [(1, &left, 2), (2, &right, 1)] {
                scope.spawn(move || {
                    let mut stream = stream;
                    stream.write_all(&sample::bytes(number, 2 * MEGABYTE)).unwrap();
                });
                scope.spawn(move || {
                    let mut stream = stream;
                    let mut got = vec![0; 2 * MEGABYTE];
                    stream.read_exact(&mut got).unwrap();
                    sample::expect(other, 0, &got);
                });
            }
        });
        assert_eq!(probe::unread(&left) + probe::unread(&right), 0);
    });
}

#[test]
fn small_buffers_cut_what_is_written_and_lose_nothing() {
    const LENGTH: usize = 60_000;
    with_streams!(Stream, {
        let (left, mut right) = Stream::connected();
        probe::shrink_buffers(&left);
        probe::shrink_buffers(&right);
        thread::scope(|scope| {
            let writer = scope.spawn(move || {
                let (bytes, mut written, mut calls) = (sample::bytes(3, LENGTH), 0, 0);
                while written < LENGTH {
                    // Not all at once, which some systems take in one call that waits.
                    let end = LENGTH.min(written + 15_000);
                    let count = (&left).write(&bytes[written..end]).unwrap();
                    assert!(count != 0, "a write of bytes writes some");
                    written += count;
                    calls += 1;
                }
                calls
            });
            let mut room = [0; 777];
            let mut read = 0;
            loop {
                let count = right.read(&mut room).unwrap();
                if count == 0 {
                    break;
                }
                sample::expect(3, read, &room[..count]);
                read += count;
            }
            assert_eq!(read, LENGTH);
            assert!(writer.join().unwrap() >= 4);
        });
    });
}

#[test]
fn two_thousand_slices_are_written_and_read() {
    with_streams!(Stream, {
        let (left, right) = Stream::connected();
        let bytes = sample::bytes(4, 2000 * 3);
        thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let mut slices: Vec<IoSlice<'_>> = bytes.chunks(3).map(IoSlice::new).collect();
                let first = (&left).write_vectored(&slices).unwrap();
                // The system takes 1024 in one call.
                assert!(first != 0 && first <= 1024 * 3, "{first}");
                let mut rest = &mut slices[..];
                IoSlice::advance_slices(&mut rest, first);
                while !rest.is_empty() {
                    let count = (&left).write_vectored(rest).unwrap();
                    IoSlice::advance_slices(&mut rest, count);
                }
            });
            let mut got = vec![0; bytes.len()];
            let mut slices: Vec<_> = got.chunks_mut(3).map(IoSliceMut::new).collect();
            let mut rest = &mut slices[..];
            while !rest.is_empty() {
                let count = (&right).read_vectored(rest).unwrap();
                assert!(count != 0 && count <= 1024 * 3, "{count}");
                IoSliceMut::advance_slices(&mut rest, count);
            }
            sample::expect(4, 0, &got);
            writer.join().unwrap();
        });
    });
}

#[test]
fn slices_of_all_sizes_are_filled_one_after_the_other() {
    with_streams!(Stream, {
        let (mut left, mut right) = Stream::connected();
        let parts = [&b"one"[..], b"", b"two", b"three"].map(IoSlice::new);
        assert_eq!(left.write_vectored(&parts).unwrap(), 11);
        let (mut first, mut second, mut third) = ([0; 4], [0; 0], [0; 100]);
        let mut rooms = [
            IoSliceMut::new(&mut first),
            IoSliceMut::new(&mut second),
            IoSliceMut::new(&mut third),
        ];
        assert_eq!(right.read_vectored(&mut rooms).unwrap(), 11);
        assert_eq!((&first, &third[..7]), (b"onet", &b"wothree"[..]));
    });
}

#[test]
fn nothing_is_written_and_read_at_once() {
    with_streams!(Stream, {
        let (mut left, mut right) = Stream::connected();
        assert_eq!(left.write(&[]).unwrap(), 0);
        assert_eq!(left.write_vectored(&[]).unwrap(), 0);
        assert_eq!(left.write_vectored(&[IoSlice::new(&[]), IoSlice::new(&[])]).unwrap(), 0);
        left.write_all(&[]).unwrap();
        // No call here waits, though nothing was sent.
        assert_eq!(right.read_vectored(&mut []).unwrap(), 0);
        assert_eq!(right.read_vectored(&mut [IoSliceMut::new(&mut [])]).unwrap(), 0);
        right.read_exact(&mut []).unwrap();
        left.write_all(b"x").unwrap();
        // These take nothing of what there is.
        assert_eq!(right.read(&mut []).unwrap(), 0);
        assert_eq!(right.read_vectored(&mut []).unwrap(), 0);
        let mut byte = [0; 2];
        assert_eq!(right.read(&mut byte).unwrap(), 1);
        assert_eq!(byte, *b"x\0");
        drop(left);
        assert_eq!(right.read(&mut []).unwrap(), 0);
    });
}

#[test]
fn read_exact_says_that_the_end_came_too_early() {
    with_streams!(Stream, {
        let (mut left, mut right) = Stream::connected();
        left.write_all(b"abc").unwrap();
        drop(left);
        let error = right.read_exact(&mut [0; 4]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    });
}

#[test]
fn references_and_trait_objects_read_and_write() {
    with_streams!(Stream, {
        let (mut left, right) = Stream::connected();
        (&left).write_all(b"by reference,").unwrap();
        {
            let dynamic: &mut dyn Write = &mut left;
            dynamic.write_all(b"by object,").unwrap();
        }
        write!(left, "by text,{:>3}", 7).unwrap();
        Write::by_ref(&mut left).write_all(b"!").unwrap();
        left.shutdown(Shutdown::Write).unwrap();
        let mut start = [0; 13];
        (&right).read_exact(&mut start).unwrap();
        assert_eq!(&start, b"by reference,");
        let mut object: Box<dyn Read + '_> = Box::new(&right);
        let mut rest = String::new();
        object.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "by object,by text,  7!");
    });
}

#[test]
fn stds_adapters_work_on_it() {
    with_streams!(Stream, {
        let (left, right) = Stream::connected();
        thread::scope(|scope| {
            scope.spawn(move || {
                let mut lines = BufWriter::new(left);
                for number in 0..500 {
                    writeln!(lines, "line {number}").unwrap();
                }
                lines.flush().unwrap();
                let left = lines.into_inner().unwrap();
                let bytes = sample::bytes(5, 300_000);
                let mut source = Cursor::new(bytes);
                assert_eq!(io::copy(&mut source, &mut &left).unwrap(), 300_000);
                left.shutdown(Shutdown::Write).unwrap();
            });
            let mut reader = BufReader::new(&right);
            let mut line = String::new();
            for number in 0..500 {
                line.clear();
                reader.read_line(&mut line).unwrap();
                assert_eq!(line, format!("line {number}\n"));
            }
            let first: Vec<u8> = reader.by_ref().bytes().take(10).map(Result::unwrap).collect();
            sample::expect(5, 0, &first);
            let mut rest = Vec::new();
            reader.by_ref().take(90).read_to_end(&mut rest).unwrap();
            sample::expect(5, 10, &rest);
            rest.clear();
            assert_eq!(io::copy(&mut reader, &mut rest).unwrap(), 299_900);
            sample::expect(5, 100, &rest);
        });
    });
}

#[test]
fn copy_from_a_stream_to_another_moves_all_bytes() {
    with_streams!(Stream, {
        let ((source, mut source_end), (sink, mut sink_end)) =
            (Stream::connected(), Stream::connected());
        thread::scope(|scope| {
            let copier = scope.spawn(|| io::copy(&mut &source, &mut &sink).unwrap());
            scope.spawn(move || source_end.write_all(&sample::bytes(6, MEGABYTE)).unwrap());
            let mut got = vec![0; MEGABYTE];
            sink_end.read_exact(&mut got).unwrap();
            sample::expect(6, 0, &got);
            assert_eq!(copier.join().unwrap(), MEGABYTE as u64);
        });
    });
}

#[test]
fn readers_of_one_stream_get_each_byte_once() {
    with_streams!(Stream, {
        let (mut left, right) = Stream::connected();
        thread::scope(|scope| {
            let readers = [(); 5].map(|()| {
                scope.spawn(|| {
                    let (mut sum, mut room) = (0, [0; 3]);
                    loop {
                        let count = (&right).read(&mut room).unwrap();
                        if count == 0 {
                            break sum;
                        }
                        sum += room[..count].iter().map(|&byte| u64::from(byte)).sum::<u64>();
                    }
                })
            });
            let mut sent = 0;
            for round in 0..100 {
                let bytes = [round; 7];
                sent += 7 * u64::from(round);
                left.write_all(&bytes).unwrap();
                if round % 10 == 0 {
                    settle();
                }
            }
            drop(left);
            let got: u64 = readers.map(|reader| reader.join().unwrap()).iter().sum();
            assert_eq!(got, sent);
        });
    });
}

#[test]
fn writers_of_one_stream_all_get_through() {
    const EACH: usize = 150_000;
    with_streams!(Stream, {
        let (left, mut right) = Stream::connected();
        thread::scope(|scope| {
            let writers = [1, 2, 3].map(|byte| {
                let left = &left;
                scope.spawn(move || {
                    let mut stream = left;
                    stream.write_all(&[byte; EACH]).unwrap();
                })
            });
            let mut got = vec![0; 3 * EACH];
            right.read_exact(&mut got).unwrap();
            for wanted in 1..=3 {
                assert_eq!(got.iter().filter(|&&byte| byte == wanted).count(), EACH);
            }
            writers.into_iter().for_each(|writer| writer.join().unwrap());
        });
    });
}
