//! Samples of the errors of the core and of the facade.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Display;
use std::io;
use std::path::Path;
use std::time::Duration;

use outboard::tls::TlsError;
use outboard::{
    BrokerError, ConfigError, DispenseError, Exit, ExitReason, ExitReport, Handshake, Health,
    HostError, ListenError, MetadataError, Misfit, PingError, PluginError, ServeError,
    ShutdownError, StartError, StartFailure, StartPhase, Status, UnfitListener,
};
use outboard_core::broker::BrokerError as CoreBrokerError;
use outboard_core::endpoint::{Endpoint, EndpointError};
use outboard_core::env::{CookieError, PluginEnv, PortError};
use outboard_core::fault::Fault;
use outboard_core::grpc::{FrameError, decode_binary, parse_timeout};
use outboard_core::handshake::{
    CertificateError, HandshakeError, Location, MisconfiguredHandshake, MultiplexingRefusal,
    Protocol, StrayEnd,
};
use outboard_core::host::Hint;
use outboard_core::rpc::guard::catch_panic;
use outboard_core::rpc::limits::MetadataTooLarge;
use outboard_core::rpc::{DuplicateService, Metadata, Side, TooLarge};
use outboard_core::tls::{TlsFault, TlsReason};
use outboard_core::version::IncompatibleVersion;

pub(super) type Sample = Box<dyn Error>;

/// Samples by type; of an enum at least one of each variant.
pub(super) fn samples() -> BTreeMap<&'static str, Vec<Sample>> {
    let mut all = BTreeMap::new();
    core(&mut all);
    super::sockets::sockets(&mut all);
    starts(&mut all);
    facade(&mut all);
    super::wire::stdio(&mut all);
    super::wire::net_rpc(&mut all);
    super::wire::build(&mut all);
    all
}

pub(super) fn put<E: Error + 'static>(
    all: &mut BTreeMap<&'static str, Vec<Sample>>,
    name: &'static str,
    errors: impl IntoIterator<Item = E>,
) {
    let errors = errors.into_iter().map(|error| Box::new(error) as Sample);
    all.entry(name).or_default().extend(errors);
}

pub(super) fn text(text: impl Display) -> String {
    text.to_string()
}

fn misfit() -> Misfit {
    Misfit::new("gRPC", "Go's net/rpc")
}

pub(super) fn fault() -> Fault {
    Fault::other("no luck today")
}

pub(super) fn io() -> io::Error {
    io::Error::other("no luck today")
}

pub(super) fn too_large() -> TooLarge {
    TooLarge {
        length: 9,
        limit: 8,
        whose: Side::Caller,
        sender: Side::Server,
    }
}

fn metadata_error() -> MetadataError {
    Metadata::new()
        .insert("Bad Name", "x")
        .expect_err("no name")
}

fn endpoint_errors() -> Vec<EndpointError> {
    let long = format!("/{}", "x".repeat(200));
    [("pigeon", "x"), ("tcp", "x"), ("unix", ""), ("unix", &long)]
        .map(|(network, address)| Endpoint::parse(network, address).expect_err("none"))
        .into()
}

fn ports(min: &str, max: &str) -> PortError {
    let handshake = Handshake::new(1, "K", "V");
    let value = |name: &str| match name {
        "K" => Some("V".into()),
        "PLUGIN_MIN_PORT" => Some(min.into()),
        "PLUGIN_MAX_PORT" => Some(max.into()),
        _ => None,
    };
    let env = PluginEnv::read(&handshake, value).expect("the cookie is right");
    env.ports().expect_err("no range")
}

