//! Which of several endpoints to use: the first is preferred, one at a time.

use std::time::Duration;

use crate::net::Backoff;
use crate::time::Time;
use crate::wire::{Endpoint, Host};

/// Decides where to connect next and when. Pure: time and outcomes in, decisions out.
#[derive(Debug)]
pub(super) struct Route {
    /// Ours, and behind them those that a broker told us of.
    endpoints: Vec<Endpoint>,
    ours: usize,
    current: usize,
    /// One that is tried while the current one is in use.
    candidate: Option<usize>,
    /// When we were last sent away.
    sent_away: Option<Time>,
    /// Failures at the current endpoint in a row.
    failures: u32,
    /// Endpoints whose failures are known since one of them answered last.
    known: usize,
    /// How often we were refused since one of them took us.
    refusals: usize,
    backoff: Backoff,
    connected: Option<Time>,
}

impl Route {
    /// `endpoints` holds at least one.
    pub(super) fn new(endpoints: Vec<Endpoint>, backoff: Backoff) -> Self {
        Self {
            ours: endpoints.len(),
            endpoints,
            current: 0,
            candidate: None,
            sent_away: None,
            failures: 0,
            known: 0,
            refusals: 0,
            backoff,
            connected: None,
        }
    }

    /// Where to connect.
    pub(super) fn current(&self) -> Option<&Endpoint> {
        self.endpoints.get(self.current)
    }

    /// The endpoint that is liked best, unless it is the current one.
    pub(super) fn preferred(&self) -> Option<&Endpoint> {
        (self.current > 0).then(|| self.endpoints.first()).flatten()
    }

    /// The current endpoint answers.
    pub(super) fn connected(&mut self, now: Time) {
        self.candidate = None;
        self.connected = Some(now);
        self.known = 0;
        self.refusals = 0;
    }

    /// The connection was given up for a new one to the same endpoint: how long to wait.
    pub(super) fn renewed(&mut self) -> Duration {
        self.connected = None;
        Duration::ZERO
    }

    /// The preferred endpoint answers again, or that of [`other`](Self::other) does, and is used
    /// from here.
    pub(super) fn moved(&mut self, now: Time) {
        self.current = self.candidate.take().unwrap_or(0);
        self.failures = 0;
        self.connected(now);
    }

    /// A broker tells of others. They come behind our own, and so many of them: `local` allows only
    /// those on this machine.
    pub(super) fn learn(&mut self, endpoints: Vec<Endpoint>, local: bool) {
        if self.current < self.ours && self.candidate.is_none_or(|other| other < self.ours) {
            self.endpoints.truncate(self.ours);
        }
        for endpoint in endpoints {
            let known = self.endpoints.contains(&endpoint);
            let full = self.endpoints.len() >= self.ours + LEARNED;
            let good = is_target(&endpoint) && (!local || endpoint.is_local());
            if good && !known && !full {
                self.endpoints.push(endpoint);
            }
        }
    }

    /// Whether there is anywhere else to go.
    pub(super) fn has_other(&self) -> bool {
        self.endpoints.len() > 1
    }

    /// Where else to go: a next endpoint each time, to be tried while the current one is in use.
    pub(super) fn other(&mut self) -> Option<&Endpoint> {
        let count = self.endpoints.len().max(1);
        let mut next = (self.candidate.unwrap_or(self.current) + 1) % count;
        if next == self.current {
            next = (next + 1) % count;
        }
        if next == self.current {
            return None;
        }
        self.candidate = Some(next);
        self.endpoints.get(next)
    }

    /// That endpoint does not answer: how long to wait before another one is tried.
    pub(super) fn other_failed(&mut self) -> Duration {
        self.backoff.failed()
    }

    /// The current endpoint sends us away: the next one has its turn, at once unless it was our turn
    /// to go a moment ago. Two brokers that send everybody to each other are not dialed in a circle.
    pub(super) fn leave(&mut self, now: Time) -> Duration {
        self.connected = None;
        self.candidate = None;
        self.failures = 0;
        self.current = (self.current + 1) % self.endpoints.len().max(1);
        let before = self.sent_away.replace(now);
        match before.is_some_and(|before| before + HEALTHY > now) {
            true => self.backoff.failed(),
            false => Duration::ZERO,
        }
    }

    /// Whether a failure to connect to the current endpoint would be the first since one of them
    /// answered: somebody should hear of that, once.
    pub(super) fn is_news(&self) -> bool {
        self.failures == 0 && self.known < self.endpoints.len()
    }

