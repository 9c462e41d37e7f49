//! A host under any operations.

use std::time::Duration;

use outboard_core::endpoint::Endpoint;
use outboard_core::exit::Exit;
use outboard_core::fault::Fault;
use outboard_core::handshake::{HostExpectation, Protocol, StrayTolerance};
use outboard_core::host::{
    Host, HostAction, HostConfig, HostEvent, HostInput, MAX_STRAY_STDOUT, Means, Printed,
    WhenDropped,
};

use super::steps::{Op, check_timer, epoch, step};

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
        config.tolerance = Some(StrayTolerance::new(2, 100));
    }
    config.end_unreachable = seed & 128 != 0;
    config.direct_output = seed & 1 != 0;
    if seed & 6 == 6 {
        config.when_dropped = WhenDropped::Release;
    }
    config.means = match seed & 96 {
        96 => Means::None,
        64 => Means::Asking,
        _ => Means::All,
    };
    if seed & 4 != 0 {
        config.link.within = Duration::ZERO;
        config.shutdown_grace = Duration::ZERO;
        config.terminate_grace = if seed & 8 != 0 {
            Duration::ZERO
        } else {
            config.terminate_grace
        };
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
        match kind % 24 {
            0 => {
                host.handle(
                    now,
                    HostInput::Launched {
                        id: Some(a.to_string()),
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
            21 => host.let_go(now),
            22 => host.handle(now, HostInput::TerminateFailed),
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
        // What is left running keeps what was made for it.
        let ends = count(&HostAction::Cleanup) + count(&HostAction::Release);
        assert_eq!(ends, 1, "{:?}", self.actions);
        assert!(count(&HostAction::Launch) <= 1);
        assert!(count(&HostAction::CallShutdown) <= 1);
        assert!(count(&HostAction::CloseBroker) <= 1);
        assert!(count(&HostAction::Disconnect) <= 1);
        assert!(count(&HostAction::Kill) <= 3);
        assert!(count(&HostAction::Terminate) <= 1);
        let place = |wanted: &HostAction| self.actions.iter().position(|a| a == wanted);
        if let (Some(told), Some(killed)) =
            (place(&HostAction::Terminate), place(&HostAction::Kill))
        {
            assert!(told < killed, "{:?}", self.actions);
        }
        let (mut ready, mut outcomes, mut finished) = (0, 0, 0);
        for event in &self.events {
            match event {
                HostEvent::Ready => ready += 1,
                HostEvent::Failed(_) => {
                    assert_eq!(ready, 0, "a started plugin does not fail to start");
                    outcomes += 1;
                }
                HostEvent::Exited { stages, .. } => {
                    assert_eq!(ready, 1, "only a started plugin exits");
                    let order: Vec<_> = stages.iter().map(|stage| stage.stage).collect();
                    assert!(order.is_sorted_by(|a, b| a < b), "{stages:?}");
                    outcomes += 1;
                }
                HostEvent::Finished => finished += 1,
                HostEvent::StrayStdout { bytes, .. } => assert!(bytes.len() <= MAX_STRAY_STDOUT),
                HostEvent::Negotiated(_)
                | HostEvent::Interrupted
                | HostEvent::Restored
                | HostEvent::Disconnected { .. } => {}
                other => panic!("what is {other:?}?"),
            }
        }
        assert!(ready <= 1);
        assert_eq!((outcomes, finished), (1, 1), "{:?}", self.events);
        assert_eq!(self.events.last(), Some(&HostEvent::Finished));
    }
}