fn handshake_errors() -> Vec<HandshakeError> {
    use HandshakeError as E;
    let number = || "x".parse::<i64>().expect_err("no number");
    let x = || "x".to_owned();
    vec![
        E::NoLine,
        E::Refused(outboard::error::Refusal::new("x")),
        E::Unrecognised { line: x() },
        E::LineTooLong {
            limit: 1,
            start: x(),
        },
        E::OnlyStrayLines {
            lines: 1,
            first: x(),
            why: StrayEnd::Closed,
        },
        E::CoreVersionNotInteger {
            found: x(),
            source: number(),
        },
        E::IncompatibleCore { plugin: 2 },
        E::AppVersionNotInteger {
            found: x(),
            source: number(),
        },
        E::IncompatibleVersion(incompatible()),
        E::Translation {
            network: x(),
            address: x(),
            cause: x(),
        },
        E::BadAddress(endpoint_errors().remove(0)),
        E::UnknownNetwork {
            network: x(),
            address: x(),
        },
        E::StdioNotOffered,
        E::BadStdioAnswer { found: x() },
        E::ProtocolNotAllowed {
            found: x(),
            allowed: vec![Protocol::Grpc],
        },
        E::NetRpcUnsupported,
        E::CertificateMissing,
        E::Certificate(CertificateError::NotACertificate { length: 3 }),
        E::MultiplexingUnsupported(MultiplexingRefusal::SaidNo),
        E::MultiplexingNotBoolean { found: x() },
    ]
}

fn incompatible() -> IncompatibleVersion {
    IncompatibleVersion::new(3, vec![1, 2])
}

fn core_broker_errors() -> Vec<CoreBrokerError> {
    use CoreBrokerError as E;
    let id = 3;
    vec![
        E::AlreadyAccepting { id },
        E::AlreadyDialling { id },
        E::Closed { reason: text("x") },
        E::TimedOut {
            id,
            after: Duration::from_secs(5),
        },
        E::Refused {
            id,
            reason: text("x"),
        },
        E::BadAnswer { id },
        E::BadAnnouncement {
            id,
            reason: endpoint_errors().remove(0),
        },
    ]
}

fn core(all: &mut BTreeMap<&'static str, Vec<Sample>>) {
    put(all, "Fault", [fault()]);
    put(all, "EndpointError", endpoint_errors());
    put(all, "IncompatibleVersion", [incompatible()]);
    put(all, "TlsFault", [TlsFault::new(TlsReason::NotTls, fault())]);
    put(all, "TooLarge", [too_large()]);
    let frame = [
        FrameError::Compressed,
        FrameError::BadFlag { flag: 7 },
        FrameError::TooLarge(too_large()),
        FrameError::Truncated { have: 3 },
    ];
    put(all, "FrameError", frame);
    put(
        all,
        "TimeoutError",
        [parse_timeout(b"x").expect_err("none")],
    );
    put(
        all,
        "BadBinaryHeader",
        [decode_binary(b"?").expect_err("none")],
    );
    put(all, "DuplicateService", [DuplicateService::new("a.B")]);
    put(
        all,
        "DecodeError",
        [outboard_core::rpc::DecodeError::new("it is cut off")],
    );
    put(
        all,
        "Panicked",
        [catch_panic(|| panic!("boom")).expect_err("it does")],
    );
    let mut metadata = vec![metadata_error()];
    for (key, value) in [("grpc-x", "x"), ("x", "\n"), ("x-bin", "x")] {
        metadata.push(Metadata::new().insert(key, value).expect_err("refused"));
    }
    put(all, "MetadataError", metadata);
    let beginning = text("x");
    let too_large = [
        MetadataTooLarge::Size { size: 3 },
        MetadataTooLarge::Entries { entries: 3 },
        MetadataTooLarge::Name {
            length: 3,
            beginning,
        },
    ];
    put(all, "MetadataTooLarge", too_large);
    let misconfigured = [("", "v"), ("k", ""), ("k=", "v"), ("k", "\0")]
        .map(|(key, value)| Handshake::new(1, key, value).check().expect_err("refused"));
    put(all, "MisconfiguredHandshake", misconfigured);
    let cookie = [
        CookieError::NotLaunchedByHost,
        CookieError::Misconfigured(MisconfiguredHandshake::NoCookieKey),
    ];
    put(all, "CookieError", cookie);
    put(all, "PortError", [ports("x", "1"), ports("2", "1")]);
    let certificate = [
        CertificateError::Base64 { cause: text("x") },
        CertificateError::NotACertificate { length: 3 },
    ];
    put(all, "CertificateError", certificate);
    put(
        all,
        "UnknownProtocol",
        ["x".parse::<Protocol>().expect_err("none")],
    );
    let refusals = [
        MultiplexingRefusal::NotMentioned,
        MultiplexingRefusal::SaidNo,
    ];
    put(all, "MultiplexingRefusal", refusals);
    let ends = [
        StrayEnd::Closed,
        StrayEnd::TooManyLines(3),
        StrayEnd::TooManyBytes(3),
    ];
    put(all, "StrayEnd", ends);
    put(all, "HandshakeError", handshake_errors());
    let plugin = [
        PluginError::NothingToServe,
        PluginError::NoCommonProtocol { version: 1 },
        PluginError::NoUseForListener { version: 1 },
        PluginError::Ports(ports("2", "1")),
        PluginError::Listen(fault()),
        PluginError::UnprintableAddress { address: text("|") },
        PluginError::Handshake(fault()),
    ];
    put(all, "PluginError", plugin);
    put(all, "CoreBrokerError", core_broker_errors());
    put(all, "Status", [Status::not_found("no key")]);
}

