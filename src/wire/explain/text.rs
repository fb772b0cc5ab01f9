//! Bytes as people can read them.

use super::SHOWN;

/// The bytes as text, if they are UTF-8 without control characters; no bytes are an empty text.
#[must_use]
pub fn printable(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    (!text.chars().any(char::is_control)).then_some(text)
}

/// The bytes as hexadecimal digits, two for each, in lower case.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().saturating_mul(2));
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            out.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
    }
    out
}

/// At most so many bytes in hex, and how many there are if that is not all.
pub(super) fn bytes(bytes: &[u8], most: usize) -> String {
    match bytes.get(..most) {
        Some(head) if head.len() < bytes.len() => format!("{}...", hex(head)),
        _ => hex(bytes),
    }
}

/// Text in quotes. The hex of what is no text stands beside it.
pub(super) fn quoted(value: &[u8]) -> String {
    match printable(value) {
        Some(text) => format!("\"{}\"", escape(text)),
        None => "no text".to_owned(),
    }
}

/// The beginning of a value in quotes, if it is text so far. `cut`: there is more of it than this.
pub(super) fn quoted_part(value: &[u8], cut: bool) -> String {
    let head = value.get(..SHOWN).unwrap_or(value);
    if !cut && head.len() == value.len() {
        return quoted(value);
    }
    // The cut may have gone through a character.
    let whole = match std::str::from_utf8(head) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => head.len(),
    };
    match head.get(..whole).and_then(printable) {
        Some(text) => format!("\"{}\"...", escape(text)),
        None => "no text".to_owned(),
    }
}

/// A number of bytes, in words.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        1 => "1 byte".to_owned(),
        bytes => format!("{bytes} bytes"),
    }
}

/// With a backslash before quotes and backslashes.
fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}
