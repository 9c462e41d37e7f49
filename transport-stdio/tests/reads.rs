//! A caller that waits alone reads for itself, and what it reads for others is theirs.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use outboard_core::rpc::{
    CallHead, Connection, ConnectionConfig, Reply, ServerConfig, Status, Transport,
};
use outboard_core::rt::BoxFuture;
use outboard_transport_stdio::Stdio;
use support::reactor::{Side, ends, quiet};
use support::service::{out, router};

/// A call that nobody polls but the test.
struct Asked(BoxFuture<'static, Result<Reply<Bytes>, Status>>);

impl Asked {
    fn new(connection: &dyn Connection, method: &'static str, text: &str) -> Self {
        Self(connection.unary(CallHead::new(method), out(text)))
    }

    /// What was answered, as far as that is known to `waker`'s task.
    fn look(&mut self, waker: &Waker) -> Option<Bytes> {
        match self.0.as_mut().poll(&mut Context::from_waker(waker)) {
            Poll::Pending => None,
            Poll::Ready(reply) => Some(reply.expect("ends well").message),
        }
    }
}

/// The task of the caller, which runs late.
#[derive(Default)]
struct Late(AtomicBool);

impl Wake for Late {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_call_back_that_a_waiting_caller_reads_is_answered() {
    let (near, far) = ends();
    let (host, plugin) = (Side::new(&near), Side::new(&far));
    let (_there, of_plugin) = router();
    let (_here, of_host) = router();
    let (served, config) = (ServerConfig::default(), ConnectionConfig::default());
    let serving = Stdio::new().serve(&plugin.runtime, Box::new(far), of_plugin, served);
    let connection = Stdio::new().connect(&host.runtime, Box::new(near), config.clone());
    quiet([&host, &plugin]);
    let (inner, outer) = (serving.sub_channels(), connection.sub_channels());
    let _accepted = outer.expect("stdio's").accept(1, of_host).expect("is free");
    let back = inner.expect("stdio's").dial(1, config);

    // One call of the host, during which the plugin calls back, and its caller reads.
    let late = Arc::new(Late::default());
    let caller = Waker::from(Arc::clone(&late));
    let mut waits = Asked::new(&*connection, "/test.Echo/Hang", "");
    assert_eq!(waits.look(&caller), None);
    quiet([&host, &plugin]);

    // What comes wakes the driver and the caller. The driver has read when the caller gets to it.
    let mut early = Asked::new(&*back, "/test.Echo/Echo", "early");
    assert_eq!(early.look(Waker::noop()), None);
    plugin.work();
    host.turn();
    assert!(late.0.load(Ordering::Relaxed), "it reads for itself");

    // So it is the caller who finds what has come since, before any reactor has looked.
    let mut later = Asked::new(&*back, "/test.Echo/Echo", "later");
    assert_eq!(later.look(Waker::noop()), None);
    plugin.work();
    assert_eq!(waits.look(&caller), None);

    quiet([&host, &plugin]);
    assert_eq!(early.look(Waker::noop()).as_deref(), Some(&b"early"[..]));
    assert_eq!(later.look(Waker::noop()).as_deref(), Some(&b"later"[..]));
}
