//! What outboard wants to reach, as ratios within one run.

use super::figures::Figure;
use super::proc::Placement::{Free, OneCore};
use super::results::Results;

/// One goal of one transport.
#[derive(Clone, Debug)]
pub struct Target {
    /// What is compared.
    pub figure: Figure,
    /// `h2`, `stdio` or `netrpc`; or the beginning of another subject's name.
    pub whose: &'static str,
    /// The subject it is divided by; the plain value without.
    pub to: Option<&'static str>,
    /// How it must compare.
    pub bound: Bound,
}

/// A bound on a ratio or a value.
#[derive(Clone, Copy, Debug)]
pub enum Bound {
    /// No more than this.
    Most(f64),
    /// No less than this.
    Least(f64),
    /// Not above the value of `to`, on the same runtime, by more than this.
    Above(f64),
}

/// The goal, what came of it, and whether it is reached.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The subject.
    pub subject: String,
    /// The ratio or value.
    pub value: f64,
    /// Whether it is within the bound.
    pub reached: bool,
}

const GO: Option<&str> = Some("go-plugin");
const TONIC: Option<&str> = Some("tonic");
/// What `h2+tls` is without.
const CLEAR: Option<&str> = Some("h2");
const GO_TLS: Option<&str> = Some("go-plugin+tls");
const GO_RPC: Option<&str> = Some("go net/rpc");
const GO_ONE: Option<&str> = Some("go-plugin+multiplex");
const GO_ONE_TLS: Option<&str> = Some("go-plugin+multiplex+tls");

/// What a value may miss its bound by: less than the report shows. A counter that ticks for something
/// else once in a thousand calls is no miss.
const SLACK: f64 = 0.005;

/// When the resident set is looked at of programs that were built with the profile `small`.
pub(super) const IDLE_SMALL: &str = "idle, profile small";

/// Whether the name is `whose` or begins with it as a whole.
fn is_of(name: &str, whose: &str) -> bool {
    let rest = name.strip_prefix(whose);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', ',']))
}

/// All goals.
#[must_use]
pub fn all() -> Vec<Target> {
    use Bound::{Above, Least, Most};
    let syscalls = || Figure::per_call("system calls, both sides", "");
    let load = |size, placement| Figure::load(size, 64, placement);
    let idle = |side| Figure::resident(side, "idle");
    let small = |side| Figure::resident(side, IDLE_SMALL);
    let busy = |side| Figure::resident(side, "at most under 64 x 64 KiB");
    let rows = [
        (Figure::unary("p50", OneCore), "h2", GO, Most(0.40)),
        (Figure::unary("p50", OneCore), "h2", TONIC, Most(0.75)),
        (Figure::unary("p50", OneCore), "stdio", GO, Most(0.17)),
        (Figure::unary("p99", OneCore), "h2", GO, Most(0.25)),
        (Figure::unary("p99", OneCore), "stdio", GO, Most(0.12)),
        (syscalls(), "h2", None, Most(8.0)),
        (syscalls(), "stdio", None, Most(6.0)),
        (load(16, OneCore), "h2", GO, Least(2.5)),
        (load(16, OneCore), "h2", TONIC, Least(1.5)),
        (load(16, OneCore), "stdio", GO, Least(6.0)),
        (load(64 << 10, Free), "h2", GO, Least(4.0)),
        (load(64 << 10, Free), "h2", TONIC, Least(1.2)),
        (load(64 << 10, Free), "stdio", GO, Least(5.0)),
        (Figure::dispense("p50", Free), "h2", GO, Most(0.38)),
        (Figure::dispense("p50", Free), "stdio", GO, Most(0.35)),
        (Figure::dispense("p50", Free), "tokio host", GO, Most(0.90)),
        (Figure::dispense("p50", Free), "smol host", GO, Most(0.90)),
        (Figure::shutdown(Free), "h2", GO, Most(0.5)),
        (Figure::shutdown(Free), "stdio", GO, Most(0.5)),
        (Figure::dispense("p50", Free), "h2+tls", GO_TLS, Most(0.20)),
        (Figure::dispense("p50", Free), "h2+tls", CLEAR, Above(1.5)),
        (Figure::unary("p50", OneCore), "h2+tls", GO_TLS, Most(0.45)),
        (load(16, OneCore), "h2+tls", GO_TLS, Least(2.5)),
        (load(64 << 10, Free), "h2+tls", GO_TLS, Least(3.0)),
        (
            Figure::dial("p50", OneCore),
            "h2+streams",
            GO_ONE,
            Most(0.5),
        ),
        (
            Figure::dial("p50", OneCore),
            "h2+tls+streams",
            GO_ONE_TLS,
            Most(0.5),
        ),
        (load(64 << 10, Free), "h2+streams", GO_ONE, Least(2.0)),
        (
            load(64 << 10, Free),
            "h2+tls+streams",
            GO_ONE_TLS,
            Least(2.0),
        ),
        (
            Figure::stream("to the plugin", Free),
            "h2+streams",
            GO_ONE,
            Least(2.0),
        ),
        (
            Figure::stream("to the host", Free),
            "h2+streams",
            GO_ONE,
            Least(2.0),
        ),
        (Figure::unary("p50", OneCore), "netrpc", GO_RPC, Most(0.45)),
        (load(16, OneCore), "netrpc", GO_RPC, Least(4.0)),
        (load(64 << 10, Free), "netrpc", GO_RPC, Least(3.0)),
        (Figure::dispense("p50", Free), "netrpc", GO_RPC, Most(0.40)),
        (idle("host"), "h2", None, Most(4.5)),
        (idle("plugin"), "h2", None, Most(4.5)),
        (idle("host"), "stdio", None, Most(3.0)),
        (idle("plugin"), "stdio", None, Most(3.0)),
        (small("host"), "stdio", None, Most(3.0)),
        (small("plugin"), "stdio", None, Most(3.0)),
        (busy("host"), "h2", None, Most(16.0)),
        (busy("plugin"), "h2", None, Most(16.0)),
        (busy("host"), "stdio", None, Most(10.0)),
        (busy("plugin"), "stdio", None, Most(10.0)),
    ];
    let make = |(figure, whose, to, bound)| Target {
        figure,
        whose,
        to,
        bound,
    };
    rows.map(make).into()
}

impl Target {
    /// What came of it, for each subject it is about.
    #[must_use]
    pub fn judge(&self, results: &Results) -> Vec<Verdict> {
        let subjects = results.subjects(std::slice::from_ref(&self.figure));
        let own = subjects.into_iter().filter(|name| is_of(name, self.whose));
        own.filter_map(|subject| {
            let value = match (self.bound, self.to) {
                (Bound::Above(_), Some(to)) => {
                    let runtime = subject.strip_prefix(self.whose)?;
                    results.difference(&self.figure, &subject, &format!("{to}{runtime}"))?
                }
                (_, Some(to)) => results.ratio(&self.figure, &subject, to)?,
                (_, None) => results.value(&self.figure, &subject)?,
            };
            let reached = match self.bound {
                Bound::Most(most) | Bound::Above(most) => value <= most * (1.0 + SLACK),
                Bound::Least(least) => value >= least * (1.0 - SLACK),
            };
            Some(Verdict {
                subject,
                value,
                reached,
            })
        })
        .collect()
    }
}

/// The most that smol may cost, as a multiple of tokio.
pub const SMOL_TO_TOKIO: f64 = 1.3;
