//! Measuring memory, programs and pure code.

use std::path::Path;
use std::process::Command;

use crate::Failure;
use crate::codec;
use crate::orders::Order;
use crate::runtimes::{self, RuntimeKind};

use super::figures::Figure;
use super::plan::{CALLERS, LARGE, Outcome, Plan};
use super::proc::{Placement, forget_peak, status_kib};
use super::programs::Programs;
use super::session::Session;
use super::subject::Subject;
use super::targets::IDLE_SMALL;

impl Plan {
    pub(super) fn memory(
        &self,
        subject: Subject,
        round: usize,
        outcome: &mut Outcome,
    ) -> Result<(), Failure> {
        (self.progress)(&format!("round {}: memory: {subject}", round + 1));
        if self.alone
            && let Subject::Outboard { .. } | Subject::NetRpc { .. } = subject
        {
            let programs = self.programs_alone(subject, "small")?;
            let mut session = Session::start(subject, &programs, Placement::Free)?;
            let pids = session.launch()?;
            note(outcome, subject, round, pids, IDLE_SMALL, "VmRSS")?;
        }
        let programs = self.programs_alone(subject, "release")?;
        let mut session = Session::start(subject, &programs, Placement::Free)?;
        let pids = session.launch()?;
        note(outcome, subject, round, pids, "idle", "VmRSS")?;
        for pid in pids {
            forget_peak(pid)?;
        }
        let load = Order::Load {
            size: LARGE,
            callers: CALLERS,
            millis: self.amounts.millis,
        };
        if session.order(load)?.is_some() {
            let when = "at most under 64 x 64 KiB";
            note(outcome, subject, round, pids, when, "VmHWM")?;
        }
        Ok(())
    }

    pub(super) fn binaries(&self, outcome: &mut Outcome) -> Result<(), Failure> {
        for subject in &self.subjects {
            let programs = self.programs_alone(*subject, "release")?;
            let program = match subject {
                Subject::Outboard { .. } | Subject::NetRpc { .. } if self.alone => {
                    programs.rust("bench-plugin")?
                }
                Subject::Outboard { .. } | Subject::NetRpc { .. } | Subject::GoPlugin { .. } => {
                    continue;
                }
                Subject::Go(_) => programs.go("go-bench-plugin")?,
                Subject::Tonic | Subject::TonicThreads => programs.rust("bench-tonic")?,
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
    pub(super) fn programs_alone(
        &self,
        subject: Subject,
        profile: &str,
    ) -> Result<Programs, Failure> {
        let (runtime, spoken) = match subject {
            Subject::Outboard { runtime, transport } if self.alone => {
                (runtime, runtimes::features(transport))
            }
            Subject::NetRpc { runtime } if self.alone => (runtime, "netrpc"),
            Subject::Outboard { .. }
            | Subject::NetRpc { .. }
            | Subject::GoPlugin { .. }
            | Subject::Go(_)
            | Subject::Tonic
            | Subject::TonicThreads
            | Subject::Floor(_) => return Ok(self.programs.clone()),
        };
        let name = format!("{runtime}-{spoken}-{profile}");
        let dir = self.scratch.join("alone").join(&name);
        if !dir.is_dir() {
            (self.progress)(&format!("building programs with {name} alone"));
            let feature = match runtime {
                RuntimeKind::Tokio | RuntimeKind::TokioThreads => "tokio",
                RuntimeKind::Smol | RuntimeKind::AsyncIo | RuntimeKind::Blocking => "smol",
            };
            let features = format!("{feature},{spoken}");
            build_alone(&features, profile, &self.scratch, &dir)?;
        }
        Ok(Programs::beside(&dir))
    }

    pub(super) fn codec(&self, outcome: &mut Outcome) -> Result<(), Failure> {
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

/// Takes down the resident sets of both sides.
fn note(
    outcome: &mut Outcome,
    subject: Subject,
    round: usize,
    pids: [u32; 2],
    when: &str,
    line: &str,
) -> Result<(), Failure> {
    for (side, pid) in ["host", "plugin"].into_iter().zip(pids) {
        let megabytes = status_kib(pid, line)? as f64 * 1024.0 / 1e6;
        let figure = Figure::resident(side, when);
        let results = &mut outcome.results;
        results.add(figure, subject.to_string(), round, megabytes);
    }
    Ok(())
}

/// Programs with nothing in them but these features, put into `dir`.
fn build_alone(features: &str, profile: &str, scratch: &Path, dir: &Path) -> Result<(), Failure> {
    let target = std::path::absolute(scratch.join("build"))?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["build", "--quiet", "--profile", profile])
        .arg("--no-default-features")
        .args(["--bin", "bench-host", "--bin", "bench-plugin"])
        .args(["--features", features])
        .arg("--target-dir")
        .arg(&target)
        .status()?;
    if !status.success() {
        return Err(format!("programs with {features} cannot be built: {status}").into());
    }
    std::fs::create_dir_all(dir)?;
    // Where programs are built for a target that is named, cargo has a directory for it.
    let built = match std::env::var_os("CARGO_BUILD_TARGET") {
        Some(named) => target.join(named).join(profile),
        None => target.join(profile),
    };
    for program in ["bench-host", "bench-plugin"] {
        std::fs::copy(built.join(program), dir.join(program))?;
    }
    Ok(())
}
