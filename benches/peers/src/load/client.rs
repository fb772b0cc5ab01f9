//! One client's questions, each told apart and each checked when its answer comes.

use super::tongue::Question;

/// Asks in a number of places, one question in each at a time.
pub struct Client {
    number: u16,
    question: Question,
    body: Vec<u8>,
    places: Vec<Place>,
    free: Vec<u16>,
}

#[derive(Clone, Copy, Default)]
struct Place {
    /// When it was asked, or was to be; zero: nothing is.
    since: u64,
    count: u32,
}

/// Where there is more of a body, only so much of both its ends is compared.
const ENDS: usize = 4096;
/// What tells one question from another, in front of the body.
pub const STAMP: usize = 8;

impl Client {
    pub fn new(number: u16, question: Question, body: Vec<u8>, places: u16) -> Self {
        Self {
            number,
            question,
            body,
            places: vec![Place::default(); usize::from(places)],
            free: (0..places).rev().collect(),
        }
    }

    /// Asks in a place that is free; false if there is none.
    pub fn ask(&mut self, since: u64, out: &mut Vec<u8>) -> bool {
        let Some(number) = self.free.pop() else {
            return false;
        };
        let place = &mut self.places[usize::from(number)];
        place.since = since.max(1);
        place.count = place.count.wrapping_add(1);
        let stamp = stamp(self.number, number, place.count);
        self.question.wire[self.question.body..][..STAMP].copy_from_slice(&stamp);
        if let Some(at) = self.question.id {
            // The same on all connections: a broker has to tell them apart by more than that.
            self.question.wire[at + 2..at + STAMP].copy_from_slice(&stamp[2..]);
        }
        out.extend_from_slice(&self.question.wire);
        true
    }

    /// When the question was asked to which this is the answer, if it is one.
    pub fn answered(&mut self, id: Option<&[u8]>, body: &[u8]) -> Option<u64> {
        let (stamp, rest) = body.split_at_checked(STAMP)?;
        if id.is_some_and(|id| id[..2] != [0, 0] || id[2..] != stamp[2..])
            || stamp[..2] != self.number.to_le_bytes()
            || !same(rest, &self.body[STAMP..])
        {
            return None;
        }
        self.settled(stamp)
    }

    /// The question with this id will have no answer.
    pub fn refused(&mut self, id: &[u8]) -> Option<u64> {
        self.settled(id)
    }

    fn settled(&mut self, stamp: &[u8]) -> Option<u64> {
        let number = u16::from_le_bytes([stamp[2], stamp[3]]);
        let count = u32::from_le_bytes([stamp[4], stamp[5], stamp[6], stamp[7]]);
        let place = self.places.get_mut(usize::from(number))?;
        if place.since == 0 || place.count != count {
            return None;
        }
        self.free.push(number);
        Some(std::mem::take(&mut place.since))
    }

    /// Questions without an answer.
    pub fn asked(&self) -> usize {
        self.places.len() - self.free.len()
    }
}

fn stamp(client: u16, place: u16, count: u32) -> [u8; STAMP] {
    let mut stamp = [0; STAMP];
    stamp[..2].copy_from_slice(&client.to_le_bytes());
    stamp[2..4].copy_from_slice(&place.to_le_bytes());
    stamp[4..].copy_from_slice(&count.to_le_bytes());
    stamp
}

fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() || a.len() <= 2 * ENDS {
        return a == b;
    }
    a[..ENDS] == b[..ENDS] && a[a.len() - ENDS..] == b[b.len() - ENDS..]
}

#[cfg(test)]
mod tests {
    use super::Client;
    use crate::load::tongue::Tongue;

    fn client() -> Client {
        let body = vec![7; 64];
        let question = Tongue::Scale0.question(b"echo", &body, 0);
        Client::new(3, question, body, 2)
    }

    /// Number and body of what was asked last.
    fn asked(client: &mut Client) -> (Vec<u8>, Vec<u8>) {
        let mut out = Vec::new();
        assert!(client.ask(5, &mut out));
        let id = out[14..22].to_vec();
        (id, out[out.len() - 64..].to_vec())
    }

    #[test]
    fn an_answer_counts_once() {
        let mut client = client();
        let (id, body) = asked(&mut client);
        assert_eq!(client.asked(), 1);
        assert_eq!(client.answered(Some(&id), &body), Some(5));
        assert_eq!(client.answered(Some(&id), &body), None);
        assert_eq!(client.asked(), 0);
    }

    #[test]
    fn answers_to_others_and_changed_ones_are_wrong() {
        let mut client = client();
        let (first, body) = asked(&mut client);
        let (second, _) = asked(&mut client);
        assert_eq!(
            client.answered(Some(&second), &body),
            None,
            "another's body"
        );
        let mut changed = body.clone();
        changed[63] ^= 1;
        assert_eq!(client.answered(Some(&first), &changed), None);
        assert_eq!(client.answered(Some(&first), &body[..63]), None);
        assert_eq!(client.answered(None, &[]), None);
        let mut foreign = body.clone();
        foreign[0] ^= 1;
        assert_eq!(client.answered(None, &foreign), None, "another client's");
        assert_eq!(client.answered(None, &body), Some(5), "by its body alone");
    }

    #[test]
    fn no_more_is_asked_than_there_are_places() {
        let mut client = client();
        let (first, _) = asked(&mut client);
        asked(&mut client);
        assert!(!client.ask(5, &mut Vec::new()));
        assert_eq!(client.refused(&first), Some(5));
        assert!(client.ask(5, &mut Vec::new()));
    }

    #[test]
    fn large_bodies_are_compared_at_their_ends() {
        let (a, mut b) = (vec![1; 100_000], vec![1; 100_000]);
        assert!(super::same(&a, &b));
        b[99_999] = 2;
        assert!(!super::same(&a, &b));
    }
}
