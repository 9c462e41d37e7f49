//! What a plugin prints, and may log, as it comes over its connection, and the end of that.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use futures_util::future::{Either, select};
use outboard_core::backlog::Source;
use outboard_core::host::Printed;
use outboard_core::rpc::{Code, Status};
use outboard_core::rt::SharedRuntime;

use super::logs::LogPump;
use super::printed::hand_over;
use super::shared::{AtEnd, Shared};
use super::standing::Standing;
use crate::peer::{Output, Peer};
use crate::time::{self, Alarm, Turns};

/// How long nothing may come of what an ended process printed before that counts as its end. All of it
/// is there already, and then the stream ends, unless a child of the process holds the other end open.
const LAST_OUTPUT: Duration = Duration::from_millis(100);

/// Hands what the plugin prints to the user's writers until the plugin has no more.
pub(super) async fn sync(peer: &'static dyn Peer, mut standing: Standing, shared: Arc<Shared>) {
    let ended = AtEnd(shared, Shared::set_stdio_ended);
    let shared = &ended.0;
    let mut log = shared.take_logs().map(|pump| Log {
        pump,
        runtime: Arc::clone(standing.runtime()),
        alarm: Alarm::default(),
    });
    let end = loop {
        let wanted = log.is_some();
        let opened = standing.open(|channel| peer.output(shared.name(), channel, wanted));
        match opened.await {
            Ok((output, own)) => {
                let copied = copy(output, shared, log.as_mut());
                match standing.follow(own, copied).await {
                    Err(status) if standing.comes_back(&status) => {
                        // What it had got a part of comes as a whole.
                        if let Some(Log { pump, runtime, .. }) = &mut log {
                            pump.cut(runtime.now());
                        }
                    }
                    end => break end,
                }
            }
            Err(status) => break Err(status),
        }
    };
    if let Some(log) = &mut log {
        log.pump.finish(log.runtime.now());
    }
    if let Err(status) = end {
        let wanted = shared.sync.wanted().contains(&true);
        note_end(shared.name(), &status, wanted);
    }
}

/// Where the log goes that comes with the output.
struct Log {
    pump: LogPump,
    runtime: SharedRuntime,
    alarm: Alarm,
}

impl Log {
    /// Waits for the next piece, and does what is due meanwhile.
    async fn next(&mut self, output: &mut Output) -> Result<Option<(Source, Bytes)>, Status> {
        let next = poll_fn(|cx| {
            while let Poll::Ready(now) = self.alarm.poll(&self.runtime, self.pump.deadline(), cx) {
                self.pump.handle_timeout(now);
            }
            output.as_mut().poll_next(cx)
        });
        next.await.transpose()
    }

    /// Hands on some lines.
    async fn take(&mut self, lines: &[u8], turns: &mut Turns) {
        self.pump.stderr(self.runtime.now(), lines);
        while self.pump.is_busy() {
            turns.step().await;
            self.pump.turn(self.runtime.now());
        }
    }
}

/// Hands on what comes on one stream, to its end.
async fn copy(
    mut output: Output,
    shared: &Shared,
    mut log: Option<&mut Log>,
) -> Result<(), Status> {
    // The stream is read to its end also without writers: a Go plugin that nobody reads blocks in
    // its prints.
    let mut turns = Turns::default();
    loop {
        let next = match &mut log {
            Some(log) => log.next(&mut output).await?,
            None => output.try_next().await?,
        };
        let Some((source, piece)) = next else {
            return Ok(());
        };
        turns.step().await;
        if source != Source::Stdout {
            shared.said.push(&piece);
        }
        match source {
            Source::Stdout => hand_over(shared, Printed::Stdout, &piece).await,
            Source::Stderr => hand_over(shared, Printed::Stderr, &piece).await,
            _ => {
                if let Some(log) = &mut log
                    && shared.printed.begin(piece.len())
                {
                    log.take(&piece, &mut turns).await;
                    shared.printed.done();
                }
            }
        }
    }
}

