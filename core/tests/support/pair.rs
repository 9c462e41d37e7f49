//! Both machines in the simulated world: what each wants done is done, and what comes of it arrives.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use outboard_core::endpoint::Endpoint;
use outboard_core::exit::Exit;
use outboard_core::fault::Fault;
use outboard_core::handshake::Location;
use outboard_core::host::{Host, HostAction, HostConfig, HostEvent, HostInput};
use outboard_core::plugin::{Plugin, PluginAction, PluginConfig, PluginEvent, PluginInput};

use super::world::{SECOND, SIGKILL, SIGTERM, World, epoch, host_config, plugin_config};

/// What arrives, and where.
#[derive(Debug)]
enum Arrival {
    ProcessStarts,
    LaunchFails,
    HostStdout(Vec<u8>),
    HostStderr(Vec<u8>),
    HostPipesClose,
    HostConnectAnswer(bool),
    HostConnectionLost,
    HostConnectionRetiring,
    HostShutdownAnswer,
    HostTerminateFails,
    HostExit(Exit),
    ProcessEnds(Exit),
    Plugin(PluginInput),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Process {
    None,
    Running,
    Ended,
}

pub struct Pair {
    pub start: Instant,
    pub now: Instant,
    pub world: World,
    pub host: Host,
    pub plugin: Option<Plugin>,
    plugin_config: PluginConfig,
    process: Process,
    connected: bool,
    listening: bool,
    arrivals: BTreeMap<(Instant, u64), Arrival>,
    counter: u64,
    pub host_actions: Vec<HostAction>,
    pub host_events: Vec<(Duration, HostEvent)>,
    pub plugin_actions: Vec<PluginAction>,
    pub plugin_events: Vec<PluginEvent>,
}

impl Pair {
    pub fn new(world: World) -> Self {
        let mut host = host_config();
        host.direct_output = world.direct_output;
        Self::with(world, host, plugin_config(&[]))
    }

    pub fn with(world: World, host: HostConfig, plugin_config: PluginConfig) -> Self {
        let start = epoch();
        Self {
            start,
            now: start,
            world,
            host: Host::new(host, start),
            plugin: None,
            plugin_config,
            process: Process::None,
            connected: false,
            listening: false,
            arrivals: BTreeMap::new(),
            counter: 0,
            host_actions: Vec::new(),
            host_events: Vec::new(),
            plugin_actions: Vec::new(),
            plugin_events: Vec::new(),
        }
    }

    /// A pair that has come up.
    pub fn ready(world: World) -> Self {
        let mut pair = Self::new(world);
        pair.run_for(SECOND);
        assert!(pair.host.is_ready(), "{:?}", pair.host_events);
        pair
    }

    /// Runs until nothing happens any more.
    pub fn run(&mut self) {
        self.run_until(None);
    }

    pub fn run_for(&mut self, time: Duration) {
        self.run_until(Some(self.now + time));
    }

    fn run_until(&mut self, end: Option<Instant>) {
        for _ in 0..100_000 {
            self.drain();
            let times = [
                self.host.poll_timeout().map(|(at, _)| at),
                self.plugin
                    .as_ref()
                    .and_then(Plugin::poll_timeout)
                    .map(|(at, _)| at),
                self.arrivals.keys().next().map(|(at, _)| *at),
            ];
            let next = times.into_iter().flatten().min();
            let Some(next) = next.filter(|next| end.is_none_or(|end| *next <= end)) else {
                self.now = end.unwrap_or(self.now);
                return;
            };
            self.now = self.now.max(next);
            self.fire_timers();
            self.deliver();
        }
        panic!("the pair does not come to rest: {:?}", self.host_events);
    }

    pub fn shutdown(&mut self) {
        self.host.shutdown(self.now);
    }

    pub fn kill(&mut self) {
        self.host.kill(self.now);
    }