fn start_failures() -> Vec<StartFailure> {
    vec![
        StartFailure::Launch(fault()),
        StartFailure::TimedOut {
            phase: StartPhase::Connect,
            after: Duration::from_secs(60),
        },
        StartFailure::Exited {
            phase: StartPhase::Handshake,
        },
        StartFailure::Handshake(HandshakeError::NoLine),
        StartFailure::Connect {
            location: Location::Stdio,
            fault: fault(),
        },
        StartFailure::Tls {
            location: Location::Stdio,
            reason: TlsReason::NotTls,
            fault: fault(),
        },
        StartFailure::Refused(outboard::error::Refusal::new("x")),
        StartFailure::Cancelled,
    ]
}

fn start_errors() -> Vec<StartError> {
    let path = || Path::new("/opt/plugin").to_owned();
    let hints = [
        None,
        Some(Hint::CookieRefused),
        Some(Hint::Directory { path: path() }),
        Some(Hint::Panicked {
            message: text("boom"),
            exit: Exit::Code(3),
        }),
    ];
    let with = |failure: StartFailure, hint: Option<Hint>| {
        let mut error = StartError::new(failure);
        error.evidence.exit = Some(Exit::Code(3));
        error.evidence.panic = hint.is_some().then(|| text("boom"));
        error.evidence.stderr = hint.iter().map(|_| text("a last line")).collect();
        error.evidence.hint = hint;
        error
    };
    let number = HandshakeError::CoreVersionNotInteger {
        found: text("x"),
        source: "x".parse::<i64>().expect_err("no number"),
    };
    let failures = start_failures();
    let failures = failures
        .into_iter()
        .chain([StartFailure::Handshake(number)]);
    let pairs = failures.flat_map(|failure| hints.clone().map(|hint| (failure.clone(), hint)));
    pairs.map(|(failure, hint)| with(failure, hint)).collect()
}

fn starts(all: &mut BTreeMap<&'static str, Vec<Sample>>) {
    put(all, "StartFailure", start_failures());
    put(all, "StartError", start_errors());
    let host = start_errors().into_iter().map(|error| HostError::Start {
        name: text("greeter"),
        error: Box::new(error),
    });
    put(all, "HostError", host);
    let evidence = start_errors().into_iter().map(|error| error.evidence);
    put(all, "Evidence", evidence);
}

