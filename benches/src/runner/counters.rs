//! Counting what a piece of work costs where a clock does not tell: system calls and instructions.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Signal, kill_process};

use crate::Failure;

use super::proc;

/// Which counters this machine has.
#[derive(Clone, Copy, Debug)]
pub struct Counters {
    /// System calls by perf's tracepoint: exact, and hardly felt by what is counted.
    pub perf_syscalls: bool,
    /// System calls by strace: with their names, but each costs two stops of the process.
    pub strace: bool,
    /// Instructions by the processor's own counter. Virtual machines often have none.
    pub perf_instructions: bool,
    /// Instructions by simulation.
    pub callgrind: bool,
}

/// perf's name of the tracepoint that every system call passes.
const SYSCALLS: &str = "raw_syscalls:sys_enter";
const INSTRUCTIONS: &str = "instructions:u";

impl Counters {
    /// Tries them out.
    #[must_use]
    pub fn detect() -> Self {
        Self {
            perf_syscalls: perf_count(SYSCALLS, Command::new("true")).is_ok(),
            strace: runs(Command::new("strace").args(["-c", "-o", "/dev/null", "true"])),
            perf_instructions: perf_count(INSTRUCTIONS, Command::new("true")).is_ok(),
            callgrind: runs(Command::new("valgrind").arg("--version")),
        }
    }

