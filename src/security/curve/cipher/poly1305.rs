//! Poly1305 (RFC 8439, section 2.5): a message is the digits of a polynomial, and its value at a
//! secret place, plus a secret, is the tag.
//!
//! Numbers modulo 2^130 - 5 are three limbs of 44, 44 and 42 bits, so that sums of many products
//! fit 128 bits. From `LONG` bytes on four blocks are multiplied by four powers of the place at
//! once and brought back below the modulus together.

use zeroize::Zeroizing;

/// What makes the tag of one message. A key must never make two.
pub(super) struct Poly1305 {
    place: Zeroizing<Limbs>,
    pad: Zeroizing<u128>,
}

impl Poly1305 {
    /// From 32 secret bytes, read as little-endian words.
    pub(super) fn new(key: &[u64; 4]) -> Self {
        let [low, high, pad_low, pad_high] = *key;
        Self {
            place: Zeroizing::new(split(
                low & 0x0fff_fffc_0fff_ffff,
                high & 0x0fff_fffc_0fff_fffc,
            )),
            pad: Zeroizing::new(u128::from(pad_low) | u128::from(pad_high) << 64),
        }
    }

    /// The message's tag.
    pub(super) fn tag(&self, message: &[u8]) -> [u8; 16] {
        let place = Factor::new(*self.place);
        let mut value = [0; 3];
        let mut rest = message;
        if message.len() >= LONG {
            let square = Factor::new(reduce(place.times(*self.place)));
            let cube = Factor::new(reduce(square.times(*self.place)));
            let fourth = Factor::new(reduce(square.times(square.limbs)));
            let (fours, tail) = message.as_chunks::<64>();
            for four in fours {
                let (blocks, _) = four.as_chunks::<16>();
                let &[a, b, c, d] = blocks else { break };
                let sum = fourth.times(add(value, digit(a)));
                let sum = add(sum, cube.times(digit(b)));
                let sum = add(sum, square.times(digit(c)));
                let sum = add(sum, place.times(digit(d)));
                value = reduce(sum);
            }
            rest = tail;
        }
        let (blocks, tail) = rest.as_chunks::<16>();
        for block in blocks {
            value = reduce(place.times(add(value, digit(*block))));
        }
        if !tail.is_empty() {
            let mut last = [0; 16];
            for (to, from) in last.iter_mut().zip(tail.iter().chain(&[1])) {
                *to = *from;
            }
            let [low, high] = halves(u128::from_le_bytes(last));
            value = reduce(place.times(add(value, split(low, high))));
        }
        remainder(value).wrapping_add(*self.pad).to_le_bytes()
    }
}

/// A number below 2^132, in limbs of 44, 44 and 42 bits that may have a bit or two too many.
type Limbs = [u64; 3];
/// A sum of products of such numbers, its limbs as far apart.
type Products = [u128; 3];

/// A number to multiply others by. Above the third limb the weights begin anew, times 20: that is
/// 2^132 modulo 2^130 - 5.
struct Factor {
    limbs: Limbs,
    wrapped: [u64; 2],
}

impl Factor {
    #[inline(always)]
    fn new(limbs: Limbs) -> Self {
        let [_, b, c] = limbs;
        Self {
            limbs,
            wrapped: [b * 20, c * 20],
        }
    }

    #[inline(always)]
    fn times(&self, [x, y, z]: Limbs) -> Products {
        let product = |x: u64, y: u64| u128::from(x) * u128::from(y);
        let [a, b, c] = self.limbs;
        let [b20, c20] = self.wrapped;
        [
            product(x, a) + product(y, c20) + product(z, b20),
            product(x, b) + product(y, a) + product(z, c20),
            product(x, c) + product(y, b) + product(z, a),
        ]
    }
}

/// Limb by limb. No sum overflows: four products of limbs are below 2^98.
#[inline(always)]
fn add<T: std::ops::Add<Output = T>>([a, b, c]: [T; 3], [x, y, z]: [T; 3]) -> [T; 3] {
    [a + x, b + y, c + z]
}

/// The same number modulo 2^130 - 5, small enough to be multiplied again.
#[inline(always)]
fn reduce([a, b, c]: Products) -> Limbs {
    let b = b + (a >> 44);
    let c = c + (b >> 44);
    let [a, over] = [low(a) & M44, low(c >> 42) * 5];
    let a = a + over;
    [a & M44, (low(b) & M44) + (a >> 44), low(c) & M42]
}

/// The only such number below 2^130 - 5, without the bits that no tag has.
fn remainder([a, b, c]: Limbs) -> u128 {
    let b = b + (a >> 44);
    let c = c + (b >> 44);
    // Where this adds 5, the upper limbs have just become next to nothing, and the lowest may be
    // too large: what follows adds it to them.
    let [a, b, c] = [(a & M44) + (c >> 42) * 5, b & M44, c & M42];
    // With 5 more it reaches 2^130 exactly if it is not below the modulus.
    let above = (c + ((b + ((a + 5) >> 44)) >> 44)) >> 42;
    let sum = u128::from(a) + (u128::from(b) << 44);
    sum.wrapping_add(u128::from(c) << 88)
        .wrapping_add(u128::from(above * 5))
}

