//! What is done, in which order. Within a round the subjects take turns at every step, so that what
//! changes on the machine from minute to minute touches all alike.

use std::path::PathBuf;

use crate::Failure;

use super::counters::Counters;
use super::proc::Placement;
use super::programs::Programs;
use super::results::Results;
use super::session::Session;
use super::subject::Subject;

/// The parts of a run.
pub const SECTIONS: [&str; 8] = [
    "dispense",
    "unary",
    "throughput",
    "broker",
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
    /// Dials per subject, placement and round.
    pub dials: usize,
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
        dials: 400,
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
        dials: 100,
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
        dials: 2,
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
    /// Whether to measure programs of ours that have nothing in them but one runtime and one transport,
    /// which are built for that.
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

/// Bytes of the payload of calls whose memory is measured, and of the messages of streams.
pub(super) const LARGE: usize = 64 << 10;
/// The many callers of the headline figures.
pub(super) const CALLERS: usize = 64;

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
                self.each(round, "dispense", &PLACEMENTS, |s, p| {
                    self.dispense(s, p, round, &mut outcome)
                })?;
            }
            if wanted("unary") {
                let placements = [Placement::OneCore, Placement::Free, Placement::Split];
                self.each(round, "unary", &placements, |s, p| {
                    self.unary(s, p, round, &mut outcome)
                })?;
            }
            if wanted("throughput") {
                self.each(round, "throughput", &PLACEMENTS, |s, p| {
                    self.throughput(s, p, round, &mut outcome)
                })?;
            }
            if wanted("broker") {
                self.each(round, "broker", &PLACEMENTS, |s, p| {
                    self.dial(s, p, round, &mut outcome)
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
        placements: &[Placement],
        mut measure: impl FnMut(Subject, Placement) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        for &placement in placements {
            if !placement.is_possible()? {
                continue;
            }
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

    pub(super) fn session(
        &self,
        subject: Subject,
        placement: Placement,
    ) -> Result<Session, Failure> {
        let programs = self.programs_alone(subject, "release")?;
        Session::start(subject, &programs, placement)
    }
}
