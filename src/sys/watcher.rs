//! The one thread of a plugin: it reads what is printed on captured streams and notices the
//! host's death.
//!
//! A thread, and not a task, because both must work while the runtime does not: a handler on a
//! single-threaded runtime that prints more than a pipe holds would otherwise wait for ever for
//! itself, and a plugin that hangs would outlive its host. It sleeps in `poll(2)`; nothing is
//! polled by time.

use std::io::{self, PipeReader, PipeWriter, Read as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::events::{Events, Stream};
use super::host_death::Host;
use super::last_words;

/// What the thread watches.
#[derive(Debug)]
pub(super) struct Watched {
    /// The reading ends behind descriptors 1 and 2.
    pub(super) captured: [PipeReader; 2],
    /// Whether the host reads from these pipes itself, so that they are its as long as it lives.
    pub(super) direct: bool,
    /// The original streams, whose other ends the host holds.
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
}

/// The running thread. Once this is dropped and everything printed so far was read,
/// [`Events::released`] is told, and the thread ends if that says so; nobody waits for it here.
#[derive(Debug)]
pub(super) struct Watcher {
    _stop: PipeWriter,
}

/// The pause after the system refused to wait, most likely for want of memory: trying again at once
/// would spin, and giving up would break the pipes under the program's prints. (A choice.)
const REFUSED_PAUSE: Duration = Duration::from_millis(50);

/// Bytes read at a time: what a Linux pipe holds.
const CHUNK: usize = 64 * 1024;

impl Watcher {
    pub(super) fn start(watched: Watched, events: Arc<dyn Events>) -> io::Result<Self> {
        let (stop_reader, stop) = io::pipe()?;
        // On this thread and not on the new one: the death signal is a thread's own affair, and the
        // one that was set for the process is that of its first thread.
        let state = State::new(watched, stop_reader);
        thread::Builder::new()
            .name("outboard-stdio".to_owned())
            .spawn(move || state.run(&*events))?;
        Ok(Self { _stop: stop })
    }
}

struct State {
    captured: [Option<PipeReader>; 2],
    direct: bool,
    stop: Option<PipeReader>,
    host: Host,
    told: bool,
    /// When the process must have ended by itself, its host being dead.
    limit: Option<Instant>,
}

/// The sources in the order they are given to `poll`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Stop,
    Captured(usize),
    Stdout,
    Stderr,
    Parent,
}

impl State {
    fn new(watched: Watched, stop: PipeReader) -> Self {
        Self {
            captured: watched.captured.map(Some),
            direct: watched.direct,
            stop: Some(stop),
            host: Host::new(watched.stdout, watched.stderr),
            told: false,
            limit: None,
        }
    }

    fn run(mut self, events: &dyn Events) {
        let mut buffer = vec![0; CHUNK];
        loop {
            let left = self
                .limit
                .map(|limit| limit.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                self.limit = None;
                events.orphaned();
                continue;
            }
            let left = left.and_then(|left| Timespec::try_from(left).ok());
            let ready = match self.wait(left.as_ref()) {
                Ok(ready) => ready,
                Err(rustix::io::Errno::INTR) => continue,
                Err(_) => {
                    thread::sleep(REFUSED_PAUSE);
                    continue;
                }
            };
            let stop = ready.contains(&Source::Stop);
            for source in ready {
                self.handle(source, events, &mut buffer);
            }
            if stop {
                self.read_rest(events, &mut buffer);
                if !events.released() {
                    return;
                }
                // What remains is the host's death, in case something holds the process up. The
                // pipes are still read, for threads in the midst of a print and for children: it
                // would break under them.
                self.stop = None;
            }
            if !self.told && self.host.gone() {
                self.told = true;
                self.limit = events
                    .host_gone()
                    .and_then(|within| Instant::now().checked_add(within));
            }
        }
    }

    fn wait(&self, limit: Option<&Timespec>) -> rustix::io::Result<Vec<Source>> {
        let (mut fds, sources): (Vec<_>, Vec<_>) = self
            .sources()
            .map(|(source, fd, flags)| (PollFd::from_borrowed_fd(fd, flags), source))
            .unzip();
        poll(&mut fds, limit)?;
        let ready = fds
            .iter()
            .zip(sources)
            .filter(|(fd, _)| !fd.revents().is_empty());
        Ok(ready.map(|(_, source)| source).collect())
    }

