//! A host of the suite, for what a test's own process cannot show.
//!
//! ```text
//! suite-host RUNTIME TRANSPORT wait PLUGIN...    starts the plugin, prints its pid, sleeps for ever
//! suite-host RUNTIME TRANSPORT block PATH PLUGIN...
//!                                                starts the plugin, prints its pid, calls Block
//! suite-host RUNTIME TRANSPORT loop N PLUGIN...  starts and ends the plugin N times; prints the
//!                                                number of its own descriptors after the first
//!                                                time and at the end
//! suite-host RUNTIME TRANSPORT facts PLUGIN...   prints what the plugin sees of its environment
//! suite-host RUNTIME TRANSPORT echo PLUGIN...    sends its stdin through the plugin's Echo to
//!                                                stdout
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
    use std::future::poll_fn;
    use std::io;
    use std::time::Duration;

    use outboard::rt::SharedRuntime;
    use outboard::{Command, Host, RunningPlugin};
    use outboard_suite::axes::{RuntimeKind, TransportKind};
    use outboard_suite::proto::{
        Nothing, Payload, Probe as _, ProbeClient, Process as _, ProcessClient, Text,
    };
    use outboard_suite::{HANDSHAKE, PROBE, PROCESS};

    pub(super) fn main() -> Result<(), Box<dyn Error>> {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let [runtime, transport, mode, rest @ ..] = arguments.as_slice() else {
            return Err("RUNTIME TRANSPORT MODE PLUGIN... are needed".into());
        };
        let runtime: RuntimeKind = runtime.parse()?;
        let transport: TransportKind = transport.parse()?;
        runtime.block_on(|runtime| run(runtime, transport, mode, rest))
    }

    async fn start(
        runtime: &SharedRuntime,
        transport: TransportKind,
        plugin: &[String],
    ) -> Result<RunningPlugin, Box<dyn Error>> {
        let (program, arguments) = plugin.split_first().ok_or("PLUGIN is needed")?;
        let command = Command::new(program).args(arguments).stdin_null();
        let host = transport.of_host(Host::new(HANDSHAKE)).command(command);
        Ok(host.start(runtime.clone()).await?)
    }

    async fn run(
        runtime: SharedRuntime,
        transport: TransportKind,
        mode: &str,
        rest: &[String],
    ) -> Result<(), Box<dyn Error>> {
        match (mode, rest) {
            ("wait", plugin) => {
                let plugin = start(&runtime, transport, plugin).await?;
                println!("{}", plugin.id().ok_or("it has ended")?);
                std::future::pending().await
            }
            ("block", [path, plugin @ ..]) => {
                let plugin = start(&runtime, transport, plugin).await?;
                println!("{}", plugin.id().ok_or("it has ended")?);
                let process: ProcessClient = plugin.dispense(PROCESS).await?;
                let text = path.clone();
                process.block(Text { text }).await?;
                Ok(())
            }
            ("loop", [count, plugin @ ..]) => {
                for turn in 0..count.parse::<u32>()? {
                    let plugin = start(&runtime, transport, plugin).await?;
                    let probe: ProbeClient = plugin.dispense(PROBE).await?;
                    probe.echo(Payload::default()).await?;
                    plugin.shutdown().await?;
                    drop(probe);
                    if turn == 0 {
                        println!("{}", settled_descriptors(&runtime).await?);
                    }
                }
                println!("{}", settled_descriptors(&runtime).await?);
                Ok(())
            }
            ("facts", plugin) => {
                let plugin = start(&runtime, transport, plugin).await?;
                let process: ProcessClient = plugin.dispense(PROCESS).await?;
                let facts = process.facts(Nothing {}).await?;
                let mut names: Vec<_> = facts.environment.into_iter().collect();
                names.sort();
                for (name, value) in names {
                    println!("{name}={value}");
                }
                plugin.shutdown().await?;
                Ok(())
            }
            ("echo", plugin) => {
                let plugin = start(&runtime, transport, plugin).await?;
                let probe: ProbeClient = plugin.dispense(PROBE).await?;
                let data = io::read_to_string(io::stdin())?.into_bytes();
                let answer = probe.echo(Payload { data }).await?;
                print!("{}", String::from_utf8(answer.data)?);
                plugin.shutdown().await?;
                Ok(())
            }
            _ => Err(format!("unknown mode {mode:?}").into()),
        }
    }

    /// The number of descriptors once it stays the same: on a runtime with several threads, tasks
    /// that have ended may just be letting go of theirs.
    async fn settled_descriptors(runtime: &SharedRuntime) -> io::Result<usize> {
        let mut count = descriptors()?;
        let mut same = 0;
        while same < 20 {
            let mut pause = runtime.timer(runtime.now() + Duration::from_millis(5));
            poll_fn(|cx| pause.as_mut().poll_expired(cx)).await;
            let now = descriptors()?;
            same = if now == count { same + 1 } else { 0 };
            count = now;
        }
        Ok(count)
    }

    fn descriptors() -> io::Result<usize> {
        Ok(std::fs::read_dir("/dev/fd")?.count())
    }
}