    /// Whether a refusal by the current endpoint would be the first since one of them took us. That
    /// is news even where it was lost before: what was wrong then may be another thing.
    pub(super) fn is_news_of_refusal(&self) -> bool {
        self.refusals < self.endpoints.len()
    }

    /// The current endpoint could not be reached, or was lost: how long to wait before the next
    /// attempt. After two failures in a row the next endpoint has its turn.
    pub(super) fn failed(&mut self, now: Time) -> Duration {
        // A link that held for a while was no failure to connect.
        if self
            .connected
            .take()
            .is_some_and(|since| since + HEALTHY <= now)
        {
            self.backoff.succeeded();
            self.failures = 0;
        }
        self.failures += 1;
        if self.failures >= TRIES {
            self.failures = 0;
            self.known += 1;
            self.current = (self.current + 1) % self.endpoints.len().max(1);
        }
        self.backoff.failed()
    }

    /// The current endpoint answers that it does not want us: the next one has its turn, after the
    /// usual pause if it may be better there, and after a long one if not.
    pub(super) fn refused(&mut self) -> Duration {
        self.connected = None;
        self.failures = 0;
        self.known += 1;
        self.refusals += 1;
        self.current = (self.current + 1) % self.endpoints.len().max(1);
        if self.known < self.endpoints.len() {
            self.backoff.failed()
        } else {
            self.backoff.refused()
        }
    }

    /// Whether each endpoint was tried, and none of them answered.
    pub(super) fn is_exhausted(&self) -> bool {
        self.known >= self.endpoints.len()
    }

    /// When to try the preferred endpoint again: after the current one has been good for a
    /// minute.
    pub(super) fn return_at(&self) -> Option<Time> {
        self.preferred()?;
        self.connected.map(|since| since + RETURN)
    }

    /// The preferred endpoint does not answer yet.
    pub(super) fn stayed(&mut self, now: Time) {
        self.connected = Some(now);
    }
}

/// Whether one can connect there at all.
fn is_target(endpoint: &Endpoint) -> bool {
    match endpoint {
        Endpoint::Tcp { host, port } => *host != Host::Any && *port != 0,
        Endpoint::Inproc { .. } => false,
        _ => true,
    }
}

