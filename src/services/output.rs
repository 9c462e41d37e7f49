//! What the program printed and logged, on its way to the host's `GRPCStdio` stream.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use outboard_core::backlog::{Backlog, Missing, Source};
use outboard_core::lock::{Mutex, MutexGuard, Rank};

use crate::sys::events::{PATIENCE, Stream};
use crate::time;

/// The largest piece sent in one message: go-plugin's own.
pub(crate) const MAX_CHUNK: usize = 1024;

/// How long ago, and how much, a piece that was read may still not be with the host: the transport
/// has it, and takes its turn to send it. (A guess; what it costs to be wrong is a repetition in the
/// log of a process that ends.)
const RECENT: Duration = Duration::from_millis(100);
const RECENT_BYTES: usize = 16 * 1024;

/// The backlog between the thread that reads the captured streams and the one stream that
/// sends them. While a host reads, a full one makes the program's prints wait for a moment;
/// while none does, or it has stalled, the oldest is dropped and counted.
#[derive(Debug)]
pub(crate) struct Output {
    state: Mutex<State>,
    room: Condvar,
}

impl Default for Output {
    fn default() -> Self {
        let state = State {
            backlog: Backlog::new(Backlog::DEFAULT_LIMIT),
            dropped: 0,
            closed: false,
            waker: None,
            sent: None,
            recent: VecDeque::new(),
            recent_bytes: 0,
        };
        Self {
            state: Mutex::new(Rank::Backlog, state),
            room: Condvar::new(),
        }
    }
}

#[derive(Debug)]
struct State {
    backlog: Backlog,
    /// Bytes of what was printed.
    dropped: u64,
    closed: bool,
    waker: Option<Waker>,
    sent: Option<Waker>,
    /// Pieces of stderr that were read last, and when.
    recent: VecDeque<(Instant, Bytes)>,
    recent_bytes: usize,
}

/// How many bytes of what was printed were dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dropped {
    /// By this call.
    pub(crate) now: u64,
    /// Since the program began.
    pub(crate) in_all: u64,
}

impl Output {
    /// About how many bytes are kept for a host that does not read.
    pub(crate) fn set_limit(&self, bytes: usize) {
        self.lock().backlog.set_limit(bytes);
    }

    /// Adds what was printed. Waits for at most a second, and only while somebody reads. Says what was
    /// dropped for it, unless a later host will be told.
    pub(crate) fn push(&self, stream: Stream, bytes: &[u8]) -> Option<Dropped> {
        let source = match stream {
            Stream::Stdout => Source::Stdout,
            Stream::Stderr => Source::Stderr,
        };
        let (mut now, mut in_all, mut is_left) = (0, 0, false);
        let until = Instant::now() + PATIENCE;
        let mut rest = bytes;
        while !rest.is_empty() {
            let mut state = self.lock();
            if state.closed {
                break;
            }
            let (portion, later) = rest.split_at(rest.len().min(state.backlog.portion()));
            rest = later;
            let full = |state: &mut State| {
                let backlog = &state.backlog;
                !backlog.has_room(portion.len()) && backlog.is_waited_for() && !state.closed
            };
            if full(&mut state) {
                state = state.wait(|state| {
                    let left = until.saturating_duration_since(Instant::now());
                    let waited = self.room.wait_timeout_while(state, left, full);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                });
            }
            let dropped = state.backlog.push(source, portion);
            state.dropped += dropped;
            now += dropped;
            in_all = state.dropped;
            is_left = state.backlog.is_left();
            let waker = state.waker.take();
            drop(state);
            wake(waker);
        }
        (now > 0 && !is_left).then_some(Dropped { now, in_all })
    }

    /// Adds whole lines of the log, and waits for nobody. Gives whom to wake once no lock is held.
    pub(crate) fn log(&self, lines: &[u8]) -> Option<Waker> {
        let mut state = self.lock();
        if state.closed {
            return None;
        }
        state.backlog.push(Source::Log, lines);
        state.waker.take()
    }

    /// Adds lines of the log that are older than all there is. Gives whom to wake once no lock is held.
    pub(crate) fn log_before_all(&self, lines: &[u8]) -> Option<Waker> {
        let mut state = self.lock();
        if state.closed || lines.is_empty() {
            return None;
        }
        state.backlog.push_before_all(lines);
        state.waker.take()
    }

    /// The oldest line of the log and its number, and the line that says what is missing before it.
    pub(crate) fn first_logged(&self) -> Option<(Option<String>, i64, Bytes)> {
        self.lock().backlog.first_logged(tell)
    }

