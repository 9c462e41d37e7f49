//! Sequences of operations on the machines, in any order, with the rules that must always hold.
//!
//! An operation is three bytes: which, and two numbers. So a property test can shrink a list of
//! them, and a fuzzer can change one without changing the others. The fuzz targets in `fuzz/`
//! share this file.
#![allow(dead_code, unreachable_pub, reason = "each user takes its part")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use outboard_core::broker::{
    Broker, BrokerAction, BrokerConfig, BrokerEvent, BrokerInput, BrokerMode, ConnInfo, Knock,
    MAX_PENDING,
};
use outboard_core::endpoint::Endpoint;
use outboard_core::env::PluginEnv;
use outboard_core::exit::Exit;
use outboard_core::fault::Fault;
use outboard_core::handshake::{HostExpectation, Location, Protocol, StrayTolerance};
use outboard_core::host::{
    Host, HostAction, HostConfig, HostEvent, HostInput, MAX_STRAY_STDOUT, Printed,
};
use outboard_core::plugin::{Plugin, PluginAction, PluginConfig, PluginInput};
use outboard_core::timer::TimerKind;

/// One operation: which, and two numbers.
pub type Op = [u8; 3];

fn epoch() -> Instant {
    #[allow(clippy::disallowed_methods, reason = "a clock needs a beginning")]
    Instant::now()
}

/// A step of the clock: from nothing to some minutes.
fn step(size: u8) -> Duration {
    Duration::from_millis(u64::from(size).pow(2) * 4)
}

fn check_timer(left: Option<(Instant, TimerKind)>, now: Instant) {
    assert!(
        left.is_none_or(|(at, _)| at > now),
        "expired and not disarmed: {left:?}"
    );
}

/// Output of a plugin, good and bad, whole and in pieces.
const OUTPUT: [&[u8]; 14] = [
    b"1|1|unix|/tmp/p|grpc|\n",
    b"1|1|stdio|-|stdio|\nframe",
    b"1|1|unix|/tmp/p|grpc||true\nstray",
    b"1|1|tcp|127.0.0.1:1|netrpc\n",
    b"1|1|unix|",
    b"/tmp/p|grpc\n",
    b"\n",
    b"banner\n",
    b"\xff\xfe\n",
    b"",
    b"x",
    &[b'y'; 5000],
    b"1|9|unix|/tmp/p|grpc\n",
    b"1|1|unix|/tmp/p|grpc|!!!|maybe|\r\n",
];

