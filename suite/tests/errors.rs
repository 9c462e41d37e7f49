//! All public errors read alike: the first line says what happened, what the sources add is not in
//! it, and the `Debug` form is the text.
#![cfg(unix)]

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::Display;
use std::io;
use std::path::Path;
use std::time::Duration;

use outboard::{
    BrokerError, ConfigError, DispenseError, Evidence, Exit, ExitReason, ExitReport, Handshake,
    Health, HostError, ListenError, MetadataError, PingError, PluginError, ServeError,
    ShutdownError, StartError, StartFailure, StartPhase, Status,
};
use outboard_core::broker::BrokerError as CoreBrokerError;
use outboard_core::diagnose::Hint;
use outboard_core::endpoint::{Endpoint, EndpointError};
use outboard_core::env::{CookieError, PluginEnv, PortError};
use outboard_core::fault::Fault;
use outboard_core::grpc::{FrameError, decode_binary, parse_timeout};
use outboard_core::handshake::{
    CertificateError, HandshakeError, Location, MisconfiguredHandshake, MultiplexingRefusal,
    Protocol, StrayEnd,
};
use outboard_core::report::chain;
use outboard_core::rpc::guard::catch_panic;
use outboard_core::rpc::limits::MetadataTooLarge;
use outboard_core::rpc::{DuplicateService, Metadata, Side, TooLarge};
use outboard_core::version::IncompatibleVersion;

type Sample = Box<dyn Error>;

/// Samples by type; of an enum at least one of each variant.
fn samples() -> BTreeMap<&'static str, Vec<Sample>> {
    let mut all = BTreeMap::new();
    core(&mut all);
    starts(&mut all);
    facade(&mut all);
    all
}

fn put<E: Error + 'static>(
    all: &mut BTreeMap<&'static str, Vec<Sample>>,
    name: &'static str,
    errors: impl IntoIterator<Item = E>,
) {
    let errors = errors.into_iter().map(|error| Box::new(error) as Sample);
    all.entry(name).or_default().extend(errors);
}

fn text(text: impl Display) -> String {
    text.to_string()
}

fn fault() -> Fault {
    Fault::other("no luck today")
}

fn io() -> io::Error {
    io::Error::other("no luck today")
}

fn too_large() -> TooLarge {
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
        E::Refused(outboard::handshake::Refusal::new("x")),
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
        E::Certificate(CertificateError::NotACertificate { length: 3 }),
        E::MultiplexingUnsupported(MultiplexingRefusal::SaidNo),
        E::MultiplexingNotBoolean { found: x() },
    ]
}

fn incompatible() -> IncompatibleVersion {
    IncompatibleVersion {
        plugin: 3,
        host: vec![1, 2],
    }
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
        E::Listen { id, fault: fault() },
    ]
}

fn core(all: &mut BTreeMap<&'static str, Vec<Sample>>) {
    put(all, "Fault", [fault()]);
    put(all, "EndpointError", endpoint_errors());
    put(all, "IncompatibleVersion", [incompatible()]);
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
    put(all, "DuplicateService", [DuplicateService { name: "a.B" }]);
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
        StartFailure::Refused(outboard::handshake::Refusal::new("x")),
        StartFailure::Cancelled,
    ]
}

fn start_errors() -> Vec<StartError> {
    let path = || Path::new("/opt/plugin").to_owned();
    let hints = [
        None,
        Some(Hint::CookieRefused),
        Some(Hint::Directory { path: path() }),
        Some(Hint::EndedEarly {
            exit: Exit::Code(3),
            panicked: true,
        }),
    ];
    let with = |failure: StartFailure, hint: Option<Hint>| StartError {
        failure,
        evidence: Evidence {
            exit: Some(Exit::Code(3)),
            panic: hint.is_some().then(|| text("boom")),
            stderr: hint.iter().map(|_| text("a last line")).collect(),
            hint,
            ..Evidence::default()
        },
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
        ConfigError::DuplicateName {
            name: name(),
            version: 1,
        },
    ];
    put(all, "ConfigError", config);
    let report = ExitReport {
        exit: Exit::Code(3),
        reason: ExitReason::Crashed,
        panic: Some(text("boom")),
        stderr: vec![text("a last line")],
    };
    let dispense = [
        DispenseError::UnknownPlugin {
            name: name(),
            version: 1,
            known: vec![text("kv")],
        },
        DispenseError::Exited {
            name: name(),
            report,
        },
        DispenseError::Refused(Status::not_found("no such name")),
    ];
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
        ServeError::Duplicate(DuplicateService { name: "a.B" }),
        ServeError::DuplicateName {
            name: name(),
            version: 1,
        },
        ServeError::NoTransport,
        ServeError::TlsUnsupported,
        ServeError::Start(PluginError::NothingToServe),
    ];
    put(all, "ServeError", serve);
    let broker = [
        BrokerError::Broker(core_broker_errors().remove(0)),
        BrokerError::Connect {
            id: 3,
            endpoint: text("unix:/x"),
            fault: fault(),
        },
        BrokerError::Channel(Status::unavailable("gone")),
        BrokerError::Duplicate(DuplicateService { name: "a.B" }),
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
}

