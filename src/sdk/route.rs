//! Which of several endpoints to use: the first is preferred, one at a time.

use std::time::Duration;

use crate::net::Backoff;
use crate::time::Time;
use crate::wire::Endpoint;

/// Decides where to connect next and when. Pure: time and outcomes in, decisions out.
#[derive(Debug)]
pub(super) struct Route {
    endpoints: Vec<Endpoint>,
    current: usize,
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
            endpoints,
            current: 0,
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
        self.connected = Some(now);
        self.known = 0;
        self.refusals = 0;
    }

    /// The connection was given up for a new one to the same endpoint: how long to wait.
    pub(super) fn renewed(&mut self) -> Duration {
        self.connected = None;
        Duration::ZERO
    }

    /// The preferred endpoint answers again, and is used from here.
    pub(super) fn returned(&mut self, now: Time) {
        self.current = 0;
        self.failures = 0;
        self.connected(now);
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
        route.returned(Time::from_millis(121_000));
        assert_eq!(host(&route), "tcp://h0:1");
        assert_eq!(route.return_at(), None);
    }
}
