//! Kills a program at a moment, and says what is left of it: for tests of hosts, of which nothing is to be left.
//!
//! ```text
//! orphan-judge LIMIT MOMENT one|group now|began PROGRAM [ARGS...]
//! ```
//!
//! The moment is in microseconds from the start of the program, or from its line `began` on stdout, and the
//! limit in milliseconds from the kill, of the program or of its process group. All that descends from the
//! program becomes a child of this process, the *subreaper*, when it is orphaned: so nothing is overlooked, and
//! nothing is left when there is no child any more. On stdout is how many milliseconds that took, and a line
//! for each process that is left then, which is killed.

#[cfg(target_os = "linux")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    linux::main()
}

/// The tests that use it run on Linux only.
#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
mod linux {
    use std::error::Error;
    use std::fs;
    use std::io::{self, BufRead as _, BufReader};
    use std::os::unix::process::CommandExt as _;
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::process::{
        Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, getpid, kill_process, kill_process_group,
        pidfd_open, set_child_subreaper, waitid,
    };

    pub(super) fn main() -> Result<(), Box<dyn Error>> {
        let mut arguments = std::env::args_os().skip(1);
        let mut word = || -> Result<String, Box<dyn Error>> {
            let word = arguments.next().and_then(|word| word.into_string().ok());
            Ok(word.ok_or("LIMIT MOMENT one|group now|began PROGRAM... are needed")?)
        };
        let limit = Duration::from_millis(word()?.parse()?);
        let moment = Duration::from_micros(word()?.parse()?);
        let (group, now) = (word()? == "group", word()? == "now");
        let program = arguments.next().ok_or("PROGRAM is needed")?;
        set_child_subreaper(Some(getpid()))?;
        let mut host = Command::new(program)
            .args(arguments)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()?;
        let pid = Pid::from_child(&host);
        let mut stdout = BufReader::new(host.stdout.take().ok_or("piped")?);
        let mut line = String::new();
        if !now && stdout.read_line(&mut line)? == 0 {
            // Its own end is none that this is about.
            end_all();
            return Err("it has ended before it began".into());
        }
        // The moment is what this is about: there is no event to wait for.
        wait_for(&[pid], moment);
        if group {
            kill_process_group(pid, Signal::KILL)?;
        } else {
            kill_process(pid, Signal::KILL)?;
        }
        let killed = Instant::now();
        while reap() && killed.elapsed() < limit {
            // A look at least each so often, since children come while those of now are waited for.
            let left = limit.saturating_sub(killed.elapsed());
            wait_for(&children()?, left.min(Duration::from_millis(20)));
        }
        println!("{}", killed.elapsed().as_millis());
        for pid in children()? {
            let read = |file| fs::read(format!("/proc/{}/{file}", pid.as_raw_nonzero()));
            let [name, line] = ["comm", "cmdline"].map(|file| read(file).unwrap_or_default());
            let line = String::from_utf8_lossy(&line).replace(['\0', '\n'], " ");
            println!("{pid:?} {}: {line}", String::from_utf8_lossy(&name).trim());
        }
        end_all();
        Ok(())
    }

    /// The children of this process, which has one thread.
    fn children() -> io::Result<Vec<Pid>> {
        let list = fs::read_to_string("/proc/thread-self/children")?;
        let pids = list.split_whitespace().filter_map(|pid| pid.parse().ok());
        Ok(pids.filter_map(Pid::from_raw).collect())
    }

    /// Reaps what has ended. Whether any child is left.
    fn reap() -> bool {
        loop {
            match waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
                Ok(Some(_)) => {}
                Ok(None) => return true,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return false,
            }
        }
    }

    /// Waits until one of these has ended, and not longer than that.
    fn wait_for(pids: &[Pid], limit: Duration) {
        let open = |pid: &Pid| pidfd_open(*pid, PidfdFlags::empty()).ok();
        let pidfds: Vec<_> = pids.iter().filter_map(open).collect();
        let mut polled: Vec<_> = pidfds
            .iter()
            .map(|pidfd| PollFd::new(pidfd, PollFlags::IN))
            .collect();
        // If the time is over, that is seen.
        let _ended = poll(&mut polled, Timespec::try_from(limit).ok().as_ref());
    }

    /// Whatever it is, it is not to stay.
    fn end_all() {
        while reap() {
            let Ok(children) = children() else { return };
            for pid in &children {
                let _gone = kill_process(*pid, Signal::KILL);
            }
            wait_for(&children, Duration::from_millis(20));
        }
    }
}
