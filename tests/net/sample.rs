//! Bytes to send, of which each tells where it belongs: a byte that is lost, doubled or out of its
//! place is found wherever the reading was cut.
#![forbid(unsafe_code)]

/// Fits no buffer's size.
const PERIOD: usize = 251;

/// The first `length` bytes of sequence `number`.
pub(crate) fn bytes(number: u8, length: usize) -> Vec<u8> {
    let mut bytes = period(number).repeat(length.div_ceil(PERIOD));
    bytes.truncate(length);
    bytes
}

/// Fails unless `got` is what sequence `number` has from `start` on.
#[track_caller]
pub(crate) fn expect(number: u8, start: usize, got: &[u8]) {
    let skipped = start % PERIOD;
    let wanted = bytes(number, skipped + got.len());
    // Whole slices first, for a build that is not optimized compares byte by byte slowly.
    if wanted[skipped..] != *got {
        let pairs = wanted[skipped..].iter().zip(got).enumerate();
        let wrong = pairs.filter(|(_, (wanted, got))| wanted != got).map(|(index, _)| index);
        let index = wrong.min().expect("one differs");
        panic!("byte {} of sequence {number} is {}", start + index, got[index]);
    }
}

fn period(number: u8) -> Vec<u8> {
    let places = (0..PERIOD).map(|place| u8::try_from(place).expect("below 256"));
    places.map(|place| place.wrapping_add(number.wrapping_mul(83))).collect()
}