#[test]
fn the_first_line_says_what_happened_and_sources_add_to_it() {
    for (name, errors) in samples() {
        for error in errors {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default();
            assert!(line.contains(' ') || name == "Fault", "{name}: {text:?}");
            let debug = format!("{error:?}");
            assert_eq!(debug, chain(&*error), "{name}");
            // One of another library may say what one of ours says of its cause.
            let mut source = error.source();
            while let Some(cause) = source {
                let cause_text = cause.to_string();
                assert_eq!(debug.matches(&cause_text).count(), 1, "{name}: {debug}");
                source = cause.source();
            }
        }
    }
}

#[test]
fn wrappers_say_in_their_line_what_they_wrap() {
    let wrapped = [
        ("StartFailure", "no luck today", 2),
        ("PluginError", "no luck today", 2),
        ("CoreBrokerError", "no luck today", 1),
        ("BrokerError", "no luck today", 1),
        ("BrokerError", "UNAVAILABLE: gone", 1),
        ("DispenseError", "NOT_FOUND: no such name", 1),
        ("PingError", "UNAVAILABLE: gone", 1),
        ("HostError", "plugin greeter: the plugin's process", 4),
        ("HostError", "/opt/plugin is a directory", 1),
        ("HostError", "after a panic: boom", 21),
    ];
    let samples = samples();
    for (name, text, count) in wrapped {
        let lines = samples[name].iter().map(|error| error.to_string());
        let first = lines.map(|text| text.lines().next().unwrap_or_default().to_owned());
        let found: Vec<_> = first.filter(|line| line.contains(text)).collect();
        assert!(found.len() >= count, "{name}, {text:?}: {found:#?}");
    }
}

/// The public errors by the project's own source, with the number of their variants.
fn declared() -> BTreeMap<String, usize> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = BTreeMap::new();
    for package in ["core/src", "src", "transport-h2/src", "transport-stdio/src"] {
        look_into(&root.join(package), &mut found);
    }
    found
}

fn look_into(dir: &Path, found: &mut BTreeMap<String, usize>) {
    for entry in std::fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            look_into(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = std::fs::read_to_string(&path).expect("text");
            // A transport's own frames; its users see statuses.
            if path.components().any(|part| part.as_os_str() == "wire") {
                continue;
            }
            for declaration in source.split("thiserror::Error)]").skip(1) {
                let body = declaration.split("\n}").next().unwrap_or_default();
                let head = body.lines().find(|line| line.starts_with("pub "));
                let Some(head) = head else { continue };
                let name = head
                    .split(|c: char| !c.is_alphanumeric())
                    .nth(2)
                    .unwrap_or_default();
                let name = match path.ends_with("core/src/broker/types.rs") {
                    true => format!("Core{name}"),
                    false => name.to_owned(),
                };
                found.insert(name, body.matches("#[error(").count());
            }
            for line in source.lines() {
                let by_hand = line.strip_prefix("impl Error for ");
                let by_hand = by_hand.or_else(|| line.strip_prefix("impl std::error::Error for "));
                if let Some(name) = by_hand.and_then(|rest| rest.split([' ', '{']).next()) {
                    found.entry(name.to_owned()).or_insert(1);
                }
            }
        }
    }
}

#[test]
fn no_public_error_is_left_out() {
    let samples = samples();
    let declared = declared();
    assert!(declared.len() > 20, "they are found: {declared:?}");
    for (name, variants) in &declared {
        let errors = samples.get(name.as_str());
        let errors = errors.unwrap_or_else(|| panic!("no sample of {name}"));
        let texts: BTreeSet<String> = errors.iter().map(|error| error.to_string()).collect();
        assert!(
            texts.len() >= *variants,
            "{name}: {variants} variants, {texts:#?}"
        );
    }
}
