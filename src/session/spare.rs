//! Buffers between two uses. An idle peer holds none, and a busy one would otherwise ask the
//! system for fresh pages at every turn: most of the cost of a small message.

use std::cell::RefCell;

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