    fn sources(&self) -> impl Iterator<Item = (Source, BorrowedFd<'_>, PollFlags)> {
        let stop = self
            .stop
            .iter()
            .map(|stop| (Source::Stop, stop.as_fd(), PollFlags::IN));
        let is_ours = !self.direct || self.told;
        let captured = self
            .captured
            .iter()
            .enumerate()
            .filter(move |_| is_ours)
            .filter_map(|(index, pipe)| {
                Some((
                    Source::Captured(index),
                    pipe.as_ref()?.as_fd(),
                    PollFlags::IN,
                ))
            });
        // No events asked for: error and hang-up are always reported, and nothing else matters.
        let quiet = PollFlags::empty();
        let stdout = self
            .host
            .stdout
            .iter()
            .map(move |fd| (Source::Stdout, fd.as_fd(), quiet));
        let stderr = self
            .host
            .stderr
            .iter()
            .map(move |fd| (Source::Stderr, fd.as_fd(), quiet));
        let parent = self
            .host
            .parent
            .iter()
            .map(|fd| (Source::Parent, fd.as_fd(), PollFlags::IN));
        stop.chain(captured)
            .chain(stdout)
            .chain(stderr)
            .chain(parent)
    }

    fn handle(&mut self, source: Source, events: &dyn Events, buffer: &mut [u8]) {
        // A source that has told what it had to tell is dropped, or `poll` would return for ever.
        match source {
            Source::Stop => {}
            Source::Captured(index) => {
                let stream = if index == 0 {
                    Stream::Stdout
                } else {
                    Stream::Stderr
                };
                let Some(pipe) = &mut self.captured[index] else {
                    return;
                };
                let _in_hand = (index == 1).then(last_words::InHand::begin);
                match pipe.read(buffer) {
                    Ok(0) => self.captured[index] = None,
                    Ok(count) => events.printed(stream, &buffer[..count]),
                    // Another was faster: the pipes may be shared.
                    Err(error)
                        if [io::ErrorKind::Interrupted, io::ErrorKind::WouldBlock]
                            .contains(&error.kind()) => {}
                    Err(_) => self.captured[index] = None,
                }
            }
            Source::Stdout => self.host.stdout = None,
            Source::Stderr => {
                self.host.stderr = None;
                self.host.stderr_gone = true;
            }
            Source::Parent => {
                self.host.parent = None;
                self.host.parent_gone = true;
            }
        }
    }

