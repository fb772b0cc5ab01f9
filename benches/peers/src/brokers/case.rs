//! What brokers are asked to do.

use super::who::Who;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Case {
    pub name: &'static str,
    pub clients: u16,
    /// Tasks that each client has outstanding.
    pub window: u16,
    pub workers: usize,
    /// Tasks that each worker takes at once, where there is such a thing.
    pub capacity: u16,
    pub size: usize,
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// As many tasks as there are answers.
    Flow,
    /// The same sealed by CURVE.
    Curve,
    /// At 70 % of what the broker did just before, asked by the clock.
    Paced,
    /// Connections that do nothing, for their memory.
    Memory,
}

/// The share of its own maximum at which a broker's latency is taken.
pub const PACE: f64 = 0.7;
pub const CONNECTIONS: usize = 10_000;

impl Case {
    pub fn all() -> Vec<Self> {
        let case = |name, clients, window, workers, size| Self {
            name,
            clients,
            window,
            workers,
            capacity: 1,
            size,
            kind: Kind::Flow,
        };
        let deep = |name, workers, capacity| Self {
            capacity,
            ..case(name, 4, 128, workers, 64)
        };
        vec![
            case("lock64", 1, 1, 16, 64),
            case("pipe16", 1, 16, 16, 64),
            case("pipe64", 1, 64, 64, 64),
            case("pipe512", 4, 128, 64, 64),
            deep("cap512", 64, 8),
            deep("capfew", 4, 128),
            case("conc64", 64, 1, 16, 64),
            case("conc1000", 1000, 1, 64, 64),
            case("w1000", 1, 64, 1000, 64),
            case("1k", 1, 16, 16, 1 << 10),
            case("64k", 1, 16, 16, 64 << 10),
            case("1m", 1, 4, 8, 1 << 20),
            Self {
                kind: Kind::Curve,
                ..deep("curve512", 64, 8)
            },
            Self {
                kind: Kind::Paced,
                ..case("paced", 4, 128, 64, 64)
            },
            Self {
                kind: Kind::Memory,
                ..case("memory", 0, 0, 0, 64)
            },
        ]
    }

    /// Who it is for.
    pub fn suits(&self, who: Who) -> bool {
        match self.kind {
            _ if who == Who::Scale0Spin => self.name == "lock64",
            Kind::Curve => who.has_curve(),
            // It keeps nothing of anybody.
            Kind::Memory => who != Who::Relay,
            _ => self.capacity == 1 || who.has_capacity(),
        }
    }

    /// Measured so many times as often as others: what is mostly waking up changes with the
    /// machine's mood, which lasts for seconds.
    pub fn often(&self) -> usize {
        match self.name {
            "lock64" | "paced" => 3,
            _ => 1,
        }
    }

    /// Rates and times are told of it.
    pub fn flows(&self) -> bool {
        matches!(self.kind, Kind::Flow | Kind::Curve)
    }

    /// For people.
    pub fn title(&self) -> String {
        let size = match self.size {
            size if size >= 1 << 20 => format!("{} MiB", size >> 20),
            size if size >= 1 << 10 => format!("{} KiB", size >> 10),
            size => format!("{size} B"),
        };
        let (clients, s) = (self.clients, if self.clients == 1 { "" } else { "s" });
        let workers = self.workers;
        let mut title = format!("{clients} client{s} × {}, {workers} workers", self.window);
        if self.capacity > 1 {
            title += &format!(" × {}", self.capacity);
        }
        title += &format!(", {size}");
        match self.kind {
            Kind::Flow => title,
            Kind::Curve => title + ", CURVE",
            Kind::Paced => format!("{title}, at 70 % of the broker's own maximum"),
            Kind::Memory => format!("{CONNECTIONS} idle connections"),
        }
    }
}
