//! Salsa20's key stream and HSalsa20, by D. J. Bernstein's "Salsa20 specification" and
//! "Extending the Salsa20 nonce".
//!
//! Vectors are used in two ways. *Down*: a vector has the same word of four or eight blocks, and
//! no word ever moves; best for many blocks. *Across*: four vectors are the diagonals of one or
//! two blocks, which turn between rounds; soonest done if two blocks are enough. Which
//! instructions there are is seen once, when the program runs.

use std::ops::{Add, BitOr, BitXor, Shl, Shr};

use fearless_simd::prelude::*;
use fearless_simd::{Level, dispatch, u32x4, u32x8};
use zeroize::Zeroizing;

/// 64 bytes of the stream, as little-endian words.
pub(super) type Block = [u64; 8];

/// 32 secret bytes, as little-endian words.
pub(super) struct Key {
    words: Zeroizing<[u32; 8]>,
    level: Level,
}

impl Key {
    pub(super) fn new(bytes: &[u8; 32]) -> Self {
        Self {
            words: Zeroizing::new(words(bytes)),
            level: Level::new(),
        }
    }

    /// HSalsa20: the key that belongs to this one and 16 bytes of a nonce.
    pub(super) fn extract(&self, input: &[u8; 16]) -> Self {
        let start = state(&self.words, words(input));
        Self {
            words: Zeroizing::new(dispatch!(self.level, simd => core(simd, &start))),
            level: self.level,
        }
    }

    /// The stream under the last 8 bytes of a nonce, from its beginning.
    pub(super) fn stream(&self, nonce: [u8; 8]) -> Stream<'_> {
        Stream {
            key: self,
            nonce: words(&nonce),
            next: 0,
        }
    }
}

/// Block after block of what a message is mixed with.
pub(super) struct Stream<'a> {
    key: &'a Key,
    nonce: [u32; 2],
    next: u64,
}

impl Stream<'_> {
    /// The next blocks: an even number, best eight, four or two.
    pub(super) fn fill(&mut self, blocks: &mut [Block]) {
        dispatch!(self.key.level, simd => self.fill_with(simd, blocks));
    }

    #[inline(always)]
    fn fill_with<S: Simd>(&mut self, simd: S, mut blocks: &mut [Block]) {
        if S::u32s::LEN >= 8 {
            let (eights, others) = blocks.as_chunks_mut();
            for eight in eights {
                let (start, counters) = self.next();
                down::<S, u32x8<S>, 8>(simd, &start, counters, eight);
            }
            blocks = others;
        }
        let (fours, others) = blocks.as_chunks_mut();
        for four in fours {
            let (start, counters) = self.next();
            down::<S, u32x4<S>, 4>(simd, &start, counters, four);
        }
        let (twos, _) = others.as_chunks_mut();
        for two in twos {
            let (start, counters) = self.next();
            pair(simd, &start, counters, two);
        }
    }

    /// What the next blocks are made of, but for their counters, and these.
    #[inline(always)]
    fn next<const N: usize>(&mut self) -> (State, [u64; N]) {
        let counters = std::array::from_fn(|_| {
            let counter = self.next;
            self.next = counter.wrapping_add(1);
            counter
        });
        let [a, b] = self.nonce;
        (state(&self.key.words, [a, b, 0, 0]), counters)
    }
}

/// The square of words that the rounds stir.
type State = [u32; 16];

#[inline(always)]
const fn state(key: &[u32; 8], [a, b, c, d]: [u32; 4]) -> State {
    let [k0, k1, k2, k3, k4, k5, k6, k7] = *key;
    // The words on the diagonal are "expand 32-byte k".
    [
        0x6170_7865,
        k0,
        k1,
        k2,
        k3,
        0x3320_646e,
        a,
        b,
        c,
        d,
        0x7962_2d32,
        k4,
        k5,
        k6,
        k7,
        0x6b20_6574,
    ]
}

/// Vectors with the same word of several blocks.
trait Lanes<S: Simd>: SimdInt<S, Element = u32> + SimdBase<S> + Words {
    /// Four vectors for each of a block's quarters to the blocks themselves.
    fn part(simd: S, quarters: [[Self; 4]; 4], blocks: &mut [Block]);
}

/// What both ways need of a vector.
trait Words:
    Copy
    + Add<Output = Self>
    + BitXor<Output = Self>
    + BitOr<Output = Self>
    + Shl<u32, Output = Self>
    + Shr<u32, Output = Self>
{
}

impl<V> Words for V where
    V: Copy
        + Add<Output = Self>
        + BitXor<Output = Self>
        + BitOr<Output = Self>
        + Shl<u32, Output = Self>
        + Shr<u32, Output = Self>
{
}

