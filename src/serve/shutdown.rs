//! What a plugin's handlers and background work learn of its end.

use std::fmt;

use outboard_core::plugin::StopReason;
use outboard_core::told::Told;

use super::context;

/// Tells when a plugin begins to end, for handlers and for work in the background: whatever has the host
/// asked for it, a SIGTERM, the host's death. Cheap to clone; clones are the same.
///
/// From then on no new calls are taken, and those in flight have the rest of
/// [`Plugin::drain_timeout`](crate::Plugin::drain_timeout), if the end is one in good order. A handler that
/// streams without end, or works for long, does well to look:
///
/// ```no_run
/// # async fn one_more_entry() -> Option<u32> { None }
/// use futures_util::future::{Either, select};
/// use outboard::Shutdown;
/// # async fn handler() -> Option<u32> {
/// let shutdown = Shutdown::current();
/// let entry = std::pin::pin!(one_more_entry());
/// let entry = match shutdown {
///     None => entry.await,
///     Some(shutdown) => match select(entry, shutdown.begun()).await {
///         Either::Left((entry, _)) => entry,
///         Either::Right((_why, _)) => None, // Nobody waits much longer.
///     },
/// };
/// # entry
/// # }
/// ```
///
/// Work of the program's own gets it from [`Plugin::shutdown_token`](crate::Plugin::shutdown_token)
/// before the plugin serves, and so do instances over net/rpc.
#[derive(Clone)]
pub struct Shutdown(Told<StopReason>);

impl Shutdown {
    pub(crate) fn new(told: Told<StopReason>) -> Self {
        Self(told)
    }

    /// That of the plugin which answers the [current call](crate::context::current). `None` outside of
    /// handlers, and in those that no plugin runs, as what a host serves through its broker.
    #[must_use]
    pub fn current() -> Option<Self> {
        context::current()?.extensions().get::<Self>().cloned()
    }

    /// Whether the end has begun.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.0.is_over()
    }

    /// Resolves when the end begins, with why; at once if it has. It does not hold the plugin, and a plugin
    /// that is dropped without having served counts as ended ([`StopReason::Requested`]).
    ///
    /// Cancel-safe: dropping it loses nothing.
    pub fn begun(&self) -> impl Future<Output = StopReason> + Send + Unpin + use<> {
        Begun(self.0.clone())
    }
}

impl fmt::Debug for Shutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shutdown")
            .field("has_begun", &self.has_begun())
            .finish()
    }
}

struct Begun(Told<StopReason>);

impl Future for Begun {
    type Output = StopReason;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<StopReason> {
        let told = std::pin::Pin::new(&mut self.0).poll(cx);
        told.map(|why| why.unwrap_or(StopReason::Requested))
    }
}

#[cfg(test)]
mod tests {
    use outboard_core::told::Teller;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn poll(begun: &mut (impl Future<Output = StopReason> + Unpin)) -> Poll<StopReason> {
        std::pin::Pin::new(begun).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn all_who_wait_are_told_and_later_ones_at_once() {
        let teller = Teller::new();
        let shutdown = Shutdown::new(teller.told());
        let mut early = [shutdown.begun(), shutdown.clone().begun()];
        assert!(early.iter_mut().all(|begun| poll(begun).is_pending()));
        // Given up, which harms nobody.
        drop(shutdown.begun());
        assert!(!shutdown.has_begun());
        teller.tell(StopReason::Shutdown);
        for begun in &mut early {
            assert_eq!(poll(begun), Poll::Ready(StopReason::Shutdown));
        }
        assert!(shutdown.has_begun());
        assert_eq!(
            poll(&mut shutdown.begun()),
            Poll::Ready(StopReason::Shutdown)
        );
    }

    #[test]
    fn a_plugin_that_never_served_has_ended() {
        let teller = Teller::<StopReason>::new();
        let shutdown = Shutdown::new(teller.told());
        drop(teller);
        assert!(shutdown.has_begun());
        assert_eq!(
            poll(&mut shutdown.begun()),
            Poll::Ready(StopReason::Requested)
        );
    }

    #[test]
    fn outside_of_a_handler_there_is_none() {
        assert!(Shutdown::current().is_none());
    }
}
