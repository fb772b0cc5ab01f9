//! What befalls them, and when.

use std::time::Duration;

use scale0::time::Time;

use crate::cast::{SERVICES, VERSIONS, hands};
use crate::dice::Dice;
use crate::offer::Policy;
use crate::plan::{Cast, Happening, Mood, What, Wish};
use crate::speech::{Tongue, Wants};

/// All that happens, in its order.
pub(crate) fn script(dice: Dice, cast: &[Cast], end: Time) -> Vec<Happening> {
    let mut writer = Writer {
        dice,
        cast,
        end,
        serial: 0,
        script: Vec::new(),
    };
    writer.write();
    let mut script = writer.script;
    script.sort_by_key(|happening| happening.at);
    script
}

struct Writer<'a> {
    dice: Dice,
    cast: &'a [Cast],
    end: Time,
    serial: u64,
    script: Vec<Happening>,
}

impl Writer<'_> {
    fn write(&mut self) {
        for peer in 0..self.cast.len() {
            let early = self.dice.percent(70);
            let most = if early {
                20
            } else {
                self.end.as_micros() / 2_000
            };
            let at = Time::from_millis(self.dice.below(most));
            self.put(at, What::Join(peer));
        }
        let clients: Vec<usize> = (0..self.cast.len())
            .filter(|peer| {
                let cast = &self.cast[*peer];
                cast.hands.is_none() || (cast.tongue == Tongue::S0 && *peer < 6)
            })
            .collect();
        let asks = self.dice.between(5, 60);
        for _ in 0..asks {
            let peer = *self.dice.pick(&clients);
            let at = self.moment();
            let burst = match self.dice.below(100) {
                0..3 => self.dice.between(5, 40),
                3..15 => self.dice.between(2, 5),
                _ => 1,
            };
            for n in 0..burst {
                self.ask(at + Duration::from_micros(n), peer);
            }
        }
        let trouble = self.dice.below(40);
        for _ in 0..trouble {
            let at = self.moment();
            let peer = self.dice.below(self.cast.len() as u64) as usize;
            let orders = self.cast[peer].tongue == Tongue::S0 && self.dice.percent(25);
            if orders {
                self.order(at, peer);
            } else {
                let what = self.trouble(peer);
                self.put(at, what);
            }
        }
    }

    fn moment(&mut self) -> Time {
        // Things like to happen together.
        let span = self.end.as_micros();
        let at = self.dice.below(span);
        if self.dice.percent(40) {
            let beat = span / 8 + 1;
            Time::from_micros(at / beat * beat + self.dice.below(3_000))
        } else {
            Time::from_micros(at)
        }
    }

    fn put(&mut self, at: Time, what: What) {
        self.script.push(Happening { at, what });
    }

    fn ask(&mut self, at: Time, peer: usize) {
        let cast = &self.cast[peer];
        let tongue = cast.tongue;
        self.serial += 1;
        let serial = self.serial;
        let dice = &mut self.dice;
        let repeat = dice.percent(10);
        let unnumbered = dice.percent(20);
        let (id, via) = match tongue {
            // Ids are few now and then, so that they meet.
            Tongue::S0 if repeat => (dice.between(1, 3), 0),
            Tongue::S0 | Tongue::S0Req => (1_000 + serial, 0),
            Tongue::S0Proxy if unnumbered => (0, 10_000 + serial as u32),
            Tongue::S0Proxy if repeat => (dice.between(1, 2), dice.between(1, 3) as u32),
            Tongue::S0Proxy => (1_000 + serial, dice.between(1, 3) as u32),
            proxied if proxied.proxied() => (0, 10_000 + serial as u32),
            _ => (0, 0),
        };
        let nobodys = dice.percent(5);
        let service = if nobodys {
            let own = ["mmi.service", "mmi.service", "s0.info", "s0.nothing"];
            match dice.below(8) {
                n @ 0..4 => format!("nobody.{n}"),
                n => own[n as usize - 4].to_owned(),
            }
        } else if tongue.is_s0() && dice.percent(6) {
            (*dice.pick(&VERSIONS)).to_owned()
        } else {
            let n = dice
                .below(SERVICES.len() as u64)
                .min(dice.below(SERVICES.len() as u64))
                .min(dice.below(SERVICES.len() as u64));
            SERVICES[n as usize].to_owned()
        };
        let ours = tongue.is_s0();
        let wants = match dice.below(100) {
            // A REQ socket would wait for ever.
            _ if !ours || tongue == Tongue::S0Req || service.starts_with("s0.") => Wants::Answer,
            _ if service.starts_with("mmi.") => Wants::Answer,
            0..9 => Wants::Receipt,
            9..15 => Wants::Nothing,
            _ => Wants::Answer,
        };
        let wish = Wish {
            serial,
            peer,
            service,
            id,
            via,
            ttl_ms: if ours {
                *dice.pick(&[0, 0, 0, 30, 200, 1_000, 4_000, 30_000])
            } else {
                0
            },
            idempotent: ours && dice.percent(40),
            priority: if ours && dice.percent(20) {
                dice.between(1, 7) as u8
            } else {
                4
            },
            bytes: match dice.below(20) {
                0 => dice.between(500, 3_000) as usize,
                1..6 => dice.between(20, 300) as usize,
                _ => dice.below(20) as usize,
            },
            wants,
            key: (ours && dice.percent(50)).then(|| dice.below(4)),
            order: None,
        };
        if ours && id != 0 && dice.percent(12) {
            let later = Duration::from_micros(dice.below(400_000));
            self.put(at + later, What::Cancel(serial));
        }
        self.put(at, What::Ask(wish));
    }

    /// An operator's word.
    fn order(&mut self, at: Time, peer: usize) {
        self.serial += 1;
        let dice = &mut self.dice;
        let (at, what) = match dice.below(10) {
            0..6 => {
                let mut wish = Wish::own(self.serial, peer, "s0.set");
                let n = dice.below(3);
                let policy = dice.percent(80).then(|| *dice.pick(&Policy::ALL));
                wish.order = Some((SERVICES[n as usize].to_owned(), policy));
                (at, What::Ask(wish))
            }
            6..8 => (at, What::NeedBroker(peer)),
            _ => {
                let wish = Wish::own(self.serial, peer, "s0.drain");
                // There is more to it while somebody waits for something.
                let asked = self.dice.pick(&self.script).at;
                let at = asked + Duration::from_micros(self.dice.between(500, 30_000));
                if self.dice.percent(80) {
                    self.serial += 1;
                    let later = Duration::from_micros(self.dice.below(600_000));
                    let call_off = Wish::own(self.serial, peer, "s0.undrain");
                    self.put(at + later, What::Ask(call_off));
                }
                (at, What::Ask(wish))
            }
        };
        self.put(at, what);
    }

    fn trouble(&mut self, peer: usize) -> What {
        let cast = &self.cast[peer];
        let (tongue, works) = (cast.tongue, cast.hands.is_some());
        let s0 = tongue == Tongue::S0;
        let dice = &mut self.dice;
        match dice.below(100) {
            0..14 if works && s0 => What::Announce(peer, {
                let mut stated = hands(dice, tongue, SERVICES.len() as u64);
                match dice.below(5) {
                    0 => stated.offers.clear(),
                    1 => stated.capacity = 0,
                    _ => {}
                }
                stated
            }),
            14..20 if works && s0 => What::Capacity(peer, dice.below(5) as u16),
            20..23 if works && s0 => What::AnnounceBadly(peer),
            0..8 if s0 => What::Ping(peer),
            23..29 if works => What::Bye(peer),
            29..42 => What::Cut(peer),
            42..52 => What::Crash(peer),
            52..58 => What::Vanish(peer),
            58..70 => What::Freeze(peer, *dice.pick(&[50, 400, 3_000, 9_000])),
            70..82 if works => What::Mood(
                peer,
                *dice.pick(&[
                    Mood::Prompt,
                    Mood::Human,
                    Mood::Late,
                    Mood::Never,
                    Mood::Sick,
                    Mood::Unwilling,
                    Mood::Talkative,
                ]),
            ),
            82..90 if works => What::Forge(peer, dice.below(40)),
            90..94 => What::Garbage(peer),
            94..97 => What::Restart,
            97..100 => What::Drain(*dice.pick(&[0, 300, 3_000])),
            _ => What::Cut(peer),
        }
    }
}
