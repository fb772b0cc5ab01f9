//! The header of one frame (RFC 23, "Framing"): a flags octet and a length of one or eight octets.

use super::Error;

/// One frame's header. Reserved flag bits are ignored on receipt and never sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Header {
    /// Another frame of the same message follows.
    pub more: bool,
    /// The frame is a command, not a part of a message.
    pub command: bool,
    /// Length of the body in bytes.
    pub size: u64,
}

impl Header {
    /// The longest header.
    pub const MAX: usize = 9;

    /// Reads a header from the front of `bytes`; with it, the number of bytes it takes.
    /// `None` while there are too few bytes.
    ///
    /// # Errors
    /// A command with MORE, and a size beyond 2^63-1, which no RFC allows.
    pub fn read(bytes: &[u8]) -> Result<Option<(Self, usize)>, Error> {
        let Some((&flags, rest)) = bytes.split_first() else {
            return Ok(None);
        };
        let (size, len) = if flags & LONG == 0 {
            let Some(&size) = rest.first() else {
                return Ok(None);
            };
            (u64::from(size), 2)
        } else {
            let Some(size) = rest.first_chunk::<8>() else {
                return Ok(None);
            };
            (u64::from_be_bytes(*size), Self::MAX)
        };
        let header = Self {
            more: flags & MORE != 0,
            command: flags & COMMAND != 0,
            size,
        };
        if header.command && header.more {
            return Err(Error::CommandWithMore);
        }
        if size > i64::MAX as u64 {
            return Err(Error::FrameTooLong {
                size,
                limit: usize::MAX,
            });
        }
        Ok(Some((header, len)))
    }

    /// Appends the header in its shortest form: LONG depends on the final size alone.
    pub fn write(self, out: &mut Vec<u8>) {
        let flags = self.flags();
        match u8::try_from(self.size) {
            Ok(size) => out.extend_from_slice(&[flags, size]),
            Err(_) => {
                out.push(flags | LONG);
                out.extend_from_slice(&self.size.to_be_bytes());
            }
        }
    }

    const fn flags(self) -> u8 {
        (if self.more { MORE } else { 0 }) | (if self.command { COMMAND } else { 0 })
    }

    /// Writes it over as many bytes as [`len_for`](Self::len_for) says, which stand there already.
    pub(crate) fn write_over(self, place: &mut [u8]) {
        let [size @ .., last] = self.size.to_be_bytes();
        match place {
            [flags, low] => (*flags, *low) = (self.flags(), last),
            [flags, high @ .., low] if high.len() == size.len() => {
                (*flags, *low) = (self.flags() | LONG, last);
                high.copy_from_slice(&size);
            }
            _ => debug_assert!(false, "no header has {} bytes", place.len()),
        }
    }

    /// Bytes that [`write`](Self::write) needs for a body of `size` bytes.
    #[must_use]
    pub const fn len_for(size: usize) -> usize {
        if size <= u8::MAX as usize {
            2
        } else {
            Self::MAX
        }
    }
}

const MORE: u8 = 1;
const LONG: u8 = 2;
const COMMAND: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn written(header: Header) -> Vec<u8> {
        let mut out = Vec::new();
        header.write(&mut out);
        out
    }

    #[test]
    fn the_long_form_begins_at_256() {
        let of = |size| {
            written(Header {
                more: false,
                command: false,
                size,
            })
        };
        assert_eq!(of(0), [0, 0]);
        assert_eq!(of(255), [0, 255]);
        assert_eq!(of(256), [2, 0, 0, 0, 0, 0, 0, 1, 0]);
    }

    #[test]
    fn a_small_size_in_long_form_is_read() {
        let header = Header {
            more: true,
            command: false,
            size: 3,
        };
        assert_eq!(
            Header::read(&[3, 0, 0, 0, 0, 0, 0, 0, 3]),
            Ok(Some((header, 9)))
        );
    }

    #[test]
    fn reserved_bits_are_ignored() {
        let header = Header {
            more: false,
            command: false,
            size: 1,
        };
        assert_eq!(Header::read(&[0xf8, 1]), Ok(Some((header, 2))));
    }

    #[test]
    fn a_cut_header_waits_for_the_rest() {
        let long = written(Header {
            more: false,
            command: true,
            size: 70_000,
        });
        for cut in 0..long.len() {
            assert_eq!(Header::read(&long[..cut]), Ok(None));
        }
    }

    #[test]
    fn sizes_beyond_63_bits_and_commands_with_more_are_refused() {
        let mut huge = vec![2];
        huge.extend_from_slice(&(1u64 << 63).to_be_bytes());
        assert!(matches!(
            Header::read(&huge),
            Err(Error::FrameTooLong { .. })
        ));
        assert_eq!(Header::read(&[5, 0]), Err(Error::CommandWithMore));
    }
}
