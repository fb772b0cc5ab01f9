//! Who takes part, and what workers offer.

use crate::dice::Dice;
use crate::offer::Offer;
use crate::plan::{Appetite, Cast, Line, Mood, Stated};
use crate::speech::{Caps, Tongue};

pub(crate) fn cast(dice: &mut Dice) -> Vec<Cast> {
    let clients = dice.between(1, 6);
    let workers = dice.between(1, 6);
    let services = dice.between(1, SERVICES.len() as u64);
    let mut cast = Vec::new();
    for _ in 0..clients {
        // A proxy may stand for many.
        let tongue = *dice.pick(&CLIENTS);
        let both = tongue == Tongue::S0 && dice.percent(20);
        let hands = both.then(|| hands(dice, tongue, services));
        cast.push(member(dice, tongue, hands));
    }
    for _ in 0..workers {
        let tongue = *dice.pick(&WORKERS);
        let hands = hands(dice, tongue, services);
        cast.push(member(dice, tongue, Some(hands)));
    }
    cast
}

fn member(dice: &mut Dice, tongue: Tongue, hands: Option<Stated>) -> Cast {
    let slow = dice.percent(15);
    Cast {
        tongue,
        hands,
        line: Line {
            latency_us: dice.between(50, if slow { 80_000 } else { 3_000 }),
            jitter_us: dice.between(1, if slow { 60_000 } else { 2_000 }),
            slowness: if slow { dice.between(1, 200) } else { 0 },
            window: if slow { 300 } else { 2_000 },
        },
        mood: *dice.pick(&[
            Mood::Prompt,
            Mood::Prompt,
            Mood::Human,
            Mood::Human,
            Mood::Human,
            Mood::Late,
            Mood::Never,
            Mood::Sick,
            Mood::Unwilling,
            Mood::Talkative,
            Mood::Talkative,
        ]),
        appetite: match dice.below(10) {
            0..5 => Appetite::Boundless,
            5..9 => Appetite::Counting(*dice.pick(&[1, 20, 400, 2_000])),
            _ => Appetite::Sated,
        },
    }
}

pub(crate) fn hands(dice: &mut Dice, tongue: Tongue, services: u64) -> Stated {
    if !tongue.is_s0() {
        // Majordomo: one service, one task, idempotent by its RFC.
        return Stated {
            offers: vec![Offer::plain(service(dice, services), true)],
            capacity: 1,
            promise_ms: 0,
            caps: Caps::default(),
        };
    }
    let mut offers: Vec<Offer> = Vec::new();
    for _ in 0..dice.between(1, 3) {
        let name = match dice.below(100) {
            0..10 => (*dice.pick(&VERSIONS)).to_owned(),
            10..20 => (*dice.pick(&WILDCARDS)).to_owned(),
            _ => service(dice, services),
        };
        if offers.iter().all(|known| known.name != name) {
            offers.push(Offer::any(name, dice));
        }
    }
    Stated {
        offers,
        capacity: *dice.pick(&[1, 1, 2, 3, 5, 20]),
        promise_ms: *dice.pick(&[0, 0, 300, 1_000, 2_500]),
        caps: Caps {
            deep: dice.percent(15),
            credit: dice.percent(50),
        },
    }
}

fn service(dice: &mut Dice, services: u64) -> String {
    // The first ones more often, so that peers have to do with each other.
    let n = dice.below(services).min(dice.below(services));
    SERVICES[n as usize].to_owned()
}

const CLIENTS: [Tongue; 15] = [
    Tongue::S0,
    Tongue::S0,
    Tongue::S0,
    Tongue::S0,
    Tongue::S0Req,
    Tongue::S0Proxy,
    Tongue::S0Proxy,
    Tongue::Mdp01,
    Tongue::Mdp01Proxy,
    Tongue::Mdp02,
    Tongue::Delimited,
    Tongue::DelimitedProxy,
    Tongue::Majortomo,
    Tongue::MajortomoProxy,
    Tongue::Zproto,
];

const WORKERS: [Tongue; 9] = [
    Tongue::S0,
    Tongue::S0,
    Tongue::S0,
    Tongue::S0,
    Tongue::S0,
    Tongue::Mdp01,
    Tongue::Mdp02,
    Tongue::Delimited,
    Tongue::Zproto,
];

pub(crate) const SERVICES: [&str; 6] = [
    "resize",
    "echo",
    "image.cut",
    "image.turn",
    "sum",
    "a.rather.long.name.of.a.service",
];
/// What else is offered and asked for.
pub(crate) const VERSIONS: [&str; 3] = ["echo@1", "echo@2", "image.cut@1"];
const WILDCARDS: [&str; 5] = ["image.*", "image.>", "*.cut", "nobody.>", ">"];