/// Applies `ops` to a host, ends it, and checks its rules.
pub fn host(seed: u8, ops: &[Op]) {
    let mut now = epoch();
    let expectation = HostExpectation::new([1])
        .allowing([Protocol::Grpc, Protocol::Stdio])
        .multiplexing(seed & 1 != 0);
    let mut config = HostConfig::new(expectation);
    if seed & 2 != 0 {
        config.tolerance = Some(StrayTolerance {
            lines: 2,
            bytes: 100,
        });
    }
    config.end_unreachable = seed & 128 != 0;
    config.direct_output = seed & 1 != 0;
    if seed & 4 != 0 {
        config.link.limit = Duration::ZERO;
        config.shutdown_grace = Duration::ZERO;
        config.evidence_wait = Duration::ZERO;
        config.pipe_drain = Duration::ZERO;
    }
    let mut host = if seed & 24 == 24 {
        let endpoint = Endpoint::Tcp("127.0.0.1:1".into());
        Host::attach(config, now, None, endpoint, Protocol::Grpc)
    } else {
        Host::new(config, now)
    };
    let mut record = HostRecord::default();
    for &[kind, a, b] in ops {
        let output = OUTPUT[usize::from(a) % OUTPUT.len()];
        let exit = match a % 3 {
            0 => Exit::Code(i32::from(b)),
            1 => Exit::Signal {
                signal: i32::from(b),
                core_dumped: false,
            },
            _ => Exit::Unknown,
        };
        match kind % 22 {
            0 => {
                host.handle(
                    now,
                    HostInput::Launched {
                        pid: Some(u32::from(a)),
                    },
                );
            }
            1 => host.handle(now, HostInput::LaunchFailed(Fault::other("no"))),
            2 | 3 => {
                for chunk in output.chunks(usize::from(b) + 1) {
                    host.handle(now, HostInput::Stdout(chunk));
                }
            }
            4 => host.handle(now, HostInput::StdoutClosed),
            5 => host.handle(now, HostInput::Stderr(output)),
            6 => host.handle(now, HostInput::StderrClosed),
            7 | 8 => host.handle(now, HostInput::Connected),
            9 => host.handle(now, HostInput::ConnectFailed(Fault::other("no"))),
            10 => host.handle(now, HostInput::ConnectionLost),
            11 => host.handle(now, HostInput::ShutdownAnswered),
            12 => host.handle(now, HostInput::Exited(exit)),
            13 => host.shutdown(now),
            14 => host.kill(now),
            15 => record.drain(&mut host),
            17 => host.handle(now, HostInput::ConnectionRetiring),
            18 => host.handle(now, HostInput::ShutdownUnsupported),
            19 => {
                let on = [Printed::Stdout, Printed::Stderr][usize::from(b & 1)];
                host.handle(now, HostInput::Printed { on, bytes: output });
            }
            20 => host.handle(now, HostInput::PrintedClosed),
            16 => {
                now += step(a);
                host.handle_timeout(now);
                check_timer(host.poll_timeout(), now);
            }
            _ => {
                if let Some((at, _)) = host.poll_timeout() {
                    now = now.max(at);
                    host.handle_timeout(now);
                    check_timer(host.poll_timeout(), now);
                }
            }
        }
        let tail = host.stderr_tail();
        assert!(tail.len() <= 16 && tail.iter().map(String::len).sum::<usize>() <= 3 * 8192);
    }
    if seed & 32 != 0 {
        host.shutdown(now);
    } else {
        host.kill(now);
    }
    record.drain(&mut host);
    if seed & 64 != 0 {
        host.handle(now, HostInput::Exited(Exit::Code(0)));
        host.handle(now, HostInput::StdoutClosed);
        host.handle(now, HostInput::StderrClosed);
        host.handle(now, HostInput::PrintedClosed);
    } else {
        // The world never answers: the timers alone must end it.
        for _ in 0..40 {
            if let Some((at, _)) = host.poll_timeout() {
                now = now.max(at);
                host.handle_timeout(now);
                check_timer(host.poll_timeout(), now);
            }
        }
    }
    record.drain(&mut host);
    assert!(host.is_finished(), "{host:?}");
    assert_eq!(host.poll_timeout(), None);
    record.check();
    // Nothing follows the end.
    host.shutdown(now);
    host.kill(now);
    host.handle(now, HostInput::Exited(Exit::Code(9)));
    host.handle(now, HostInput::Stdout(b"late"));
    assert_eq!((host.poll_action(), host.poll_event()), (None, None));
}

#[derive(Default)]
struct HostRecord {
    actions: Vec<HostAction>,
    events: Vec<HostEvent>,
}

impl HostRecord {
    fn drain(&mut self, host: &mut Host) {
        let actions = std::iter::from_fn(|| host.poll_action());
        self.actions.extend(actions);
        let before = self.events.len();
        self.events.extend(std::iter::from_fn(|| host.poll_event()));
        let queued = self.events.len() - before;
        assert!(queued <= 12, "events pile up: {queued}");
    }

    fn check(&self) {
        let count = |wanted: &HostAction| self.actions.iter().filter(|a| *a == wanted).count();
        assert_eq!(count(&HostAction::Cleanup), 1);
        assert!(count(&HostAction::Launch) <= 1);
        assert!(count(&HostAction::CallShutdown) <= 1);
        assert!(count(&HostAction::CloseBroker) <= 1);
        assert!(count(&HostAction::Disconnect) <= 1);
        assert!(count(&HostAction::Kill) <= 3);
        let (mut ready, mut outcomes, mut finished) = (0, 0, 0);
        for event in &self.events {
            match event {
                HostEvent::Ready => ready += 1,
                HostEvent::Failed(_) => {
                    assert_eq!(ready, 0, "a started plugin does not fail to start");
                    outcomes += 1;
                }
                HostEvent::Exited { .. } => {
                    assert_eq!(ready, 1, "only a started plugin exits");
                    outcomes += 1;
                }
                HostEvent::Finished => finished += 1,
                HostEvent::StrayStdout { bytes, .. } => assert!(bytes.len() <= MAX_STRAY_STDOUT),
                HostEvent::Negotiated(_)
                | HostEvent::Interrupted
                | HostEvent::Restored
                | HostEvent::Disconnected { .. } => {}
            }
        }
        assert!(ready <= 1);
        assert_eq!((outcomes, finished), (1, 1), "{:?}", self.events);
        assert_eq!(self.events.last(), Some(&HostEvent::Finished));
    }
}

