//! Sockets.

use std::future::poll_fn;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::pin::Pin;

use futures_util::future::join;
use futures_util::{AsyncReadExt, AsyncWriteExt};
use outboard_core::endpoint::Endpoint;
use outboard_core::rt::{BoxByteStream, Listener, SharedRuntime};
use tempfile::TempDir;

use crate::support::{Run, accept, block_on, elsewhere, once, pattern, ping, yield_now};

const MEBIBYTE: usize = 1 << 20;

/// A listening unix socket in a directory of its own.
pub(crate) fn unix(runtime: &SharedRuntime) -> (TempDir, Box<dyn Listener>) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("socket");
    let socket = UnixListener::bind(&path).expect("it can be bound");
    let listener = runtime.listener(socket.into(), Endpoint::Unix(path));
    (dir, listener.expect("it can be listened on"))
}

/// A listening TCP socket on a port of the system's choice, on the loopback address.
pub(crate) fn tcp(runtime: &SharedRuntime) -> (u16, Box<dyn Listener>) {
    let socket = TcpListener::bind(("127.0.0.1", 0)).expect("it can be bound");
    let port = socket.local_addr().expect("it is bound").port();
    let local = Endpoint::Tcp(format!("127.0.0.1:{port}"));
    let listener = runtime.listener(socket.into(), local);
    (port, listener.expect("it can be listened on"))
}

/// Both ends of a new connection.
pub(crate) async fn connected(
    runtime: &SharedRuntime,
    listener: &mut Box<dyn Listener>,
) -> (BoxByteStream, BoxByteStream) {
    let to = listener.local().clone();
    let (near, far) = join(runtime.connect(&to), accept(listener)).await;
    (near.expect("it listens"), far.expect("somebody connects"))
}

/// There and back.
pub fn unix_echo(run: Run) {
    run.case(|runtime| async move {
        let (_dir, mut listener) = unix(&runtime);
        let (mut near, mut far) = connected(&runtime, &mut listener).await;
        ping(&mut near, &mut far, b"hello").await;
    });
}

/// There and back.
pub fn tcp_echo(run: Run) {
    run.case(|runtime| async move {
        let (_, mut listener) = tcp(&runtime);
        let (mut near, mut far) = connected(&runtime, &mut listener).await;
        ping(&mut near, &mut far, b"hello").await;
    });
}

/// Who has connected is told of unix sockets, where the system does so, and of no others.
pub fn who_connects_is_told(run: Run) {
    run.case(|runtime| async move {
        let (_dir, mut by_unix) = unix(&runtime);
        let (_, mut by_tcp) = tcp(&runtime);
        for (listener, told) in [(&mut by_unix, true), (&mut by_tcp, false)] {
            let to = listener.local().clone();
            let accept = poll_fn(|cx| listener.poll_accept(cx));
            let (near, far) = join(runtime.connect(&to), accept).await;
            let _near = near.expect("it listens");
            let peer = far.expect("somebody connects").peer;
            let user = peer.map(|peer| peer.user);
            let own = rustix::process::geteuid().as_raw();
            assert_eq!(user, told.then_some(own), "{to}");
        }
    });
}

/// The runtime resolves names; no host is this machine, as in Go.
pub fn tcp_by_name_and_without_host(run: Run) {
    run.case(|runtime| async move {
        let (port, mut listener) = tcp(&runtime);
        for host in ["localhost", ""] {
            let to = Endpoint::Tcp(format!("{host}:{port}"));
            let (near, far) = join(runtime.connect(&to), accept(&mut listener)).await;
            ping(&mut near.expect(host), &mut far.expect(host), b"hello").await;
        }
    });
}

/// Linux' names without files.
pub fn abstract_echo(run: Run) {
    #[cfg(target_os = "linux")]
    run.case(|runtime| async move {
        use std::os::linux::net::SocketAddrExt;

        let dir = tempfile::tempdir().expect("a directory");
        // The directory only lends its unique name.
        let name = dir.path().to_str().expect("text");
        let address = std::os::unix::net::SocketAddr::from_abstract_name(name);
        let socket = UnixListener::bind_addr(&address.expect("short")).expect("unused");
        let local = Endpoint::Unix(PathBuf::from(format!("@{name}")));
        let listener = runtime.listener(socket.into(), local);
        let mut listener = listener.expect("it can be listened on");
        let (mut near, mut far) = connected(&runtime, &mut listener).await;
        ping(&mut near, &mut far, b"hello").await;
    });
    #[cfg(not(target_os = "linux"))]
    let _: (Run, PathBuf) = (run, PathBuf::new());
}

