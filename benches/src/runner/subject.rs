//! What is measured.

use std::fmt;
use std::process::Command;

use crate::Failure;
use crate::runtimes::{
    MULTIPLEXED, NETRPC, RuntimeKind, SECURED, SPINNING, TransportKind, USUAL_RUNTIMES,
    USUAL_TRANSPORTS,
};

use super::programs::Programs;

/// A host and its plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// outboard on both sides.
    Outboard {
        /// The runtime of both sides.
        runtime: RuntimeKind,
        /// What they speak.
        transport: TransportKind,
    },
    /// outboard on both sides, over Go's net/rpc.
    NetRpc {
        /// The runtime of both sides.
        runtime: RuntimeKind,
    },
    /// A host on outboard with a plugin on go-plugin, over gRPC.
    GoPlugin {
        /// The host's runtime.
        runtime: RuntimeKind,
    },
    /// go-plugin on both sides.
    Go(GoProtocol),
    /// tonic on both sides, over a unix socket.
    Tonic,
    /// The same, with two threads on either side.
    TonicThreads,
    /// A blocking ping-pong.
    Floor(Wire),
}

/// go-plugin's protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoProtocol {
    /// gRPC.
    Grpc,
    /// gRPC with AutoMTLS.
    GrpcTls,
    /// gRPC in yamux, as its broker's connections then are.
    GrpcMultiplex,
    /// The same with AutoMTLS in each stream.
    GrpcMultiplexTls,
    /// Go's own net/rpc in yamux.
    NetRpc,
}

/// The argument of `bench-tonic` that asks for two threads.
pub const THREADS: &str = "threads";

/// What the floor goes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// A unix socket.
    Socket,
    /// The plugin's stdin and stdout.
    Pipe,
}

/// The environment variable that asks for peers: some of [`PEERS`], separated by commas.
pub const PEERS_VARIABLE: &str = "OUTBOARD_BENCH_PEERS";

/// The groups of peers.
///
/// `async-io` is outboard itself on an executor and reactor of the user's.
/// `spin` is outboard with both sides looking again for a while before they sleep.
/// `tls` is outboard and go-plugin with AutoMTLS.
/// `multiplex` is outboard and go-plugin with one connection for all, plain and with AutoMTLS.
/// `netrpc` is outboard and go-plugin over Go's net/rpc.
pub const PEERS: [&str; 8] = [
    "go",
    "tonic",
    "floor",
    "async-io",
    "spin",
    "tls",
    "multiplex",
    "netrpc",
];

impl Subject {
    /// outboard, in every combination of the usual runtimes and the transports.
    #[must_use]
    pub fn outboard() -> Vec<Self> {
        Self::usual_runtimes(&USUAL_TRANSPORTS).collect()
    }

    /// outboard with these transports on the usual runtimes.
    fn usual_runtimes(transports: &[TransportKind]) -> impl Iterator<Item = Self> {
        transports.iter().flat_map(|&transport| {
            USUAL_RUNTIMES.map(|runtime| Self::Outboard { runtime, transport })
        })
    }

    /// The peers of these groups, each of them once.
    ///
    /// # Errors
    /// If there is no such group.
    pub fn peers(groups: &str) -> Result<Vec<Self>, Failure> {
        let mut all: Vec<Self> = Vec::new();
        for group in groups.split(',').map(str::trim).filter(|g| !g.is_empty()) {
            match group {
                "go" => all.extend([
                    Self::Go(GoProtocol::Grpc),
                    Self::Go(GoProtocol::NetRpc),
                    Self::GoPlugin {
                        runtime: RuntimeKind::Tokio,
                    },
                    Self::GoPlugin {
                        runtime: RuntimeKind::Smol,
                    },
                ]),
                "async-io" => all.extend(USUAL_TRANSPORTS.map(|transport| Self::Outboard {
                    runtime: RuntimeKind::AsyncIo,
                    transport,
                })),
                "spin" => all.extend(Self::usual_runtimes(&SPINNING)),
                "tls" => {
                    all.extend(Self::usual_runtimes(&SECURED));
                    all.push(Self::Go(GoProtocol::GrpcTls));
                }
                "multiplex" => {
                    all.extend(Self::usual_runtimes(&MULTIPLEXED));
                    all.extend([
                        Self::Go(GoProtocol::GrpcMultiplex),
                        Self::Go(GoProtocol::GrpcMultiplexTls),
                    ]);
                }
                "netrpc" => {
                    all.extend(USUAL_RUNTIMES.map(|runtime| Self::NetRpc { runtime }));
                    all.push(Self::Go(GoProtocol::NetRpc));
                }
                "tonic" => all.push(Self::Tonic),
                "floor" => all.extend([Self::Floor(Wire::Socket), Self::Floor(Wire::Pipe)]),
                _ => return Err(format!("no such peers: {group}; there are {PEERS:?}").into()),
            }
        }
        let mut peers = Vec::new();
        for peer in all {
            if !peers.contains(&peer) {
                peers.push(peer);
            }
        }
        Ok(peers)
    }

