//! A client's calls that have no answer yet: what is to be sent, what is to be sent again after a
//! connection is lost, and what can only be reported as unknown.
//!
//! Pure: time and outcomes in, decisions out. `S` is whoever waits for the answer.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;

use crate::protocol::{Name, Wants};
use crate::time::Time;
use crate::wire::Message;

/// What is asked.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) service: Name,
    /// What is left of its time when it comes here.
    pub(super) ttl: Duration,
    /// What the caller gave it.
    pub(super) stated: Duration,
    pub(super) idempotent: bool,
    pub(super) wants: Wants,
    /// 1 to 7, 0 for the usual.
    pub(super) priority: u8,
    pub(super) properties: Bytes,
    pub(super) body: Message,
}

/// See the [module's description](self).
#[derive(Debug)]
pub(super) struct Ledger<S> {
    calls: BTreeMap<u64, Open<S>>,
    /// Calls to send; their numbers are their order.
    unsent: BTreeSet<u64>,
    deadlines: BTreeSet<(Time, u64)>,
    /// Calls that may be under way on a connection.
    window: usize,
    under_way: usize,
}

#[derive(Debug)]
struct Open<S> {
    question: Question,
    deadline: Time,
    /// When it is given up: a sent task's broker is given a moment to say itself that its time
    /// is up, for it knows whether a worker has begun.
    due: Time,
    /// The connection it was sent on last.
    sent: Option<u32>,
    /// Part of an answer has been passed on.
    answered: bool,
    who: S,
}

/// A call that has come to its end without an answer.
#[derive(Debug)]
pub(super) struct Ended<S> {
    pub(super) id: u64,
    pub(super) who: S,
    pub(super) ttl: Duration,
    /// The connection it was sent on, if it was.
    pub(super) sent: Option<u32>,
}

impl<S> Ledger<S> {
    /// `window` calls may be under way at once.
    pub(super) fn new(window: usize) -> Self {
        Self {
            calls: BTreeMap::new(),
            unsent: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            window,
            under_way: 0,
        }
    }

    /// Takes a call on.
    pub(super) fn submit(&mut self, now: Time, id: u64, question: Question, who: S) {
        let deadline = now + question.ttl;
        self.deadlines.insert((deadline, id));
        self.unsent.insert(id);
        self.calls.insert(
            id,
            Open {
                question,
                deadline,
                due: deadline,
                sent: None,
                answered: false,
                who,
            },
        );
    }

    /// The next call to send on connection `link`, with what is left of its time. It counts as
    /// sent.
    pub(super) fn next_to_send(
        &mut self,
        now: Time,
        link: u32,
    ) -> Option<(u64, Question, Duration)> {
        if self.under_way >= self.window {
            return None;
        }
        let id = self.unsent.pop_first()?;
        let call = self.calls.get_mut(&id)?;
        call.sent = Some(link);
        self.deadlines.remove(&(call.due, id));
        call.due = call.deadline + GRACE;
        self.deadlines.insert((call.due, id));
        self.under_way += 1;
        Some((id, call.question.clone(), now.until(call.deadline)))
    }

    /// Whether something waits to be sent that may be.
    pub(super) fn has_to_send(&self) -> bool {
        self.under_way < self.window && !self.unsent.is_empty()
    }

    /// Who waits for a call's next partial answer; from now on it is not sent again.
    pub(super) fn partial(&mut self, id: u64) -> Option<&mut S> {
        let call = self.calls.get_mut(&id).filter(|call| call.sent.is_some())?;
        call.answered = true;
        Some(&mut call.who)
    }

    /// The connection that a call is under way on.
    pub(super) fn link_of(&self, id: u64) -> Option<u32> {
        self.calls.get(&id)?.sent
    }

    /// Who waits for a call's final answer; it is done.
    pub(super) fn finish(&mut self, id: u64) -> Option<S> {
        self.calls.get(&id).filter(|call| call.sent.is_some())?;
        self.take(id).map(|ended| ended.who)
    }

    /// The call that is under way, where there can be one only.
    pub(super) fn only(&self) -> Option<u64> {
        self.calls
            .iter()
            .find(|(_, call)| call.sent.is_some())
            .map(|(id, _)| *id)
    }

    /// Ends a call without an answer.
    pub(super) fn end(&mut self, id: u64) -> Option<Ended<S>> {
        self.take(id)
    }

    /// Nobody waits for it any more. Tells the connection on which it should be cancelled.
    pub(super) fn cancel(&mut self, id: u64) -> Option<u32> {
        self.take(id)?.sent
    }