    /// The host has been told of what is missing before it.
    pub(crate) fn told_logged(&self) {
        self.lock().backlog.told_logged();
    }

    /// The host has that line.
    pub(crate) fn logged(&self, number: i64) {
        self.lock().backlog.logged(number);
    }

    /// The host that has launched the plugin is gone: the next one is told of what it does not get.
    pub(crate) fn leave(&self) {
        let mut state = self.lock();
        state.backlog.leave();
        let waker = state.waker.take();
        drop(state);
        wake(waker);
    }

    /// A reader of all that was not read yet. An earlier reader ends: two would get random halves.
    /// `apart` says whether it gets the log as that, and not as a part of stderr.
    pub(crate) fn reader(self: &Arc<Self>, apart: bool) -> Reader {
        let mut state = self.lock();
        let reader = Reader {
            output: Arc::clone(self),
            id: state.backlog.begin(apart),
        };
        let waker = state.waker.take();
        drop(state);
        wake(waker);
        reader
    }

    /// Ends the output: readers get what is queued, then the end.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let waker = state.waker.take();
        drop(state);
        self.room.notify_all();
        wake(waker);
    }

    /// Takes what was printed on stderr and has not been read, or so shortly ago that it may not be
    /// sent, for a process that ends now. Nothing is taken while another thread holds the queue for longer than a moment.
    pub(crate) fn take_unsent(&self) -> Vec<u8> {
        /// Others hold it for a copy of 64 KiB at most.
        const TRIES: usize = 1000;
        for _ in 0..TRIES {
            let Some(mut state) = self.state.try_lock() else {
                std::thread::yield_now();
                continue;
            };
            let now = Instant::now();
            let recent = std::mem::take(&mut state.recent).into_iter();
            let recent = recent.filter(|(read, _)| now.saturating_duration_since(*read) < RECENT);
            let mut taken: Vec<u8> = recent.flat_map(|(_, piece)| piece).collect();
            state.recent_bytes = 0;
            taken.extend(state.backlog.take_stderr());
            drop(state);
            // A print may wait for the room.
            self.room.notify_all();
            return taken;
        }
        Vec::new()
    }

    /// Ready, after [`close`](Self::close), when the reader has sent everything and is dropped, or
    /// there is none.
    pub(crate) fn poll_sent(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.backlog.taker().is_none() {
            return Poll::Ready(());
        }
        let earlier = state.sent.replace(cx.waker().clone());
        drop(state);
        // It may be the last of a task.
        drop(earlier);
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

/// The reading end of an [`Output`].
#[derive(Debug)]
pub(crate) struct Reader {
    output: Arc<Output>,
    id: u64,
}

impl Reader {
    /// The next piece, at most [`MAX_CHUNK`] bytes; `None` at the end of the output, or when
    /// another reader took over.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<(Source, Bytes)>> {
        let mut state = self.output.lock();
        if state.backlog.taker() != Some(self.id) {
            return Poll::Ready(None);
        }
        let Some((source, bytes)) = state.backlog.take(MAX_CHUNK, tell) else {
            if state.closed {
                return Poll::Ready(None);
            }
            let earlier = state.waker.replace(cx.waker().clone());
            drop(state);
            drop(earlier);
            return Poll::Pending;
        };
        if source == Source::Stderr {
            state.recent_bytes += bytes.len();
            state.recent.push_back((Instant::now(), bytes.clone()));
            while state.recent_bytes > RECENT_BYTES
                && let Some((_, oldest)) = state.recent.pop_front()
            {
                state.recent_bytes -= oldest.len();
            }
        }
        drop(state);
        self.output.room.notify_all();
        Poll::Ready(Some((source, bytes)))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.output.lock();
        if state.backlog.end(self.id) {
            let sent = state.sent.take();
            drop(state);
            self.output.room.notify_all();
            wake(sent);
        }
    }
}