    /// The plugin's process dies now.
    pub fn crash(&mut self, exit: Exit) {
        self.arrive(Duration::ZERO, Arrival::ProcessEnds(exit));
    }

    pub fn lose_connection(&mut self) {
        self.connected = false;
        self.arrive(self.world.latency, Arrival::HostConnectionLost);
        self.arrive(
            self.world.latency,
            Arrival::Plugin(PluginInput::ConnectionClosed),
        );
    }

    /// The plugin takes no more calls on the connection.
    pub fn retire_connection(&mut self) {
        self.arrive(self.world.latency, Arrival::HostConnectionRetiring);
    }

    pub fn print_stderr(&mut self, text: &str) {
        let bytes = text.as_bytes().to_vec();
        self.arrive(self.world.latency, Arrival::HostStderr(bytes));
    }

    pub fn print_stdout(&mut self, text: &str) {
        let bytes = text.as_bytes().to_vec();
        self.arrive(self.world.latency, Arrival::HostStdout(bytes));
    }

    /// How often the host asked for this.
    pub fn count(&self, action: &HostAction) -> usize {
        self.host_actions
            .iter()
            .filter(|other| *other == action)
            .count()
    }

    pub fn outcome(&self) -> &(Duration, HostEvent) {
        let outcomes: Vec<_> = self
            .host_events
            .iter()
            .filter(|(_, event)| is_outcome(event))
            .collect();
        assert_eq!(outcomes.len(), 1, "one outcome: {:?}", self.host_events);
        outcomes[0]
    }

    /// Nothing runs any more, and all was said in order.
    pub fn assert_over(&self) {
        assert!(self.host.is_finished(), "{:?}", self.host);
        assert_eq!(self.host.poll_timeout(), None);
        let last = self.host_events.last().map(|(_, event)| event);
        assert_eq!(last, Some(&HostEvent::Finished));
        self.outcome();
        assert_eq!(
            self.count(&HostAction::Cleanup),
            1,
            "{:?}",
            self.host_actions
        );
        if !self.world.unkillable {
            assert_ne!(self.process, Process::Running, "a process was left");
        }
    }

    fn arrive(&mut self, after: Duration, arrival: Arrival) {
        self.counter += 1;
        self.arrivals
            .insert((self.now + after, self.counter), arrival);
    }

    fn fire_timers(&mut self) {
        self.host.handle_timeout(self.now);
        let left = self.host.poll_timeout();
        assert!(left.is_none_or(|(at, _)| at > self.now), "{left:?}");
        if let Some(plugin) = &mut self.plugin {
            plugin.handle_timeout(self.now);
            let left = plugin.poll_timeout();
            assert!(left.is_none_or(|(at, _)| at > self.now), "{left:?}");
        }
    }

    fn drain(&mut self) {
        while let Some(action) = self.host.poll_action() {
            self.host_actions.push(action.clone());
            self.act_for_host(action);
        }
        while let Some(event) = self.host.poll_event() {
            self.host_events.push((self.now - self.start, event));
        }
        while let Some(action) = self.plugin.as_mut().and_then(Plugin::poll_action) {
            self.plugin_actions.push(action.clone());
            self.act_for_plugin(action);
        }
        while let Some(event) = self.plugin.as_mut().and_then(Plugin::poll_event) {
            self.plugin_events.push(event);
        }
    }