    /// Connection `link` is gone. What is idempotent, and unanswered so far, is to be sent again
    /// under its old number, in its old order; the rest is returned: nobody knows what became
    /// of it.
    pub(super) fn lost(&mut self, link: u32) -> Vec<Ended<S>> {
        let affected: Vec<u64> = self
            .calls
            .iter()
            .filter(|(_, call)| call.sent == Some(link))
            .map(|(id, _)| *id)
            .collect();
        let mut unknown = Vec::new();
        for id in affected.into_iter().rev() {
            match self.calls.get(&id) {
                Some(call) if call.question.idempotent && !call.answered => self.unsend(id),
                _ => unknown.extend(self.take(id)),
            }
        }
        unknown.reverse();
        unknown
    }

    /// A broker that we have left did not do it: it is to be sent again, under its old number. If
    /// it may have been begun, only what is idempotent, and unanswered so far. False if it is not.
    pub(super) fn send_again(&mut self, id: u64, begun: bool) -> bool {
        let Some(call) = self.calls.get_mut(&id) else {
            return false;
        };
        let may = !call.answered && (!begun || call.question.idempotent);
        if call.sent.is_none() || !may {
            return false;
        }
        self.unsend(id);
        true
    }

    /// It counts as not sent.
    fn unsend(&mut self, id: u64) {
        if let Some(call) = self.calls.get_mut(&id) {
            call.sent = None;
            self.deadlines.remove(&(call.due, id));
            call.due = call.deadline;
            self.deadlines.insert((call.due, id));
            self.under_way -= 1;
            self.unsent.insert(id);
        }
    }

    /// A call whose time is up.
    pub(super) fn expire(&mut self, now: Time) -> Option<Ended<S>> {
        let &(at, id) = self.deadlines.first()?;
        if at > now { None } else { self.take(id) }
    }

    /// Ends all calls that wait to be sent, in their order.
    pub(super) fn end_unsent(&mut self) -> Vec<Ended<S>> {
        let ids = self.unsent.clone();
        ids.into_iter().filter_map(|id| self.take(id)).collect()
    }

    /// When [`expire`](Self::expire) has something to do.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Everybody who waits: there will be no more answers.
    pub(super) fn close(&mut self) -> Vec<S> {
        self.unsent.clear();
        self.deadlines.clear();
        self.under_way = 0;
        std::mem::take(&mut self.calls)
            .into_values()
            .map(|call| call.who)
            .collect()
    }

    /// Calls on this connection.
    pub(super) fn on_link(&self, link: u32) -> usize {
        self.calls
            .values()
            .filter(|call| call.sent == Some(link))
            .count()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    fn take(&mut self, id: u64) -> Option<Ended<S>> {
        let call = self.calls.remove(&id)?;
        self.deadlines.remove(&(call.due, id));
        self.unsent.remove(&id);
        self.under_way -= usize::from(call.sent.is_some());
        Some(Ended {
            id,
            who: call.who,
            ttl: call.question.stated,
            sent: call.sent,
        })
    }
}

/// How much later than its deadline a sent task is given up.
const GRACE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn question(idempotent: bool) -> Question {
        Question {
            service: Name::from("s"),
            ttl: Duration::from_secs(1),
            stated: Duration::from_secs(1),
            idempotent,
            wants: Wants::Answer,
            priority: 0,
            properties: Bytes::new(),
            body: Message::default(),
        }
    }