/// A whole block, with the 1 that stands above it.
#[inline(always)]
fn digit(block: [u8; 16]) -> Limbs {
    let [low, high] = halves(u128::from_le_bytes(block));
    let [a, b, c] = split(low, high);
    [a, b, c | 1 << 40]
}

#[inline(always)]
const fn split(low: u64, high: u64) -> Limbs {
    [low & M44, (low >> 44 | high << 20) & M44, high >> 24]
}

#[inline(always)]
const fn halves(x: u128) -> [u64; 2] {
    [low(x), low(x >> 64)]
}

#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "what is above is taken apart or cannot be"
)]
const fn low(x: u128) -> u64 {
    x as u64
}

const M44: u64 = (1 << 44) - 1;
const M42: u64 = (1 << 42) - 1;

/// Messages of so many bytes pay for the powers that they need.
const LONG: usize = 192;

#[cfg(test)]
mod tests {
    use super::*;

    use ::poly1305::universal_hash::KeyInit;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn tag(key: &[u8; 32], message: &[u8]) -> [u8; 16] {
        let (words, _) = key.as_chunks::<8>();
        let key = std::array::from_fn(|i| u64::from_le_bytes(words[i]));
        Poly1305::new(&key).tag(message)
    }

    /// A key from its place and pad, whose lowest byte is given.
    fn key(place: u8, pad: u8) -> [u8; 32] {
        let mut key = [0; 32];
        key[0] = place;
        key[16] = pad;
        key
    }

    fn block(low: u8, others: u8) -> [u8; 16] {
        let mut block = [others; 16];
        block[0] = low;
        block
    }

    #[test]
    fn the_example_of_rfc_8439_has_its_tag() {
        let key = [
            0x85, 0xd6, 0xbe, 0x78, 0x57, 0x55, 0x6d, 0x33, 0x7f, 0x44, 0x52, 0xfe, 0x42, 0xd5,
            0x06, 0xa8, 0x01, 0x03, 0x80, 0x8a, 0xfb, 0x0d, 0xb2, 0xfd, 0x4a, 0xbf, 0xf6, 0xaf,
            0x41, 0x49, 0xf5, 0x1b,
        ];
        let expected = [
            0xa8, 0x06, 0x1d, 0xc1, 0x30, 0x51, 0x36, 0xc6, 0xc2, 0x2b, 0x8b, 0xaf, 0x0c, 0x01,
            0x27, 0xa9,
        ];
        assert_eq!(tag(&key, b"Cryptographic Forum Research Group"), expected);
    }

    /// RFC 8439, A.3, vectors 7 to 11.
    #[test]
    fn values_around_the_modulus_have_the_tags_of_rfc_8439() {
        // 2^130 - 5 + 3 must become 3.
        let expected = block(3, 0);
        assert_eq!(tag(&key(2, 0), &[0xff; 16]), expected);
        // The pad's carry leaves the tag.
        let mut carry = key(2, 0);
        carry[16..].fill(0xff);
        assert_eq!(tag(&carry, &block(2, 0)), expected);
        let three = [[0xff; 16], block(0xf0, 0xff), block(0x11, 0)].concat();
        assert_eq!(tag(&key(1, 0), &three), block(5, 0));
        let three = [[0xff; 16], block(0xfb, 0xfe), [1; 16]].concat();
        assert_eq!(tag(&key(1, 0), &three), [0; 16]);
        assert_eq!(tag(&key(2, 0), &block(0xfd, 0xff)), block(0xfa, 0xff));
    }

    #[test]
    fn a_value_just_past_the_modulus_is_what_it_is_past_it() {
        for past in 0..20 {
            let written = [M44 - 4 + past, M44, M42];
            assert_eq!(remainder(written), u128::from(past));
            // The same number, with a bit too many in the second limb, or in the third.
            let [a, b, c] = written;
            if let Some(a) = a.checked_sub(1 << 44) {
                assert_eq!(remainder([a, b + 1, c]), u128::from(past));
                assert_eq!(remainder([a, 0, c + 1]), u128::from(past));
            }
            assert_eq!(
                remainder([M44 - past, M44 + 1, M42]),
                u128::from(M44 - past) + 5
            );
        }
        assert_eq!(remainder([M44 - 5, M44, M42]), u128::MAX - 5);
    }

    proptest! {
        #[test]
        fn any_message_has_the_crates_tag(
            key in prop_oneof![any::<[u8; 32]>(), Just([0xff; 32]), (any::<u8>(), any::<u8>()).prop_map(|(a, b)| key(a, b))],
            blocks in vec(prop_oneof![any::<[u8; 16]>(), Just([0xff; 16]), Just([0; 16]), any::<u8>().prop_map(|low| block(low, 0xff))], 0..80),
            tail in vec(any::<u8>(), 0..16),
        ) {
            let message = [blocks.as_flattened(), &tail].concat();
            let expected: [u8; 16] = ::poly1305::Poly1305::new(&key.into()).compute_unpadded(&message).into();
            prop_assert_eq!(tag(&key, &message), expected);
        }
    }
}
