//! Plugins that end together.

use std::fmt;
use std::sync::{Arc, Weak};

use futures_channel::mpsc;
use futures_util::future::join_all;
use outboard_core::lock::{Mutex, Rank};
use outboard_core::rt::SharedRuntime;

use super::error::ShutdownError;
use super::report::ExitReport;
use super::running::{RunningPlugin, end, judged};
use super::shared::{Shared, Verb};

/// A group of plugins that one call ends, all at once. go-plugin's managed clients, without their global.
///
/// ```no_run
/// # use outboard::{Host, Managed, Tokio};
/// # async fn example(one: Host, two: Host) -> Result<(), Box<dyn std::error::Error>> {
/// let managed = Managed::new();
/// let _guard = managed.guard(); // On every way out of here.
/// let one = one.managed(&managed).start(Tokio::current()).await?;
/// let two = two.managed(&managed).start(Tokio::current()).await?;
/// // ...
/// for (name, ended) in managed.end_all().await {
///     println!("{name}: {ended:?}");
/// }
/// # Ok(())
/// # }
/// ```
///
/// The group does not hold its plugins: one whose handle is dropped is killed as ever. Clones are the same
/// group.
#[derive(Clone)]
pub struct Managed(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    members: Vec<Member>,
    over: bool,
}

/// A plugin, as far as it is there.
struct Member {
    shared: Arc<Shared>,
    runtime: SharedRuntime,
    verbs: Weak<mpsc::UnboundedSender<Verb>>,
}

impl Member {
    fn tell(&self, verb: Verb) {
        if let Some(verbs) = self.verbs.upgrade() {
            // If its driver is gone, so is its process.
            let _over = verbs.unbounded_send(verb);
        }
    }
}

impl Managed {
    /// A group without plugins.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Rank::Driver, State::default())))
    }

    /// Adds a plugin. False if the group is [over](Self::is_over): then the plugin is not in it, and goes on.
    pub fn add(&self, plugin: &RunningPlugin) -> bool {
        let (shared, runtime, verbs) = plugin.parts();
        let member = Member {
            shared: Arc::clone(shared),
            runtime: runtime.clone(),
            verbs: Arc::downgrade(verbs),
        };
        let mut state = self.0.lock();
        if state.over {
            return false;
        }
        let (members, gone) = std::mem::take(&mut state.members)
            .into_iter()
            .partition(|member| member.shared.report().is_none());
        state.members = members;
        state.members.push(member);
        drop(state);
        // Outside of the lock: what they hold may be code of others.
        let gone: Vec<Member> = gone;
        drop(gone);
        true
    }

    /// Whether [`end_all`](Self::end_all) was called or the guard dropped. Errors of calls are to be expected
    /// from then on, and hosts of this group start nothing any more. go-plugin's `Killed`.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.0.lock().over
    }

    /// Ends all plugins of the group in good order and at once, each as by
    /// [`RunningPlugin::shutdown`]; so it takes as long as the slowest of them, and no longer than the
    /// longest [`Host::shutdown_grace`](crate::Host::shutdown_grace). When it returns, all are gone. What
    /// came of each is told with its name, in the order in which they were added; those that had ended
    /// before may be missing.
    ///
    /// If the future is dropped, they end all the same.
    pub async fn end_all(&self) -> Vec<(String, Result<ExitReport, ShutdownError>)> {
        let members = self.finish();
        // All are told before one is waited for.
        for member in &members {
            member.tell(Verb::Shutdown);
        }
        let ends = members.into_iter().map(|member| async move {
            let report = end(&member.shared, &member.runtime).await;
            let name = member.shared.name().to_owned();
            (name, judged(&member.shared, report))
        });
        join_all(ends).await
    }

    /// What kills all plugins of the group when it is dropped. It does not wait: the runtime does the rest,
    /// also while it is itself dropped.
    #[must_use = "it kills the plugins as soon as it is dropped"]
    pub fn guard(&self) -> ManagedGuard {
        ManagedGuard(self.clone())
    }

    /// Nothing is added any more; who is in it now.
    fn finish(&self) -> Vec<Member> {
        let mut state = self.0.lock();
        state.over = true;
        std::mem::take(&mut state.members)
    }
}

impl Default for Managed {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Managed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.lock();
        f.debug_struct("Managed")
            .field("members", &state.members.len())
            .field("over", &state.over)
            .finish()
    }
}

/// Kills the plugins of a [`Managed`] group when it is dropped.
#[derive(Debug)]
pub struct ManagedGuard(Managed);

impl Drop for ManagedGuard {
    fn drop(&mut self) {
        for member in self.0.finish() {
            member.tell(Verb::Kill);
        }
    }
}