/// Nobody listens, no file, a file nobody listens on any more.
pub fn errors_are_the_systems(run: Run) {
    run.case(|runtime| async move {
        let kind = async |to: Endpoint| {
            // A child that another test is just starting may have the listener until its exec.
            let error = loop {
                match runtime.connect(&to).await {
                    Ok(_) => yield_now().await,
                    Err(error) => break error,
                }
            };
            assert!(error.raw_os_error().is_some(), "{error}");
            error.kind()
        };
        let (port, listener) = tcp(&runtime);
        drop(listener);
        let refused = Endpoint::Tcp(format!("127.0.0.1:{port}"));
        assert_eq!(kind(refused).await, ErrorKind::ConnectionRefused);

        let (dir, listener) = unix(&runtime);
        let stale = listener.local().clone();
        drop(listener);
        assert_eq!(kind(stale).await, ErrorKind::ConnectionRefused);
        let missing = Endpoint::Unix(dir.path().join("missing"));
        assert_eq!(kind(missing).await, ErrorKind::NotFound);
    });
}

/// One attempt that fails is not the end of the listener.
pub fn accept_survives_a_connection_that_closes_at_once(run: Run) {
    run.case(|runtime| async move {
        let (_dir, unix) = unix(&runtime);
        let (port, tcp) = tcp(&runtime);
        // Gone before it is accepted, with a reset.
        let socket = std::net::TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        let reset = Some(std::time::Duration::ZERO);
        rustix::net::sockopt::set_socket_linger(&socket, reset).expect("a socket");
        drop(socket);
        for mut listener in [unix, tcp] {
            let to = listener.local().clone();
            drop(runtime.connect(&to).await.expect("it listens"));
            let mut near = runtime.connect(&to).await.expect("it listens");
            near.write_all(b"me").await.expect("it is accepted later");
            loop {
                // Errors of single attempts are allowed, and so are streams that are over.
                let Ok(mut far) = accept(&mut listener).await else {
                    continue;
                };
                let mut got = [0; 2];
                if far.read_exact(&mut got).await.is_ok() {
                    assert_eq!(&got, b"me");
                    break;
                }
            }
        }
    });
}

/// Giving up an attempt does no harm to the next.
pub fn abandoned_connect(run: Run) {
    run.case(|runtime| async move {
        let (_dir, unix) = unix(&runtime);
        let (_, tcp) = tcp(&runtime);
        for mut listener in [unix, tcp] {
            let to = listener.local().clone();
            drop(runtime.connect(&to));
            let mut begun = runtime.connect(&to);
            let _ = once(|cx| begun.as_mut().poll(cx)).await;
            drop(begun);
            let mut near = runtime.connect(&to).await.expect("it listens");
            near.write_all(b"x").await.expect("it is accepted later");
            loop {
                let mut far = accept(&mut listener).await.expect("somebody connects");
                let mut got = [0];
                // The abandoned attempt may have got through: a stream that ends at once.
                if matches!(far.read(&mut got).await, Ok(1)) {
                    break;
                }
            }
        }
    });
}

/// A poll without a follow-up does not swallow a connection.
pub fn abandoned_accept_loses_nothing(run: Run) {
    run.case(|runtime| async move {
        let (_dir, unix) = unix(&runtime);
        let (_, tcp) = tcp(&runtime);
        for mut listener in [unix, tcp] {
            assert!(once(|cx| listener.poll_accept(cx)).await.is_pending());
            let near = runtime.connect(&listener.local().clone()).await;
            let mut near = near.expect("it listens");
            let mut far = accept(&mut listener).await.expect("somebody connects");
            ping(&mut near, &mut far, b"x").await;
            assert!(once(|cx| listener.poll_accept(cx)).await.is_pending());
        }
    });
}

/// Dropping a read that waits takes nothing with it.
pub fn abandoned_read_loses_nothing(run: Run) {
    run.case(|runtime| async move {
        for (mut near, mut far) in pairs(&runtime).await {
            let mut byte = [0];
            let mut read = far.read(&mut byte);
            assert!(once(|cx| Pin::new(&mut read).poll(cx)).await.is_pending());
            ping(&mut near, &mut far, b"hello").await;
        }
    });
}