/// Waits until the user's writers have got what an ended plugin printed, or have had their time.
pub(super) async fn take_last(runtime: &SharedRuntime, shared: &Shared) {
    let limit = shared.settings().last_output_within;
    let mut over = time::sleep(runtime, limit);
    let mut before = shared.printed.progress();
    loop {
        let quiet = time::sleep(runtime, LAST_OUTPUT);
        match select(shared.output_ended(), select(quiet, &mut over)).await {
            Either::Left(_) => return,
            Either::Right((Either::Left(_), _)) => {
                let (done, writes) = shared.printed.progress();
                if !writes && (done, writes) == before {
                    return;
                }
                before = (done, writes);
            }
            Either::Right((Either::Right(_), _)) => break,
        }
    }
    // What is left is counted at the speed of reading.
    shared.printed.end();
    let quiet = time::sleep(runtime, LAST_OUTPUT);
    select(shared.output_ended(), quiet).await;
    tracing::warn!(
        target: "outboard",
        plugin = shared.name(),
        lost = shared.printed.lost(),
        "the writers of what the plugin printed took longer than {limit:?} for the last of it: the \
         rest is dropped (Host::last_output_within)"
    );
}

/// Says why what the plugin prints does not come, or no longer, unless that goes without saying.
fn note_end(plugin: &str, status: &Status, wanted: bool) {
    match status.code() {
        // The connection has ended, which is told elsewhere.
        Code::Unavailable | Code::Cancelled => {}
        // A normal thing: plugins in other languages often have none.
        Code::Unimplemented if wanted => {
            tracing::warn!(
                target: "outboard",
                plugin,
                "the plugin has no stdio service: what it prints does not get here"
            );
        }
        Code::Unimplemented => {
            tracing::debug!(target: "outboard", plugin, "the plugin has no stdio service");
        }
        _ => {
            tracing::error!(
                target: "outboard",
                plugin,
                %status,
                "what the plugin prints does not get here any more"
            );
        }
    }
}

#[cfg(all(test, feature = "log"))]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tracing::{Event, Level, Subscriber};
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

    use outboard_core::rpc::Streaming;
    use outboard_core::wire::plugin::{StdioData, stdio_data};

    use super::super::sync::{SyncWriters, each};
    use super::*;
    use crate::peer::printed;
    use crate::{Handshake, Host, time};

    #[derive(Clone, Default)]
    struct Levels(Arc<Mutex<Vec<Level>>>);

    impl<S: Subscriber> Layer<S> for Levels {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            let mut levels = self.0.lock().expect("no panic");
            levels.push(*event.metadata().level());
        }
    }

    #[test]
    fn a_plugin_that_prints_without_end_lets_others_have_their_turn() {
        #[derive(Clone, Default)]
        struct Count(Arc<AtomicUsize>);
        impl std::io::Write for Count {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                let pieces = self.0.fetch_add(1, Ordering::Relaxed);
                assert!(pieces < 1_000, "it holds the thread");
                Ok(bytes.len())
            }

            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let count = Count::default();
        let writer = each({
            let count = count.clone();
            move || count.clone()
        });
        let settings = Host::new(Handshake::new(1, "A", "b")).settings;
        let writers = SyncWriters::new(Some(&writer), None);
        let shared = Shared::new("it".to_owned(), settings, writers);
        let piece = || StdioData {
            channel: stdio_data::Channel::Stdout.into(),
            data: b"x".as_slice().into(),
        };
        let flood = Streaming::iter(std::iter::repeat_with(piece).take(1_500));
        let mut copying = std::pin::pin!(copy(printed("it".to_owned(), flood), &shared, None));
        for turn in 1..=3 {
            assert!(futures_util::FutureExt::now_or_never(copying.as_mut()).is_none());
            assert_eq!(count.0.load(Ordering::Relaxed), turn * time::IN_A_ROW);
        }
    }

    #[test]
    fn only_an_unexpected_end_of_stdio_is_an_error() {
        // With one subscriber alone, tracing asks the first thread that meets an event, for all of them.
        let _another = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::new());
        let told = |status: Status, wanted| {
            let levels = Levels::default();
            let subscriber = tracing_subscriber::registry().with(levels.clone());
            tracing::subscriber::with_default(subscriber, || note_end("it", &status, wanted));
            std::mem::take(&mut *levels.0.lock().expect("no panic"))
        };
        for wanted in [false, true] {
            let nothing: [Level; 0] = [];
            assert_eq!(told(Status::connection_lost("gone"), wanted), nothing);
            assert_eq!(told(Status::cancelled("dropped"), wanted), nothing);
            let absent = if wanted { Level::WARN } else { Level::DEBUG };
            assert_eq!(told(Status::unimplemented("absent"), wanted), [absent]);
            assert_eq!(told(Status::internal("broken"), wanted), [Level::ERROR]);
        }
    }
}
