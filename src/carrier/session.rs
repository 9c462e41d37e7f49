//! One connection that carries the streams of all others.

use std::future::poll_fn;
use std::sync::Arc;

use outboard_core::endpoint::Endpoint;
use outboard_core::fault::Fault;
use outboard_core::lock::{Mutex, Rank};
use outboard_core::rt::{BoxByteStream, BoxFuture, SharedRuntime};
use outboard_core::told::{Teller, Told};
use outboard_yamux::{Config, Incoming, Opener, SessionError};

use super::handed::Hand;
use super::stream::Unreached;
use crate::time::Turns;

pub(crate) use outboard_yamux::Role;

/// Takes a stream that the other side has opened, or gives it back if it is for nobody there.
pub(crate) type Taker = Arc<dyn Fn(BoxByteStream) -> Option<BoxByteStream> + Send + Sync>;

/// Opens a stream that the other side takes for a main one, if anybody but the session knows when.
pub(crate) type MainOpener = Arc<dyn Fn() -> Option<Opened> + Send + Sync>;

/// A stream being opened.
pub(crate) type Opened = BoxFuture<'static, Result<BoxByteStream, Unreached>>;

/// A connection of many streams. Cheap to clone; dropping the last one ends it.
#[derive(Clone)]
pub(crate) struct Session(Arc<Inner>);

struct Inner {
    opener: Opener,
    /// Where it leads, or what was listened on.
    endpoint: Endpoint,
    taker: Arc<Mutex<Option<Taker>>>,
    main: Mutex<Option<MainOpener>>,
    over: Arc<Teller<()>>,
}

impl Session {
    /// Makes a session of a connection. What comes and is no one's goes to `main`, or is refused.
    pub(crate) fn begin(
        runtime: &SharedRuntime,
        io: BoxByteStream,
        role: Role,
        endpoint: Endpoint,
        main: Option<Hand>,
    ) -> Self {
        let (opener, incoming, driver) = outboard_yamux::session(runtime, io, Config::new(role));
        let taker = Arc::new(Mutex::new(Rank::Driver, None));
        let over = Arc::new(Teller::new());
        let tell = Arc::clone(&over);
        runtime.spawn(Box::pin(async move {
            driver.await;
            tell.tell(());
        }));
        runtime.spawn(Box::pin(take(incoming, Arc::clone(&taker), main)));
        Self(Arc::new(Inner {
            opener,
            endpoint,
            taker,
            main: Mutex::new(Rank::Driver, None),
            over,
        }))
    }

    /// A stream, once the other side is about to learn of it. In the order of the polls.
    pub(crate) fn open(&self) -> Opened {
        let opening = self.open_told();
        Box::pin(async move { Ok(opening.await?.0) })
    }

    /// The same, with what resolves once the other side has taken it, or cannot any more.
    pub(crate) fn open_told(
        &self,
    ) -> BoxFuture<'static, Result<(BoxByteStream, BoxFuture<'static, ()>), Unreached>> {
        let opening = self.0.opener.open();
        Box::pin(async move {
            match opening.await {
                Ok(stream) => {
                    let taken = stream.acknowledged();
                    Ok((Box::new(stream) as BoxByteStream, taken))
                }
                Err(error) => Err(Unreached::Gone(Fault::other(crate::text::chain(&error)))),
            }
        })
    }

    /// The same for the other side's main server, once it cannot be taken for another stream.
    pub(super) fn open_main(&self) -> Opened {
        let opener = self.0.main.lock().clone();
        let opening = opener.and_then(|open| open());
        opening.unwrap_or_else(|| self.open())
    }

    /// From now on main streams are opened by this.
    pub(crate) fn open_through(&self, opener: MainOpener) {
        let earlier = self.0.main.lock().replace(opener);
        drop(earlier);
    }

    /// From now on streams that come are offered to this first.
    pub(crate) fn offer_to(&self, taker: Taker) {
        let earlier = self.0.taker.lock().replace(taker);
        drop(earlier);
    }

    /// Where it leads, or what was listened on.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.0.endpoint
    }

    /// Ends it: what waits and all that comes later fails with this. What was written still goes.
    pub(crate) fn close(&self, why: &str) {
        self.0.opener.close(SessionError::ended(why));
    }

    /// Resolves when it has ended and its connection is closed.
    pub(crate) fn over(&self) -> Told<()> {
        self.0.over.told()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let why = "this side let go of the connection";
        self.opener.close(SessionError::ended(why));
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("endpoint", &self.0.endpoint)
            .finish_non_exhaustive()
    }
}

/// Passes on what the other side opens, in its order, until the session is over.
async fn take(mut incoming: Incoming, taker: Arc<Mutex<Option<Taker>>>, main: Option<Hand>) {
    let mut turns = Turns::default();
    while let Ok(stream) = poll_fn(|cx| incoming.poll_accept(cx)).await {
        turns.step().await;
        let first = taker.lock().clone();
        let io: BoxByteStream = Box::new(stream);
        let left = match first {
            Some(take) => take(io),
            None => Some(io),
        };
        match (left, &main) {
            (None, _) => {}
            (Some(io), Some(main)) => main.over(io),
            (Some(_), None) => tracing::debug!(
                target: "outboard",
                "a stream that nobody knocked for was refused"
            ),
        }
    }
}