/// The other direction stays open.
pub fn close_is_a_half_close(run: Run) {
    run.case(|runtime| async move {
        for (mut near, mut far) in pairs(&runtime).await {
            near.write_all(b"question").await.expect("open");
            near.close().await.expect("open");
            let mut got = Vec::new();
            far.read_to_end(&mut got).await.expect("open");
            assert_eq!(got, b"question");
            far.write_all(b"answer").await.expect("open");
            drop(far);
            got.clear();
            near.read_to_end(&mut got).await.expect("open");
            assert_eq!(got, b"answer");
        }
    });
}

/// More than the buffers hold, in both directions at once.
pub fn both_sides_write_a_mebibyte(run: Run) {
    run.case(|runtime| async move {
        for (near, far) in pairs(&runtime).await {
            let sent = pattern(MEBIBYTE);
            let side = |stream: BoxByteStream| {
                let (mut reader, mut writer) = stream.split();
                let sent = &sent;
                async move {
                    let mut got = vec![0; sent.len()];
                    let (read, written) =
                        join(reader.read_exact(&mut got), writer.write_all(sent)).await;
                    read.and(written).expect("open");
                    assert!(got == *sent, "the bytes arrive as sent");
                }
            };
            join(side(near), side(far)).await;
        }
    });
}

/// A writer that had to wait does not miss the next time it has to, however many writes found room
/// in between.
pub fn room_is_noticed_every_time(run: Run) {
    run.case(|runtime| async move {
        for (mut near, mut far) in pairs(&runtime).await {
            for _ in 0..3 {
                let chunk = pattern(1 << 16);
                let mut sent = 0;
                let mut fill = |cx: &mut std::task::Context<'_>| {
                    futures_util::AsyncWrite::poll_write(Pin::new(&mut near), cx, &chunk)
                };
                // TCP moves bytes to the peer in its own time, so full once is not full for good.
                while let std::task::Poll::Ready(count) = once(&mut fill).await {
                    sent += count.expect("open");
                }
                let mut got = vec![0; sent];
                let more = async { near.write_all(b"more").await.expect("open") };
                let read = async { far.read_exact(&mut got).await.expect("open") };
                join(more, read).await;
                far.read_exact(&mut got[..4]).await.expect("open");
                assert_eq!(&got[..4], b"more");
                for _ in 0..200 {
                    ping(&mut near, &mut far, b"hello").await;
                }
            }
        }
    });
}

/// The system sees all slices at once.
pub fn vectored_writes_are_one_call(run: Run) {
    run.case(|runtime| async move {
        for (mut near, mut far) in pairs(&runtime).await {
            crate::pipes::vectored(&mut near, &mut far).await;
        }
    });
}

/// It reports the address it was given, and leaves the file to whoever made it.
pub fn listener_keeps_its_address_and_file(run: Run) {
    run.case(|runtime| async move {
        let (dir, listener) = unix(&runtime);
        let path = dir.path().join("socket");
        assert_eq!(listener.local(), &Endpoint::Unix(path.clone()));
        drop(listener);
        assert!(path.exists());
    });
}

/// A thread that knows no runtime can connect, accept and talk.
pub fn connects_from_any_thread(run: Run) {
    run.case(|runtime| async move {
        elsewhere(move || {
            block_on(async {
                for (mut near, mut far) in pairs(&runtime).await {
                    ping(&mut near, &mut far, b"hello").await;
                    near.close().await.expect("open");
                    let mut byte = [0];
                    let end = poll_fn(|cx| {
                        futures_util::AsyncRead::poll_read(Pin::new(&mut far), cx, &mut byte)
                    });
                    assert_eq!(end.await.expect("open"), 0);
                }
            });
        })
        .await;
    });
}

/// A connection of each kind.
async fn pairs(runtime: &SharedRuntime) -> [(BoxByteStream, BoxByteStream); 2] {
    let (_dir, mut by_unix) = unix(runtime);
    let (_, mut by_tcp) = tcp(runtime);
    [
        connected(runtime, &mut by_unix).await,
        connected(runtime, &mut by_tcp).await,
    ]
}
