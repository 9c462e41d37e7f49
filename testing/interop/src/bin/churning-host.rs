//! A host on outboard that starts plugins and ends them in all ways, one after another, until it is killed:
//! for tests of what its death leaves behind, whatever it is doing then.
//!
//! ```text
//! churning-host RUNTIME TRANSPORT guarded|plain PLUGIN [ARGS...]
//! ```
//!
//! Runtimes and transports have the names of the kit's axes; `netrpc` is one more.

#[cfg(unix)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    unix::main()
}

/// The tests that use it run on unix only.
#[cfg(not(unix))]
fn main() {}

#[cfg(unix)]
mod unix {
    use std::error::Error;
    use std::ffi::OsString;
    use std::time::Duration;

    use outboard::rt::SharedRuntime;
    use outboard::{Command, Host, NetRpc, RunningPlugin};
    use outboard_conformance::axes::{self, RuntimeKind};
    use outboard_interop::rust_host::HANDSHAKE;

    pub(super) fn main() -> Result<(), Box<dyn Error>> {
        let mut arguments = std::env::args_os().skip(1);
        let mut word = || -> Result<String, Box<dyn Error>> {
            let word = arguments.next().and_then(|word| word.into_string().ok());
            Ok(word.ok_or("RUNTIME TRANSPORT guarded|plain PLUGIN... are needed")?)
        };
        let runtime: RuntimeKind = word()?.parse()?;
        let (transport, guarded) = (word()?, word()? == "guarded");
        let program = arguments.next().ok_or("PLUGIN is needed")?;
        let plugin: Vec<OsString> = arguments.collect();
        let command = Command::new(program).args(plugin).guarded(guarded);
        let host = Host::new(HANDSHAKE)
            .command(command.inherit_stdin(false))
            // Some plugins are deaf to what they are asked.
            .shutdown_grace(Duration::from_millis(100))
            .terminate_grace(Duration::from_millis(50));
        let host = match transport.as_str() {
            "netrpc" => host.transport(NetRpc::new()),
            other => axes::of_host(other.parse()?, host),
        };
        axes::block_on(runtime, |runtime| churn(host, runtime))
    }

    /// Goes on until it is killed, or nothing starts any more.
    async fn churn(host: Host, runtime: SharedRuntime) -> Result<(), Box<dyn Error>> {
        let mut before: Option<RunningPlugin> = None;
        for turn in 0_u64.. {
            // A start that fails is one of the ways.
            let Ok(plugin) = host.start(runtime.clone()).await else {
                continue;
            };
            // What it answers does not matter.
            let _answer = plugin.ping().await;
            match turn % 4 {
                0 => drop(plugin.shutdown().await),
                1 => drop(plugin.kill().await),
                2 => drop(plugin),
                // The next one takes its place before it ends.
                _ => {
                    if let Some(before) = before.replace(plugin) {
                        drop(before.shutdown().await);
                    }
                }
            }
        }
        Ok(())
    }
}