    fn act_for_host(&mut self, action: HostAction) {
        let latency = self.world.latency;
        match action {
            HostAction::Launch if self.world.never_launches => {}
            HostAction::Launch if self.world.launch_fails => {
                self.arrive(latency, Arrival::LaunchFails);
            }
            HostAction::Launch => self.arrive(latency, Arrival::ProcessStarts),
            HostAction::Connect { .. } if self.world.never_connects => {}
            HostAction::Connect { .. } => {
                let open = self.listening && !self.world.connect_fails;
                let up = open && self.process == Process::Running;
                self.connected = up;
                if up {
                    self.arrive(latency, Arrival::Plugin(PluginInput::Accepted));
                }
                self.arrive(latency, Arrival::HostConnectAnswer(up));
            }
            HostAction::CallShutdown => {
                if self.world.ignores_shutdown {
                    return;
                }
                self.arrive(latency, Arrival::Plugin(PluginInput::ShutdownCalled));
                // A stand-in for a plugin answers at once.
                if self.plugin.is_none() && !self.world.loses_answer {
                    self.arrive(2 * latency, Arrival::HostShutdownAnswer);
                }
            }
            HostAction::Disconnect => {
                if std::mem::take(&mut self.connected) {
                    self.arrive(latency, Arrival::Plugin(PluginInput::ConnectionClosed));
                }
            }
            HostAction::Terminate if self.world.cannot_be_told => {
                self.arrive(latency, Arrival::HostTerminateFails);
            }
            HostAction::Terminate => {
                if self.process == Process::Running
                    && !(self.world.ignores_terminate || self.world.unkillable)
                {
                    self.arrive(latency, Arrival::ProcessEnds(SIGTERM));
                }
            }
            HostAction::Kill => {
                if self.process == Process::Running && !self.world.unkillable {
                    self.arrive(latency, Arrival::ProcessEnds(SIGKILL));
                }
            }
            HostAction::TransportBytes(_)
            | HostAction::Abandon
            | HostAction::CloseBroker
            | HostAction::Release
            | HostAction::Cleanup => {}
        }
    }

    fn act_for_plugin(&mut self, action: PluginAction) {
        let latency = self.world.latency;
        match action {
            PluginAction::Listen(_) if self.world.listen_fails => {
                let fault = Fault::other("no space left on device");
                self.arrive(latency, Arrival::Plugin(PluginInput::ListenFailed(fault)));
            }
            PluginAction::Listen(spec) => {
                let location = match spec {
                    outboard_core::plugin::ListenSpec::Stdio => Location::Stdio,
                    outboard_core::plugin::ListenSpec::Unix { .. }
                    | outboard_core::plugin::ListenSpec::Tcp { .. }
                    | outboard_core::plugin::ListenSpec::Given => {
                        Location::Endpoint(Endpoint::Unix("/tmp/plugin1".into()))
                    }
                };
                self.listening = true;
                self.arrive(latency, Arrival::Plugin(PluginInput::Listening(location)));
            }
            PluginAction::WriteHandshake(_) if self.world.stdout_broken => {
                let fault = Fault::other("broken pipe");
                let input = PluginInput::HandshakeWriteFailed(fault);
                self.arrive(latency, Arrival::Plugin(input));
            }
            PluginAction::WriteHandshake(bytes) => {
                for chunk in bytes.chunks(self.world.chunk.min(bytes.len())) {
                    self.arrive(latency, Arrival::HostStdout(chunk.to_vec()));
                }
                self.arrive(latency, Arrival::Plugin(PluginInput::HandshakeWritten));
            }
            PluginAction::StopListening => self.listening = false,
            PluginAction::Drain => {
                let after = self.world.drain_takes;
                self.arrive(after, Arrival::Plugin(PluginInput::CallsIdle));
            }
            PluginAction::ReleaseStreams => {
                self.arrive(Duration::ZERO, Arrival::Plugin(PluginInput::Released));
            }
            PluginAction::CloseOutput => {
                self.arrive(latency, Arrival::Plugin(PluginInput::OutputSent));
            }
            PluginAction::AnswerShutdown => {
                if !self.world.loses_answer {
                    self.arrive(latency, Arrival::HostShutdownAnswer);
                } else if std::mem::take(&mut self.connected) {
                    // A drained connection is closed once its last stream has ended.
                    self.arrive(latency, Arrival::Plugin(PluginInput::ConnectionClosed));
                    self.arrive(latency, Arrival::HostConnectionLost);
                }
            }
            PluginAction::Abort => {
                if std::mem::take(&mut self.connected) {
                    self.arrive(latency, Arrival::HostConnectionLost);
                }
                self.arrive(Duration::ZERO, Arrival::Plugin(PluginInput::AllClosed));
            }
            PluginAction::Finish { code, .. } => {
                self.arrive(Duration::ZERO, Arrival::ProcessEnds(Exit::Code(code)));
            }
            PluginAction::RedirectStdio
            | PluginAction::Serve
            | PluginAction::ForceRelease
            | PluginAction::CloseStanding => {}
        }
    }

