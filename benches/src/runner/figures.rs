//! The names of what is measured.

use super::proc::Placement;

/// Something that is measured, with its unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure {
    /// The part of the report.
    pub section: &'static str,
    /// What it is, unique in its section.
    pub name: String,
    /// The unit of its values.
    pub unit: &'static str,
}

impl Figure {
    /// A figure.
    pub fn new(section: &'static str, name: impl Into<String>, unit: &'static str) -> Self {
        Self {
            section,
            name: name.into(),
            unit,
        }
    }

    /// A quantile of the time from launch to first reply.
    #[must_use]
    pub fn dispense(quantile: &str, placement: Placement) -> Self {
        let name = format!("launch to first reply, {quantile}, {}", placement.name());
        Self::new("dispense", name, "ms")
    }

    /// A phase of that time.
    #[must_use]
    pub fn phase(name: &str, placement: Placement) -> Self {
        Self::new(
            "dispense",
            format!("of it {name}, {}", placement.name()),
            "ms",
        )
    }

    /// The time from asking for the end to the end of the process.
    #[must_use]
    pub fn shutdown(placement: Placement) -> Self {
        let name = format!("shutdown, p50, {}", placement.name());
        Self::new("dispense", name, "ms")
    }

    /// A quantile of the duration of calls made one after the other.
    #[must_use]
    pub fn unary(quantile: &str, placement: Placement) -> Self {
        let name = format!("16 B, {quantile}, {}", placement.name());
        Self::new("unary", name, "us")
    }

    /// Something counted per such call, on one core.
    #[must_use]
    pub fn per_call(what: &str, unit: &'static str) -> Self {
        Self::new("unary", format!("{what} per call, one core"), unit)
    }

    /// A quantile of the time from dialling what the plugin serves over the broker to the first reply.
    #[must_use]
    pub fn dial(quantile: &str, placement: Placement) -> Self {
        let name = format!("dial to first reply, {quantile}, {}", placement.name());
        Self::new("broker", name, "us")
    }

    /// Calls per second with many callers.
    #[must_use]
    pub fn load(size: usize, callers: usize, placement: Placement) -> Self {
        let name = format!("{}, {callers} callers, {}", bytes(size), placement.name());
        Self::new("throughput", name, "k calls/s")
    }

    /// The bytes per second of one stream.
    #[must_use]
    pub fn stream(direction: &str, placement: Placement) -> Self {
        let name = format!("stream {direction}, 64 KiB pieces, {}", placement.name());
        Self::new("throughput", name, "MB/s")
    }

    /// Calls per second with so many callers, to see how cost grows.
    #[must_use]
    pub fn callers(count: usize) -> Self {
        Self::new(
            "callers",
            format!("16 B, {count} callers, one core"),
            "k calls/s",
        )
    }

    /// Something of a host with so many plugins.
    #[must_use]
    pub fn plugins(what: &str, count: usize, unit: &'static str) -> Self {
        Self::new("plugins", format!("{what}, {count} plugins"), unit)
    }

    /// The resident set of one side.
    #[must_use]
    pub fn resident(side: &str, when: &str) -> Self {
        Self::new("memory", format!("resident {when}, {side}"), "MB")
    }

    /// The size of a plugin's program.
    #[must_use]
    pub fn binary() -> Self {
        Self::new("memory", "plugin binary, stripped", "MB")
    }
}

/// A number of bytes for people.
#[must_use]
pub fn bytes(count: usize) -> String {
    match count {
        0..1024 => format!("{count} B"),
        _ => format!("{} KiB", count / 1024),
    }
}