    /// The peers that the environment asks for.
    ///
    /// # Errors
    /// If there are none of these names.
    pub fn peers_from_environment() -> Result<Vec<Self>, Failure> {
        Self::peers(&std::env::var(PEERS_VARIABLE).unwrap_or_default())
    }

    /// Whether this needs the Go programs.
    #[must_use]
    pub fn needs_go(&self) -> bool {
        matches!(self, Self::Go(_) | Self::GoPlugin { .. })
    }

    /// The command of the host program.
    ///
    /// # Errors
    /// If a program has not been built.
    pub fn command(&self, programs: &Programs) -> Result<Command, Failure> {
        Ok(match self {
            Self::Outboard { runtime, transport } => {
                of_outboard(programs, *runtime, &transport.to_string())?
            }
            Self::NetRpc { runtime } => of_outboard(programs, *runtime, NETRPC)?,
            Self::GoPlugin { runtime } => {
                let mut command = Command::new(programs.rust("bench-host")?);
                command.args([runtime.to_string(), TransportKind::H2.to_string()]);
                command.arg(programs.go("go-bench-plugin")?).arg("grpc");
                command
            }
            Self::Go(protocol) => {
                let mut command = Command::new(programs.go("go-bench-host")?);
                command.arg(match protocol {
                    GoProtocol::Grpc => "grpc",
                    GoProtocol::GrpcTls => "grpc+tls",
                    GoProtocol::GrpcMultiplex => "grpc+multiplex",
                    GoProtocol::GrpcMultiplexTls => "grpc+multiplex+tls",
                    GoProtocol::NetRpc => "netrpc",
                });
                command.arg(programs.go("go-bench-plugin")?);
                command
            }
            Self::Tonic | Self::TonicThreads => {
                let mut command = Command::new(programs.rust("bench-tonic")?);
                command.arg("host");
                if *self == Self::TonicThreads {
                    command.arg(THREADS);
                }
                command
            }
            Self::Floor(wire) => {
                let mut command = Command::new(programs.rust("bench-floor")?);
                command.arg("host").arg(match wire {
                    Wire::Socket => "socket",
                    Wire::Pipe => "pipe",
                });
                command
            }
        })
    }
}

/// outboard's host and its plugin.
fn of_outboard(
    programs: &Programs,
    runtime: RuntimeKind,
    speaks: &str,
) -> Result<Command, Failure> {
    let mut command = Command::new(programs.rust("bench-host")?);
    command.args([&runtime.to_string(), speaks]);
    command.arg(programs.rust("bench-plugin")?);
    command.args([&runtime.to_string(), speaks]);
    Ok(command)
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outboard { runtime, transport } => write!(f, "{transport}/{runtime}"),
            Self::NetRpc { runtime } => write!(f, "{NETRPC}/{runtime}"),
            Self::GoPlugin { runtime } => write!(f, "{runtime} host, Go plugin"),
            Self::Go(GoProtocol::Grpc) => f.write_str("go-plugin"),
            Self::Go(GoProtocol::GrpcTls) => f.write_str("go-plugin+tls"),
            Self::Go(GoProtocol::GrpcMultiplex) => f.write_str("go-plugin+multiplex"),
            Self::Go(GoProtocol::GrpcMultiplexTls) => f.write_str("go-plugin+multiplex+tls"),
            Self::Go(GoProtocol::NetRpc) => f.write_str("go net/rpc"),
            Self::Tonic => f.write_str("tonic"),
            Self::TonicThreads => f.write_str("tonic, 2 threads"),
            Self::Floor(Wire::Socket) => f.write_str("raw socket"),
            Self::Floor(Wire::Pipe) => f.write_str("raw pipe"),
        }
    }
}
