//! Brokered calls inside of the connection, and before that has begun.

use super::*;

/// Channels inside a connection that is gone, or takes everything.
#[derive(Debug, Default)]
struct Inner {
    gone: bool,
    accepted: Mutex<Vec<u32>>,
    drained: Arc<Mutex<Vec<u32>>>,
}

impl SubChannels for Inner {
    fn accept(&self, id: u32, _: Arc<Router>) -> Result<Arc<dyn Serving>, Status> {
        if self.gone {
            return Err(Status::connection_lost("gone"));
        }
        self.accepted.lock().expect("no panic").push(id);
        Ok(Arc::new(Accepted(id, Arc::clone(&self.drained))))
    }

    fn dial(&self, _: u32, _: ConnectionConfig) -> Arc<dyn Connection> {
        Arc::new(Dialled::default())
    }
}

#[derive(Debug)]
struct Accepted(u32, Arc<Mutex<Vec<u32>>>);

impl Serving for Accepted {
    fn drain(&self) {
        self.1.lock().expect("no panic").push(self.0);
    }

    fn abort(&self) {}

    fn closed(&self) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
}

fn nothing() -> BoxByteStream {
    Box::new(futures_util::io::Cursor::new(Vec::new()))
}

#[test]
fn a_service_refused_by_the_connection_may_own_what_the_broker_serves() {
    in_time(|| {
        let dir = tempfile::tempdir().expect("a directory");
        let (broker, _runtime) = broker(dir.path());
        let inner = broker.serve(Owner(())).expect("serves");
        let gone = Inner {
            gone: true,
            ..Inner::default()
        };
        broker.begin(
            nothing(),
            |_| (),
            |()| Some(Arc::new(gone) as Arc<dyn SubChannels>),
        );
        let refused = broker.serve(Owner(inner)).expect_err("gone");
        assert!(matches!(refused, BrokerError::Channel(_)), "{refused}");
    });
}

#[test]
fn what_comes_before_the_connection_has_begun_is_served_and_dialled_inside_it() {
    in_time(|| {
        let dir = tempfile::tempdir().expect("a directory");
        let (broker, _runtime) = broker_of(Protocol::Stdio, dir.path());
        let inner = Arc::new(Inner::default());
        let mut dial = Box::pin(broker.dial_channel(7));
        let served = broker.begin(
            nothing(),
            |_| {
                // As a handler on another thread would.
                assert!(dial.as_mut().now_or_never().is_none(), "it waits");
                drop(broker.serve(Owner(())).expect("serves"));
                broker.serve(Owner(())).expect("serves")
            },
            |_| Some(Arc::clone(&inner) as Arc<dyn SubChannels>),
        );
        assert!(dial.now_or_never().expect("known").is_ok());
        let late = broker.serve(Owner(())).expect("serves");
        assert_eq!(*inner.accepted.lock().expect("no panic"), [2, 3]);
        assert_eq!((served.id(), late.id(), sockets(&dir)), (2, 3, 0));
        drop(served);
        assert_eq!(*inner.drained.lock().expect("no panic"), [2]);
        broker.close();
        assert_eq!(*inner.drained.lock().expect("no panic"), [2, 3]);
        assert!(broker.serve(Owner(())).is_err());
        drop(late);
    });
}

#[test]
fn a_broker_closed_while_its_connection_begins_keeps_nothing() {
    in_time(|| {
        let dir = tempfile::tempdir().expect("a directory");
        let (broker, _runtime) = broker_of(Protocol::Stdio, dir.path());
        let inner = Arc::new(Inner::default());
        let mut dial = Box::pin(broker.dial_channel(7));
        let served = broker.begin(
            nothing(),
            |_| {
                assert!(dial.as_mut().now_or_never().is_none(), "it waits");
                let served = broker.serve(Owner(broker.clone())).expect("serves");
                broker.close();
                served
            },
            |_| Some(Arc::clone(&inner) as Arc<dyn SubChannels>),
        );
        assert!(dial.now_or_never().expect("known").is_err());
        assert_eq!(Arc::strong_count(&inner), 1, "the broker holds it");
        let weak = Arc::downgrade(&broker.0);
        drop((broker, served));
        assert!(weak.upgrade().is_none(), "something holds it");
    });
}

/// Channels that let go of something while they take it.
#[derive(Debug, Default)]
struct Forgetful {
    lets_go: Mutex<Option<Served>>,
    inside: Inner,
}

impl SubChannels for Forgetful {
    fn accept(&self, id: u32, router: Arc<Router>) -> Result<Arc<dyn Serving>, Status> {
        let served = self.lets_go.lock().expect("no panic").take();
        drop(served);
        self.inside.accept(id, router)
    }

    fn dial(&self, id: u32, config: ConnectionConfig) -> Arc<dyn Connection> {
        self.inside.dial(id, config)
    }
}