fn facade(all: &mut BTreeMap<&'static str, Vec<Sample>>) {
    let name = || text("greeter");
    let gone = HostError::RuntimeGone { name: name() };
    put(
        all,
        "HostError",
        [gone, HostError::Config(ConfigError::NoCommand)],
    );
    let config = [
        ConfigError::NoCommand,
        ConfigError::Handshake(MisconfiguredHandshake::NoCookieKey),
        ConfigError::NoTransport,
        ConfigError::EmptyPortRange { min: 2, max: 1 },
        ConfigError::TwoKindsOfTls,
        ConfigError::TwoWaysToStart,
        ConfigError::MultiplexAndAttach,
        ConfigError::MemoryAndAttach,
        ConfigError::SuperviseAndAttach,
        ConfigError::ChecksumAndAttach,
        ConfigError::GroupOver,
        ConfigError::NoGuard,
        ConfigError::NoThread(Fault::other(
            "Resource temporarily unavailable (os error 11)",
        )),
        ConfigError::StdinTaken,
        ConfigError::Tls {
            cause: "no server's configuration".to_owned(),
        },
        ConfigError::DuplicateName {
            name: name(),
            version: 1,
        },
    ];
    put(all, "ConfigError", config);
    let mut report = ExitReport::new(Exit::Code(3), ExitReason::Crashed);
    report.panic = Some(text("boom"));
    report.stderr = vec![text("a last line")];
    let dispense = [
        DispenseError::UnknownPlugin {
            name: name(),
            version: 1,
            known: vec![text("kv")],
        },
        DispenseError::NotProvided {
            name: name(),
            version: 1,
            provided: vec![text("kv")],
        },
        DispenseError::Exited {
            name: name(),
            report,
        },
        DispenseError::OtherProtocol {
            name: name(),
            misfit: misfit(),
        },
        DispenseError::Refused(Status::not_found("no such name")),
    ];
    put(all, "Misfit", [misfit()]);
    put(all, "DispenseError", dispense);
    let ping = [
        PingError::Call(Status::unavailable("gone")),
        PingError::NotServing(Health::NotServing),
    ];
    put(all, "PingError", ping);
    let grace = Duration::from_secs(2);
    let shutdown = [
        ShutdownError::GraceExpired {
            name: name(),
            grace,
        },
        ShutdownError::NoController {
            name: name(),
            grace,
        },
        ShutdownError::NotAsked {
            name: name(),
            grace,
        },
    ];
    put(all, "ShutdownError", shutdown);
    let serve = [
        ServeError::Cookie(CookieError::NotLaunchedByHost),
        ServeError::Claim(io()),
        ServeError::Duplicate(DuplicateService::new("a.B")),
        ServeError::DuplicateName {
            name: name(),
            version: 1,
        },
        ServeError::NoTransport,
        ServeError::MixedProtocols { version: 1 },
        ServeError::NoTransportFor {
            version: 1,
            needed: "gRPC",
        },
        ServeError::TlsUnsupported,
        ServeError::HostCertificate(TlsError::OtherCertificate),
        ServeError::Tls(TlsError::PeerShowedNone),
        ServeError::TlsProvider("no key file".into()),
        ServeError::NeedsSocket,
        ServeError::RuntimeGone,
        ServeError::Start(PluginError::NothingToServe),
    ];
    put(all, "ServeError", serve);
    let broker = [
        BrokerError::Broker(core_broker_errors().remove(0)),
        BrokerError::Listen {
            id: 3,
            fault: fault(),
        },
        BrokerError::Connect {
            id: 3,
            endpoint: text("unix:/x"),
            fault: fault(),
        },
        BrokerError::Stream {
            id: 3,
            fault: fault(),
        },
        BrokerError::Tls {
            id: 3,
            reason: TlsReason::WrongKey,
            fault: fault(),
        },
        BrokerError::Channel(Status::unavailable("gone")),
        BrokerError::Duplicate(DuplicateService::new("a.B")),
        BrokerError::NetRpc,
        BrokerError::NoCall,
    ];
    put(all, "BrokerError", broker);
    let listen = [
        ListenError::Endpoint(endpoint_errors().remove(0)),
        ListenError::Unix {
            dir: "/x".into(),
            source: io(),
        },
        ListenError::Group {
            group: text("staff"),
            source: io(),
        },
        ListenError::Register(io()),
        ListenError::Given(UnfitListener::NotAStream),
        ListenError::NoPort {
            ports: PluginEnv::read(&Handshake::new(1, "K", "V"), |name| {
                (name == "K").then(|| "V".into())
            })
            .expect("the cookie is right")
            .ports()
            .expect("the default"),
            source: io(),
        },
    ];
    put(all, "ListenError", listen);
    super::sandboxed::samples(all);
    super::attaching::samples(all);
    super::checksums::samples(all);
    super::discovery::samples(all);
    super::supervised::samples(all);
    super::traces::samples(all);
}
