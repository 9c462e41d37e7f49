//! What a launch has of its own in the file system.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;
#[cfg(unix)]
use std::thread;
#[cfg(unix)]
use std::time::{Instant, SystemTime};

use futures_channel::oneshot;
#[cfg(unix)]
use outboard_core::leftover::Looked;
#[cfg(unix)]
use outboard_core::lock::{Mutex, Rank};
use outboard_core::rpc::Transport;
use outboard_core::rt::SharedRuntime;

use super::printed::Reading;
use super::{ConfigError, Host};
use crate::command::Command;
use crate::sys::care::{self, Care};
use crate::sys::direct;
use crate::sys::private::PrivateDir;
#[cfg(unix)]
use crate::sys::sweep::{self, Swept};

/// Where this process has found nothing lately.
#[cfg(unix)]
static LOOKED: Mutex<Looked> = Mutex::new(Rank::Process, Looked::new());

impl Host {
    pub(super) fn has_sockets(&self) -> bool {
        let has = |t: &Arc<dyn Transport>| t.protocol().has_socket();
        self.transports.iter().any(has)
    }

    /// What is to be launched, and what people call it. A runner may know both by itself.
    pub(super) fn command_and_name(&mut self) -> Result<(Command, String), ConfigError> {
        let known = self.runner.name();
        let (command, name) = match (self.command.take(), known) {
            (Some(command), _) => {
                let name = command.name();
                (command, name)
            }
            (None, Some(name)) => (Command::new(""), name),
            (None, None) => return Err(ConfigError::NoCommand),
        };
        let command = self.log_level.on(command);
        Ok((command, self.name.take().unwrap_or(name)))
    }

    /// What people call its plugins; empty where there is nothing to be called.
    pub(crate) fn known_as(&self) -> String {
        let of_command = || self.command.as_ref().map(Command::name);
        let name = self.name.clone().or_else(of_command);
        name.or_else(|| self.runner.name()).unwrap_or_default()
    }

    /// The pipes for what the plugin prints. It uses the connection for that where there are none.
    pub(super) fn make_output_pipes(
        &self,
        runtime: &SharedRuntime,
        dir: &PrivateDir,
        plugin: &str,
    ) -> Option<Reading> {
        direct::make(dir.path(), self.socket_group.as_deref())
            .and_then(|pipes| Reading::new(runtime, pipes))
            .inspect_err(|error| {
                tracing::debug!(
                    target: "outboard",
                    plugin, %error,
                    "no pipes of their own for what the plugin prints"
                );
            })
            .ok()
    }

    /// Removes what hosts and plugins that were killed have left there, on a thread of its own: it waits for
    /// the file system, and the launch goes on beside it. Resolves when it is done. `own` is what this launch
    /// has made there.
    fn sweep_up(&self, base: PathBuf, own: Option<OsString>) -> oneshot::Receiver<()> {
        let (done, swept) = oneshot::channel();
        #[cfg(unix)]
        if self.sweep && LOOKED.lock().is_due(&base, Instant::now()) {
            // Without a thread it is left to another launch.
            let _handle = thread::Builder::new()
                .name("outboard-sweep".to_owned())
                .spawn(move || {
                    sweep(base, own.as_deref());
                    drop(done);
                });
        }
        #[cfg(not(unix))]
        let _no_sockets = (base, own, done);
        swept
    }

    /// The directory for the sockets and pipes of this launch, where there is to be one.
    /// One that is `guarded` goes with this process, however that ends.
    /// With it comes what resolves when the place is [swept](Self::sweep), which nothing else waits for.
    ///
    /// # Errors
    /// `NoGuard` if there is nobody to see to that.
    pub(super) fn make_private_dir(
        &self,
        plugin: &str,
        guarded: bool,
    ) -> Result<(Option<PrivateDir>, oneshot::Receiver<()>), ConfigError> {
        let base = self.socket_dir.clone().unwrap_or_else(std::env::temp_dir);
        if cfg!(not(unix)) || !self.private_socket_dir {
            return Ok((None, self.sweep_up(base, None)));
        }
        // Shorter ones, for where the sockets would have too long a path. Wherever it is, it is its
        // user's alone.
        let own = std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty());
        let shorter = own.map(PathBuf::from).into_iter().chain(["/tmp".into()]);
        let bases = std::iter::once(base.clone()).chain(shorter);
        let care = if guarded {
            Care::begin()
        } else {
            Ok(Care::default())
        };
        let group = self.socket_group.as_deref();
        let dir = care.and_then(|care| PrivateDir::in_first_that_fits(bases, group, &care));
        if let Err(error) = &dir
            && care::is_careless(error)
        {
            tracing::warn!(target: "outboard", plugin, %error, "a plugin cannot be guarded");
            return Err(ConfigError::NoGuard);
        }
        // Where that was made others have been, too.
        let made = dir.as_ref().ok().map(PrivateDir::path);
        let within = made.and_then(Path::parent).unwrap_or(&base).to_owned();
        let swept = self.sweep_up(within, made.and_then(Path::file_name).map(OsStr::to_owned));
        let dir = dir.inspect_err(|error| {
            let base = base.display();
            tracing::debug!(
                target: "outboard",
                plugin, %base, %error,
                "no directory of its own for the plugin's sockets"
            );
        });
        Ok((dir.ok(), swept))
    }
}

#[cfg(unix)]
fn sweep(base: PathBuf, own: Option<&OsStr>) {
    let began = Instant::now();
    let swept = sweep::sweep(&base, own, SystemTime::now());
    let dir = base.display();
    match swept {
        Ok(Swept {
            suspects: false, ..
        }) => LOOKED.lock().found_nothing(base, began),
        Ok(Swept {
            directories: 0,
            sockets: 0,
            ..
        }) => {}
        Ok(swept) => tracing::debug!(
            target: "outboard",
            %dir,
            directories = swept.directories,
            sockets = swept.sockets,
            "removed what others have left that were killed"
        ),
        Err(error) => tracing::debug!(
            target: "outboard",
            %dir, %error,
            "it cannot be looked for what others have left that were killed"
        ),
    }
}
