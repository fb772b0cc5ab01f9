use super::*;

use ::poly1305::universal_hash::KeyInit;
use ::salsa20::cipher::consts::U10;
use ::salsa20::cipher::{KeyIvInit, StreamCipher};
use ::salsa20::{XSalsa20, hsalsa};
use proptest::prelude::*;

/// `crypto_box` as the crates give it.
fn reference(shared: &[u8; 32], prefix: &[u8; 16], nonce: [u8; 8], data: &mut [u8]) -> [u8; TAG] {
    let key = hsalsa::<U10>(shared.into(), &[0; 16].into());
    let mut whole = [0; 24];
    whole[..16].copy_from_slice(prefix);
    whole[16..].copy_from_slice(&nonce);
    let mut stream = XSalsa20::new(&key, &whole.into());
    let mut proof = [0; 32];
    stream.apply_keystream(&mut proof);
    stream.apply_keystream(data);
    ::poly1305::Poly1305::new(&proof.into())
        .compute_unpadded(data)
        .into()
}

fn unhex<const N: usize>(text: &str) -> [u8; N] {
    let digits = text.as_bytes().chunks(2);
    let bytes: Vec<u8> = digits
        .map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap())
        .collect();
    bytes.try_into().unwrap()
}

/// "Cryptography in NaCl", sections 2 to 10: what Alice and Bob agree on, and the one box of
/// the whole paper.
const SHARED: &str = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742";
const PREFIX: &str = "69696ee955b62b73cd62bda875fc73d6";
const NONCE: &str = "8219e0036b7a0b37";
const MESSAGE: &str = "be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffce5ecbaaf\
    33bd751a1ac728d45e6c61296cdc3c01233561f41db66cce314adb310e3be8250c46f06dceea3a7fa1348057e2f6\
    556ad6b1318a024a838f21af1fde048977eb48f59ffd4924ca1c60902e52f0a089bc76897040e082f93776384864\
    5e0705";
const BOX: &str = "8e993b9f48681273c29650ba32fc76ce48332ea7164d96a4476fb8c531a1186ac0dfc17c\
    98dce87b4da7f011ec48c97271d2c20f9b928fe2270d6fb863d51738b48eeee314a7cc8ab932164548e526ae9022\
    4368517acfeabd6bb3732bc0e9da99832b61ca01b6de56244a9e88d5f9b37973f622a43d14a6599b1f654cb45a74\
    e355a5";
const PROOF: &str = "f3ffc7703f9400e52a7dfb4b3d3305d9";

#[test]
fn the_box_of_the_paper_on_nacl_is_sealed_and_opened() {
    let cipher = Cipher::agreed(&unhex(SHARED), &unhex(PREFIX));
    let mut data: [u8; 131] = unhex(MESSAGE);
    let tag = cipher.seal(unhex(NONCE), &mut data);
    assert_eq!(tag, unhex(PROOF));
    assert_eq!(data, unhex(BOX));
    assert!(cipher.open(unhex(NONCE), &tag, &mut data));
    assert_eq!(data, unhex(MESSAGE));
}

/// Bytes that differ from each other near and far.
fn bytes(len: usize) -> Vec<u8> {
    let next = |x: &mut u32| {
        *x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        x.to_be_bytes().first().copied()
    };
    std::iter::repeat_with({
        let mut x = 1;
        move || next(&mut x).unwrap()
    })
    .take(len)
    .collect()
}

fn is_the_crates(key: &[u8; 32], prefix: &[u8; 16], nonce: [u8; 8], message: &[u8]) {
    let (mut ours, mut theirs) = (message.to_vec(), message.to_vec());
    let cipher = Cipher::agreed(key, prefix);
    let tag = cipher.seal(nonce, &mut ours);
    let expected = reference(key, prefix, nonce, &mut theirs);
    assert_eq!(tag, expected, "tag of {} bytes", message.len());
    assert!(ours == theirs, "box of {} bytes", message.len());
    assert!(cipher.open(nonce, &tag, &mut ours), "{}", message.len());
    assert!(ours == message, "opened box of {} bytes", message.len());
}

#[test]
fn a_message_of_any_length_is_sealed_as_the_crates_do() {
    let around = |len: usize| len - 34..=len + 34;
    for len in (0..=1100)
        .chain(around(2048))
        .chain(around(4096))
        .chain(around(65_536))
        .chain([300_000])
    {
        is_the_crates(&[0xa5; 32], &[0x5a; 16], [0xff; 8], &bytes(len));
    }
}

#[test]
fn a_box_with_any_bit_flipped_or_cut_stays_closed_and_as_it_is() {
    for len in [0, 1, 31, 32, 33, 96, 97, 224, 225, 481] {
        let cipher = Cipher::agreed(&[1; 32], &[2; 16]);
        let mut sealed = bytes(len);
        let tag = cipher.seal([3; 8], &mut sealed);
        let stays = |tag: &[u8; TAG], data: &[u8], nonce| {
            let mut after = data.to_vec();
            assert!(!cipher.open(nonce, tag, &mut after), "{len} bytes");
            assert_eq!(after, data);
        };
        for bit in 0..TAG * 8 {
            let mut tag = tag;
            tag[bit / 8] ^= 1 << (bit % 8);
            stays(&tag, &sealed, [3; 8]);
        }
        for bit in (0..len * 8).step_by(11) {
            let mut data = sealed.clone();
            data[bit / 8] ^= 1 << (bit % 8);
            stays(&tag, &data, [3; 8]);
        }
        for cut in 0..len {
            stays(&tag, &sealed[..cut], [3; 8]);
        }
        sealed.push(0);
        stays(&tag, &sealed, [3; 8]);
        sealed.pop();
        stays(&tag, &sealed, [4; 8]);
        assert!(cipher.open([3; 8], &tag, &mut sealed));
    }
}

proptest! {
    #[test]
    fn any_message_is_sealed_as_the_crates_do(
        key: [u8; 32],
        prefix: [u8; 16],
        nonce: [u8; 8],
        message in prop::collection::vec(any::<u8>(), 0..2000),
    ) {
        is_the_crates(&key, &prefix, nonce, &message);
    }
}