    /// Reads what is in the pipes without waiting for more: children may hold them open.
    fn read_rest(&mut self, events: &dyn Events, buffer: &mut [u8]) {
        const NOW: Timespec = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // A child that prints without end must not keep the process: a pipe's worth is enough to
        // get all that was printed before the end.
        for _ in 0..64 {
            let Ok(ready) = self.wait(Some(&NOW)) else {
                return;
            };
            let mut printed = ready
                .into_iter()
                .filter(|s| matches!(s, Source::Captured(_)));
            let Some(source) = printed.next() else { return };
            self.handle(source, events, buffer);
            for source in printed {
                self.handle(source, events, buffer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::sync::mpsc;

    #[derive(Debug, PartialEq, Eq)]
    enum Seen {
        Printed(Vec<u8>),
        HostGone,
        Orphaned,
        Released,
    }

    struct Recorder {
        seen: mpsc::Sender<Seen>,
        within: Option<Duration>,
    }

    impl Recorder {
        fn saw(&self, seen: Seen) {
            self.seen.send(seen).expect("the test listens");
        }
    }

    impl Events for Recorder {
        fn printed(&self, _: Stream, bytes: &[u8]) {
            self.saw(Seen::Printed(bytes.to_vec()));
        }

        fn host_gone(&self) -> Option<Duration> {
            self.saw(Seen::HostGone);
            self.within
        }

        fn orphaned(&self) {
            self.saw(Seen::Orphaned);
        }

        fn released(&self) -> bool {
            self.saw(Seen::Released);
            self.within.is_some()
        }

        fn unsent_stderr(&self) -> Vec<u8> {
            unreachable!("the process does not end")
        }
    }

    /// A watcher, the ends that the program prints to, and those that the host reads from.
    struct Rig {
        watcher: Watcher,
        printing: [PipeWriter; 2],
        host: [PipeReader; 2],
        seen: mpsc::Receiver<Seen>,
    }

    fn rig(within: Option<Duration>) -> Rig {
        rig_of(within, false)
    }

    fn rig_of(within: Option<Duration>, direct: bool) -> Rig {
        let pipe = || io::pipe().expect("a pipe");
        let ((out, to_out), (err, to_err)) = (pipe(), pipe());
        let ((host_out, stdout), (host_err, stderr)) = (pipe(), pipe());
        let (sender, seen) = mpsc::channel();
        let watched = Watched {
            captured: [out, err],
            direct,
            stdout: stdout.into(),
            stderr: stderr.into(),
        };
        let recorder = Recorder {
            seen: sender,
            within,
        };
        Rig {
            watcher: Watcher::start(watched, Arc::new(recorder)).expect("a thread"),
            printing: [to_out, to_err],
            host: [host_out, host_err],
            seen,
        }
    }

    const SOON: Duration = Duration::from_secs(30);

    #[test]
    fn one_stream_that_the_host_closes_is_not_its_death() {
        let mut rig = rig(None);
        let [out, err] = rig.host;
        drop(out);
        rig.printing[0].write_all(b"x").expect("prints");
        let next = || rig.seen.recv_timeout(SOON).expect("an event");
        assert_eq!(next(), Seen::Printed(b"x".to_vec()));
        drop(err);
        assert_eq!(next(), Seen::HostGone);
        drop(rig.watcher);
        assert_eq!(next(), Seen::Released);
    }

    #[test]
    fn what_the_host_reads_itself_is_read_here_only_once_it_is_gone() {
        let mut rig = rig_of(None, true);
        rig.printing[0].write_all(b"for the host").expect("prints");
        drop(rig.host);
        let next = || rig.seen.recv_timeout(SOON).expect("an event");
        assert_eq!(next(), Seen::HostGone, "and nothing before it");
        assert_eq!(next(), Seen::Printed(b"for the host".to_vec()));
        drop(rig.watcher);
        assert_eq!(next(), Seen::Released);
    }

    #[test]
    fn an_orphan_that_may_stay_is_left_alone() {
        let mut rig = rig(None);
        drop(rig.host);
        let next = || rig.seen.recv_timeout(SOON).expect("an event");
        assert_eq!(next(), Seen::HostGone);
        rig.printing[1].write_all(b"on and on").expect("prints");
        assert_eq!(next(), Seen::Printed(b"on and on".to_vec()));
        drop(rig.watcher);
        assert_eq!(next(), Seen::Released, "and nothing before it");
        let more = rig.seen.recv_timeout(SOON);
        assert_eq!(more, Err(mpsc::RecvTimeoutError::Disconnected), "it ends");
    }

    #[test]
    fn an_orphan_that_prints_without_end_is_ended_all_the_same() {
        let rig = rig(Some(Duration::from_millis(200)));
        drop(rig.host);
        let mut printing = rig.printing.into_iter().next().expect("stdout");
        let (stop, stopped) = mpsc::channel::<()>();
        let printer = thread::spawn(move || {
            // More often than the limit: silence must not be what ends it.
            while stopped
                .recv_timeout(Duration::from_millis(20))
                .is_err_and(|error| error == mpsc::RecvTimeoutError::Timeout)
            {
                printing.write_all(b".").expect("prints");
            }
        });
        let began = Instant::now();
        loop {
            match rig.seen.recv_timeout(SOON).expect("an event") {
                Seen::Orphaned => break,
                Seen::Printed(_) | Seen::HostGone => assert!(began.elapsed() < SOON),
                Seen::Released => panic!("nobody asked for it"),
            }
        }
        drop(stop);
        printer.join().expect("no panic");
    }

    #[test]
    fn an_orphan_that_was_released_is_ended_all_the_same() {
        // The host dies before, or after.
        for dies_first in [true, false] {
            let mut rig = rig(Some(Duration::from_millis(200)));
            let next = || rig.seen.recv_timeout(SOON).expect("an event");
            if dies_first {
                drop(rig.host);
                assert_eq!(next(), Seen::HostGone);
                drop(rig.watcher);
                assert_eq!(next(), Seen::Released);
            } else {
                drop(rig.watcher);
                assert_eq!(next(), Seen::Released);
                rig.printing[0].write_all(b"late").expect("it is read");
                assert_eq!(next(), Seen::Printed(b"late".to_vec()));
                drop(rig.host);
                assert_eq!(next(), Seen::HostGone);
            }
            assert_eq!(next(), Seen::Orphaned);
        }
    }

    #[test]
    fn what_was_printed_before_the_end_is_handed_over_although_a_child_holds_the_pipe() {
        let mut rig = rig(None);
        rig.printing[0].write_all(b"last words").expect("prints");
        drop(rig.watcher);
        let next = || rig.seen.recv_timeout(SOON).expect("an event");
        assert_eq!(next(), Seen::Printed(b"last words".to_vec()));
        assert_eq!(next(), Seen::Released);
    }
}