/// Endpoints that are kept of those that a broker tells of.
const LEARNED: usize = 16;
/// Attempts before the next endpoint has its turn.
const TRIES: u32 = 2;
/// A link that held so long resets the backoff.
const HEALTHY: Duration = Duration::from_secs(1);
const RETURN: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    fn route(endpoints: usize) -> Route {
        let endpoints = (0..endpoints)
            .map(|n| format!("tcp://h{n}:1").parse().unwrap())
            .collect();
        Route::new(endpoints, Backoff::new([7; 32]))
    }

    fn host(route: &Route) -> String {
        route.current().unwrap().to_string()
    }

    #[test]
    fn the_next_endpoint_has_its_turn_after_two_failures() {
        let mut route = route(3);
        let mut seen = Vec::new();
        for _ in 0..7 {
            seen.push(host(&route));
            route.failed(Time::ZERO);
        }
        let expected = [0, 0, 1, 1, 2, 2, 0].map(|n| format!("tcp://h{n}:1"));
        assert_eq!(seen, expected);
    }

    #[test]
    fn each_endpoints_failure_is_news_once_until_one_answers() {
        let mut route = route(2);
        let mut news = |tries: usize| -> Vec<bool> {
            let told = (0..tries).map(|_| {
                let news = route.is_news();
                route.failed(Time::ZERO);
                news
            });
            let told = told.collect();
            route.connected(Time::ZERO);
            told
        };
        assert_eq!(news(6), [true, false, true, false, false, false]);
        assert_eq!(news(1), [true]);
    }

    #[test]
    fn an_endpoint_that_takes_connections_and_drops_them_has_failed() {
        let mut route = route(2);
        for millis in [0, 200] {
            route.connected(Time::from_millis(millis));
            route.failed(Time::from_millis(millis + 100));
        }
        assert_eq!(host(&route), "tcp://h1:1");
        for millis in [1000, 3000, 5000] {
            route.connected(Time::from_millis(millis));
            route.failed(Time::from_millis(millis + 1500));
        }
        assert_eq!(host(&route), "tcp://h1:1", "it held for a while each time");
    }

    fn endpoints(names: &[&str]) -> Vec<Endpoint> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn who_is_sent_away_goes_on_at_once_but_not_in_a_circle() {
        let mut route = route(2);
        route.connected(Time::ZERO);
        assert_eq!(route.leave(Time::from_millis(100)), Duration::ZERO);
        assert_eq!(host(&route), "tcp://h1:1");
        route.connected(Time::from_millis(110));
        assert!(!route.leave(Time::from_millis(120)).is_zero());
        assert_eq!(host(&route), "tcp://h0:1");
        route.connected(Time::from_millis(300));
        assert_eq!(route.leave(Time::from_millis(2000)), Duration::ZERO);
    }

    #[test]
    fn other_endpoints_are_tried_one_after_the_other_and_never_the_current_one() {
        let mut route = route(3);
        route.connected(Time::ZERO);
        let mut tried = |times| -> Vec<String> {
            let next = |_| route.other().unwrap().to_string();
            (0..times).map(next).collect()
        };
        assert_eq!(tried(3), ["tcp://h1:1", "tcp://h2:1", "tcp://h1:1"]);
        route.moved(Time::ZERO);
        assert_eq!(host(&route), "tcp://h1:1");
        let mut alone = tests::route(1);
        assert!(alone.other().is_none() && !alone.has_other());
    }

    #[test]
    fn what_a_broker_tells_of_comes_behind_our_own_and_is_bounded() {
        let mut route = route(1);
        route.learn(
            endpoints(&["tcp://h0:1", "tcp://a:1", "tcp://*:1", "tcp://b:0"]),
            false,
        );
        assert_eq!(route.endpoints, endpoints(&["tcp://h0:1", "tcp://a:1"]));
        let many: Vec<Endpoint> = (0..99)
            .map(|n| format!("tcp://c{n}:1").parse().unwrap())
            .collect();
        route.learn(many, false);
        assert_eq!(route.endpoints.len(), 1 + LEARNED);
        assert!(!route.endpoints.contains(&endpoints(&["tcp://a:1"])[0]));
        // Passwords in the clear do not leave the machine because somebody says so.
        route.learn(endpoints(&["tcp://far:1", "ipc:///near"]), true);
        assert_eq!(route.endpoints, endpoints(&["tcp://h0:1", "ipc:///near"]));
    }

    #[test]
    fn an_endpoint_whose_connection_is_given_up_has_not_failed() {
        let mut route = route(2);
        for _ in 0..5 {
            route.connected(Time::ZERO);
            assert_eq!(route.renewed(), Duration::ZERO);
        }
        assert_eq!(host(&route), "tcp://h0:1");
    }

    #[test]
    fn an_endpoint_that_refuses_is_tried_again_slowly_but_the_next_one_soon() {
        let slow = Duration::from_secs(1);
        let mut alone = route(1);
        assert!(alone.is_news());
        assert!(alone.refused() > slow);
        assert!(!alone.is_news(), "told already");
        let mut route = route(2);
        assert!(route.refused() < slow);
        assert_eq!(host(&route), "tcp://h1:1");
        assert!(route.refused() > slow);
        assert_eq!(host(&route), "tcp://h0:1");
        // Taken at first and refused then, again and again.
        for _ in 0..3 {
            route.connected(Time::ZERO);
            route.refused();
            route.connected(Time::ZERO);
            assert!(route.refused() > slow);
        }
    }

    #[test]
    fn a_refusal_is_news_once_until_somebody_takes_us_whatever_failed_before() {
        let mut route = route(1);
        for _ in 0..2 {
            route.connected(Time::ZERO);
            route.failed(Time::ZERO);
            assert!(!route.is_news() && route.is_news_of_refusal());
            route.refused();
            assert!(!route.is_news_of_refusal());
        }
    }

    #[test]
    fn a_good_link_resets_the_wait_and_a_brief_one_does_not() {
        let mut route = route(1);
        for _ in 0..6 {
            route.failed(Time::ZERO);
        }
        route.connected(Time::ZERO);
        assert!(
            route.failed(Time::from_millis(10)) > Duration::from_secs(2),
            "it broke at once"
        );
        route.connected(Time::from_millis(20));
        assert!(route.failed(Time::from_millis(5000)) < Duration::from_millis(150));
    }

    #[test]
    fn the_preferred_endpoint_is_tried_again_after_a_good_minute() {
        let mut route = route(2);
        route.connected(Time::ZERO);
        assert_eq!(route.return_at(), None, "this is the preferred one");
        route.failed(Time::ZERO);
        route.failed(Time::ZERO);
        route.connected(Time::from_millis(1000));
        assert_eq!(route.return_at(), Some(Time::from_millis(61_000)));
        route.stayed(Time::from_millis(61_000));
        assert_eq!(route.return_at(), Some(Time::from_millis(121_000)));
        route.moved(Time::from_millis(121_000));
        assert_eq!(host(&route), "tcp://h0:1");
        assert_eq!(route.return_at(), None);
    }
}
