//! Bytes that have come and make no whole unit yet.

/// Grows to what it once needed and stays so: nothing is allocated per message.
#[derive(Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    pub fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// The first `n` bytes are done with.
    pub fn take(&mut self, n: usize) {
        self.start += n;
        if self.is_empty() {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Where at least `n` more bytes can be put; say with [`grew`](Self::grew) how many were.
    pub fn room(&mut self, n: usize) -> &mut [u8] {
        if self.bytes.len() - self.end < n && self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.bytes.len() - self.end < n {
            self.bytes.resize(self.end + n, 0);
        }
        &mut self.bytes[self.end..]
    }

    pub fn grew(&mut self, n: usize) {
        self.end += n;
    }

    pub fn put(&mut self, bytes: &[u8]) {
        self.room(bytes.len())[..bytes.len()].copy_from_slice(bytes);
        self.grew(bytes.len());
    }
}

#[cfg(test)]
mod tests {
    use super::Buffer;

    #[test]
    fn bytes_come_out_in_the_order_they_went_in() {
        let mut buffer = Buffer::default();
        let (mut next_in, mut next_out) = (0_u8, 0_u8);
        for round in 0..200_usize {
            let bytes: Vec<u8> = (0..round % 7).map(|_| tick(&mut next_in)).collect();
            buffer.put(&bytes);
            let n = buffer.filled().len().min(round % 5);
            for byte in &buffer.filled()[..n] {
                assert_eq!(*byte, tick(&mut next_out));
            }
            buffer.take(n);
        }
        assert!(!buffer.is_empty());
    }

    fn tick(next: &mut u8) -> u8 {
        *next = next.wrapping_add(1);
        *next
    }
}
