//! Addresses in memory: a runtime whose listeners are no sockets.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use outboard_core::endpoint::Endpoint;
use outboard_core::lock::{Mutex, Rank};
use outboard_core::memory::{Duplex, pair};
use outboard_core::rt::{
    Accepted, BoxByteStream, BoxFuture, Descriptors, Listener, OsSocket, OwnAddresses, Runtime,
    SharedRuntime, Timer,
};

/// As many connections wait to be accepted as at a socket of the system.
const BACKLOG: usize = 128;

/// The port of all addresses in memory, which have names in place of numbers.
const PORT: &str = ":1";

/// The runtime of a host and a plugin whose connections are in memory. All else is that of `inner`, which
/// connects to the addresses of the system, too.
pub(super) struct InMemory {
    inner: SharedRuntime,
    network: Network,
}

/// Who listens, by name.
#[derive(Clone)]
struct Network(Arc<Mutex<Listeners>>);

#[derive(Default)]
struct Listeners {
    last: u64,
    open: BTreeMap<String, Backlog>,
}

/// Connections that nobody has accepted yet, and who is to be told of them.
#[derive(Default)]
struct Backlog {
    connections: VecDeque<Duplex>,
    waker: Option<Waker>,
}

impl InMemory {
    pub(super) fn around(inner: SharedRuntime) -> SharedRuntime {
        let network = Network(Arc::new(Mutex::new(Rank::Reactor, Listeners::default())));
        Arc::new(Self { inner, network })
    }
}

impl fmt::Debug for InMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("InMemory").field(&self.inner).finish()
    }
}

impl OwnAddresses for Network {
    fn listen(&self) -> io::Result<Box<dyn Listener>> {
        Ok(Box::new(self.open()))
    }
}

impl Network {
    fn open(&self) -> Accepting {
        let mut listeners = self.0.lock();
        listeners.last += 1;
        let name = format!("memory-{}{PORT}", listeners.last);
        listeners.open.insert(name.clone(), Backlog::default());
        drop(listeners);
        Accepting {
            network: self.clone(),
            local: Endpoint::Tcp(name),
        }
    }

    /// A connection to `to`; `None` if that is no address of these.
    fn connect(&self, to: &Endpoint) -> Option<io::Result<Duplex>> {
        let name = name(to)?;
        let mut listeners = self.0.lock();
        let Some(backlog) = listeners.open.get_mut(name) else {
            // A name is never used again, as little as that of a socket's file.
            return Some(Err(io::ErrorKind::NotFound.into()));
        };
        if backlog.connections.len() == BACKLOG {
            return Some(Err(io::ErrorKind::ConnectionRefused.into()));
        }
        let (near, far) = pair();
        backlog.connections.push_back(far);
        let waker = backlog.waker.take();
        drop(listeners);
        waker.into_iter().for_each(Waker::wake);
        Some(Ok(near))
    }
}

/// What an address in memory is known by; `None` for those of the system.
fn name(endpoint: &Endpoint) -> Option<&str> {
    match endpoint {
        Endpoint::Tcp(name) if name.starts_with("memory-") && name.ends_with(PORT) => Some(name),
        _ => None,
    }
}

/// A listener in memory. Dropping it takes its address away.
struct Accepting {
    network: Network,
    local: Endpoint,
}

impl Listener for Accepting {
    fn local(&self) -> &Endpoint {
        &self.local
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        let mut listeners = self.network.0.lock();
        let backlog = name(&self.local).and_then(|name| listeners.open.get_mut(name));
        // It is there for as long as this lives.
        let Some(backlog) = backlog else {
            return Poll::Pending;
        };
        let earlier = match backlog.connections.pop_front() {
            Some(io) => {
                drop(listeners);
                return Poll::Ready(Ok(Accepted::new(Box::new(io))));
            }
            None => backlog.waker.replace(cx.waker().clone()),
        };
        drop(listeners);
        // It may be the last of a task.
        drop(earlier);
        Poll::Pending
    }
}

impl Drop for Accepting {
    fn drop(&mut self) {
        let backlog = name(&self.local).and_then(|name| self.network.0.lock().open.remove(name));
        // Whoever waits at the other ends is woken under no lock.
        drop(backlog);
    }
}

impl Runtime for InMemory {
    fn now(&self) -> Instant {
        self.inner.now()
    }

    fn stopwatch(&self) -> Instant {
        self.inner.stopwatch()
    }

    fn timer(&self, at: Instant) -> Pin<Box<dyn Timer>> {
        self.inner.timer(at)
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.inner.spawn(task);
    }

    fn spawn_apart(&self, task: BoxFuture<'static, ()>) {
        self.inner.spawn_apart(task);
    }

    fn wake_after_io(&self, waker: &Waker) {
        self.inner.wake_after_io(waker);
    }

    fn connect(&self, to: &Endpoint) -> BoxFuture<'static, io::Result<BoxByteStream>> {
        match self.network.connect(to) {
            Some(connected) => {
                let connected = connected.map(|io| Box::new(io) as BoxByteStream);
                Box::pin(std::future::ready(connected))
            }
            None => self.inner.connect(to),
        }
    }

    fn listener(&self, socket: OsSocket, local: Endpoint) -> io::Result<Box<dyn Listener>> {
        self.inner.listener(socket, local)
    }

    fn own_addresses(&self) -> Option<&dyn OwnAddresses> {
        Some(&self.network)
    }

    fn descriptors(&self) -> io::Result<&dyn Descriptors> {
        self.inner.descriptors()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network() -> Network {
        Network(Arc::new(Mutex::new(Rank::Reactor, Listeners::default())))
    }

    #[test]
    fn a_connection_is_accepted_where_somebody_listens() {
        let network = network();
        let mut listener = network.open();
        let to = listener.local().clone();
        let connected = network.connect(&to).expect("one of these");
        drop(connected.expect("somebody listens"));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(listener.poll_accept(&mut cx).is_ready());
        assert!(listener.poll_accept(&mut cx).is_pending());
        drop(listener);
        let missing = network.connect(&to).expect("still one of these");
        let error = missing.expect_err("nobody listens any more");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn who_connects_without_end_is_refused() {
        let network = network();
        let listener = network.open();
        for waiting in 0..2 * BACKLOG {
            let connected = network.connect(listener.local()).expect("one of these");
            let refused = connected.err().map(|error| error.kind());
            let expected = (waiting >= BACKLOG).then_some(io::ErrorKind::ConnectionRefused);
            assert_eq!(refused, expected, "with {waiting} waiting");
        }
    }

    #[test]
    fn addresses_of_the_system_are_no_affair_of_it() {
        let network = network();
        let listener = network.open();
        for other in ["127.0.0.1:1", "memory-1:2", "localhost:1"] {
            let other = Endpoint::Tcp(other.to_owned());
            assert_ne!(&other, listener.local());
            assert!(network.connect(&other).is_none(), "{other}");
        }
    }
}
