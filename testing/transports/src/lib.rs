//! What every transport of outboard must do, over every kind of stream. This is where a case runs;
//! the cases are in `tests/transports`.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use outboard_core::memory;
use outboard_core::rpc::{
    Connection, ConnectionConfig, Keepalive, ServerConfig, Serving, Transport,
};
use outboard_core::rt::{BoxByteStream, SharedRuntime};
use outboard_kit::runtime::Clock;
use outboard_kit::shape::{Cut, Tear};
use outboard_kit::{Echo, TestRuntime, echo};
use outboard_transport_h2::H2;
use outboard_transport_stdio::Stdio;

/// The transports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// gRPC over HTTP/2.
    H2,
    /// Frames of outboard's own.
    Stdio,
}

/// The kinds of streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Takes every write whole.
    Whole,
    /// Takes and gives a few bytes at a time, after having had to wait.
    Cut,
    /// Has room for one byte.
    Slow,
    /// Keeps what is written until it is flushed, as TLS does.
    Buffering,
    /// The pair in memory, with as much room as it has by itself.
    Memory,
    /// Sockets of the system, on a runtime of two threads.
    #[cfg(unix)]
    Sockets,
}

/// What a case runs on.
#[derive(Clone, Copy, Debug)]
pub struct On {
    /// The transport.
    pub wire: Wire,
    /// The streams under it.
    pub stream: Stream,
}

/// A running case's surroundings.
pub struct Bench {
    /// What it runs on.
    pub on: On,
    /// Of both sides.
    pub runtime: SharedRuntime,
    /// The runtime's. It stands still until the case moves it.
    pub clock: Clock,
}

impl fmt::Debug for Bench {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.on.fmt(f)
    }
}

/// A client and a server joined by a stream.
pub struct Pair {
    /// The calling side.
    pub connection: Arc<dyn Connection>,
    /// The serving side.
    pub serving: Arc<dyn Serving>,
    /// What it serves.
    pub echo: Arc<Echo>,
    /// Tears the stream between them.
    pub tear: Tear,
}

/// How the sides of a pair are configured.
#[derive(Default)]
pub struct Config {
    /// The calling side.
    pub client: ConnectionConfig,
    /// The serving side.
    pub server: ServerConfig,
    /// Of both sides.
    pub keepalive: Option<Keepalive>,
}

/// Runs a case.
pub fn run<F: Future<Output = ()>>(on: On, case: impl FnOnce(Bench) -> F) {
    #[cfg(unix)]
    if on.stream == Stream::Sockets {
        let (runtime, clock) = TestRuntime::shared_with_clock();
        return outboard_kit::run(case(Bench { on, runtime, clock }));
    }
    let (runtime, tasks, clock) = TestRuntime::with_clock();
    outboard_kit::run(tasks.run(case(Bench { on, runtime, clock })));
}

fn pair_of<S: outboard_core::rt::ByteStream + 'static>((near, far): (S, S)) -> [BoxByteStream; 2] {
    [Box::new(near), Box::new(far)]
}

impl Stream {
    fn pair(self) -> [BoxByteStream; 2] {
        let memory = |room: usize| {
            memory::pair_with_capacity(NonZeroUsize::new(room).expect("room for something"))
        };
        match self {
            Self::Whole => pair_of(memory(usize::MAX)),
            Self::Cut => {
                let (near, far) = memory(1_000);
                pair_of((Cut::new(near), Cut::new(far)))
            }
            Self::Slow => pair_of(memory(1)),
            Self::Buffering => pair_of(outboard_kit::pipe(64 * 1024)),
            Self::Memory => pair_of(memory::pair()),
            #[cfg(unix)]
            Self::Sockets => pair_of(
                async_io::Async::<std::os::unix::net::UnixStream>::pair()
                    .expect("the system has sockets"),
            ),
        }
    }
}

impl Bench {
    /// The transport.
    #[must_use]
    pub fn transport(&self, keepalive: Option<Keepalive>) -> Box<dyn Transport> {
        match (self.on.wire, keepalive) {
            (Wire::H2, None) => Box::new(H2::new()),
            (Wire::H2, Some(keepalive)) => Box::new(H2::new().keepalive(keepalive)),
            (Wire::Stdio, None) => Box::new(Stdio::new()),
            (Wire::Stdio, Some(keepalive)) => Box::new(Stdio::new().keepalive(keepalive)),
        }
    }

    /// The two ends of a stream.
    #[must_use]
    pub fn streams(&self) -> [BoxByteStream; 2] {
        self.on.stream.pair()
    }

    /// A client and a server with nothing special.
    #[must_use]
    pub fn pair(&self) -> Pair {
        self.pair_with(Config::default())
    }

    /// A client and a server.
    #[must_use]
    pub fn pair_with(&self, config: Config) -> Pair {
        let tear = Tear::default();
        let [near, far] = self.streams().map(|end| Box::new(tear.around(end)));
        let transport = self.transport(config.keepalive);
        let (echo, router) = echo::router();
        let serving = transport.serve(&self.runtime, far, router, config.server);
        let connection = transport.connect(&self.runtime, near, config.client);
        Pair {
            connection,
            serving,
            echo,
            tear,
        }
    }

    /// A client whose peer neither reads nor writes.
    #[must_use]
    pub fn client(&self, config: Config) -> (Arc<dyn Connection>, BoxByteStream) {
        let [near, far] = self.streams();
        let transport = self.transport(config.keepalive);
        let connection = transport.connect(&self.runtime, near, config.client);
        (connection, far)
    }

    /// A server whose peer neither reads nor writes.
    #[must_use]
    pub fn server(&self, config: Config) -> (Arc<dyn Serving>, Arc<Echo>, BoxByteStream) {
        let [near, far] = self.streams();
        let (echo, router) = echo::router();
        let transport = self.transport(config.keepalive);
        let serving = transport.serve(&self.runtime, far, router, config.server);
        (serving, echo, near)
    }

    /// Whether everything runs on the thread of the case, so that all others wait while it goes on.
    #[must_use]
    pub fn is_on_one_thread(&self) -> bool {
        #[cfg(unix)]
        if self.on.stream == Stream::Sockets {
            return false;
        }
        true
    }

    /// Moves the clock.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// `most`, or as many bytes as the stream lets through in a moment, if that is less.
    #[must_use]
    pub fn bytes(&self, most: usize) -> usize {
        match self.on.stream {
            Stream::Slow => most.min(1_500),
            Stream::Cut => most.min(20_000),
            _ => most,
        }
    }

    /// `most`, or as many calls as the stream lets through in a moment, if that is less.
    #[must_use]
    pub fn calls(&self, most: usize) -> usize {
        match self.on.stream {
            Stream::Slow => most.min(100),
            _ => most,
        }
    }
}
