//! Hosts of the blocking API, over every transport, with plugins of either kind. What blocking plugins do
//! under async hosts is in the suite `conformance`, as one more value of its axis.
//!
//! Linux only, as that suite.
#![cfg(target_os = "linux")]
// A test program has no outside.
#![allow(missing_docs, unreachable_pub)]

mod cases;
#[allow(dead_code)]
#[path = "../conformance/leftovers.rs"]
mod leftovers;

use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use outboard::Command;
use outboard::blocking::{Host, RunningPlugin};
use outboard_conformance::axes::{self, RuntimeKind, TransportKind};
use outboard_conformance::proto::{ProbeBlockingClient, ProcessBlockingClient};
use outboard_conformance::{HANDSHAKE, PROBE, PROCESS};

/// A time that no healthy case comes near, also on a busy machine.
const WATCHDOG: Duration = Duration::from_secs(120);

/// What a case runs on.
#[derive(Clone, Copy, Debug)]
pub struct On {
    plugin: RuntimeKind,
    transport: TransportKind,
}

/// A started plugin and clients of both its services.
pub struct Rig {
    pub plugin: RunningPlugin,
    pub probe: ProbeBlockingClient,
    pub process: ProcessBlockingClient,
}

impl On {
    /// A host of the suite's plugin.
    fn host(self, dir: &Path) -> Host {
        let command = Command::new(env!("CARGO_BIN_EXE_suite-plugin"))
            .args([self.plugin.to_string(), self.transport.to_string()])
            .inherit_stdin(false)
            .env("TMPDIR", dir)
            .env("PATH", std::env::var_os("PATH").unwrap_or_default());
        let host = axes::of_host(self.transport, outboard::Host::new(HANDSHAKE));
        Host::from(host)
            .socket_dir(dir)
            .inherit_env(false)
            .command(command)
    }

    fn start(self, dir: &Path) -> Rig {
        Rig::of(self.host(dir).start().expect("it starts"))
    }
}

impl Rig {
    fn of(plugin: RunningPlugin) -> Self {
        Self {
            probe: plugin.dispense(PROBE).expect("it is provided"),
            process: plugin.dispense(PROCESS).expect("it is provided"),
            plugin,
        }
    }

    /// Ends the plugin in good order.
    fn shutdown(self) {
        let report = self.plugin.shutdown().expect("it ends by itself");
        assert!(report.exit.success(), "{report}");
    }
}

/// Runs a case under a watchdog, and looks whether it has left anything.
fn run(on: On, case: fn(On, &Path)) {
    let dir = tempfile::TempDir::with_prefix("blocking").expect("a directory");
    let path = dir.path().to_owned();
    let (done, finished) = mpsc::channel();
    let running = thread::spawn({
        let path = path.clone();
        move || {
            case(on, &path);
            done.send(())
        }
    });
    if finished.recv_timeout(WATCHDOG) == Err(RecvTimeoutError::Timeout) {
        let left = leftovers::processes_of(&path);
        left.iter().copied().for_each(leftovers::kill);
        panic!("the case hangs on {on:?}, with processes {left:?}");
    }
    let outcome = running.join();
    let left = leftovers::processes_of(&path);
    let alive: Vec<u32> = left
        .into_iter()
        .filter(|pid| !leftovers::gone(*pid))
        .collect();
    alive.iter().copied().for_each(leftovers::kill);
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
    assert!(alive.is_empty(), "processes were left running: {alive:?}");
    let files = leftovers::files_in(&path);
    assert!(files.is_empty(), "files were left behind: {files:?}");
}

macro_rules! cases {
    ($($case:ident),* $(,)?) => {
        macro_rules! on {
            ($name:ident: $plugin:ident, $transport:ident) => {
                mod $name {
                    const ON: crate::On = crate::On {
                        plugin: outboard_conformance::axes::RuntimeKind::$plugin,
                        transport: outboard_conformance::axes::TransportKind::$transport,
                    };
                    $(
                        #[test]
                        fn $case() {
                            crate::run(ON, crate::cases::$case);
                        }
                    )*
                }
            };
        }
    };
}

cases! {
    every_kind_of_call,
    statuses_and_panics_are_those_of_the_async_api,
    deadlines_and_drops_cancel,
    interfaces_go_both_ways,
    a_second_host_attaches_and_lets_go,
    threads_share_a_client,
    a_handler_that_blocks_holds_up_nobody,
    output_and_logs_arrive,
    a_crash_is_told,
    each_way_to_end,
    dropping_the_handle_has_reaped_the_plugin,
    a_plugin_that_is_kept_up,
    a_failed_start_is_told,
    a_hook_that_blocks_is_told_so,
}

on! { tokio_h2: Tokio, H2 }
on! { tokio_stdio: Tokio, Stdio }
on! { blocking_h2: Blocking, H2 }
on! { blocking_stdio: Blocking, Stdio }
on! { blocking_h2_spin: Blocking, H2Spin }
on! { blocking_stdio_spin: Blocking, StdioSpin }
on! { blocking_h2_tls: Blocking, H2Tls }
on! { tokio_h2_streams: Tokio, H2Streams }
on! { blocking_h2_tls_streams: Blocking, H2TlsStreams }

/// Without a process.
mod in_memory {
    use outboard::blocking::Plugin;
    use outboard_conformance::blocking::BlockingProber;
    use outboard_conformance::proto::{ProbeBlocking as _, ProbeBlockingServer};

    use super::*;

    #[test]
    fn a_plugin_in_memory_is_used_as_one_that_was_launched() {
        for transport in [
            TransportKind::H2,
            TransportKind::Stdio,
            TransportKind::H2Tls,
        ] {
            let host = Host::from(axes::of_host(transport, outboard::Host::new(HANDSHAKE)));
            let probe = ProbeBlockingServer::new(BlockingProber::default());
            let plugin = Plugin::new(HANDSHAKE).provide(PROBE, probe);
            let plugin = host.start_in_memory(plugin).expect("it starts");
            let probe: ProbeBlockingClient = plugin.dispense(PROBE).expect("it is provided");
            let payload = cases::payload(b"in memory");
            assert_eq!(probe.echo(payload.clone()), Ok(payload));
            assert!(plugin.shutdown().expect("it ends").exit.success());
        }
    }
}
