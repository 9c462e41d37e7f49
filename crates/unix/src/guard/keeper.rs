//! The process of a guard. It was forked from one with threads: system calls alone, on memory of its stack.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd as _, RawFd};

use rustix::process::{
    Pid, PidfdFlags, Signal, getpid, getppid, pidfd_open, set_parent_process_death_signal, setpgid,
};

use super::duty::{Duty, Order, Seen, Step, Sweep};
use super::kernel::{self, Reaped};
use super::{LINGERS, MESSAGE, PLUGIN, STATUS};
use crate::caretaker::CARETAKER;

const GUARD: &CStr = c"outboard-guard";

/// Splits the forked process into guard and plugin: returns in the plugin alone.
pub(super) fn split(control: RawFd, host: Pid, group: bool) -> io::Result<()> {
    let watched = pidfd_open(host, PidfdFlags::empty())?;
    // If it died before, the number may be another's.
    if getppid().is_some_and(|now| now != host) {
        return Err(io::ErrorKind::NotFound.into());
    }
    if !kernel::lists_children() {
        // Of what the plugin starts it would never know.
        return Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP));
    }
    // No signal for the terminal's whole group is the guard's.
    kernel::block_signals();
    kernel::become_subreaper()?;
    let signals = kernel::child_signals()?;
    let guard = getpid();
    let [settled, settling] = kernel::pipe()?;
    match kernel::fork()? {
        Some(plugin) => {
            // Whoever kills the host's whole group is not to kill this with it. The plugin stays in there,
            // for the sake of the terminal.
            kernel::leave_group();
            Keeper {
                control,
                host: watched.as_raw_fd(),
                signals,
                plugin,
                status: None,
            }
            .run()
        }
        None => {
            set_parent_process_death_signal(Some(Signal::KILL))?;
            if getppid() != Some(guard) {
                return Err(io::ErrorKind::NotFound.into());
            }
            // Not before the guard is on its own: nothing is started that it would not see to. It closes
            // its end of this with all others that it has no use for.
            kernel::close(settling);
            let _end = kernel::read(settled, &mut [0]);
            kernel::close(settled);
            if group {
                setpgid(None, None)?;
            }
            Ok(())
        }
    }
}

struct Keeper {
    /// To the host; negative once that has let go of it.
    control: RawFd,
    host: RawFd,
    signals: RawFd,
    plugin: libc::pid_t,
    /// How the plugin ended.
    status: Option<libc::c_int>,
}

impl Keeper {
    fn run(mut self) -> ! {
        // Before the descriptors are closed, among them the one whose end tells the host that the plugin
        // was executed.
        self.tell(PLUGIN, self.plugin);
        kernel::close_all_but(&mut [self.control, self.host, self.signals]);
        kernel::settle(GUARD);
        let mut duty = Duty::new();
        loop {
            let seen = self.wait(&duty);
            match duty.handle(kernel::now(), seen) {
                Step::Wait => {}
                Step::Terminate => {
                    if self.status.is_none() {
                        kernel::kill(self.plugin, libc::SIGTERM);
                    }
                }
                Step::Sweep => {
                    self.sweep();
                    if let Some(status) = self.status {
                        self.tell(STATUS, status);
                    }
                    kernel::end();
                }
            }
        }
    }

    /// The next thing that happens.
    fn wait(&mut self, duty: &Duty) -> Seen {
        let host = if duty.watches() { self.host } else { -1 };
        let fds = [self.signals, self.control, host];
        let [child, told, gone] = kernel::wait(fds, duty.patience(kernel::now()));
        if child {
            // Without any child the plugin has ended, though it was not seen how.
            if self.reap() || self.status.is_some() {
                return Seen::PluginEnded;
            }
        }
        if told {
            let mut byte = [0];
            match kernel::read(self.control, &mut byte) {
                Some(0) | None => {
                    // Nobody has the other end: the host is gone, or has let go of the plugin.
                    self.control = -1;
                    return Seen::HostGone;
                }
                Some(_) => return Order::of(byte[0]).map_or(Seen::Nothing, Seen::Told),
            }
        }
        if gone { Seen::HostGone } else { Seen::Nothing }
    }

    /// Reaps what has ended. True if no child is left.
    fn reap(&mut self) -> bool {
        let mut information = [0; 128];
        while kernel::read(self.signals, &mut information).is_some() {}
        loop {
            match kernel::reap() {
                Reaped::One(child, status) => self.note(child, status),
                Reaped::None => return false,
                Reaped::Childless => return true,
            }
        }
    }

    fn note(&mut self, child: libc::pid_t, status: libc::c_int) {
        if child == self.plugin {
            self.status = Some(status);
        }
    }

    /// Kills all that descends from this process: its children, and theirs, which become its own with their
    /// parents' ends.
    fn sweep(&mut self) {
        let mut sweep = Sweep::new(kernel::now());
        while !self.reap() {
            let Some(pass) = sweep.pass(kernel::now(), self.status.is_some()) else {
                return;
            };
            if let Some(status) = self.status {
                if pass.tells {
                    self.tell(LINGERS, status);
                }
            } else {
                // By its number, whatever a list says.
                kernel::kill(self.plugin, libc::SIGKILL);
            }
            let spared = pass.spares_caretakers.then_some(CARETAKER);
            if !kernel::kill_children(spared) && self.status.is_some() {
                // Nobody tells which there are.
                return;
            }
            kernel::wait([self.signals], Some(pass.pause));
        }
    }

    fn tell(&self, kind: u8, number: i32) {
        let [a, b, c, d] = number.to_ne_bytes();
        let message: [u8; MESSAGE] = [kind, a, b, c, d];
        kernel::send(self.control, &message);
    }
}