/// Applies `ops` to a plugin, ends it, and checks its rules.
pub fn plugin(seed: u8, ops: &[Op]) {
    let mut now = epoch();
    let env = PluginEnv::read_without_cookie(|name| match name {
        "PLUGIN_MULTIPLEX_GRPC" if seed & 1 != 0 => Some("true".into()),
        "OUTBOARD_TRANSPORTS" if seed & 2 != 0 => Some("stdio".into()),
        "PLUGIN_PROTOCOL_VERSIONS" if seed & 4 != 0 => Some("2,3".into()),
        _ => None,
    });
    let protocols = [Protocol::Grpc, Protocol::Stdio, Protocol::NetRpc];
    let offered = protocols[..usize::from(seed >> 3) % 4].to_vec();
    let mut config = PluginConfig::new(env, BTreeMap::from([(1, offered.clone()), (2, offered)]));
    config.announce = seed & 32 != 0;
    config.outlive_host = seed & 64 != 0;
    if seed & 128 != 0 {
        config.drain_timeout = Duration::ZERO;
        config.first_connection = Duration::ZERO;
    }
    let mut plugin = Plugin::new(config, now);
    let mut record = Vec::new();
    for &[kind, a, b] in ops {
        match kind % 17 {
            0 | 1 => {
                let location = match a % 4 {
                    0 => Location::Stdio,
                    1 => Location::Endpoint(Endpoint::Tcp("127.0.0.1:1".into())),
                    2 => Location::Endpoint(Endpoint::Unix("/tmp/a|b".into())),
                    _ => Location::Endpoint(Endpoint::Unix("/tmp/p".into())),
                };
                plugin.handle(now, PluginInput::Listening(location));
            }
            2 if b > 200 => plugin.handle(now, PluginInput::ListenFailed(Fault::other("no"))),
            3 | 4 => plugin.handle(now, PluginInput::HandshakeWritten),
            5 if b > 200 => {
                plugin.handle(now, PluginInput::HandshakeWriteFailed(Fault::other("no")));
            }
            6 => plugin.handle(now, PluginInput::Accepted),
            7 => plugin.handle(now, PluginInput::ConnectionClosed),
            8 => plugin.handle(now, PluginInput::ShutdownCalled),
            9 => plugin.handle(now, PluginInput::HostGone),
            10 => plugin.handle(now, PluginInput::Interrupted),
            11 => plugin.handle(now, PluginInput::Drained),
            12 if b > 128 => plugin.shutdown(now),
            13 if b > 200 => plugin.kill(now),
            14 => drain_plugin(&mut plugin, &mut record),
            15 => {
                now += step(a);
                plugin.handle_timeout(now);
                check_timer(plugin.poll_timeout(), now);
            }
            _ => {
                if let Some((at, _)) = plugin.poll_timeout() {
                    now = now.max(at);
                    plugin.handle_timeout(now);
                    check_timer(plugin.poll_timeout(), now);
                }
            }
        }
    }
    plugin.shutdown(now);
    if let Some((at, _)) = plugin.poll_timeout() {
        now = now.max(at);
        plugin.handle_timeout(now);
    }
    drain_plugin(&mut plugin, &mut record);
    assert!(plugin.is_finished(), "{plugin:?}");
    assert_eq!(plugin.poll_timeout(), None);
    plugin.kill(now);
    plugin.handle(now, PluginInput::Accepted);
    drain_plugin(&mut plugin, &mut record);

    let ends = |action: &&PluginAction| matches!(action, PluginAction::Finish { .. });
    assert_eq!(record.iter().filter(ends).count(), 1, "{record:?}");
    assert!(record.last().is_some_and(|last| ends(&last)), "{record:?}");
    let count = |wanted: &PluginAction| record.iter().filter(|a| *a == wanted).count();
    for once in [
        PluginAction::RedirectStdio,
        PluginAction::Serve,
        PluginAction::StopListening,
        PluginAction::Drain,
        PluginAction::Abort,
    ] {
        assert!(count(&once) <= 1, "{record:?}");
    }
}

fn drain_plugin(plugin: &mut Plugin, record: &mut Vec<PluginAction>) {
    record.extend(std::iter::from_fn(|| plugin.poll_action()));
    let events = std::iter::from_fn(|| plugin.poll_event()).count();
    assert!(events <= 4, "events pile up: {events}");
}