#[test]
fn what_came_early_and_is_let_go_of_while_it_is_taken_is_served_no_more() {
    in_time(|| {
        let dir = tempfile::tempdir().expect("a directory");
        let (broker, _runtime) = broker_of(Protocol::Stdio, dir.path());
        let channels = Arc::new(Forgetful::default());
        let [taken, last] = broker.begin(
            nothing(),
            |_| {
                let [first, last] = [(); 2].map(|()| broker.serve(Owner(())).expect("serves"));
                let ids = [first.id(), last.id()];
                *channels.lets_go.lock().expect("no panic") = Some(first);
                drop(last);
                ids
            },
            |_| Some(Arc::clone(&channels) as Arc<dyn SubChannels>),
        );
        let of = |of: &Mutex<Vec<u32>>| of.lock().expect("no panic").clone();
        assert_eq!(of(&channels.inside.accepted), [taken], "and not {last}");
        assert_eq!(of(&channels.inside.drained), [taken]);
    });
}

#[test]
fn what_comes_early_has_sockets_where_the_connection_has_no_channels() {
    in_time(|| {
        let dir = tempfile::tempdir().expect("a directory");
        let (broker, runtime) = broker_of(Protocol::Stdio, dir.path());
        let mut dial = Box::pin(broker.dial_channel(7));
        let served = broker.begin(
            nothing(),
            |_| {
                assert!(dial.as_mut().now_or_never().is_none(), "it waits");
                broker.serve(Owner(())).expect("serves")
            },
            |_| None,
        );
        assert_eq!(sockets(&dir), 1);
        let mut outgoing = control(&broker).outgoing();
        assert_eq!(announced(&mut outgoing), Ok(vec![served.id()]));
        assert!(
            dial.as_mut().now_or_never().is_none(),
            "for what is announced"
        );
        control(&broker).received(announcement(&dir, 7));
        let error = dial.now_or_never().expect("answered").expect_err("nobody");
        assert!(
            matches!(error, BrokerError::Connect { id: 7, .. }),
            "{error}"
        );
        drop(served);
        runtime.turn();
        assert_eq!(sockets(&dir), 0);
    });
}

#[test]
fn brokers_tell_in_the_same_words_that_they_are_closed() {
    let dir = tempfile::tempdir().expect("a directory");
    let (on_sockets, _runtime) = broker(dir.path());
    let (early, _runtime) = broker_of(Protocol::Stdio, dir.path());
    let (inside, _runtime) = broker_of(Protocol::Stdio, dir.path());
    inside.begin(
        nothing(),
        |_| (),
        |()| Some(Arc::new(Inner::default()) as Arc<dyn SubChannels>),
    );
    assert!(inside.control().is_none(), "nothing is announced");
    let [a, b, c] = [on_sockets, early, inside].map(|broker| {
        broker.close();
        let served = broker.serve(Owner(())).expect_err("closed");
        let dialled = broker.dial_channel(7).now_or_never().expect("at once");
        assert_eq!(dialled.expect_err("closed"), served);
        served
    });
    assert_eq!([&a, &a], [&b, &c]);
}

/// A stream whose peer has sent something already.
#[derive(Clone)]
struct Io(Arc<Mutex<BoxByteStream>>);

impl Io {
    fn can_be_read(&self) -> bool {
        let mut io = self.0.lock().expect("no panic");
        let mut byte = [0];
        futures_util::AsyncReadExt::read(&mut *io, &mut byte)
            .now_or_never()
            .is_some()
    }
}

/// Channels inside a connection over such a stream.
struct Over(Io, Inner);

impl fmt::Debug for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.1.fmt(f)
    }
}

impl SubChannels for Over {
    fn accept(&self, id: u32, router: Arc<Router>) -> Result<Arc<dyn Serving>, Status> {
        assert!(!self.0.can_be_read(), "{id} could have been dialled before");
        self.1.accept(id, router)
    }

    fn dial(&self, id: u32, config: ConnectionConfig) -> Arc<dyn Connection> {
        self.1.dial(id, config)
    }
}

#[test]
fn nothing_is_read_before_what_came_early_is_served() {
    in_time(|| {
        let dir = tempfile::tempdir().expect("a directory");
        let (broker, _runtime) = broker_of(Protocol::Stdio, dir.path());
        let sent = futures_util::io::Cursor::new(b"sent".to_vec());
        let (io, _served) = broker.begin(
            Box::new(sent),
            |io| {
                let io = Io(Arc::new(Mutex::new(io)));
                assert!(!io.can_be_read(), "a handler could run now");
                (io, broker.serve(Owner(())).expect("serves"))
            },
            |(io, _)| {
                assert!(!io.can_be_read(), "what it serves would be nowhere");
                Some(Arc::new(Over(io.clone(), Inner::default())) as Arc<dyn SubChannels>)
            },
        );
        assert!(io.can_be_read());
    });
}