    fn deliver(&mut self) {
        let latency = self.world.latency;
        while let Some(entry) = self.arrivals.first_entry() {
            if entry.key().0 > self.now {
                return;
            }
            let now = self.now;
            match entry.remove() {
                Arrival::ProcessStarts => {
                    self.process = Process::Running;
                    self.host.handle(
                        now,
                        HostInput::Launched {
                            id: Some("42".to_owned()),
                        },
                    );
                    match self.world.prints.clone() {
                        None => self.plugin = Some(Plugin::new(self.plugin_config.clone(), now)),
                        Some(prints) => {
                            self.listening = true;
                            for (at, text) in prints {
                                self.arrive(at, Arrival::HostStdout(text.into()));
                            }
                        }
                    }
                    if let Some((at, exit)) = self.world.ends {
                        self.arrive(at, Arrival::ProcessEnds(exit));
                    }
                }
                Arrival::LaunchFails => {
                    let fault = Fault::other("no such file");
                    self.host.handle(now, HostInput::LaunchFailed(fault));
                }
                Arrival::HostStdout(bytes) => self.host.handle(now, HostInput::Stdout(&bytes)),
                Arrival::HostStderr(bytes) => self.host.handle(now, HostInput::Stderr(&bytes)),
                Arrival::HostPipesClose => {
                    self.host.handle(now, HostInput::StdoutClosed);
                    self.host.handle(now, HostInput::StderrClosed);
                }
                Arrival::HostConnectAnswer(true) => self.host.handle(now, HostInput::Connected),
                Arrival::HostConnectAnswer(false) => {
                    let fault = Fault::other("connection refused");
                    self.host.handle(now, HostInput::ConnectFailed(fault));
                }
                Arrival::HostConnectionLost => self.host.handle(now, HostInput::ConnectionLost),
                Arrival::HostConnectionRetiring => {
                    self.host.handle(now, HostInput::ConnectionRetiring);
                }
                Arrival::HostShutdownAnswer => self.host.handle(now, HostInput::ShutdownAnswered),
                Arrival::HostTerminateFails => {
                    self.host.handle(now, HostInput::TerminateFailed);
                }
                Arrival::HostExit(exit) => self.host.handle(now, HostInput::Exited(exit)),
                Arrival::ProcessEnds(exit) => {
                    if self.process == Process::Running {
                        self.process = Process::Ended;
                        self.plugin = None;
                        self.listening = false;
                        if std::mem::take(&mut self.connected) {
                            self.arrive(latency, Arrival::HostConnectionLost);
                        }
                        if !self.world.grandchild {
                            self.arrive(latency, Arrival::HostPipesClose);
                        }
                        self.arrive(latency, Arrival::HostExit(exit));
                    }
                }
                Arrival::Plugin(input) => {
                    if let Some(plugin) = &mut self.plugin {
                        plugin.handle(now, input);
                    }
                }
            }
            self.drain();
        }
    }
}

fn is_outcome(event: &HostEvent) -> bool {
    match event {
        HostEvent::Failed(_) | HostEvent::Exited { .. } => true,
        HostEvent::Negotiated(_)
        | HostEvent::Ready
        | HostEvent::StrayStdout { .. }
        | HostEvent::Interrupted
        | HostEvent::Restored
        | HostEvent::Disconnected { .. }
        | HostEvent::Finished => false,
        other => panic!("what is {other:?}?"),
    }
}
