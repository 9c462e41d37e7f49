//! What a Rust host does with a connection that nobody uses, frame by frame: the plugin is a process
//! that prints a handshake line, and the test itself at the other end of the socket.
#![cfg(unix)]

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use outboard::Tokio;
use outboard_interop::rust_host::Peer;
use outboard_kit::h2_frames::{ACK, Frame, HEADERS, PING, PREFACE, SETTINGS};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

const PLUGIN: &str = env!("CARGO_BIN_EXE_rust-plugin-peer");

/// Takes one connection, answers what HTTP/2 demands, and passes on what frames come.
fn watch(listener: &UnixListener) -> (UnixStream, UnboundedReceiver<Frame>) {
    let (stream, _) = listener.accept().expect("a connection");
    let (sender, frames) = unbounded_channel();
    let mut reader = stream.try_clone().expect("the same socket");
    std::thread::spawn(move || -> io::Result<()> {
        reader.write_all(&Frame::settings(&[]).encode())?;
        let mut preface = [0; PREFACE.len()];
        reader.read_exact(&mut preface)?;
        loop {
            let frame = Frame::read_blocking(&mut reader)?;
            if (frame.kind, frame.flags & ACK) == (SETTINGS, 0) {
                reader.write_all(&Frame::new(SETTINGS, ACK, 0, []).encode())?;
            }
            if sender.send(frame).is_err() {
                return Ok(());
            }
        }
    });
    (stream, frames)
}

/// A host leaves an idle connection alone: no PING, not in an hour of its own clock. go-plugin's
/// servers close a connection that is pinged more than once in five minutes.
#[test]
fn an_idle_connection_is_not_pinged() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("plugin1");
    let listener = UnixListener::bind(&path).expect("a socket");
    let line = format!("1|1|unix|{}|grpc|\n", path.display());
    let watching = std::thread::spawn(move || watch(&listener));
    // Not the scenarios' runner, whose time limit would run out with the clock.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let host = Peer::rust(PLUGIN).host(&["print-and-block", &line]);
        let plugin = host.start(Tokio::current()).await.expect("it starts");
        let (mut stream, mut frames) = watching.join().expect("a connection");
        let mut seen: Vec<Frame> = Vec::new();
        // The streams for output and broker are the last thing that a host sends by itself.
        while seen.iter().filter(|frame| frame.kind == HEADERS).count() < 2 {
            seen.push(frames.recv().await.expect("a live connection"));
        }
        tokio::time::pause();
        for _ in 0..60 {
            tokio::time::advance(Duration::from_secs(60)).await;
        }
        tokio::time::resume();
        // The answer to this comes after all that was sent before.
        let ping = Frame::new(PING, 0, 0, *b"are you?");
        stream.write_all(&ping.encode()).expect("a live connection");
        let answers = |frame: &Frame| (frame.kind, frame.flags) == (PING, ACK);
        while !seen.last().is_some_and(answers) {
            seen.push(frames.recv().await.expect("a live connection"));
        }
        let asks = |frame: &Frame| (frame.kind, frame.flags) == (PING, 0);
        assert!(!seen.iter().any(asks), "{seen:?}");
        assert!(!plugin.is_exited());
        let _killed = plugin.kill().await;
    });
}
