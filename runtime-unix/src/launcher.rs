//! The one thread that forks. A child's parent-death signal is sent when the *thread* dies that
//! forked it, so that has to be one that lives as long as the process.

use std::io;
use std::process::{self, Child, Command};
use std::sync::mpsc;
use std::thread;

use outboard_core::lock::{Mutex, Rank};

use crate::forked;

type Job = (Command, mpsc::SyncSender<io::Result<Child>>);

/// The thread's queue, and the process it is a thread of: one that was forked has not got it.
static LAUNCHER: Mutex<Option<(u32, mpsc::Sender<Job>)>> = Mutex::new(Rank::Process, None);

/// Forks on that thread and waits for the outcome. It is started with the first call.
pub(crate) fn spawn(command: Command) -> io::Result<Child> {
    let queue = queue()?;
    let (sender, outcome) = mpsc::sync_channel(1);
    let gone = || io::Error::other("the thread that launches processes is gone");
    queue.send((command, sender)).map_err(|_| gone())?;
    outcome.recv().map_err(|_| gone())?
}

fn queue() -> io::Result<mpsc::Sender<Job>> {
    let mut launcher = LAUNCHER.lock();
    let this = process::id();
    if let Some((process, queue)) = &*launcher
        && *process == this
    {
        return Ok(queue.clone());
    }
    let (queue, jobs) = mpsc::channel::<Job>();
    thread::Builder::new()
        .name("outboard-launch".to_owned())
        .spawn(move || {
            forked::block_signals();
            for (mut command, outcome) in jobs {
                let _ = outcome.send(command.spawn());
            }
        })?;
    *launcher = Some((this, queue.clone()));
    Ok(queue)
}
