//! Brokered connections that are lost while what they lead to is still served.

use std::io;
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use futures_util::future::join;
use outboard::Code;
use outboard_conformance::proto::{Nothing, Probe as _, ProbeClient};
use outboard_kit::files::sockets_in;

use crate::calls::payload;
use crate::harness::{Harness, Rig};

/// Stands in front of a socket, under its name.
struct Relay {
    path: PathBuf,
    behind: PathBuf,
    listener: Arc<UnixListener>,
    taken: Arc<Mutex<Vec<UnixStream>>>,
    accepting: Option<JoinHandle<()>>,
}

impl Relay {
    fn before(path: PathBuf) -> Self {
        let behind = path.with_extension("behind");
        std::fs::rename(&path, &behind).expect("it is there");
        let listener = Arc::new(UnixListener::bind(&path).expect("the name is free"));
        let taken = Arc::new(Mutex::new(Vec::new()));
        let accepting = {
            let (listener, taken) = (Arc::clone(&listener), Arc::clone(&taken));
            let behind = behind.clone();
            thread::spawn(move || {
                // Until the listener is shut down.
                while let Ok((near, _)) = listener.accept() {
                    let far = UnixStream::connect(&behind).expect("it listens");
                    for (from, to) in [(&near, &far), (&far, &near)] {
                        let (mut from, mut to) = (clone(from), clone(to));
                        thread::spawn(move || {
                            let _cut = io::copy(&mut from, &mut to);
                            let _gone = to.shutdown(Shutdown::Both);
                        });
                    }
                    lock(&taken).push(near);
                }
            })
        };
        Self {
            path,
            behind,
            listener,
            taken,
            accepting: Some(accepting),
        }
    }

    fn taken(&self) -> usize {
        lock(&self.taken).len()
    }

    fn cut(&self) {
        for stream in lock(&self.taken).iter() {
            // Those that were cut before are not connected.
            let _cut_before = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _closed = rustix::net::shutdown(&*self.listener, rustix::net::Shutdown::Both);
        self.cut();
        if let Some(accepting) = self.accepting.take() {
            accepting.join().expect("no panic");
        }
        for file in [&self.path, &self.behind] {
            // The plugin removes what has its socket's name.
            let _removed = std::fs::remove_file(file);
        }
    }
}

fn clone(stream: &UnixStream) -> UnixStream {
    stream.try_clone().expect("a descriptor is left")
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has the plugin serve a probe and dials it through a relay.
async fn dial(h: &Harness, rig: &Rig) -> (ProbeClient, Relay) {
    let before = sockets_in(h.dir());
    let id = rig.probe.serve(Nothing {}).await.expect("it is served").id;
    let mut sockets = sockets_in(h.dir());
    sockets.retain(|file| !before.contains(file));
    assert_eq!(sockets.len(), 1, "{sockets:?}");
    let relay = Relay::before(sockets[0].clone());
    let dialled = rig.plugin.broker().dial(id).await;
    (dialled.expect("it is there"), relay)
}

pub async fn a_brokered_connection_comes_back(h: Harness) {
    let rig = h.start().await;
    let (probe, relay) = dial(&h, &rig).await;
    assert_eq!(probe.echo(payload("x")).await, Ok(payload("x")));
    for round in 1..=3 {
        let waiting = probe.wait(Nothing {});
        let cut = async {
            let note = probe.next_note(Nothing {}).await.expect("a note");
            assert_eq!(note.text, "wait began");
            relay.cut();
        };
        let (in_flight, ()) = h.promptly(join(waiting, cut)).await;
        let status = in_flight.expect_err("it was cut off");
        assert_eq!(status.code(), Code::Unavailable, "{status}");
        assert!(status.is_connection_lost(), "{status}");
        // The client is the same, and what it calls is.
        let note = h
            .promptly(probe.next_note(Nothing {}))
            .await
            .expect("a note");
        assert_eq!(note.text, "wait dropped");
        assert_eq!(relay.taken(), 1 + round);
    }
    // The main connection had no part in that.
    assert_eq!(rig.probe.echo(payload("y")).await, Ok(payload("y")));
    drop(relay);
    rig.shutdown().await;
}

pub async fn a_brokered_socket_that_is_gone_is_told_as_that(h: Harness) {
    let rig = h.start().await;
    let (probe, relay) = dial(&h, &rig).await;
    assert_eq!(probe.echo(payload("x")).await, Ok(payload("x")));
    std::fs::remove_file(&relay.path).expect("it is there");
    relay.cut();
    // The first call may still have been made on the connection that is cut.
    let mut status = None;
    for _ in 0..2 {
        status = h.promptly(probe.echo(payload("x"))).await.err();
    }
    let status = status.expect("there is no way");
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert!(status.is_connection_lost(), "{status}");
    for part in ["broker id", "its socket file", "is gone"] {
        assert!(status.message().contains(part), "{status}");
    }
    drop(relay);
    rig.shutdown().await;
}
