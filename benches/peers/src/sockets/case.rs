//! What is measured.

/// One row group of the table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Case {
    pub shape: Shape,
    pub size: usize,
    /// Receivers, or peers of a ROUTER.
    pub count: usize,
    /// Messages outstanding.
    pub window: usize,
    /// Sealed by CURVE.
    pub curve: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// PUSH to PULL.
    Push,
    /// PUB, dropping what a subscriber does not take, to SUBs in one process.
    Pub,
    /// The same without drops: the publisher waits (XPUB_NODROP).
    PubWait,
    /// REQ to REP, one at a time.
    Req,
    /// DEALER to ROUTER and back.
    Dealer,
    /// ROUTER with many raw peers: idle, then one message outstanding each.
    Router,
    /// Connections to a PULL that end as soon as both sides know each other.
    Handshake,
}

/// Both ends: which role binds, which connects, and on which processor.
pub struct Ends {
    pub binds: &'static str,
    pub connects: &'static str,
    /// The end on processor 0, which does the work that is looked at first; the other is on 1.
    pub first: &'static str,
}

impl Shape {
    pub fn ends(self) -> Ends {
        let (binds, connects, first) = match self {
            Self::Push => ("pull", "push", "push"),
            Self::Pub => ("pub", "sub", "pub"),
            Self::PubWait => ("pubwait", "sub", "pubwait"),
            Self::Req => ("rep", "req", "rep"),
            Self::Dealer => ("router", "dealer", "router"),
            Self::Router => ("router", "crowd", "router"),
            Self::Handshake => ("pull", "knock", "pull"),
        };
        Ends {
            binds,
            connects,
            first,
        }
    }
}

impl Case {
    pub fn all() -> Vec<Self> {
        let case = |shape, size, count, window| Self {
            shape,
            size,
            count,
            window,
            curve: false,
        };
        let sealed = |shape, size, count, window| Self {
            curve: true,
            ..case(shape, size, count, window)
        };
        let mut all = Vec::new();
        for size in [64, 1024, 65_536] {
            all.push(case(Shape::Push, size, 1, 1));
        }
        for shape in [Shape::Pub, Shape::PubWait] {
            for count in [1, 10, 50] {
                for size in [64, 1024, 65_536] {
                    // What waiting changes shows at the small size.
                    if shape == Shape::Pub || size == 64 {
                        all.push(case(shape, size, count, 1));
                    }
                }
            }
        }
        all.push(case(Shape::Req, 64, 1, 1));
        all.push(case(Shape::Dealer, 64, 1, 16));
        all.push(case(Shape::Dealer, 64, 1, 128));
        all.push(case(Shape::Router, 64, 900, 1));
        for size in [64, 1024, 65_536] {
            all.push(sealed(Shape::Push, size, 1, 1));
        }
        all.push(sealed(Shape::Dealer, 64, 1, 16));
        all.push(sealed(Shape::Dealer, 64, 1, 128));
        all.push(sealed(Shape::Handshake, 0, 16, 1));
        all
    }

    /// The name to ask for it by; its family goes by the first words of it.
    pub fn name(&self) -> String {
        let size = match self.size {
            size if size % 1024 == 0 => format!("{}k", size / 1024),
            size => size.to_string(),
        };
        let name = match self.shape {
            Shape::Push => format!("push-{size}"),
            Shape::Pub => format!("pub-{size}-{}", self.count),
            Shape::PubWait => format!("pubwait-{size}-{}", self.count),
            Shape::Req => format!("req-{size}"),
            Shape::Dealer => format!("dealer-{size}-w{}", self.window),
            Shape::Router => format!("router-{size}-{}", self.count),
            Shape::Handshake => "handshake".to_owned(),
        };
        match self.curve {
            true => format!("curve-{name}"),
            false => name,
        }
    }
}