impl<S: Simd> Lanes<S> for u32x4<S> {
    #[inline(always)]
    fn part(simd: S, quarters: [[Self; 4]; 4], blocks: &mut [Block]) {
        for (at, quarter) in quarters.into_iter().enumerate() {
            let mut rows = [0; 16];
            simd.store_four_interleaved_u32x4(quarter, &mut rows);
            let (rows, _) = rows.as_chunks::<4>();
            for (block, &[a, b, c, d]) in blocks.iter_mut().zip(rows) {
                let (pairs, _) = block.as_chunks_mut::<2>();
                if let Some(pair) = pairs.get_mut(at) {
                    *pair = [join(a, b), join(c, d)];
                }
            }
        }
    }
}

impl<S: Simd> Lanes<S> for u32x8<S> {
    #[inline(always)]
    fn part(simd: S, quarters: [[Self; 4]; 4], blocks: &mut [Block]) {
        let halves = quarters.map(|quarter| quarter.map(|vector| simd.split_u32x8(vector)));
        let (low, high) = blocks.split_at_mut(4);
        u32x4::part(simd, halves.map(|quarter| quarter.map(|(low, _)| low)), low);
        u32x4::part(
            simd,
            halves.map(|quarter| quarter.map(|(_, high)| high)),
            high,
        );
    }
}

/// As many blocks as a vector has words.
#[inline(always)]
fn down<S: Simd, V: Lanes<S, Array = [u32; N]>, const N: usize>(
    simd: S,
    start: &State,
    counters: [u64; N],
    blocks: &mut [Block; N],
) {
    let mut start = start.map(|word| V::splat(simd, word));
    let [low, high] =
        [0, 32].map(|by| V::load_array(simd, counters.map(|counter| half(counter >> by))));
    start[8] = low;
    start[9] = high;
    let [
        mut a0,
        mut b0,
        mut c0,
        mut d0,
        mut a1,
        mut b1,
        mut c1,
        mut d1,
        mut a2,
        mut b2,
        mut c2,
        mut d2,
        mut a3,
        mut b3,
        mut c3,
        mut d3,
    ] = start;
    for _ in 0..DOUBLE_ROUNDS {
        quarter(&mut a0, &mut a1, &mut a2, &mut a3);
        quarter(&mut b1, &mut b2, &mut b3, &mut b0);
        quarter(&mut c2, &mut c3, &mut c0, &mut c1);
        quarter(&mut d3, &mut d0, &mut d1, &mut d2);
        quarter(&mut a0, &mut b0, &mut c0, &mut d0);
        quarter(&mut b1, &mut c1, &mut d1, &mut a1);
        quarter(&mut c2, &mut d2, &mut a2, &mut b2);
        quarter(&mut d3, &mut a3, &mut b3, &mut c3);
    }
    let [
        s0,
        s1,
        s2,
        s3,
        s4,
        s5,
        s6,
        s7,
        s8,
        s9,
        s10,
        s11,
        s12,
        s13,
        s14,
        s15,
    ] = start;
    let quarters = [
        [a0 + s0, b0 + s1, c0 + s2, d0 + s3],
        [a1 + s4, b1 + s5, c1 + s6, d1 + s7],
        [a2 + s8, b2 + s9, c2 + s10, d2 + s11],
        [a3 + s12, b3 + s13, c3 + s14, d3 + s15],
    ];
    V::part(simd, quarters, blocks);
}

/// Two blocks, across.
#[inline(always)]
fn pair<S: Simd>(simd: S, start: &State, counters: [u64; 2], blocks: &mut [Block; 2]) {
    let starts = counters.map(|counter| {
        let mut start = *start;
        start[8] = half(counter);
        start[9] = half(counter >> 32);
        diagonals(&start)
    });
    let [[a, b, c, d], [e, f, g, h]] = starts;
    let start = [[a, e], [b, f], [c, g], [d, h]].map(|both| {
        let [low, high] = both.map(|diagonal| u32x4::load_array(simd, diagonal));
        simd.combine_u32x4(low, high)
    });
    let [a, b, c, d] = start;
    let [x, y, z, w] = across(start);
    let ends = [x + a, y + b, z + c, w + d].map(|diagonal| simd.split_u32x8(diagonal));
    let [first, second] = blocks;
    *first = square(ends.map(|(end, _)| end.to_array()));
    *second = square(ends.map(|(_, end)| end.to_array()));
}

/// The block that has these diagonals.
#[inline(always)]
const fn square([a, b, c, d]: [[u32; 4]; 4]) -> Block {
    [
        join(a[0], d[1]),
        join(c[2], b[3]),
        join(b[0], a[1]),
        join(d[2], c[3]),
        join(c[0], b[1]),
        join(a[2], d[3]),
        join(d[0], c[1]),
        join(b[2], a[3]),
    ]
}

