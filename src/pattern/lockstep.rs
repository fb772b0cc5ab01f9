//! Question and answer in strict turns: REQ and REP (RFC 28), with their envelopes.

use crate::wire::{Builder, Message};

/// REQ's side.
#[derive(Debug)]
pub(super) struct Asking {
    /// Who was asked last, and has not answered.
    asked: Option<Asked>,
    /// The peer that was asked is gone.
    lost: bool,
    next: u32,
    correlate: bool,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    peer: u32,
    /// `None` if it was sent without.
    id: Option<Id>,
}

/// What REQ makes of a message.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Reply {
    /// The answer.
    Body(Message),
    /// Nobody waits for it: from another peer, late, or with another request's id.
    Stale,
    /// No reply at all: no delimiter where it has to be, or nothing behind it.
    Malformed,
}

impl Asking {
    pub(super) fn new(first: u32, correlate: bool) -> Self {
        Self {
            asked: None,
            lost: false,
            next: first,
            correlate,
        }
    }

    pub(super) fn correlate(&mut self, correlate: bool) {
        self.correlate = correlate;
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.asked.is_some()
    }

    /// The last request is given up: its answer is stale from now on.
    pub(super) fn abandon(&mut self) {
        self.asked = None;
    }

    pub(super) fn asked(&self) -> Option<u32> {
        self.asked.map(|asked| asked.peer)
    }

    /// Notes whom the next request goes to; returns what has to stand in front of it.
    pub(super) fn ask(&mut self, peer: u32) -> Message {
        let id = self.correlate.then_some(self.next.to_be_bytes());
        self.next = self.next.wrapping_add(1);
        self.asked = Some(Asked { peer, id });
        self.lost = false;
        match id {
            Some(id) => Message::new([&id[..], b""]),
            None => Message::single(b""),
        }
    }

    pub(super) fn hear(&mut self, peer: u32, mut message: Message) -> Reply {
        let mut parts = message.parts();
        let first = parts.next().unwrap_or_default();
        let second = parts.next();
        // With an id before the delimiter or without; both shapes are legal from any REP.
        let (id, head) = match (first, second) {
            (b"", Some(_)) => (None, 1),
            (id, Some(b"")) => match Id::try_from(id) {
                Ok(id) => (Some(id), 2),
                Err(_) => return Reply::Malformed,
            },
            _ => return Reply::Malformed,
        };
        if parts.next().is_none() && head == 2 {
            return Reply::Malformed;
        }
        let Some(asked) = self.asked.filter(|asked| asked.peer == peer) else {
            return Reply::Stale;
        };
        if id != asked.id {
            return Reply::Stale;
        }
        self.asked = None;
        message.skip(head);
        Reply::Body(message)
    }

    /// A peer is gone; what it was asked is not answered any more.
    pub(super) fn leave(&mut self, peer: u32) {
        if self.asked() == Some(peer) {
            self.asked = None;
            self.lost = true;
        }
    }

    /// Whether the last request's peer is gone; tells it once.
    pub(super) fn take_lost(&mut self) -> bool {
        std::mem::take(&mut self.lost)
    }
}

/// REP's side.
#[derive(Debug, Default)]
pub(super) struct Answering {
    owed: Option<Owed>,
}

#[derive(Debug)]
struct Owed {
    /// `None` if it has gone away meanwhile.
    peer: Option<u32>,
    envelope: Message,
}

impl Answering {
    pub(super) fn owes(&self) -> bool {
        self.owed.is_some()
    }

    /// Takes the envelope off a request: all parts up to the first empty one, which is among the
    /// first `depth`. `None` if it is no request.
    pub(super) fn hear(
        &mut self,
        peer: u32,
        mut message: Message,
        depth: usize,
    ) -> Option<Message> {
        let end = message.parts().take(depth).position(<[u8]>::is_empty)? + 1;
        let mut envelope = Builder::default();
        for part in message.parts().take(end) {
            envelope.part(part);
        }
        message.skip(end);
        if message.is_empty() {
            return None;
        }
        self.owed = Some(Owed {
            peer: Some(peer),
            envelope: envelope.finish(),
        });
        Some(message)
    }

    /// Whom the answer goes to (nobody, if that peer is gone) and what stands in front of it.
    pub(super) fn answer(&mut self) -> Option<(Option<u32>, Message)> {
        self.owed.take().map(|owed| (owed.peer, owed.envelope))
    }

    pub(super) fn leave(&mut self, peer: u32) {
        if let Some(owed) = &mut self.owed
            && owed.peer == Some(peer)
        {
            owed.peer = None;
        }
    }
}

/// A request's id on the wire; opaque to everyone but its maker.
type Id = [u8; 4];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_taken_only_from_the_peer_that_was_asked() {
        let mut asking = Asking::new(0, false);
        assert_eq!(asking.hear(1, Message::new(["", "x"])), Reply::Stale);
        assert_eq!(asking.ask(1), Message::single(b""));
        assert_eq!(asking.hear(2, Message::new(["", "x"])), Reply::Stale);
        let body = Reply::Body(Message::new(["x", ""]));
        assert_eq!(asking.hear(1, Message::new(["", "x", ""])), body);
        assert_eq!(asking.hear(1, Message::new(["", "x"])), Reply::Stale);
    }

    #[test]
    fn with_correlation_only_the_same_id_is_an_answer() {
        let mut asking = Asking::new(7, true);
        let head = asking.ask(1);
        assert_eq!(head, Message::new([&[0, 0, 0, 7][..], b""]));
        let reply = |id: &[u8]| Message::new([id, b"", b"x"]);
        assert_eq!(asking.hear(1, reply(&[0, 0, 0, 6])), Reply::Stale);
        assert_eq!(asking.hear(1, Message::new(["", "x"])), Reply::Stale);
        let body = Reply::Body(Message::single(b"x"));
        assert_eq!(asking.hear(1, reply(&[0, 0, 0, 7])), body);
    }

    #[test]
    fn what_has_no_delimiter_or_nothing_behind_it_is_malformed() {
        for parts in [
            &["x"][..],
            &["x", "y"],
            &[""],
            &["1234", ""],
            &["12345", "", "x"],
        ] {
            let mut asking = Asking::new(0, false);
            asking.ask(1);
            assert_eq!(
                asking.hear(1, Message::new(parts)),
                Reply::Malformed,
                "{parts:?}"
            );
        }
    }

    #[test]
    fn rep_strips_the_envelope_and_puts_it_back() {
        let mut answering = Answering::default();
        let request = Message::new(["a", "b", "", "body", ""]);
        let body = answering.hear(3, request, 8);
        assert_eq!(body, Some(Message::new(["body", ""])));
        assert_eq!(
            answering.answer(),
            Some((Some(3), Message::new(["a", "b", ""])))
        );
        assert_eq!(answering.answer(), None);
    }

    #[test]
    fn no_request_without_delimiter_body_or_with_an_endless_envelope() {
        let mut answering = Answering::default();
        assert_eq!(answering.hear(3, Message::new(["a", "b"]), 8), None);
        assert_eq!(answering.hear(3, Message::new(["a", ""]), 8), None);
        assert_eq!(
            answering.hear(3, Message::new(["a", "b", "", "x"]), 2),
            None
        );
        assert!(!answering.owes());
    }

    #[test]
    fn the_answer_to_someone_gone_goes_to_nobody() {
        let mut answering = Answering::default();
        answering.hear(3, Message::new(["", "x"]), 8);
        answering.leave(3);
        assert_eq!(answering.answer(), Some((None, Message::single(b""))));
    }
}
