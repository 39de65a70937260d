//! The messages that lie in a channel: a queue that grows without copying much of itself.
//!
//! A queue in one piece has to copy all messages when it grows, under the channel's lock, and keeps
//! the room of its longest day. So this one consists of pieces of bounded size: the first grows as
//! it is filled, for most channels never need more, and behind it pieces of full size are chained,
//! which go when they are empty.
//!
//! It drops no message by itself while it is used: that is user code, and the lock is held.
#![forbid(unsafe_code)]

use std::collections::VecDeque;

pub(super) struct Buffer<T> {
    /// Not empty unless the queue is.
    first: VecDeque<T>,
    more: VecDeque<VecDeque<T>>,
    len: usize,
}

impl<T> Buffer<T> {
    /// Messages of a full piece: 16 KiB, and not too few of large ones.
    const PIECE: usize = {
        let size = if size_of::<T>() == 0 { 1 } else { size_of::<T>() };
        let fitting = (16 << 10) / size;
        if fitting < 16 { 16 } else { fitting }
    };

    /// Allocates nothing.
    pub(super) const fn new() -> Buffer<T> {
        Buffer { first: VecDeque::new(), more: VecDeque::new(), len: 0 }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Appends `message`. `expected` is how many the queue will hold at most, as far as is known:
    /// a short one gets its room at once.
    #[inline]
    pub(super) fn push_back(&mut self, message: T, expected: usize) {
        self.len += 1;
        let piece = match self.more.back_mut() {
            None => &mut self.first,
            Some(last) => last,
        };
        if piece.len() == piece.capacity() {
            return self.push_growing(message, expected);
        }
        piece.push_back(message);
    }

    #[cold]
    #[inline(never)]
    fn push_growing(&mut self, message: T, expected: usize) {
        if self.more.is_empty() && self.first.len() < Self::PIECE {
            if self.first.capacity() == 0 {
                self.first.reserve_exact(expected.min(Self::PIECE / 16));
            }
            return self.first.push_back(message);
        }
        let mut piece = VecDeque::with_capacity(Self::PIECE);
        piece.push_back(message);
        self.more.push_back(piece);
    }

    /// Puts `message` back in front of all.
    pub(super) fn push_front(&mut self, message: T) {
        self.len += 1;
        self.first.push_front(message);
    }

    #[inline]
    pub(super) fn pop_front(&mut self) -> Option<T> {
        let message = self.first.pop_front()?;
        self.len -= 1;
        if self.first.is_empty() && !self.more.is_empty() {
            self.first = self.more.pop_front().expect("there are more");
        }
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::Buffer;

    #[test]
    fn messages_come_in_order_over_many_pieces() {
        let mut buffer = Buffer::new();
        let (mut next, mut expected) = (0_u64, 0);
        for round in 0..50 {
            for _ in 0..round * 200 {
                buffer.push_back(next, usize::MAX);
                next += 1;
            }
            for _ in 0..round * 150 {
                assert_eq!(buffer.pop_front(), Some(expected));
                expected += 1;
            }
            assert_eq!(buffer.len() as u64, next - expected);
        }
        while let Some(message) = buffer.pop_front() {
            assert_eq!(message, expected);
            expected += 1;
        }
        assert_eq!((expected, buffer.len()), (next, 0));
    }

    #[test]
    fn pieces_go_when_they_are_empty() {
        let mut buffer = Buffer::new();
        for message in 0..1_000_000_u64 {
            buffer.push_back(message, usize::MAX);
        }
        while buffer.pop_front().is_some() {}
        assert!(buffer.first.capacity() <= Buffer::<u64>::PIECE);
        assert!(buffer.more.is_empty());
    }

    #[test]
    fn what_is_put_back_comes_first() {
        let mut buffer = Buffer::new();
        buffer.push_back(2, 2);
        buffer.push_back(3, 2);
        buffer.push_front(1);
        let all: Vec<_> = std::iter::from_fn(|| buffer.pop_front()).collect();
        assert_eq!(all, [1, 2, 3]);
    }

    #[test]
    fn messages_without_size_are_counted() {
        let mut buffer = Buffer::new();
        for _ in 0..100_000 {
            buffer.push_back((), usize::MAX);
        }
        assert_eq!(buffer.len(), 100_000);
        assert_eq!(std::iter::from_fn(|| buffer.pop_front()).count(), 100_000);
    }
}
