//! What is done, in which order. Within a round the subjects take turns at every step, so that what
//! changes on the machine from minute to minute touches all alike.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::Failure;
use crate::codec;
use crate::orders::Order;

use super::counters::Counters;
use super::figures::Figure;
use super::proc::{Placement, Usage, forget_peak, status_kib};
use super::programs::Programs;
use super::results::Results;
use super::session::{Session, number};
use super::stats::{histogram, median};
use super::subject::Subject;

/// The parts of a run.
pub const SECTIONS: [&str; 7] = [
    "dispense",
    "unary",
    "throughput",
    "callers",
    "plugins",
    "memory",
    "codec",
];

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Amounts {
    /// How often all is repeated.
    pub rounds: usize,
    /// Launches per subject, placement and round.
    pub launches: usize,
    /// Sequential calls per subject, placement and round.
    pub calls: usize,
    /// Calls before the first that counts.
    pub warm_up: usize,
    /// How long many callers are kept busy, in milliseconds.
    pub millis: usize,
    /// Bytes of one stream.
    pub stream: usize,
    /// The numbers of plugins under one host.
    pub plugins: &'static [usize],
}

impl Amounts {
    /// What the figures of the documentation are made with.
    pub const FULL: Self = Self {
        rounds: 5,
        launches: 40,
        calls: 20_000,
        warm_up: 2_000,
        millis: 2_000,
        stream: 512 << 20,
        plugins: &[1, 10, 100],
    };
    /// To see whether a change did anything.
    pub const QUICK: Self = Self {
        rounds: 2,
        launches: 8,
        calls: 4_000,
        warm_up: 500,
        millis: 200,
        stream: 32 << 20,
        plugins: &[1, 10],
    };
    /// To see that the instrument works.
    pub const TINY: Self = Self {
        rounds: 1,
        launches: 1,
        calls: 50,
        warm_up: 1,
        millis: 10,
        stream: 1 << 20,
        plugins: &[2],
    };
}

/// A run.
#[derive(Debug)]
pub struct Plan {
    /// What is measured.
    pub subjects: Vec<Subject>,
    /// Which of [`SECTIONS`].
    pub sections: Vec<String>,
    /// How much.
    pub amounts: Amounts,
    /// Where the programs are.
    pub programs: Programs,
    /// What can be counted.
    pub counters: Counters,
    /// For files in between.
    pub scratch: PathBuf,
    /// Whether to measure memory with programs that have nothing in them but one runtime and one
    /// transport, which are built for that.
    pub alone: bool,
    /// Says what is going on.
    pub progress: fn(&str),
}

/// System calls by name: subject, side, and calls of each name per call.
pub type Names = Vec<(String, &'static str, Vec<(String, f64)>)>;

/// What a run gives.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The figures.
    pub results: Results,
    /// The system calls of a unary call.
    pub names: Names,
}

const PLACEMENTS: [Placement; 2] = [Placement::OneCore, Placement::Free];

/// Bytes of the payload of calls whose latency is measured.
const SMALL: usize = 16;
/// Bytes of the payload of calls whose memory is measured, and of the messages of streams.
const LARGE: usize = 64 << 10;
/// The many callers of the headline figures.
const CALLERS: usize = 64;

impl Plan {
    /// Carries it out.
    ///
    /// # Errors
    /// The first thing that goes wrong ends the run.
    pub fn run(&self) -> Result<Outcome, Failure> {
        // Programs of an earlier run may be of earlier sources.
        let _old = std::fs::remove_dir_all(self.scratch.join("alone"));
        std::fs::create_dir_all(&self.scratch)?;
        let mut outcome = Outcome::default();
        let wanted = |name: &str| self.sections.iter().any(|section| section == name);
        for round in 0..self.amounts.rounds {
            if wanted("dispense") {
                self.each(round, "dispense", |s, p| {
                    self.dispense(s, p, round, &mut outcome)
                })?;
            }
            if wanted("unary") {
                self.each(round, "unary", |s, p| self.unary(s, p, round, &mut outcome))?;
            }
            if wanted("throughput") {
                self.each(round, "throughput", |s, p| {
                    self.throughput(s, p, round, &mut outcome)
                })?;
            }
            for subject in &self.subjects {
                if wanted("callers") {
                    self.callers(*subject, round, &mut outcome)?;
                }
                if wanted("plugins") {
                    self.plugins(*subject, round, &mut outcome)?;
                }
                if wanted("memory") {
                    self.memory(*subject, round, &mut outcome)?;
                }
            }
        }
        if wanted("memory") {
            self.binaries(&mut outcome)?;
        }
        if wanted("codec") {
            self.codec(&mut outcome)?;
        }
        Ok(outcome)
    }

