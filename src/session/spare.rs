//! Buffers between two uses. An idle peer holds none, and a busy one would otherwise ask the
//! system for fresh pages at every turn: most of the cost of a small message.

use std::cell::RefCell;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

thread_local! {
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer of [`SIZE`] bytes or more.
pub(super) fn take() -> Vec<u8> {
    let spare = SPARE.with_borrow_mut(Vec::pop);
    spare.unwrap_or_else(|| Vec::with_capacity(SIZE))
}

/// Takes a buffer back, if it is one of those and there are not enough already.
pub(super) fn give(mut buffer: Vec<u8>) {
    if buffer.capacity() < SIZE || buffer.capacity() > 2 * SIZE {
        return;
    }
    buffer.clear();
    SPARE.with_borrow_mut(|spare| {
        if spare.len() < MOST {
            spare.push(buffer);
        }
    });
}

/// Room for a full tail of the outbox and the message that fills it.
pub(super) const SIZE: usize = 72 << 10;
/// Buffers kept per thread.
const MOST: usize = 16;

/// Large buffers of each size, for all threads: one reads a message, another may drop it.
static LARGE: [Mutex<Vec<Vec<u8>>>; SIZES] = [const { Mutex::new(Vec::new()) }; SIZES];

/// An empty buffer of the smallest size that holds `len` bytes.
pub(super) fn take_large(len: usize) -> Vec<u8> {
    let size = len.max(LEAST).next_power_of_two();
    let spare = shelf(size).and_then(|mut shelf| shelf.pop());
    spare.unwrap_or_else(|| Vec::with_capacity(size))
}

/// Makes room for as many bytes as there are already (64 KiB at least), but not for more than
/// `left`: a peer that announces much and sends little costs little. Twice that is made at once,
/// or a frame of a little more would be copied for the sake of that little.
pub(super) fn grow(buffer: &mut Vec<u8>, left: usize) {
    let step = buffer.len().max(STEP);
    let step = if left <= 2 * step { left } else { step };
    if buffer.capacity() - buffer.len() >= step {
        return;
    }
    let mut larger = take_large(buffer.len() + step);
    larger.extend_from_slice(buffer);
    give_large(std::mem::replace(buffer, larger));
}

/// The buffer's bytes as a value. A large one comes back when that value is dropped; one that is
/// not half full at once, for a value counts as what it holds, not as what it keeps others from.
pub(super) fn lend(buffer: Vec<u8>) -> Bytes {
    if buffer.capacity() < LEAST {
        return Bytes::from(buffer.into_boxed_slice());
    }
    if buffer.len() < buffer.capacity() / 2 {
        let copy = Bytes::copy_from_slice(&buffer);
        give_large(buffer);
        return copy;
    }
    Bytes::from_owner(Lent(buffer))
}

struct Lent(Vec<u8>);

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        give_large(std::mem::take(&mut self.0));
    }
}

/// Takes a large buffer back, if its size is one that is kept.
pub(super) fn give_large(mut buffer: Vec<u8>) {
    let size = buffer.capacity();
    if !size.is_power_of_two() {
        return;
    }
    if let Some(mut shelf) = shelf(size)
        && (shelf.len() + 1) * size <= SHELF
    {
        buffer.clear();
        shelf.push(buffer);
    }
}

/// Where buffers of that size are kept, if they are.
fn shelf(size: usize) -> Option<MutexGuard<'static, Vec<Vec<u8>>>> {
    let place = (size / LEAST).checked_ilog2()?;
    let shelf = LARGE.get(usize::try_from(place).ok()?)?;
    Some(shelf.lock().unwrap_or_else(PoisonError::into_inner))
}

/// The smallest large buffer.
pub(super) const LEAST: usize = 32 << 10;
/// How much room is made at a time.
const STEP: usize = 64 << 10;
/// Sizes that are kept: 32 KiB to 4 MiB.
const SIZES: usize = 8;
/// Bytes kept of each size.
const SHELF: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_made_as_bytes_arrive_and_not_before() {
        let mut buffer = Vec::new();
        grow(&mut buffer, 1 << 30);
        assert_eq!(buffer.capacity(), STEP);
        buffer.resize(STEP, 1);
        grow(&mut buffer, 1 << 30);
        assert_eq!((buffer.capacity(), buffer.len()), (2 * STEP, STEP));
        assert!(buffer.iter().all(|byte| *byte == 1));
    }

    #[test]
    fn a_few_bytes_do_not_keep_a_large_buffer() {
        let mut buffer = Vec::with_capacity(LEAST);
        buffer.extend_from_slice(b"few");
        let place = buffer.as_ptr();
        let lent = lend(buffer);
        assert_eq!(lent, "few");
        assert_ne!(lent.as_ptr(), place);
    }

    #[test]
    fn a_large_buffer_is_used_again_and_a_small_one_is_not_kept() {
        // A size that no other test uses.
        let mut buffer = take_large((3 << 20) + 7);
        buffer.resize(2 << 20, b'x');
        let place = buffer.as_ptr();
        let lent = lend(buffer);
        let part = lent.slice(..1);
        drop(lent);
        let other = take_large(4 << 20);
        assert_ne!(other.as_ptr(), place, "still in use");
        drop(part);
        let again = take_large(4 << 20);
        assert_eq!((again.as_ptr(), again.len()), (place, 0));
    }
}
