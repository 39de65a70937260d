//! Bytes to send, of which each tells where it belongs: a byte that is lost, doubled or out of its
//! place is found wherever the reading was cut.
#![forbid(unsafe_code)]

/// The first `length` bytes of sequence `number`. A period of 251 fits no buffer's size.
pub(crate) fn bytes(number: u8, length: usize) -> Vec<u8> {
    (0..length).map(|index| byte(number, index)).collect()
}

/// Fails unless `got` is what sequence `number` has from `start` on.
#[track_caller]
pub(crate) fn expect(number: u8, start: usize, got: &[u8]) {
    let wrong = got.iter().enumerate().find(|&(index, &is)| is != byte(number, start + index));
    if let Some((index, is)) = wrong {
        panic!("byte {} of sequence {number} is {is}", start + index);
    }
}

fn byte(number: u8, index: usize) -> u8 {
    let place = u8::try_from(index % 251).expect("below 251");
    place.wrapping_add(number.wrapping_mul(83))
}
