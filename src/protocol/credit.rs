//! Credit for partial replies: how much of a stream may still be sent over one hop. Both ends count
//! alike, so that neither has to ask.

use super::{Id, Return};

/// CREDIT: the receiver of a stream lets more of it come.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Credit {
    /// Whose it is; its id names the stream.
    pub back: Return,
    /// So many parts more.
    pub more: Portion,
}

/// What one CREDIT says: it is added to what may be sent already.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Portion {
    /// Messages.
    pub messages: u16,
    /// Units of 1024 bytes of bodies.
    pub kib: u32,
}

/// CREDIT on its way to a worker.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Allowance {
    /// The attempt.
    pub token: Id,
    /// So many parts more.
    pub more: Portion,
}

/// What may still be sent of one stream over one hop.
///
/// A message may go while there is something left of both; it may be larger than what is left of
/// the bytes, which are owed then. So a large message needs no large window.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Window {
    /// Messages; below zero after what went without credit.
    messages: i64,
    /// Bytes of bodies, frame headers aside.
    bytes: i64,
}

impl Window {
    /// Before any CREDIT.
    pub const INITIAL: Self = Self {
        messages: 16,
        bytes: 1 << 20,
    };
    /// A receiver that has taken so much of a window says so at the latest.
    pub const HALF: Portion = Portion {
        messages: 8,
        kib: 512,
    };

    /// A window of so many messages and bytes.
    #[must_use]
    pub const fn new(messages: u16, bytes: u32) -> Self {
        Self {
            messages: messages as i64,
            bytes: bytes as i64,
        }
    }

    /// Whether a message may be sent, however large.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.messages > 0 && self.bytes > 0
    }

    /// A message is sent whose body's parts have so many bytes together.
    pub fn take(&mut self, bytes: usize) {
        self.messages = self.messages.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(signed(bytes));
    }

    /// A message was not sent after all.
    pub fn give_back(&mut self, bytes: usize) {
        self.messages = self.messages.saturating_add(1);
        self.bytes = self.bytes.saturating_add(signed(bytes));
    }

    /// A CREDIT has come. What is beyond all reason is not counted.
    pub fn widen(&mut self, more: Portion) {
        self.messages = (self.messages + i64::from(more.messages)).min(MOST_MESSAGES);
        self.bytes = (self.bytes + i64::from(more.kib) * KIB).min(MOST_BYTES);
    }

    /// The smaller one of each.
    #[must_use]
    pub fn lesser(self, other: Self) -> Self {
        Self {
            messages: self.messages.min(other.messages),
            bytes: self.bytes.min(other.bytes),
        }
    }

    /// What would make this window as wide as another, as far as one CREDIT can say it.
    #[must_use]
    pub fn short_of(&self, other: Self) -> Portion {
        let messages = other.messages.saturating_sub(self.messages).max(0);
        let kib = other.bytes.saturating_sub(self.bytes).max(0) / KIB;
        Portion {
            messages: u16::try_from(messages).unwrap_or(u16::MAX),
            kib: u32::try_from(kib).unwrap_or(u32::MAX),
        }
    }
}

/// What a receiver has taken of a stream and has not given credit for yet.
#[derive(Clone, Copy, Debug, Default)]
pub struct Taken {
    messages: u16,
    bytes: u64,
}

impl Taken {
    /// A message was taken: the credit to give for it and those before, once that is worth a
    /// message of its own. The sender always has something left or has heard of it.
    pub fn add(&mut self, bytes: usize) -> Option<Portion> {
        self.messages = self.messages.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes as u64);
        let kib = u32::try_from(self.bytes / KIB.unsigned_abs()).unwrap_or(u32::MAX);
        let due = self.messages >= Window::HALF.messages || kib >= Window::HALF.kib;
        due.then(|| {
            let messages = std::mem::take(&mut self.messages);
            self.bytes -= u64::from(kib) * KIB.unsigned_abs();
            Portion { messages, kib }
        })
    }
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

const KIB: i64 = 1024;
/// Windows grow no further: far above what anybody needs, far below where sums overflow.
const MOST_MESSAGES: i64 = 1 << 40;
const MOST_BYTES: i64 = 1 << 50;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_message_may_be_larger_than_the_window_and_is_owed() {
        let mut window = Window::INITIAL;
        window.take((16 << 20) + 5);
        assert!(!window.is_open());
        let missing = window.short_of(Window::INITIAL);
        assert_eq!((missing.messages, missing.kib), (1, 16 << 10));
        window.widen(missing);
        assert!(window.is_open(), "all but five bytes");
    }

    #[test]
    fn the_seventeenth_message_waits() {
        let mut window = Window::INITIAL;
        for _ in 0..16 {
            assert!(window.is_open());
            window.take(0);
        }
        assert!(!window.is_open());
    }

    #[test]
    fn windows_do_not_overflow() {
        let all = Portion {
            messages: u16::MAX,
            kib: u32::MAX,
        };
        let mut window = Window::INITIAL;
        for _ in 0..1 << 10 {
            window.widen(all);
        }
        window.take(usize::MAX);
        window.take(usize::MAX);
        window.widen(all);
        assert!(!window.is_open());
    }

    proptest! {
        /// A sender with the window and a receiver with the tally: as long as the receiver takes
        /// what came, the sender can send.
        #[test]
        fn a_receiver_that_takes_everything_never_leaves_the_sender_without_credit(
            sizes in proptest::collection::vec(prop_oneof![0..2000usize, 200_000..3_000_000usize], 1..200),
            ahead in 1..20usize,
        ) {
            let (mut window, mut taken) = (Window::INITIAL, Taken::default());
            let mut under_way = std::collections::VecDeque::new();
            let mut left = sizes.iter().copied().peekable();
            while left.peek().is_some() {
                while window.is_open() && under_way.len() < ahead && let Some(size) = left.next() {
                    window.take(size);
                    under_way.push_back(size);
                }
                let Some(size) = under_way.pop_front() else {
                    panic!("nothing is under way, and nothing may be sent: {window:?}, {taken:?}");
                };
                if let Some(portion) = taken.add(size) {
                    window.widen(portion);
                }
            }
        }
    }
}