/// HSalsa20: the words of a stirred block that nobody could know.
#[inline(always)]
fn core<S: Simd>(simd: S, start: &State) -> [u32; 8] {
    let start = diagonals(start).map(|diagonal| u32x4::load_array(simd, diagonal));
    let [a, b, c, d] = across(start).map(SimdBase::to_array);
    [a[0], a[1], a[2], a[3], d[2], c[3], c[0], b[1]]
}

/// A block's four diagonals, each from the row that its number has.
#[inline(always)]
const fn diagonals(x: &State) -> [[u32; 4]; 4] {
    [
        [x[0], x[5], x[10], x[15]],
        [x[4], x[9], x[14], x[3]],
        [x[8], x[13], x[2], x[7]],
        [x[12], x[1], x[6], x[11]],
    ]
}

/// All rounds, on the diagonals of one block or of several beside each other.
#[inline(always)]
fn across<S: Simd, V: SimdBase<S> + Words>([mut a, mut b, mut c, mut d]: [V; 4]) -> [V; 4] {
    for _ in 0..DOUBLE_ROUNDS {
        quarter(&mut a, &mut b, &mut c, &mut d);
        // Rows to columns: what was below is now to the right.
        b = b.slide_within_blocks::<3>(b);
        c = c.slide_within_blocks::<2>(c);
        d = d.slide_within_blocks::<1>(d);
        quarter(&mut a, &mut d, &mut c, &mut b);
        b = b.slide_within_blocks::<1>(b);
        c = c.slide_within_blocks::<2>(c);
        d = d.slide_within_blocks::<3>(d);
    }
    [a, b, c, d]
}

#[inline(always)]
fn quarter<V: Words>(a: &mut V, b: &mut V, c: &mut V, d: &mut V) {
    let turn = |x: V, by| (x << by) | (x >> (32 - by));
    *b = *b ^ turn(*a + *d, 7);
    *c = *c ^ turn(*b + *a, 9);
    *d = *d ^ turn(*c + *b, 13);
    *a = *a ^ turn(*d + *c, 18);
}

#[inline(always)]
fn words<const BYTES: usize, const WORDS: usize>(bytes: &[u8; BYTES]) -> [u32; WORDS] {
    const { assert!(BYTES == WORDS * 4) };
    let mut words = [0; WORDS];
    let (chunks, _) = bytes.as_chunks::<4>();
    for (word, chunk) in words.iter_mut().zip(chunks) {
        *word = u32::from_le_bytes(*chunk);
    }
    words
}

#[inline(always)]
const fn join(low: u32, high: u32) -> u64 {
    low as u64 | (high as u64) << 32
}

#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "the other half is asked for too"
)]
const fn half(x: u64) -> u32 {
    x as u32
}

/// Salsa20 has twenty rounds.
const DOUBLE_ROUNDS: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    use ::salsa20::Salsa20;
    use ::salsa20::cipher::{KeyIvInit, StreamCipher, StreamCipherSeek};
    use proptest::prelude::*;

    /// The instructions this machine has, and those that every one of its kind has.
    fn levels() -> [Level; 2] {
        [Level::new(), Level::baseline()]
    }

    fn bytes(blocks: &[Block]) -> Vec<u8> {
        blocks
            .as_flattened()
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect()
    }

    proptest! {
        #[test]
        fn the_stream_is_the_crates_wherever_it_is_cut(
            key: [u8; 32],
            nonce: [u8; 8],
            from in prop_oneof![Just(0u64), 0..1000u64, (1u64 << 32) - 20..1u64 << 32],
            pieces in prop::collection::vec(1..=8usize, 1..8),
        ) {
            for level in levels() {
                let key = Key { level, ..Key::new(&key) };
                let mut stream = key.stream(nonce);
                stream.next = from;
                let mut theirs = Salsa20::new(&bytes_of(&key).into(), &nonce.into());
                theirs.seek(from * 64);
                for pairs in &pieces {
                    let mut blocks = vec![[0; 8]; pairs * 2];
                    stream.fill(&mut blocks);
                    let mut expected = vec![0; pairs * 128];
                    theirs.apply_keystream(&mut expected);
                    prop_assert_eq!(bytes(&blocks), expected);
                }
            }
        }

        #[test]
        fn extracted_keys_are_the_crates(key: [u8; 32], input: [u8; 16]) {
            let expected: [u8; 32] = ::salsa20::hsalsa::<::salsa20::cipher::consts::U10>(&key.into(), &input.into()).into();
            for level in levels() {
                let key = Key { level, ..Key::new(&key) };
                prop_assert_eq!(bytes_of(&key.extract(&input)), expected);
            }
        }
    }

    fn bytes_of(key: &Key) -> [u8; 32] {
        let bytes: Vec<u8> = key
            .words
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect();
        bytes.try_into().unwrap()
    }
}