    /// How many system calls two processes make while `work` is done; nothing without a counter.
    ///
    /// # Errors
    /// If the counter breaks down or the work fails.
    pub fn syscalls(
        &self,
        pids: [u32; 2],
        scratch: &Path,
        work: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<Option<[u64; 2]>, Failure> {
        if self.perf_syscalls {
            let [host, plugin] = pids;
            let mut host = PerfStat::attach(host, &scratch.join("host"))?;
            let mut plugin = PerfStat::attach(plugin, &scratch.join("plugin"))?;
            host.tell("enable")?;
            plugin.tell("enable")?;
            work()?;
            host.tell("disable")?;
            plugin.tell("disable")?;
            return Ok(Some([host.finish()?, plugin.finish()?]));
        }
        let by_name = self.syscalls_by_name(pids, scratch, work)?;
        Ok(by_name.map(|sides| sides.map(|side| side.values().sum())))
    }

    /// The same by name; nothing without strace.
    ///
    /// # Errors
    /// If strace breaks down or the work fails.
    pub fn syscalls_by_name(
        &self,
        pids: [u32; 2],
        scratch: &Path,
        work: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<Option<[BTreeMap<String, u64>; 2]>, Failure> {
        if !self.strace {
            return Ok(None);
        }
        let [host, plugin] = pids;
        let host = Strace::attach(host, &scratch.join("host"))?;
        let plugin = Strace::attach(plugin, &scratch.join("plugin"))?;
        work()?;
        Ok(Some([host.finish()?, plugin.finish()?]))
    }

    /// Instructions per repetition of something that is told by its last argument how often to
    /// repeat; nothing without a counter. Start and end of the process are not counted.
    ///
    /// # Errors
    /// If the counter breaks down.
    pub fn instructions(
        &self,
        scratch: &Path,
        command: impl Fn(u32) -> Command,
    ) -> Result<Option<f64>, Failure> {
        // Enough for both to have warmed up; the simulation is some fifty times slower.
        let (few, many) = (200, 2_200);
        let count = |repetitions| {
            if self.perf_instructions {
                perf_count(INSTRUCTIONS, command(repetitions)).map(Some)
            } else if self.callgrind {
                callgrind_count(&scratch.join("callgrind"), &command(repetitions)).map(Some)
            } else {
                Ok(None)
            }
        };
        let (Some(least), Some(most)) = (count(few)?, count(many)?) else {
            return Ok(None);
        };
        Ok(Some(
            most.saturating_sub(least) as f64 / f64::from(many - few),
        ))
    }
}

fn runs(command: &mut Command) -> bool {
    let quiet = command.stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// Counts an event over the life of a process.
fn perf_count(event: &str, command: Command) -> Result<u64, Failure> {
    let output = Command::new("perf")
        .args(["stat", "-x,", "-e", event, "--"])
        .arg(command.get_program())
        .args(command.get_args())
        .stdout(Stdio::null())
        .output()?;
    perf_value(&String::from_utf8_lossy(&output.stderr))
}

/// The first field of the line that is not a comment; words such as `<not supported>` stand there if
/// the event cannot be counted.
fn perf_value(report: &str) -> Result<u64, Failure> {
    let lines = report.lines().filter(|line| !line.starts_with('#'));
    let mut values = lines.filter_map(|line| line.split_once(',')?.0.parse().ok());
    values
        .next()
        .ok_or_else(|| format!("perf counted nothing: {report}").into())
}

fn callgrind_count(out: &Path, command: &Command) -> Result<u64, Failure> {
    let output = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(command.get_program())
        .args(command.get_args())
        .output()?;
    let report = String::from_utf8_lossy(&output.stderr);
    let total = report.lines().find_map(|line| {
        let digits = line.split_once("Collected :")?.1.trim();
        digits.parse().ok()
    });
    total.ok_or_else(|| format!("callgrind counted nothing: {report}").into())
}

/// perf, attached to a process and waiting for commands.
struct PerfStat {
    child: Child,
    control: File,
    acknowledged: BufReader<File>,
    out: PathBuf,
}

impl PerfStat {
    fn attach(pid: u32, scratch: &Path) -> Result<Self, Failure> {
        std::fs::create_dir_all(scratch)?;
        let (control, acknowledged) = (fifo(scratch, "control")?, fifo(scratch, "ack")?);
        let out = scratch.join("perf");
        let child = Command::new("perf")
            .args(["stat", "-x,", "-e", SYSCALLS, "-D", "-1", "-p"])
            .arg(pid.to_string())
            .arg("--control")
            .arg(format!(
                "fifo:{},{}",
                scratch.join("control").display(),
                scratch.join("ack").display()
            ))
            .arg("-o")
            .arg(&out)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self {
            child,
            control,
            acknowledged: BufReader::new(acknowledged),
            out,
        })
    }

    fn tell(&mut self, what: &str) -> Result<(), Failure> {
        writeln!(self.control, "{what}")?;
        let mut answer = String::new();
        self.acknowledged.read_line(&mut answer)?;
        if answer.contains("ack") {
            Ok(())
        } else {
            Err(format!("perf answered {answer:?} to {what}").into())
        }
    }

    fn finish(mut self) -> Result<u64, Failure> {
        kill_process(proc::pid(self.child.id())?, Signal::INT)?;
        self.child.wait()?;
        perf_value(&std::fs::read_to_string(&self.out)?)
    }
}

/// A named pipe, opened for both directions so that opening does not wait for the other side.
fn fifo(dir: &Path, name: &str) -> Result<File, Failure> {
    let path = dir.join(name);
    let _old = std::fs::remove_file(&path);
    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
    Ok(OpenOptions::new().read(true).write(true).open(path)?)
}

/// strace, attached to a process.
struct Strace {
    child: Child,
    out: PathBuf,
}

impl Strace {
    fn attach(pid: u32, scratch: &Path) -> Result<Self, Failure> {
        std::fs::create_dir_all(scratch)?;
        let out = scratch.join("strace");
        let mut child = Command::new("strace")
            .args(["-c", "-f", "-o"])
            .arg(&out)
            .arg("-p")
            .arg(pid.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut said = BufReader::new(child.stderr.take().ok_or("strace without stderr")?);
        let mut line = String::new();
        while !line.contains("attached") {
            line.clear();
            if said.read_line(&mut line)? == 0 {
                return Err(format!("strace does not attach to {pid}").into());
            }
        }
        // What else it says must not fill the pipe.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        Ok(Self { child, out })
    }

    fn finish(mut self) -> Result<BTreeMap<String, u64>, Failure> {
        kill_process(proc::pid(self.child.id())?, Signal::INT)?;
        self.child.wait()?;
        Ok(strace_table(&std::fs::read_to_string(&self.out)?))
    }
}

/// Columns: % time, seconds, usecs/call, calls, (errors,) syscall.
fn strace_table(report: &str) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for line in report.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let (Some(calls), Some(name)) = (words.get(3), words.last())
            && let Ok(calls) = calls.parse::<u64>()
            && *name != "total"
        {
            counts.insert((*name).to_owned(), calls);
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tools_reports_are_understood() {
        let perf = "# started on Mon\n\n29,,raw_syscalls:sys_enter,651,100.00,,\n";
        assert_eq!(perf_value(perf).expect("a number"), 29);
        assert!(perf_value("<not supported>,,instructions:u,0,100.00,,\n").is_err());
        let strace = "% time     seconds  usecs/call     calls    errors syscall\n\
                      ------ ----------- ----------- --------- --------- ----------------\n \
                      60.00    0.000006           1         4         1 recvfrom\n \
                      40.00    0.000004           1         3           writev\n\
                      100.00    0.000010           1         7         1 total\n";
        let table = strace_table(strace);
        assert_eq!(table.get("recvfrom"), Some(&4));
        assert_eq!(table.values().sum::<u64>(), 7);
    }
}
