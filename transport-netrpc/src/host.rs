//! The host's side of a connection.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_io::AsyncRead;
use outboard_core::fault::Fault;
use outboard_core::rpc::{LostHook, Status};
use outboard_core::rt::{BoxByteStream, BoxFuture, SharedRuntime};
use outboard_core::told::Told;
use outboard_gob::Limits;
use outboard_yamux::{Config, Incoming, Opener, Role, SessionError, Stream, session};

use crate::broker::MuxBroker;
use crate::client::RpcClient;
use crate::error::{BrokerError, CallError};
use crate::explain::Explain;
use crate::instance::Instance;
use crate::wire::Nothing;

/// A connection to a plugin that speaks net/rpc. Dropping it closes the connection.
///
/// The streams for control and for the plugin's two outputs are opened at once and in this order: a plugin
/// of go-plugin tells them apart by it, and waits for all three.
pub struct HostSession {
    opener: Opener,
    /// The numbers of the first three streams.
    standing: [u32; 3],
    control: RpcClient,
    broker: MuxBroker,
}

/// A session that has begun, or not.
pub(crate) struct Begun {
    pub(crate) opener: Opener,
    pub(crate) session: Result<HostSession, Fault>,
    /// What the plugin prints on its stdout and its stderr.
    pub(crate) printed: Option<[Printed; 2]>,
}

/// One of the first streams. A session that has just begun makes nobody wait for one.
fn open(opener: &Opener) -> Result<Stream, Fault> {
    let mut cx = Context::from_waker(Waker::noop());
    match opener.open().as_mut().poll(&mut cx) {
        Poll::Ready(Ok(stream)) => Ok(stream),
        Poll::Ready(Err(error)) => Err(Fault::other(error)),
        Poll::Pending => Err(Fault::other("the session takes no streams")),
    }
}

/// What a plugin prints on one of its streams. Dropping it resets the stream: a plugin of go-plugin then
/// blocks in its prints, so whoever does not want them reads on all the same.
pub struct Printed(BoxByteStream);

impl fmt::Debug for Printed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Printed")
    }
}

impl AsyncRead for Printed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

/// Why something was not dispensed.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum DispenseError {
    /// The plugin refused: it provides nothing of that name, or making it failed.
    #[error("the plugin does not dispense {name:?}: {text}")]
    Refused {
        /// The name.
        name: String,
        /// Its words.
        text: String,
    },
    /// The plugin gave no answer that could be used.
    #[error("{name:?} was not dispensed: {error}")]
    Unanswered {
        /// The name.
        name: String,
        /// Why.
        error: CallError,
    },
    /// What the plugin dispensed could not be reached.
    #[error("{name:?} was dispensed and cannot be reached: {error}")]
    Unreached {
        /// The name.
        name: String,
        /// Why.
        error: BrokerError,
    },
}

impl HostSession {
    /// Begins a session over `io`, and gives what the plugin prints on its stdout and its stderr. Both have
    /// to be read, or the plugin's prints wait.
    ///
    /// # Errors
    /// If the session ends before its streams are open.
    pub fn begin(
        runtime: &SharedRuntime,
        io: BoxByteStream,
        limits: Limits,
    ) -> Result<(Self, [Printed; 2]), Fault> {
        let (opener, incoming, driver) = session(runtime, io, Config::new(Role::Client));
        runtime.spawn(Box::pin(driver));
        Self::of(runtime, opener, incoming, limits, None)
    }

    /// The same, with how its end is explained, and what its streams that are cut off are told.
    pub(crate) fn begin_explained(
        runtime: &SharedRuntime,
        io: BoxByteStream,
        limits: Limits,
        over: Told<Status>,
        cut_off: Option<LostHook>,
    ) -> Begun {
        let (opener, incoming, driver) = session(runtime, io, Config::new(Role::Client));
        runtime.spawn(Box::pin(driver));
        let explain = Explain::new(opener.clone(), over, cut_off);
        let begun = Self::of(runtime, opener.clone(), incoming, limits, Some(explain));
        let (session, printed) = match begun {
            Ok((session, printed)) => (Ok(session), Some(printed)),
            Err(fault) => (Err(fault), None),
        };
        Begun {
            opener,
            session,
            printed,
        }
    }

    fn of(
        runtime: &SharedRuntime,
        opener: Opener,
        incoming: Incoming,
        limits: Limits,
        explain: Option<Explain>,
    ) -> Result<(Self, [Printed; 2]), Fault> {
        let (control, stdout, stderr) = (open(&opener)?, open(&opener)?, open(&opener)?);
        let standing = [control.id(), stdout.id(), stderr.id()];
        let printed = [Printed(Box::new(stdout)), Printed(Box::new(stderr))];
        let control = RpcClient::explained(runtime, Box::new(control), limits, explain.clone());
        let broker = MuxBroker::new(runtime, opener.clone(), incoming, limits, explain);
        let this = Self {
            control,
            opener,
            standing,
            broker,
        };
        Ok((this, printed))
    }

    /// Asks the plugin whether it is there.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn ping(&self, limit: Duration) -> Result<(), CallError> {
        let Nothing {} = self
            .control
            .call_within("Control.Ping", &true, limit)
            .await?;
        Ok(())
    }

    /// Asks the plugin to end. An answer that is lost is none: the plugin ends all the same.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn quit(&self, limit: Duration) -> Result<(), CallError> {
        let Nothing {} = self
            .control
            .call_within("Control.Quit", &true, limit)
            .await?;
        Ok(())
    }

    /// An instance of what the plugin provides under this name, which lives as long as its client. The
    /// plugin has so long to make it.
    ///
    /// # Errors
    /// See [`DispenseError`].
    pub async fn dispense(&self, name: &str, limit: Duration) -> Result<Instance, DispenseError> {
        let asking = self.control.call_within("Dispenser.Dispense", name, limit);
        let id: u32 = asking.await.map_err(|error| {
            let name = name.to_owned();
            match error {
                CallError::Answered { text, .. } => DispenseError::Refused { name, text },
                error => DispenseError::Unanswered { name, error },
            }
        })?;
        let dialled = Instance::dial(&self.broker, id).await;
        dialled.map_err(|error| DispenseError::Unreached {
            name: name.to_owned(),
            error,
        })
    }

    /// Further streams in both directions.
    #[must_use]
    pub fn broker(&self) -> &MuxBroker {
        &self.broker
    }

    /// Ends the connection: what waits fails with this. The plugin is told that the control stream and both
    /// outputs end, as go-plugin's hosts do, and then the connection is closed; this does not wait for either.
    pub fn close(&self, why: &str) {
        let why = SessionError::ended(why);
        self.opener.finish_and_close(&self.standing, why);
    }

    /// Resolves when the connection has ended, with how.
    #[must_use]
    pub fn closed(&self) -> BoxFuture<'static, SessionError> {
        self.opener.closed()
    }
}

impl Drop for HostSession {
    fn drop(&mut self) {
        self.close("this side has let go of the connection");
    }
}

impl fmt::Debug for HostSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostSession")
            .field("control", &self.control)
            .field("broker", &self.broker)
            .finish_non_exhaustive()
    }
}

outboard_core::debug_as_text!(DispenseError);