    fn each(
        &self,
        round: usize,
        section: &str,
        mut measure: impl FnMut(Subject, Placement) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        for placement in PLACEMENTS {
            for subject in &self.subjects {
                let place = placement.name();
                (self.progress)(&format!(
                    "round {}: {section}, {place}: {subject}",
                    round + 1
                ));
                measure(*subject, placement)?;
            }
        }
        Ok(())
    }

    fn session(&self, subject: Subject, placement: Placement) -> Result<Session, Failure> {
        Session::start(subject, &self.programs, placement)
    }

    fn dispense(
        &self,
        subject: Subject,
        placement: Placement,
        round: usize,
        outcome: &mut Outcome,
    ) -> Result<(), Failure> {
        let mut session = self.session(subject, placement)?;
        // The first launch finds nothing in the caches.
        session.order(Order::Dispense(1))?;
        let Some(answer) = session.order(Order::Dispense(self.amounts.launches))? else {
            return Ok(());
        };
        let launches = answer.get("launches").and_then(Value::as_array);
        let launches = launches.ok_or("no launches")?;
        let mut totals = Vec::new();
        let mut endings = Vec::new();
        let mut phases: Vec<(String, Vec<f64>)> = Vec::new();
        for launch in launches {
            totals.push(number(launch, "total")? / 1e6);
            endings.push(number(launch, "shutdown")? / 1e6);
            let parts = launch.get("phases").and_then(Value::as_array);
            for part in parts.into_iter().flatten() {
                let (Some(name), Some(ns)) = (
                    part.get(0).and_then(Value::as_str),
                    part.get(1).and_then(Value::as_f64),
                ) else {
                    return Err(format!("a strange phase: {part}").into());
                };
                match phases.iter_mut().find(|(known, _)| known == name) {
                    Some((_, values)) => values.push(ns / 1e6),
                    None => phases.push((name.to_owned(), vec![ns / 1e6])),
                }
            }
        }
        totals.sort_by(f64::total_cmp);
        let mut add = |figure, value: Option<f64>| {
            if let Some(value) = value {
                outcome
                    .results
                    .add(figure, subject.to_string(), round, value);
            }
        };
        add(Figure::dispense("p50", placement), median(&totals));
        add(Figure::dispense("best", placement), totals.first().copied());
        for (name, values) in phases {
            add(Figure::phase(&name, placement), median(&values));
        }
        add(Figure::shutdown(placement), median(&endings));
        Ok(())
    }

