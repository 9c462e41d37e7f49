//! Whoever is not the other side but has found its socket: tries to be served there, in every way that
//! one might.

use std::fmt;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use futures_util::io::{AsyncRead as _, AsyncWrite as _};
use outboard_core::rt::BoxByteStream;
use outboard_kit::h2_frames::{Frame, PREFACE};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use tokio::sync::oneshot;

use super::{Certificates, Certified, Shown, any_client};

/// A time that no answer takes. Reached only by a failure.
const LIMIT: Duration = Duration::from_secs(20);

/// One who comes to a socket that is not theirs.
#[derive(Clone)]
pub struct Stranger {
    /// How it tries to be served.
    pub name: &'static str,
    tls: Option<Arc<ClientConfig>>,
}

impl Stranger {
    fn with_tls(name: &'static str, shown: &Shown, version: &str) -> Self {
        let config = any_client(shown, &["h2"], Some(version));
        Self {
            name,
            tls: Some(Arc::new(config)),
        }
    }

    /// Everybody: who speaks no TLS, and who speaks it without a certificate, with one of their own,
    /// with one that `known` has signed, with `known` itself but not its key.
    /// What may be known of a side is its certificate, which anybody can read.
    #[must_use]
    pub fn all(certificates: &Certificates, known: &Known<'_>) -> Vec<Self> {
        let own = certificates.alone("own");
        let mut all = vec![Self {
            name: "plaintext",
            tls: None,
        }];
        for version in ["1.2", "1.3"] {
            let with = |name, shown: &Shown| Self::with_tls(name, shown, version);
            all.push(with("no certificate", &Shown::nothing()));
            all.push(with("another certificate", &Shown::of(&own)));
            match known {
                Known::WithKey(known) => {
                    let wanted = super::Wanted {
                        issuer: Some(known),
                        authority: false,
                        ..super::Wanted::default()
                    };
                    let signed = certificates.make("signed", wanted);
                    all.push(with("one signed by the right one", &Shown::of(&signed)));
                    let chain = Shown::chain(&[&signed, known], &signed);
                    all.push(with("one signed by the right one, with that", &chain));
                    for (name, alpn) in [
                        ("the right one, and no protocol", &[][..]),
                        ("the right one, and another protocol", &["http/1.1"]),
                    ] {
                        let config = any_client(&Shown::of(known), alpn, Some(version));
                        let tls = Some(Arc::new(config));
                        all.push(Self { name, tls });
                    }
                }
                Known::Public(_) => {}
            }
            all.push(with(
                "the right one without its key",
                &known.without_key(&own),
            ));
        }
        all
    }

    /// Tries to be served. `Ok` holds the first bytes of what came, which no stranger should see.
    ///
    /// # Errors
    /// How it was refused.
    ///
    /// # Panics
    /// If it was neither served nor refused.
    pub fn knock(&self, socket: &Path) -> Result<Vec<u8>, Refused> {
        let stream = UnixStream::connect(socket).expect("it listens");
        stream.set_read_timeout(Some(LIMIT)).expect("a time limit");
        self.try_on(stream)
    }

    /// The same on a stream that is there, on a thread of its own.
    ///
    /// # Errors
    /// How it was refused.
    ///
    /// # Panics
    /// If it was neither served nor refused.
    pub async fn knock_on(&self, io: BoxByteStream) -> Result<Vec<u8>, Refused> {
        let stranger = self.clone();
        let (tell, told) = oneshot::channel();
        thread::spawn(move || tell.send(stranger.try_on(Blocking(io))));
        told.await.expect("neither served nor refused")
    }

    fn try_on(&self, stream: impl Read + Write) -> Result<Vec<u8>, Refused> {
        match &self.tls {
            None => ask(stream),
            Some(config) => {
                let name = ServerName::try_from("localhost").expect("a name");
                let client = ClientConnection::new(Arc::clone(config), name).expect("a client");
                ask(StreamOwned::new(client, stream))
            }
        }
    }
}

impl fmt::Debug for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// A stream of a runtime for a thread that has nothing else to do.
struct Blocking(BoxByteStream);

impl Blocking {
    fn wait<T>(
        &mut self,
        mut poll: impl FnMut(Pin<&mut BoxByteStream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> io::Result<T> {
        let waker = Arc::new(Unpark(thread::current())).into();
        let mut cx = Context::from_waker(&waker);
        let end = Instant::now() + LIMIT;
        loop {
            if let Poll::Ready(done) = poll(Pin::new(&mut self.0), &mut cx) {
                return done;
            }
            match end.checked_duration_since(Instant::now()) {
                Some(left) => thread::park_timeout(left),
                None => return Err(io::ErrorKind::TimedOut.into()),
            }
        }
    }
}

impl Read for Blocking {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.wait(|io, cx| io.poll_read(cx, buffer))
    }
}

impl Write for Blocking {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.wait(|io, cx| io.poll_write(cx, bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.wait(|io, cx| io.poll_flush(cx))
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// What strangers know of the side whose part they would play.
#[derive(Debug)]
pub enum Known<'a> {
    /// All, so that they can misuse what comes from it.
    WithKey(&'a Certified),
    /// Its certificate.
    Public(rustls::pki_types::CertificateDer<'static>),
}

impl Known<'_> {
    fn without_key(&self, own: &Certified) -> Shown {
        match self {
            Self::WithKey(known) => Shown::chain(&[known], own),
            Self::Public(der) => Shown::der(der.clone(), own),
        }
    }
}

/// How somebody was refused.
#[derive(Debug)]
pub struct Refused(pub String);

/// Begins as an HTTP/2 client, and waits for what a server begins with.
fn ask(mut stream: impl Read + Write) -> Result<Vec<u8>, Refused> {
    let hello = [PREFACE, &Frame::settings(&[]).encode()].concat();
    let asked = stream.write_all(&hello).and_then(|()| stream.flush());
    let mut first = vec![0; 9];
    let answered = match asked {
        // Its reason may still be there to be read.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
            ) =>
        {
            stream.read(&mut first)
        }
        Err(error) => Err(error),
        Ok(()) => stream.read(&mut first),
    };
    match answered {
        Ok(0) => Err(Refused("the end".to_owned())),
        Ok(count) => {
            first.truncate(count);
            // A record with an alert, for one who speaks no TLS.
            match first.as_slice() {
                [21, 3, ..] => Err(Refused("an alert".to_owned())),
                _ => Ok(first),
            }
        }
        Err(error) => {
            let slow = [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut];
            assert!(!slow.contains(&error.kind()), "neither served nor refused");
            Err(Refused(error.to_string()))
        }
    }
}
