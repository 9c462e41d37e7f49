//! Plugins that do what no proper one does, made by hand of the parts of the transport.

use std::future::{pending, poll_fn};
use std::io::Write as _;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use futures_util::AsyncWriteExt as _;
use outboard_core::endpoint::Endpoint;
use outboard_core::handshake::{HandshakeLine, Location, Protocol};
use outboard_core::rt::{BoxByteStream, SharedRuntime};
use outboard_core::told::Teller;
use outboard_transport_netrpc::{PluginSession, Provided};
use outboard_yamux::{Config, Role, session};

/// What such a plugin does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// What comes after the handshake is no yamux.
    NoYamux,
    /// What comes on the control stream is no gob.
    NoGob,
    /// It closes the connection in place of an answer to the request to quit, and ends.
    LostAnswer,
    /// The same, and does not end.
    LostAnswerStays,
}

impl Wrong {
    /// All, by the names of their modes.
    pub const ALL: [(&'static str, Self); 4] = [
        ("no-yamux", Self::NoYamux),
        ("no-gob", Self::NoGob),
        ("lost-answer", Self::LostAnswer),
        ("lost-answer-stays", Self::LostAnswerStays),
    ];
}

/// Listens on a socket below `dir`, prints its line, and goes wrong with its first host.
///
/// # Panics
/// If the system is in the way, which the host's test tells.
pub async fn serve(wrong: Wrong, runtime: SharedRuntime, dir: &Path) {
    let mut io = host(&runtime, dir).await;
    match wrong {
        Wrong::NoYamux => {
            io.write_all(b"HTTP/1.1 200 OK\r\n\r\n")
                .await
                .expect("writes");
            io.flush().await.expect("flushes");
            pending::<()>().await;
        }
        Wrong::NoGob => {
            let (opener, mut incoming, driver) = session(&runtime, io, Config::new(Role::Server));
            runtime.spawn(Box::pin(driver));
            let mut streams = Vec::new();
            for _ in 0..3 {
                let accepted = poll_fn(|cx| incoming.poll_accept(cx)).await;
                streams.push(accepted.expect("the host opens three"));
            }
            // A length of more than there may be.
            streams[0].write_all(&[0xf7; 64]).await.expect("writes");
            streams[0].flush().await.expect("flushes");
            pending::<()>().await;
            drop(opener);
        }
        Wrong::LostAnswer | Wrong::LostAnswerStays => {
            let running: Arc<Mutex<Option<PluginSession>>> = Arc::default();
            let (of_quit, mut provided) = (Arc::clone(&running), Provided::default());
            let asked = Teller::new();
            let ended = asked.told();
            provided.quit = Arc::new(move || {
                // Its drop closes the connection.
                drop(of_quit.lock().expect("no panic").take());
                asked.tell(());
                Box::pin(pending())
            });
            let session = PluginSession::begin(&runtime, io, provided);
            *running.lock().expect("no panic") = Some(session);
            let _told = ended.await;
            if wrong == Wrong::LostAnswerStays {
                pending::<()>().await;
            }
        }
    }
}

async fn host(runtime: &SharedRuntime, dir: &Path) -> BoxByteStream {
    let path = dir.join("plugin");
    let socket = UnixListener::bind(&path).expect("binds");
    let local = Endpoint::Unix(path);
    let listener = runtime.listener(socket.into(), local.clone());
    let mut listener = listener.expect("listens");
    let line = HandshakeLine::new(1, Location::Endpoint(local), Protocol::NetRpc);
    println!("{line}");
    std::io::stdout().flush().expect("flushes");
    let io = poll_fn(|cx| Pin::new(&mut listener).poll_accept(cx)).await;
    io.expect("a host").io
}
