//! A host on outboard that does one thing with plugins again and again, until it is killed: for tests of what
//! its death leaves behind, whatever it is doing then.
//!
//! ```text
//! churning-host RUNTIME TRANSPORT guarded|plain OPERATION PLUGIN [ARGS...]
//! ```
//!
//! Runtimes and transports have the names of the kit's axes; `netrpc` is one more. It prints `began` when it
//! begins with the operation for the first time:
//!
//! ```text
//! start     it starts a plugin, and may fail
//! idle      it does nothing with one
//! call      a call is in flight, which takes long, where the plugin has such
//! shutdown  it shuts one down
//! kill      it kills one
//! drop      it drops one
//! restart   one that is supervised has crashed
//! replace   it starts one beside the other, and shuts that down
//! ```

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
    use std::future::pending;
    use std::io::{self, Write as _};
    use std::time::Duration;

    use outboard::rt::SharedRuntime;
    use outboard::{Command, Host, NetRpc, RunningPlugin, Supervision};
    use outboard_conformance::axes::{self, RuntimeKind};
    use outboard_interop::proto::probe::{Probe as _, ProbeClient, SleepRequest};
    use outboard_interop::rust_host::HANDSHAKE;

    /// Longer than anybody lets it live.
    const LONG: u64 = 600_000;

    pub(super) fn main() -> Result<(), Box<dyn Error>> {
        let mut arguments = std::env::args_os().skip(1);
        let mut word = || -> Result<String, Box<dyn Error>> {
            let word = arguments.next().and_then(|word| word.into_string().ok());
            Ok(word.ok_or("RUNTIME TRANSPORT guarded|plain OPERATION PLUGIN... are needed")?)
        };
        let runtime: RuntimeKind = word()?.parse()?;
        let (transport, guarded) = (word()?, word()? == "guarded");
        let operation = word()?;
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
        axes::block_on(runtime, |runtime| churn(host, runtime, operation))
    }

    /// Says so, once.
    struct Began(bool);

    impl Began {
        fn now(&mut self) -> io::Result<()> {
            if std::mem::replace(&mut self.0, true) {
                return Ok(());
            }
            let mut stdout = io::stdout();
            stdout.write_all(b"began\n")?;
            stdout.flush()
        }
    }

    async fn churn(host: Host, runtime: SharedRuntime, what: String) -> Result<(), Box<dyn Error>> {
        let mut began = Began(false);
        if what == "restart" {
            return restart(&host, &runtime, &mut began).await;
        }
        loop {
            if what == "start" {
                began.now()?;
                // One that fails is one of them.
                let Ok(_started) = host.start(runtime.clone()).await else {
                    continue;
                };
                continue;
            }
            let plugin = host.start(runtime.clone()).await?;
            plugin.ping().await?;
            match what.as_str() {
                "idle" => {
                    began.now()?;
                    pending::<()>().await;
                }
                "call" => call(&plugin, &mut began).await?,
                "shutdown" => {
                    began.now()?;
                    // Some have to be killed in the end.
                    let _ended = plugin.shutdown().await;
                }
                "kill" => {
                    began.now()?;
                    let _ended = plugin.kill().await;
                }
                "drop" => {
                    began.now()?;
                    drop(plugin);
                }
                "replace" => {
                    began.now()?;
                    let next = host.start(runtime.clone()).await?;
                    let _ended = plugin.shutdown().await;
                    next.ping().await?;
                }
                other => return Err(format!("there is no operation {other:?}").into()),
            }
        }
    }

    async fn call(plugin: &RunningPlugin, began: &mut Began) -> Result<(), Box<dyn Error>> {
        let Ok(probe) = plugin.dispense::<ProbeClient>("probe").await else {
            // One over net/rpc has no messages: whatever else a host asks of it.
            began.now()?;
            loop {
                plugin.ping().await?;
            }
        };
        began.now()?;
        loop {
            // Of one that does not know this call, the next one is made.
            let _ended = probe.sleep(SleepRequest { millis: LONG }).await;
        }
    }

    async fn restart(
        host: &Host,
        runtime: &SharedRuntime,
        began: &mut Began,
    ) -> Result<(), Box<dyn Error>> {
        let plugin = host.supervise(Supervision::new(), runtime.clone());
        plugin.ready().await?;
        let pid = plugin.state().pid.ok_or("it has ended")?;
        began.now()?;
        outboard_interop::kill(pid);
        pending().await
    }
}
