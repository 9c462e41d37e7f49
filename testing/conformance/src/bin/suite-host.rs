//! A host of the suite, for what a test's own process cannot show.
//!
//! ```text
//! suite-host RUNTIME TRANSPORT wait PLUGIN...    starts the plugin, prints its pid, sleeps for ever
//! suite-host RUNTIME TRANSPORT guard PLUGIN...   the same, with a guard for the plugin
//! suite-host RUNTIME TRANSPORT fork PLUGIN...    the same, and leaves a process behind that it forked
//!                                                once the plugin ran
//! suite-host RUNTIME TRANSPORT block PATH PLUGIN...
//!                                                starts the plugin, prints its pid, calls Block
//! suite-host RUNTIME TRANSPORT loop N PLUGIN...  starts and ends the plugin N times; prints the
//!                                                number of its own descriptors after the first
//!                                                time and at the end
//! suite-host RUNTIME TRANSPORT facts PLUGIN...   prints what the plugin sees of its environment
//! suite-host RUNTIME TRANSPORT echo PLUGIN...    sends its stdin through the plugin's Echo to
//!                                                stdout
//! suite-host RUNTIME TRANSPORT sigpipe PLUGIN... has SIGPIPE at its default; kills plugins under its
//!                                                calls, and prints a line for each call that fails
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
    use std::pin::pin;
    use std::task::Poll;
    use std::time::Duration;

    use futures_util::future::{join_all, poll_immediate};

    use outboard::rt::SharedRuntime;
    use outboard::{Command, Host, RunningPlugin};
    use outboard_conformance::axes::{self, RuntimeKind, TransportKind};
    use outboard_conformance::proto::{
        Nothing, Payload, Probe as _, ProbeClient, Process as _, ProcessClient, Text,
    };
    use outboard_conformance::{HANDSHAKE, PROBE, PROCESS};
    use rustix::io::Errno;
    use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

    pub(super) fn main() -> Result<(), Box<dyn Error>> {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let [runtime, transport, mode, rest @ ..] = arguments.as_slice() else {
            return Err("RUNTIME TRANSPORT MODE PLUGIN... are needed".into());
        };
        let runtime: RuntimeKind = runtime.parse()?;
        let transport: TransportKind = transport.parse()?;
        axes::block_on(runtime, |runtime| run(runtime, transport, mode, rest))
    }

    async fn start(
        runtime: &SharedRuntime,
        transport: TransportKind,
        plugin: &[String],
    ) -> Result<RunningPlugin, Box<dyn Error>> {
        start_guarded(runtime, transport, plugin, false).await
    }

    async fn start_guarded(
        runtime: &SharedRuntime,
        transport: TransportKind,
        plugin: &[String],
        guarded: bool,
    ) -> Result<RunningPlugin, Box<dyn Error>> {
        let (program, arguments) = plugin.split_first().ok_or("PLUGIN is needed")?;
        let command = Command::new(program).args(arguments).inherit_stdin(false);
        let command = command.guarded(guarded);
        let host = axes::of_host(transport, Host::new(HANDSHAKE)).command(command);
        Ok(host.start(runtime.clone()).await?)
    }

    async fn run(
        runtime: SharedRuntime,
        transport: TransportKind,
        mode: &str,
        rest: &[String],
    ) -> Result<(), Box<dyn Error>> {
        match (mode, rest) {
            ("wait" | "fork" | "guard", plugin) => {
                let guarded = mode == "guard";
                let plugin = start_guarded(&runtime, transport, plugin, guarded).await?;
                if mode == "fork" {
                    outboard_conformance::fork::leave_child()?;
                }
                println!("{}", plugin.pid().ok_or("it has ended")?);
                std::future::pending().await
            }
            ("block", [path, plugin @ ..]) => {
                let plugin = start(&runtime, transport, plugin).await?;
                println!("{}", plugin.pid().ok_or("it has ended")?);
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
            ("sigpipe", plugin) => {
                outboard_conformance::sigpipe::at_default();
                for size in [10, 20_000, 2_000_000] {
                    for half_written in [false, true] {
                        let plugin = start(&runtime, transport, plugin).await?;
                        kill_under_calls(&plugin, size, half_written).await?;
                    }
                }
                Ok(())
            }
            _ => Err(format!("unknown mode {mode:?}").into()),
        }
    }

    /// Makes calls to a plugin that has been killed and of which nothing was noticed yet; or to one that
    /// stands still, and kills it when as much as fits has been written.
    async fn kill_under_calls(
        plugin: &RunningPlugin,
        size: usize,
        half_written: bool,
    ) -> Result<(), Box<dyn Error>> {
        let pid = plugin.pid().ok_or("it has ended")?;
        let pid = Pid::from_raw(i32::try_from(pid)?).ok_or("no pid")?;
        let kill = || {
            kill_process(pid, Signal::KILL)?;
            // On this thread, so that a runtime that has no other sees nothing of it. Another may have
            // reaped it by now.
            let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            match waitid(WaitId::Pid(pid), ended) {
                Ok(_) | Err(Errno::CHILD) => Ok(()),
                Err(error) => Err(error),
            }
        };
        let probe: ProbeClient = plugin.dispense(PROBE).await?;
        probe.echo(Payload::default()).await?;
        let data = vec![0; size];
        let calls = join_all((0..4).map(|_| probe.echo(Payload { data: data.clone() })));
        let mut calls = pin!(calls);
        if half_written {
            kill_process(pid, Signal::STOP)?;
            // Each of its threads has to be told.
            waitid(
                WaitId::Pid(pid),
                WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT,
            )?;
            for _ in 0..100 {
                if poll_immediate(calls.as_mut()).await.is_some() {
                    return Err("a stopped plugin has answered".into());
                }
                yield_now().await;
            }
        }
        kill()?;
        for answer in calls.await {
            println!("{}", answer.expect_err("it is gone"));
        }
        Ok(())
    }

    /// Lets others of the runtime have their turn.
    async fn yield_now() {
        let mut yielded = false;
        poll_fn(|cx| {
            if std::mem::replace(&mut yielded, true) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
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
