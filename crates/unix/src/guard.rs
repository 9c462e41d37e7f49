//! A plugin's guard: a small process between host and plugin that outlives the host by a moment.
//!
//! The kernel's parent-death signal ends the plugin with its host, and nothing of what the plugin has
//! started. A guard ends all of it. It is the plugin's parent and the *subreaper* of all that descends
//! from it, so that nothing there ever becomes a stranger's child, however often it forks; and it
//! watches its host by a pidfd. When the plugin ends, or the host does, it kills what is left of its
//! descendants, and ends itself.
//!
//! ```text
//!   host ──fork──▶ guard ──clone──▶ plugin ──▶ what that has started
//!     └── orders, and the plugin's status back, over a pair of sockets ──┘
//! ```
//!
//! It is what the host has forked, without another program: an executable beside the host's would have to
//! be installed and found, and one that is the host's own would need the word of every host's `main`.
//! So it does what a process may that was forked from one with threads: system calls and nothing else
//! ([`kernel`]), on memory of its stack. What it decides is [`duty`]. The price is that it shares the
//! host's memory as that was at the launch: pages that the host changes afterwards are there twice.

mod duty;
mod keeper;
pub(crate) mod kernel;

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use outboard_core::exit::Exit;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair,
};
use rustix::process::Pid;

use self::duty::Order;

/// What the guard tells: a kind and a number of 32 bits, in this machine's order.
const MESSAGE: usize = 5;
/// The number of the plugin's process.
const PLUGIN: u8 = b'P';
/// How that ended, as `wait` tells it.
const STATUS: u8 = b'S';

/// The same, although something that the plugin has started is left, which cannot be killed at once.
const LINGERS: u8 = b'L';

/// The host's end of what it has with a guard.
#[derive(Debug)]
pub(crate) struct Guard {
    control: OwnedFd,
    /// The plugin's own process, which is the guard's child.
    plugin: Option<Pid>,
    /// How that ended.
    status: Option<Exit>,
    /// It has, and the guard has not.
    lingers: bool,
}

/// What becomes a guard and its plugin after a fork.
#[derive(Debug)]
pub(crate) struct Split {
    control: OwnedFd,
}

/// Whether there can be guards: the system tells which children a process has.
pub(crate) fn can_be() -> bool {
    kernel::lists_children()
}

/// Both ends, for one launch.
pub(crate) fn pair() -> io::Result<(Guard, Split)> {
    let (ours, theirs) = socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?;
    let guard = Guard {
        control: ours,
        plugin: None,
        status: None,
        lingers: false,
    };
    Ok((guard, Split { control: theirs }))
}

impl Guard {
    /// The process of the plugin, once that has been executed: the guard has told its number before.
    pub(crate) fn plugin(&mut self) -> io::Result<Pid> {
        self.listen();
        let gone = || io::Error::other("the plugin's guard has ended");
        self.plugin.ok_or_else(gone)
    }

    /// What can be read when the guard has told something, or has ended.
    pub(crate) fn told(&self) -> io::Result<OwnedFd> {
        self.control.try_clone()
    }

    /// Has SIGTERM be sent to the plugin.
    pub(crate) fn terminate(&self) {
        self.order(Order::Terminate);
    }

    /// Has the plugin killed with all that descends from it.
    pub(crate) fn kill(&self) {
        self.order(Order::Kill);
    }

    /// Has it go on when the host is gone.
    pub(crate) fn release(&self) {
        self.order(Order::Release);
    }

    fn order(&self, order: Order) {
        // A guard that has ended has nothing left to do.
        let _over = send(&self.control, &[order.byte()], SendFlags::NOSIGNAL);
    }

    /// How the plugin ended, once the guard has.
    pub(crate) fn status(&mut self) -> Option<Exit> {
        self.listen();
        self.status
    }

    /// How the plugin ended, if its guard goes on since something is left that cannot be killed at once.
    pub(crate) fn lingers(&mut self) -> Option<Exit> {
        self.listen();
        self.status.filter(|_| self.lingers)
    }

    /// Takes note of all that was told.
    fn listen(&mut self) {
        let mut bytes = [0; MESSAGE];
        loop {
            match recv(&self.control, &mut bytes[..], RecvFlags::DONTWAIT) {
                Ok((_, MESSAGE)) => {
                    let [kind, number @ ..] = bytes;
                    let number = i32::from_ne_bytes(number);
                    match kind {
                        // Of each try to execute it there is a number; the last one counts.
                        PLUGIN => self.plugin = Pid::from_raw(number),
                        STATUS | LINGERS => {
                            self.status = Some(Exit::from_wait_status(number));
                            self.lingers = kind == LINGERS;
                        }
                        _ => {}
                    }
                }
                Err(Errno::INTR) => {}
                // Nothing more, or nobody.
                Ok(_) | Err(_) => return,
            }
        }
    }
}

impl Split {
    /// Becomes the guard in the forked process, which never returns, and goes on as the plugin in a child of
    /// it. Makes system calls alone.
    ///
    /// # Errors
    /// The system's, before anything was split, or in the plugin; `NotFound` if the host is gone.
    pub(crate) fn split(&self, host: Pid, group: bool) -> io::Result<()> {
        keeper::split(self.control.as_raw_fd(), host, group)
    }
}
