//! A plugin over stdio whose stdin and stdout others hold too, as wrappers and shells do.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::pin::Pin;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use futures_util::future::{Either, join, join_all, select};
use futures_util::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use outboard::codegen::Prost;
use outboard::rt::{BoxByteStream, Joined};
use outboard::{Channel, Client as _, Transport as _};
use outboard_conformance::proto::{
    Nothing, PourRequest, Probe as _, ProbeClient, Process as _, ProcessClient,
};
use outboard_core::endpoint::Endpoint;
use outboard_core::rpc::ConnectionConfig;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl};

use crate::calls::{pattern, payload};
use crate::harness::Harness;
use crate::leftovers;
use crate::raw;

/// The plugin's ends of a connection. The test holds them as well.
struct Ends {
    stdin: OwnedFd,
    stdout: OwnedFd,
}

/// A connection by two pipes, which a plugin can open anew.
fn pipes(h: &Harness) -> (Ends, BoxByteStream) {
    let (stdin, to_plugin) = io::pipe().expect("a pipe");
    let (from_plugin, stdout) = io::pipe().expect("a pipe");
    let descriptors = h.runtime.descriptors().expect("an adapter of ours");
    let reader = descriptors.pipe_reader(from_plugin).expect("registered");
    let writer = descriptors.pipe_writer(to_plugin).expect("registered");
    let ends = Ends {
        stdin: stdin.into(),
        stdout: stdout.into(),
    };
    (ends, Box::new(Joined::new(reader, writer)))
}

/// By one socket for both directions, which it cannot: threads read and write it.
async fn socket(h: &Harness) -> (Ends, BoxByteStream) {
    let path = h.dir().join("connection");
    let listener = UnixListener::bind(&path).expect("bound");
    let endpoint = Endpoint::unix(&path).expect("a path");
    let host = h.runtime.connect(&endpoint).await.expect("it listens");
    let (plugin, _) = listener.accept().expect("it has connected");
    std::fs::remove_file(path).expect("it was made");
    let ends = Ends {
        stdin: plugin.try_clone().expect("room").into(),
        stdout: plugin.into(),
    };
    (ends, host)
}

impl Ends {
    /// Starts the plugin and waits for its line.
    async fn start(&self, h: &Harness, host: &mut BoxByteStream, options: &[&str]) -> Child {
        let share = |fd: &OwnedFd| Stdio::from(fd.try_clone().expect("room"));
        let mut command = raw::plugin(h, options);
        command
            .stdin(share(&self.stdin))
            .stdout(share(&self.stdout))
            .stderr(Stdio::null());
        let child = command.spawn().expect("it starts");
        let mut line = Vec::new();
        while line.last() != Some(&b'\n') {
            let mut byte = [0];
            let read = h.promptly(host.read_exact(&mut byte)).await;
            read.expect("it prints its line");
            line.push(byte[0]);
        }
        assert_eq!(line, b"1|1|stdio|-|stdio|\n");
        child
    }

    fn flags(&self) -> [OFlags; 2] {
        [&self.stdin, &self.stdout].map(|fd| fcntl_getfl(fd).expect("open"))
    }
}

/// A channel to the plugin over this connection.
fn connect(h: &Harness, host: BoxByteStream) -> Channel {
    let stdio = outboard::Stdio::new();
    Channel::new(stdio.connect(&h.runtime, host, ConnectionConfig::default()))
}

/// Waits until the plugin has ended, and checks that it did so in good order.
async fn ended(h: &Harness, mut child: Child) {
    let pid = child.id();
    let gone = h.elsewhere(move || leftovers::gone(pid)).await;
    assert!(gone, "it has no reason to stay");
    let status = child.wait().expect("a child");
    assert!(status.success(), "{status}");
}

pub async fn shared_streams_keep_their_flags(h: Harness) {
    for threaded in [false, true] {
        let (ends, mut host) = if threaded {
            socket(&h).await
        } else {
            pipes(&h)
        };
        let flags = ends.flags();
        assert!(flags.iter().all(|flags| !flags.contains(OFlags::NONBLOCK)));
        let child = ends.start(&h, &mut host, &[]).await;
        assert_eq!(ends.flags(), flags, "after the handshake");
        let channel = connect(&h, host);
        let probe = ProbeClient::from_channel(channel.clone());
        for size in [1, 1 << 20] {
            let echoed = h.promptly(probe.echo(payload(pattern(size)))).await;
            assert_eq!(echoed, Ok(payload(pattern(size))));
            assert_eq!(ends.flags(), flags, "while calls are made");
        }
        let process = ProcessClient::from_channel(channel.clone());
        let threads = process.facts(Nothing {}).await.expect("ok").threads;
        let has = |name: &str| threads.iter().any(|thread| thread == name);
        assert_eq!(
            [has("outboard-stdin"), has("outboard-stdout")],
            [threaded; 2],
            "the way that this is about: {threads:?}"
        );
        drop((probe, process, channel));
        ended(&h, child).await;
        assert_eq!(ends.flags(), flags, "after the end");
    }
}

pub async fn threads_whose_host_is_gone_raise_no_signal(h: Harness) {
    let (ends, mut host) = socket(&h).await;
    let child = ends.start(&h, &mut host, &["--sigpipe"]).await;
    drop(ends);
    let channel = connect(&h, host);
    let probe = ProbeClient::from_channel(channel.clone());
    let endless = PourRequest {
        count: u64::MAX,
        size: 1000,
    };
    let mut answers = h.promptly(probe.pour(endless)).await.expect("starts");
    assert!(answers.message().await.expect("ok").is_some());
    // It is in the midst of writing.
    drop((answers, probe, channel));
    ended(&h, child).await;
}

/// A connection from which nothing is read any more once its flag is set.
struct Stalling(BoxByteStream, Arc<AtomicBool>);

impl AsyncRead for Stalling {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if self.1.load(Ordering::SeqCst) {
            return Poll::Pending;
        }
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Stalling {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx)
    }
}

pub async fn threads_that_are_blocked_hold_nothing_up(h: Harness) {
    let (ends, mut host) = socket(&h).await;
    let child = ends.start(&h, &mut host, &["--drain", "500"]).await;
    let stalled = Arc::new(AtomicBool::new(false));
    let channel = connect(&h, Box::new(Stalling(host, Arc::clone(&stalled))));
    let probe = ProbeClient::from_channel(channel.clone());
    assert_eq!(h.promptly(probe.echo(payload("x"))).await, Ok(payload("x")));
    stalled.store(true, Ordering::SeqCst);
    // More than the plugin's buffer and the socket take, as far as the streams' credit goes.
    let endless = || PourRequest {
        count: u64::MAX,
        size: 64 << 10,
    };
    let pours = join_all((0..8).map(|_| probe.pour(endless())));
    // The host's request to end, which comes after them and is not answered either.
    let shutdown = channel.head("/plugin.GRPCController/Shutdown");
    let asked = channel.unary::<_, _, Nothing>(Prost, shutdown, &Nothing {});
    // The connection stays: its reader would wait for ever, as its writer does.
    match select(Box::pin(join(pours, asked)), Box::pin(ended(&h, child))).await {
        Either::Left((answered, _)) => panic!("nothing is read: {answered:?}"),
        Either::Right(((), _)) => {}
    }
    let mut stdout = [PollFd::new(&ends.stdout, PollFlags::OUT)];
    let ready = poll(&mut stdout, Some(&Timespec::default())).expect("works");
    assert_eq!(ready, 0, "there is room for what it wrote");
}