    fn ledger() -> Ledger<&'static str> {
        Ledger::new(2)
    }

    #[test]
    fn what_waits_to_be_sent_can_be_ended_without_what_is_under_way() {
        let mut ledger = ledger();
        for (id, who) in [(7, "first"), (8, "second"), (9, "third"), (10, "fourth")] {
            ledger.submit(Time::ZERO, id, question(false), who);
        }
        assert_eq!(sent(&mut ledger, 1), [7, 8]);
        let ended = ledger.end_unsent();
        let who: Vec<_> = ended.iter().map(|ended| ended.who).collect();
        assert_eq!(who, ["third", "fourth"]);
        assert!(!ledger.has_to_send() && ledger.on_link(1) == 2);
        assert_eq!(ledger.finish(7), Some("first"));
    }

    fn sent(ledger: &mut Ledger<&'static str>, link: u32) -> Vec<u64> {
        std::iter::from_fn(|| ledger.next_to_send(Time::ZERO, link).map(|(id, ..)| id)).collect()
    }

    #[test]
    fn a_lost_connection_repeats_what_is_safe_and_reports_the_rest() {
        let mut ledger = ledger();
        let (safe, later) = (7, 9);
        ledger.submit(Time::ZERO, safe, question(true), "safe");
        ledger.submit(Time::ZERO, 8, question(false), "unsafe");
        ledger.submit(Time::ZERO, later, question(false), "later");
        assert_eq!(sent(&mut ledger, 1).len(), 2, "the window");
        let unknown: Vec<_> = ledger.lost(1).into_iter().map(|ended| ended.who).collect();
        assert_eq!(unknown, ["unsafe"]);
        assert_eq!(
            sent(&mut ledger, 2),
            [safe, later],
            "what was first stays first, numbers stay"
        );
    }

    #[test]
    fn a_call_with_part_of_its_answer_is_not_repeated() {
        let mut ledger = ledger();
        let id = 1;
        ledger.submit(Time::ZERO, id, question(true), "a");
        sent(&mut ledger, 1);
        assert!(ledger.partial(id).is_some());
        assert_eq!(ledger.lost(1).len(), 1);
        assert!(ledger.is_empty());
    }

    #[test]
    fn what_a_left_broker_refused_is_sent_again_and_what_it_began_only_if_it_may_be() {
        let mut ledger = Ledger::new(3);
        for (id, idempotent) in [(1, false), (2, true), (3, false)] {
            ledger.submit(Time::ZERO, id, question(idempotent), "call");
        }
        assert!(!ledger.send_again(1, false), "it was never sent");
        assert_eq!(sent(&mut ledger, 1), [1, 2, 3]);
        assert!(ledger.send_again(1, false) && ledger.send_again(2, true));
        assert!(!ledger.send_again(3, true));
        assert_eq!(ledger.on_link(1), 1);
        assert_eq!(sent(&mut ledger, 2), [1, 2]);
        ledger.partial(1);
        assert!(!ledger.send_again(1, false), "part of it was passed on");
    }

    #[test]
    fn another_connections_calls_are_not_touched() {
        let mut ledger = ledger();
        let (old, new) = (1, 2);
        ledger.submit(Time::ZERO, old, question(true), "old");
        sent(&mut ledger, 1);
        ledger.submit(Time::ZERO, new, question(true), "new");
        sent(&mut ledger, 2);
        assert!(ledger.lost(1).is_empty());
        assert_eq!(sent(&mut ledger, 2), [old]);
        assert_eq!(ledger.finish(new), Some("new"));
    }

    #[test]
    fn each_call_ends_once() {
        let mut ledger = ledger();
        let id = 1;
        ledger.submit(Time::ZERO, id, question(false), "a");
        assert_eq!(ledger.finish(id), None, "an answer to what was never sent");
        sent(&mut ledger, 1);
        assert_eq!(ledger.finish(id), Some("a"));
        assert_eq!(ledger.finish(id), None);
        assert!(ledger.expire(Time::from_millis(5000)).is_none());
    }

    #[test]
    fn a_deadline_tells_whether_the_task_was_sent() {
        let mut ledger = Ledger::new(1);
        ledger.submit(Time::ZERO, 1, question(false), "sent");
        ledger.submit(Time::ZERO, 2, question(false), "kept");
        sent(&mut ledger, 1);
        assert_eq!(ledger.deadline(), Some(Time::from_millis(1000)));
        assert!(ledger.expire(Time::from_millis(999)).is_none());
        let mut ended = |at| {
            std::iter::from_fn(|| ledger.expire(Time::from_millis(at)))
                .map(|e| (e.who, e.sent))
                .collect::<Vec<_>>()
        };
        assert_eq!(ended(1999), [("kept", None)]);
        assert_eq!(
            ended(2000),
            [("sent", Some(1))],
            "its broker had a moment to say so itself"
        );
        assert_eq!(ledger.deadline(), None);
    }

    #[test]
    fn a_cancelled_call_makes_room() {
        let mut ledger = Ledger::new(1);
        let (first, second, third) = (1, 2, 3);
        for id in [first, second, third] {
            ledger.submit(Time::ZERO, id, question(false), "call");
        }
        assert_eq!(sent(&mut ledger, 1), [first]);
        assert_eq!(ledger.cancel(second), None, "never sent");
        assert_eq!(ledger.cancel(first), Some(1));
        assert_eq!(sent(&mut ledger, 1), [third]);
    }

    #[test]
    fn calls_that_end_before_a_connection_leave_nothing_behind() {
        let mut ledger = ledger();
        for id in 0..10 {
            ledger.submit(Time::ZERO, id, question(false), "call");
        }
        assert!(ledger.cancel(0).is_none());
        while ledger.expire(Time::from_millis(1000)).is_some() {}
        assert!(ledger.is_empty() && ledger.unsent.is_empty() && !ledger.has_to_send());
    }
}