/// The record that says what is missing.
fn tell(missing: &Missing) -> String {
    missing.to_line(time::unix())
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use futures_util::future::poll_fn;

    const LIMIT: usize = Backlog::DEFAULT_LIMIT;

    fn next(reader: &mut Reader) -> Option<Option<(Source, Bytes)>> {
        poll_fn(|cx| reader.poll_next(cx)).now_or_never()
    }

    fn collect(reader: &mut Reader, source: Source) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(Some((from, piece))) = next(reader) {
            assert!(piece.len() <= MAX_CHUNK && !piece.is_empty());
            if from == source {
                all.extend_from_slice(&piece);
            }
        }
        all
    }

    #[test]
    fn what_was_printed_before_a_reader_came_arrives_in_order() {
        let output = Arc::new(Output::default());
        let text: Vec<u8> = (0..5000u32).map(|i| (i % 251) as u8).collect();
        output.push(Stream::Stdout, &text);
        output.push(Stream::Stderr, b"aside");
        output.push(Stream::Stdout, b"end");
        let mut reader = output.reader(true);
        let mut expected = text;
        expected.extend_from_slice(b"end");
        assert_eq!(collect(&mut reader, Source::Stdout), expected);
        assert_eq!(next(&mut reader), None, "open and empty");
        output.close();
        assert_eq!(next(&mut reader), Some(None));
    }

    #[test]
    fn without_a_reader_the_surplus_is_dropped_and_counted() {
        let output = Arc::new(Output::default());
        let piece = vec![b'x'; 64 * 1024];
        let lost = (0..32)
            .filter_map(|_| output.push(Stream::Stdout, &piece))
            .map(|dropped| dropped.in_all)
            .max();
        let lost = lost.expect("2 MiB do not fit") as usize;
        let mut reader = output.reader(true);
        let kept = collect(&mut reader, Source::Stdout).len();
        assert_eq!(kept + lost, 32 * piece.len());
        assert!(kept > LIMIT / 2 && kept <= LIMIT);
        assert_eq!(output.push(Stream::Stdout, b"again"), None);
        assert_eq!(collect(&mut reader, Source::Stdout), b"again");
    }

    #[test]
    fn the_newest_reader_wins() {
        let output = Arc::new(Output::default());
        let mut first = output.reader(true);
        assert_eq!(next(&mut first), None);
        let mut second = output.reader(true);
        output.push(Stream::Stdout, b"x");
        assert_eq!(next(&mut first), Some(None));
        drop(first);
        assert_eq!(collect(&mut second, Source::Stdout), b"x");
    }

    #[test]
    fn sent_means_that_the_reader_is_done_or_that_there_is_none() {
        let output = Arc::new(Output::default());
        let sent = || poll_fn(|cx| output.poll_sent(cx)).now_or_never();
        output.push(Stream::Stdout, b"x");
        assert_eq!(sent(), Some(()), "nobody reads");
        let mut reader = output.reader(true);
        output.close();
        assert_eq!(sent(), None);
        assert!(matches!(next(&mut reader), Some(Some(_))));
        assert_eq!(next(&mut reader), Some(None));
        assert_eq!(sent(), None, "the end itself is still to be sent");
        drop(reader);
        assert_eq!(sent(), Some(()));
    }

    #[test]
    fn what_was_not_read_can_be_taken_back() {
        let output = Arc::new(Output::default());
        let mut reader = output.reader(true);
        output.push(Stream::Stderr, b"read, and perhaps not sent; ");
        assert!(matches!(next(&mut reader), Some(Some(_))));
        output.push(Stream::Stderr, b"fatal: ");
        output.push(Stream::Stdout, b"aside");
        output.push(Stream::Stderr, b"no cheese\n");
        let taken = String::from_utf8(output.take_unsent()).expect("text");
        // On a machine that takes its time, what was read counts as sent.
        assert!(taken.ends_with("fatal: no cheese\n"), "{taken}");
        assert_eq!(output.take_unsent(), b"");
        assert_eq!(collect(&mut reader, Source::Stdout), b"aside");
        assert_eq!(next(&mut reader), None, "there is nothing else");
    }

    #[test]
    fn a_print_waits_for_a_live_reader() {
        let output = Arc::new(Output::default());
        let mut reader = output.reader(true);
        let piece = vec![b'x'; 64 * 1024];
        let printer = {
            let output = Arc::clone(&output);
            let piece = piece.clone();
            std::thread::spawn(move || (0..64).find_map(|_| output.push(Stream::Stdout, &piece)))
        };
        let mut got = 0;
        while got < 64 * piece.len() {
            let item = poll_fn(|cx| reader.poll_next(cx)).now_or_never();
            match item {
                Some(Some((_, bytes))) => got += bytes.len(),
                Some(None) => panic!("ended early"),
                None => std::thread::yield_now(),
            }
        }
        assert_eq!(printer.join().expect("no panic"), None, "nothing was lost");
    }

    #[test]
    fn a_reader_that_stalls_is_waited_for_once() {
        let output = Arc::new(Output::default());
        let mut reader = output.reader(true);
        let piece = vec![b'x'; 64 * 1024];
        let mut printed = 0;
        let (lost, took) = loop {
            let began = Instant::now();
            let dropped = output.push(Stream::Stdout, &piece);
            printed += piece.len();
            if let Some(dropped) = dropped {
                break (dropped, began.elapsed());
            }
        };
        assert_eq!(lost.now, lost.in_all);
        assert!(took >= PATIENCE && took < 10 * PATIENCE, "{took:?}");
        let began = Instant::now();
        let mut in_all = lost.in_all;
        for _ in 1..=100 {
            let lost = output
                .push(Stream::Stdout, &piece)
                .expect("there is no room");
            printed += piece.len();
            in_all += lost.now;
            assert_eq!(lost.in_all, in_all);
        }
        assert!(began.elapsed() < 10 * PATIENCE, "not once for each");
        // The newest is still there, and once it reads it is waited for again.
        let kept = collect(&mut reader, Source::Stdout).len();
        assert_eq!(kept + usize::try_from(in_all).expect("few"), printed);
        assert!(output.lock().backlog.is_waited_for());
        assert_eq!(output.push(Stream::Stdout, b"again"), None);
        assert_eq!(collect(&mut reader, Source::Stdout), b"again");
    }

    #[test]
    fn who_attaches_before_the_first_host_leaves_gets_what_that_has_left_at_once() {
        #[derive(Default)]
        struct Woken(std::sync::atomic::AtomicUsize);

        impl std::task::Wake for Woken {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        }

        let output = Arc::new(Output::default());
        output.set_limit(0);
        output.push(Stream::Stdout, &[b'x'; 5000]);
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut cx = Context::from_waker(&waker);
        let mut reader = output.reader(true);
        while reader.poll_next(&mut cx).is_ready() {}
        let waits = output.log_before_all(b"unread\n");
        assert!(waits.is_some_and(|waits| waits.will_wake(&waker)));
        let unread = (Source::Log, Bytes::from_static(b"unread\n"));
        assert_eq!(reader.poll_next(&mut cx), Poll::Ready(Some(unread)));
        assert!(reader.poll_next(&mut cx).is_pending());
        assert!(output.log_before_all(b"").is_none(), "that is no news");
        output.leave();
        assert_eq!(woken.0.load(std::sync::atomic::Ordering::Relaxed), 1);
    }

    #[test]
    fn a_print_waits_once_however_many_portions_it_has() {
        let output = Arc::new(Output::default());
        output.set_limit(0);
        let mut reader = output.reader(true);
        assert_eq!(next(&mut reader), None);
        let (done, printed) = std::sync::mpsc::channel();
        let printing = {
            let output = Arc::clone(&output);
            std::thread::spawn(move || {
                let dropped = output.push(Stream::Stdout, &[b'x'; 64 * 1024]);
                let _told = done.send(());
                dropped
            })
        };
        // Who makes room for one more portion each time, and never stalls, holds it up no longer.
        let (began, mut taken) = (Instant::now(), 0);
        while printed.try_recv().is_err() {
            assert!(began.elapsed() < 20 * PATIENCE, "it waits for each");
            if began.elapsed() > (taken + 1) * PATIENCE / 2 {
                taken += 1;
                assert!(next(&mut reader).is_some());
            }
            std::thread::yield_now();
        }
        let dropped = printing.join().expect("no panic").expect("some is");
        assert!(dropped.now > 0 && dropped.now == dropped.in_all);
    }

    #[test]
    fn the_log_waits_for_nobody_and_is_what_a_later_host_is_told_in() {
        let output = Arc::new(Output::default());
        output.set_limit(0);
        let mut first = output.reader(true);
        assert_eq!(next(&mut first), None);
        output.leave();
        assert_eq!(next(&mut first), None);
        let mut woken = 0;
        for number in 0..10_000 {
            let waker = output.log(format!("record {number}\n").as_bytes());
            woken += usize::from(waker.is_some());
            assert_eq!(output.push(Stream::Stderr, b""), None);
        }
        assert_eq!(woken, 1, "until it reads");
        let mut second = output.reader(true);
        let log = collect(&mut second, Source::Log);
        let log = String::from_utf8(log).expect("text");
        let (notice, rest) = log.split_once('\n').expect("lines");
        let missing = Missing::of(&outboard_core::hclog::parse(notice.as_bytes()));
        let lost = missing.expect("told").log;
        assert!(
            rest.starts_with(&format!("record {}\n", lost.lines)),
            "{lost:?}"
        );
        assert!(rest.ends_with("record 9999\n"), "the newest is there");
        output.close();
        assert!(output.log(b"too late\n").is_none());
        assert_eq!(next(&mut second), Some(None));
    }
}