/// Applies `ops` to a broker, ends it, and checks its rules.
pub fn broker(seed: u8, ops: &[Op]) {
    let mut now = epoch();
    let mut config = BrokerConfig::new(if seed & 1 == 0 {
        BrokerMode::Listeners
    } else {
        BrokerMode::Multiplexed
    });
    if seed & 2 != 0 {
        config.timeout = Duration::ZERO;
    }
    let mut state = BrokerState {
        broker: Broker::new(config),
        dials: BTreeSet::new(),
        accepts: BTreeSet::new(),
    };
    for &[kind, a, b] in ops {
        let id = u32::from(a % 8);
        match kind % 16 {
            0 => state.broker.handle(now, BrokerInput::ControlOpened),
            1 if b > 240 => {
                let reason = "gone".to_owned();
                state
                    .broker
                    .handle(now, BrokerInput::ControlLost { reason });
            }
            2 => {
                let id = if b & 1 == 0 {
                    state.broker.next_id()
                } else {
                    id
                };
                if state.broker.accept(now, id).is_ok() {
                    assert!(state.accepts.insert(id), "accepted twice: {id}");
                }
            }
            3 => {
                state.drain();
                state.broker.close_id(now, id);
                state.accepts.remove(&id);
            }
            4 | 5 => {
                if state.broker.dial(now, id).is_ok() {
                    assert!(state.dials.insert(id), "dialled twice: {id}");
                }
            }
            6 => {
                state.drain();
                state.broker.cancel_dial(now, id);
                state.dials.remove(&id);
            }
            7 => {
                let endpoint = Endpoint::Unix("/tmp/p".into());
                state
                    .broker
                    .handle(now, BrokerInput::Listening { id, endpoint });
            }
            8 => {
                let fault = Fault::other("no");
                state
                    .broker
                    .handle(now, BrokerInput::ListenFailed { id, fault });
            }
            9 => state.broker.handle(now, BrokerInput::StreamOpened { id }),
            10 => {
                state.broker.stream_arrived(now);
            }
            11 | 12 => state.broker.handle_message(now, message(id, b)),
            13 => state.drain(),
            14 => {
                now += step(a);
                state.broker.handle_timeout(now);
                check_timer(state.broker.poll_timeout(), now);
            }
            _ => {
                for other in 0..u32::from(b) * 5 {
                    let id = other.wrapping_mul(0x9E37_79B9);
                    state.broker.handle_message(now, message(id, a));
                }
            }
        }
        // Always, so that an id dialled or accepted again is not taken for the first.
        state.drain();
        assert!(state.broker.pending() <= MAX_PENDING + state.accepts.len() + 1);
    }
    if seed & 4 != 0 {
        state.broker.close();
    }
    // Nobody answers any more: the timers alone must end every dial.
    for _ in 0..100_000 {
        let Some((at, _)) = state.broker.poll_timeout() else {
            break;
        };
        now = now.max(at);
        state.broker.handle_timeout(now);
        check_timer(state.broker.poll_timeout(), now);
        state.drain();
    }
    state.drain();
    assert_eq!(state.broker.poll_timeout(), None);
    assert!(
        state.dials.is_empty(),
        "left without an answer: {:?}",
        state.dials
    );
    assert_eq!(state.broker.pending(), 0);
}

fn message(id: u32, how: u8) -> ConnInfo {
    let knock = Knock {
        knock: how & 1 != 0,
        ack: how & 2 != 0,
        error: if how & 12 == 12 {
            "no".to_owned()
        } else {
            String::new()
        },
    };
    ConnInfo {
        service_id: id,
        network: ["unix", "tcp", "udp", ""][usize::from(how >> 6)].to_owned(),
        address: if how & 32 != 0 { "/tmp/p" } else { "" }.to_owned(),
        knock: (how & 16 != 0).then_some(knock),
    }
}

struct BrokerState {
    broker: Broker,
    /// Dials that have not ended.
    dials: BTreeSet<u32>,
    accepts: BTreeSet<u32>,
}

impl BrokerState {
    fn drain(&mut self) {
        let messages = std::iter::from_fn(|| self.broker.poll_transmit()).count();
        assert!(messages <= 64, "messages pile up: {messages}");
        self.drain_events();
        while let Some(action) = self.broker.poll_action() {
            match action {
                BrokerAction::Connect { id, .. } | BrokerAction::OpenStream { id } => {
                    assert!(self.dials.remove(&id), "nobody dials {id}");
                }
                BrokerAction::Listen { .. }
                | BrokerAction::DiscardStream { .. }
                | BrokerAction::StopListening { .. } => {}
            }
        }
    }

    fn drain_events(&mut self) {
        while let Some(event) = self.broker.poll_event() {
            match event {
                BrokerEvent::DialFailed { id, .. } => {
                    assert!(self.dials.remove(&id), "nobody dials {id}");
                }
                BrokerEvent::AcceptFailed { id, .. } => {
                    assert!(self.accepts.remove(&id), "nobody accepts {id}");
                }
            }
        }
    }
}
