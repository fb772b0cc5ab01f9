//! How a service is run: as the worker announced that offered it first, or as an operator says.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Broker, Fact, PeerId, Right};
use crate::protocol::{Answer, Ask, Name, Offer, Policy, Status, some_time};

/// What somebody says of a service; what is `None` is left to others.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Setting {
    policy: Option<Policy>,
    ttl: Option<Duration>,
}

impl Setting {
    /// This, and where it says nothing, the other.
    fn or(self, other: Self) -> Self {
        Self {
            policy: self.policy.or(other.policy),
            ttl: self.ttl.or(other.ttl),
        }
    }

    /// `policy=least`; a value of `-` takes back what was said.
    fn read(&mut self, field: &[u8]) -> Result<(), String> {
        let text = String::from_utf8_lossy(field);
        let told = |why: String| format!("{} {why}", text.escape_debug());
        let Some((key, value)) = text.split_once('=') else {
            return Err(told("is no setting: write it like policy=least".to_owned()));
        };
        let given = (value != "-").then_some(value);
        match key {
            "policy" => {
                let policy = given.map(str::parse).transpose();
                self.policy =
                    policy.map_err(|error: crate::protocol::NoPolicy| told(error.to_string()))?;
            }
            "ttl" => self.ttl = given.map(some_time).transpose().map_err(told)?,
            _ => return Err(told("is no setting: there are policy and ttl".to_owned())),
        }
        Ok(())
    }
}

/// What operators said, by service, whether somebody offers it or not.
pub(super) type Settings = BTreeMap<Name, Setting>;

impl Broker {
    /// `s0.set`: the body is a service and at least one setting, a part each.
    pub(super) fn set(&mut self, id: PeerId, ask: Ask) {
        if !self.may_change(id, &ask.service) {
            return self.forbid(id, Right::Administer, ask);
        }
        let Ask {
            back,
            service,
            body,
            ..
        } = ask;
        let answer = match self.read_settings(&body) {
            Ok((name, setting)) => self.override_setting(name, setting),
            Err(text) => refusal(Status::MALFORMED, text),
        };
        if let Answer::Error { status, .. } = &answer {
            self.failed(&service, *status);
        }
        self.reach(id, back, service, answer);
    }

    fn read_settings(&self, body: &crate::wire::Message) -> Result<(Name, Setting), String> {
        let mut parts = body.parts();
        let name =
            Name::majordomo(parts.next().unwrap_or_default()).map_err(|error| error.to_string())?;
        if name.is_reserved() {
            return Err(format!("service {name} is the broker's own"));
        }
        let mut setting = self.overrides.get(&name).copied().unwrap_or_default();
        let mut said = 0;
        for field in parts {
            setting.read(field)?;
            said += 1;
        }
        if said == 0 {
            return Err("nothing to set: write it like policy=least".to_owned());
        }
        Ok((name, setting))
    }

    fn override_setting(&mut self, name: Name, setting: Setting) -> Answer {
        let limit = self.config.limits.services;
        if setting == Setting::default() {
            self.overrides.remove(&name);
        } else if self.overrides.len() >= limit && !self.overrides.contains_key(&name) {
            let text = format!("{limit} services are set already, which is the limit");
            return refusal(Status::TOO_LARGE, text);
        } else {
            self.overrides.insert(name.clone(), setting);
        }
        let mut holds = setting;
        let mut policy = holds.policy.unwrap_or_default();
        let known = [
            self.services.find(&name),
            self.services.find_wildcard(&name),
        ];
        for number in known.into_iter().flatten() {
            self.adopt(number);
            if let Some(found) = self.services.get(number) {
                holds = setting.or(found.announced);
                policy = found.choice.policy;
            }
        }
        self.note(Fact::ServiceSet {
            service: name,
            policy,
        });
        let ttl = holds.ttl.unwrap_or(self.config.default_ttl);
        // Words and numbers only: nothing in it needs to be escaped.
        let json = format!("{{\"policy\":\"{policy}\",\"ttl_ms\":{}}}", ttl.as_millis());
        Answer::Reply {
            code: Status::OK.code(),
            partial: false,
            ms: 0,
            properties: bytes::Bytes::new(),
            body: super::text_body(&json),
        }
    }

    /// A worker offers a service: if it is the first to do so, its word counts, and later ones of
    /// it until it leaves.
    pub(super) fn hear_offer(&mut self, number: u32, id: PeerId, offer: &Offer, first: bool) {
        let Some(service) = self.services.get_mut(number) else {
            return;
        };
        if !first && service.announcer != Some(id) {
            return;
        }
        let said = Setting {
            policy: offer.policy,
            ttl: offer.ttl,
        };
        (service.announced, service.announcer) = (said, Some(id));
        self.adopt(number);
    }

    /// Runs a service as it is to be run by all that was said.
    pub(super) fn adopt(&mut self, number: u32) {
        let Some(service) = self.services.get_mut(number) else {
            return;
        };
        let set = self.overrides.get(&service.name).copied();
        let holds = set.unwrap_or_default().or(service.announced);
        service.ttl = holds.ttl;
        // Who states weights means them.
        let unsaid = match service.weighted {
            0 => Policy::default(),
            _ => Policy::Weighted,
        };
        self.set_policy(number, holds.policy.unwrap_or(unsaid));
    }
}

fn refusal(status: Status, text: String) -> Answer {
    Answer::Error {
        status,
        not_executed: true,
        retry_after: Duration::ZERO,
        text,
    }
}