    fn unary(
        &self,
        subject: Subject,
        placement: Placement,
        round: usize,
        outcome: &mut Outcome,
    ) -> Result<(), Failure> {
        let mut session = self.session(subject, placement)?;
        let pids = session.launch()?;
        let calls = |count| Order::Unary { size: SMALL, count };
        session.order(calls(self.amounts.warm_up))?;
        let before = [Usage::of(pids[0])?, Usage::of(pids[1])?];
        let Some(answer) = session.order(calls(self.amounts.calls))? else {
            return Ok(());
        };
        let after = [Usage::of(pids[0])?, Usage::of(pids[1])?];
        let samples = histogram(answer.get("samples").unwrap_or(&Value::Null))?;
        let name = subject.to_string();
        for (quantile, at) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)] {
            let us = samples.value_at_quantile(at) as f64 / 1e3;
            let figure = Figure::unary(quantile, placement);
            outcome.results.add(figure, &name, round, us);
        }
        let mean = number(&answer, "ns")? / 1e3 / self.amounts.calls as f64;
        outcome
            .results
            .add(Figure::unary("mean", placement), &name, round, mean);
        if placement != Placement::OneCore {
            return Ok(());
        }

        let per_call = |total: u64| total as f64 / self.amounts.calls as f64;
        let [host, plugin] = [after[0].since(before[0]), after[1].since(before[1])];
        let switches = Figure::per_call("context switches, both sides", "");
        let cpu = |side| Figure::per_call(side, "us");
        let results = &mut outcome.results;
        results.add(
            switches,
            &name,
            round,
            per_call(host.switches + plugin.switches),
        );
        results.add(
            cpu("processor time, host"),
            &name,
            round,
            per_call(host.cpu_ns) / 1e3,
        );
        results.add(
            cpu("processor time, plugin"),
            &name,
            round,
            per_call(plugin.cpu_ns) / 1e3,
        );

        // Counted apart, so that nothing that counts slows down what is timed.
        let count = self.amounts.calls.min(4_000);
        let counted = self.counters.syscalls(pids, &self.scratch, || {
            session.order(calls(count)).map(|_| ())
        })?;
        if let Some([host, plugin]) = counted {
            let each = |side: u64| side as f64 / count as f64;
            let figure = |side: &str| Figure::per_call(&format!("system calls, {side}"), "");
            results.add(figure("both sides"), &name, round, each(host + plugin));
            results.add(figure("host"), &name, round, each(host));
            results.add(figure("plugin"), &name, round, each(plugin));
        }
        if round == 0 {
            let counted = self.counters.syscalls_by_name(pids, &self.scratch, || {
                session.order(calls(count)).map(|_| ())
            })?;
            for (side, counts) in ["host", "plugin"]
                .into_iter()
                .zip(counted.into_iter().flatten())
            {
                let each = counts
                    .into_iter()
                    .map(|(name, n)| (name, n as f64 / count as f64));
                // What happens now and then is no part of a call.
                let mut often: Vec<_> = each.filter(|(_, n)| *n >= 0.02).collect();
                often.sort_by(|a, b| b.1.total_cmp(&a.1));
                outcome.names.push((name.clone(), side, often));
            }
        }
        Ok(())
    }

    fn throughput(
        &self,
        subject: Subject,
        placement: Placement,
        round: usize,
        outcome: &mut Outcome,
    ) -> Result<(), Failure> {
        let mut session = self.session(subject, placement)?;
        session.launch()?;
        for size in [SMALL, 1 << 10, LARGE] {
            let Some(rate) = self.rate(&mut session, size, CALLERS)? else {
                return Ok(());
            };
            let figure = Figure::load(size, CALLERS, placement);
            outcome
                .results
                .add(figure, subject.to_string(), round, rate);
        }
        let (piece, bytes) = (LARGE, self.amounts.stream);
        for (direction, order) in [
            ("to the host", Order::Download { piece, bytes }),
            ("to the plugin", Order::Upload { piece, bytes }),
        ] {
            if let Some(answer) = session.order(order)? {
                let rate = number(&answer, "bytes")? * 1e3 / number(&answer, "ns")?;
                let figure = Figure::stream(direction, placement);
                outcome
                    .results
                    .add(figure, subject.to_string(), round, rate);
            }
        }
        Ok(())
    }

    /// Thousands of calls per second; the first tenth of the time is to warm up.
    fn rate(
        &self,
        session: &mut Session,
        size: usize,
        callers: usize,
    ) -> Result<Option<f64>, Failure> {
        let load = |millis| Order::Load {
            size,
            callers,
            millis,
        };
        session.order(load(self.amounts.millis / 10))?;
        let Some(answer) = session.order(load(self.amounts.millis))? else {
            return Ok(None);
        };
        Ok(Some(
            number(&answer, "calls")? * 1e6 / number(&answer, "ns")?,
        ))
    }

    fn callers(
        &self,
        subject: Subject,
        round: usize,
        outcome: &mut Outcome,
    ) -> Result<(), Failure> {
        (self.progress)(&format!("round {}: callers: {subject}", round + 1));
        let mut session = self.session(subject, Placement::OneCore)?;
        session.launch()?;
        for count in [1, 4, 16, 64, 256, 1000] {
            if let Some(rate) = self.rate(&mut session, SMALL, count)? {
                let figure = Figure::callers(count);
                outcome
                    .results
                    .add(figure, subject.to_string(), round, rate);
            }
        }
        Ok(())
    }

    fn plugins(
        &self,
        subject: Subject,
        round: usize,
        outcome: &mut Outcome,
    ) -> Result<(), Failure> {
        (self.progress)(&format!("round {}: plugins: {subject}", round + 1));
        for count in self.amounts.plugins {
            let mut session = self.session(subject, Placement::Free)?;
            let (count, rounds) = (*count, self.amounts.calls.div_ceil(10 * count));
            let Some(answer) = session.order(Order::Plugins { count, rounds })? else {
                return Ok(());
            };
            let launch = number(&answer, "launch")? / 1e6 / count as f64;
            let call = number(&answer, "ns")? / 1e3 / number(&answer, "calls")?;
            let host = number(&answer, "host_kib")? * 1024.0 / 1e6;
            for (what, unit, value) in [
                ("launch of each", "ms", launch),
                ("call to each in turn", "us", call),
                ("resident host", "MB", host),
            ] {
                let figure = Figure::plugins(what, count, unit);
                outcome
                    .results
                    .add(figure, subject.to_string(), round, value);
            }
        }
        Ok(())
    }

    fn memory(&self, subject: Subject, round: usize, outcome: &mut Outcome) -> Result<(), Failure> {
        (self.progress)(&format!("round {}: memory: {subject}", round + 1));
        let programs = self.programs_alone(subject)?;
        let mut session = Session::start(subject, &programs, Placement::Free)?;
        let pids = session.launch()?;
        let mut note = |when: &str, line: &str| -> Result<(), Failure> {
            for (side, pid) in ["host", "plugin"].into_iter().zip(pids) {
                let megabytes = status_kib(pid, line)? as f64 * 1024.0 / 1e6;
                let figure = Figure::resident(side, when);
                outcome
                    .results
                    .add(figure, subject.to_string(), round, megabytes);
            }
            Ok(())
        };
        note("idle", "VmRSS")?;
        for pid in pids {
            forget_peak(pid)?;
        }
        let load = Order::Load {
            size: LARGE,
            callers: CALLERS,
            millis: self.amounts.millis,
        };
        if session.order(load)?.is_some() {
            note("at most under 64 x 64 KiB", "VmHWM")?;
        }
        Ok(())
    }

    fn binaries(&self, outcome: &mut Outcome) -> Result<(), Failure> {
        for subject in &self.subjects {
            let programs = self.programs_alone(*subject)?;
            let program = match subject {
                Subject::Outboard { .. } if self.alone => programs.rust("bench-plugin")?,
                Subject::Outboard { .. } | Subject::GoPlugin { .. } => continue,
                Subject::Go(_) => programs.go("go-bench-plugin")?,
                Subject::Tonic => programs.rust("bench-tonic")?,
                Subject::Floor(_) => programs.rust("bench-floor")?,
            };
            let megabytes = Programs::stripped_size(&program)? as f64 / 1e6;
            let results = &mut outcome.results;
            results.add(Figure::binary(), subject.to_string(), 0, megabytes);
        }
        Ok(())
    }

    /// The programs of a subject, with nothing in them but its runtime and its transport if that was
    /// asked for.
    fn programs_alone(&self, subject: Subject) -> Result<Programs, Failure> {
        match subject {
            Subject::Outboard { runtime, transport } if self.alone => {
                let name = format!("{runtime}-{transport}");
                let dir = self.scratch.join("alone").join(&name);
                if !dir.is_dir() {
                    (self.progress)(&format!("building programs with {name} alone"));
                    build_alone(&format!("{runtime},{transport}"), &self.scratch, &dir)?;
                }
                Ok(Programs::beside(&dir))
            }
            Subject::Outboard { .. }
            | Subject::GoPlugin { .. }
            | Subject::Go(_)
            | Subject::Tonic
            | Subject::Floor(_) => Ok(self.programs.clone()),
        }
    }

    fn codec(&self, outcome: &mut Outcome) -> Result<(), Failure> {
        let program = self.programs.rust("bench-codec")?;
        for name in codec::CASES {
            (self.progress)(&format!("codec: {name}"));
            let command = |count: u32| {
                let mut command = Command::new(&program);
                command.arg(name).arg(count.to_string());
                command
            };
            let count = u32::try_from(self.amounts.calls * 10)?;
            let output = command(count).output()?;
            let ns: f64 = String::from_utf8_lossy(&output.stdout).trim().parse()?;
            let figure = || Figure::new("codec", name, "");
            outcome.results.add(figure(), "ns", 0, ns);
            if let Some(count) = self.counters.instructions(&self.scratch, command)? {
                outcome.results.add(figure(), "instructions", 0, count);
            }
        }
        Ok(())
    }
}

/// Programs with nothing in them but these features, put into `dir`.
fn build_alone(features: &str, scratch: &Path, dir: &Path) -> Result<(), Failure> {
    let target = std::path::absolute(scratch.join("build"))?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["build", "--quiet", "--release", "--no-default-features"])
        .args(["--bin", "bench-host", "--bin", "bench-plugin"])
        .args(["--features", features])
        .arg("--target-dir")
        .arg(&target)
        .status()?;
    if !status.success() {
        return Err(format!("programs with {features} cannot be built: {status}").into());
    }
    std::fs::create_dir_all(dir)?;
    for program in ["bench-host", "bench-plugin"] {
        std::fs::copy(target.join("release").join(program), dir.join(program))?;
    }
    Ok(())
}
