//! Z85: bytes as printable text, four as five (RFC 32).

use zeroize::Zeroizing;

const ALPHABET: &[u8; 85] =
    b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

/// 32 bytes as 40 characters. The text is wiped when it is dropped, for it may be a secret.
#[must_use]
pub fn encode(bytes: &[u8; 32]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(40));
    for group in bytes.chunks_exact(4) {
        let value = group
            .iter()
            .fold(0_u32, |value, byte| value << 8 | u32::from(*byte));
        for place in (0..5).rev() {
            let digit = (value / 85_u32.pow(place)) % 85;
            let character = usize::try_from(digit)
                .ok()
                .and_then(|digit| ALPHABET.get(digit));
            text.push(char::from(*character.unwrap_or(&b'0')));
        }
    }
    text
}

/// The 32 bytes that 40 characters stand for; `None` for anything else.
#[must_use]
pub fn decode(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    if text.len() != 40 {
        return None;
    }
    let mut bytes = Zeroizing::new([0; 32]);
    for (group, four) in text
        .as_bytes()
        .chunks_exact(5)
        .zip(bytes.chunks_exact_mut(4))
    {
        let mut value = 0_u64;
        for character in group {
            let digit = ALPHABET.iter().position(|known| known == character)?;
            value = value * 85 + digit as u64;
        }
        four.copy_from_slice(&u32::try_from(value).ok()?.to_be_bytes());
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc_reads_both_ways() {
        // RFC 32's test case, four times.
        let eight = [0x86, 0x4f, 0xd2, 0x6f, 0xb5, 0x59, 0xf7, 0x5b];
        let bytes: [u8; 32] = eight.repeat(4).try_into().unwrap_or_default();
        let text = "HelloWorld".repeat(4);
        assert_eq!(*encode(&bytes), text);
        assert_eq!(decode(&text).as_deref(), Some(&bytes));
    }

    #[test]
    fn what_is_no_z85_is_refused() {
        for wrong in [
            "",
            "HelloWorld",
            &"#".repeat(40),
            &"\"".repeat(40),
            &"é".repeat(20),
        ] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
        assert_eq!(decode(&"%nSc0".repeat(8)).as_deref(), Some(&[0xff; 32]));
    }
}
