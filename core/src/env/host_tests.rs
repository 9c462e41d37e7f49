//! Tests of [`HostEnv`].

use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::env::{ALL, PluginEnv, Ports};

const HANDSHAKE: Handshake = Handshake::new(1, "BASIC_PLUGIN", "hello");

type Pair = (OsString, OsString);

fn pairs(pairs: &[(&str, &str)]) -> Vec<Pair> {
    pairs
        .iter()
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

fn get<'a>(env: &'a [Pair], name: &str) -> Option<&'a str> {
    let mut found = env.iter().filter(|(key, _)| key == name);
    let value = found.next().and_then(|(_, value)| value.to_str());
    assert_eq!(found.next(), None, "{name} is there twice");
    value
}

#[test]
fn what_is_always_set() {
    let env = HostEnv::new(HANDSHAKE).versions([1, 2]).variables();
    assert_eq!(
        env,
        pairs(&[
            ("BASIC_PLUGIN", "hello"),
            ("PLUGIN_MIN_PORT", "10000"),
            ("PLUGIN_MAX_PORT", "25000"),
            ("PLUGIN_PROTOCOL_VERSIONS", "1,2"),
        ])
    );
    let env = HostEnv::new(HANDSHAKE).variables();
    assert_eq!(get(&env, PROTOCOL_VERSIONS), Some(""), "no plugin set");
}

#[test]
fn default_ports_apply_only_when_both_are_zero() {
    let ports = |min, max| {
        let env = HostEnv::new(HANDSHAKE).ports(min, max).variables();
        [MIN_PORT, MAX_PORT].map(|name| get(&env, name).map(str::to_owned))
    };
    let expect = |min: &str, max: &str| [Some(min.to_owned()), Some(max.to_owned())];
    assert_eq!(ports(0, 0), expect("10000", "25000"));
    assert_eq!(ports(5, 0), expect("5", "0"));
    assert_eq!(ports(0, 5), expect("0", "5"));
    assert_eq!(ports(5, 9), expect("5", "9"));
}

#[test]
fn features_set_their_variable_and_only_that() {
    let base = HostEnv::new(HANDSHAKE);
    let always = base.variables().len();
    for (name, value, host) in [
        (MULTIPLEX_GRPC, "true", base.clone().multiplexing(true)),
        (CLIENT_CERT, "PEM\n", base.clone().client_cert("PEM\n")),
        (
            UNIX_SOCKET_GROUP,
            "7",
            base.clone().socket_group(SocketGroup::Id(7)),
        ),
        (UNIX_SOCKET_DIR, "/run/p", base.clone().socket_dir("/run/p")),
        (
            OUTBOARD_TRANSPORTS,
            "stdio,grpc",
            base.clone().transports([Protocol::Stdio, Protocol::Grpc]),
        ),
        (
            OUTBOARD_OUTPUT_DIR,
            "/run/o",
            base.clone().output_dir("/run/o"),
        ),
        (
            OUTBOARD_LOG_LEVEL,
            "debug",
            base.clone().log_level(Level::Debug),
        ),
    ] {
        let env = host.variables();
        assert_eq!(env.len(), always + 1, "{name}");
        assert_eq!(get(&env, name), Some(value));
        assert_eq!(get(&base.variables(), name), None);
    }
}

#[test]
fn later_sources_win() {
    let host = HostEnv::new(HANDSHAKE).versions([1]);
    let command = pairs(&[
        ("A", "command"),
        ("B", "command"),
        ("A", "command again"),
        ("BASIC_PLUGIN", "command"),
        ("PLUGIN_MIN_PORT", "1"),
    ]);
    let inherited = pairs(&[("B", "host"), ("PATH", "/bin"), ("BASIC_PLUGIN", "host")]);
    let env = host.merge(command.clone(), inherited.clone(), false);
    assert_eq!(get(&env, "A"), Some("command again"));
    assert_eq!(get(&env, "B"), Some("host"));
    assert_eq!(get(&env, "PATH"), Some("/bin"));
    assert_eq!(get(&env, "BASIC_PLUGIN"), Some("hello"));
    assert_eq!(get(&env, MIN_PORT), Some("10000"));

    let env = host.merge(command, inherited, true);
    assert_eq!(get(&env, "B"), Some("command"));
    assert_eq!(get(&env, "PATH"), None);
    assert_eq!(get(&env, "BASIC_PLUGIN"), Some("hello"));
}

#[test]
fn inherited_plugin_variables_are_removed() {
    let inherited = || ALL.map(|name| (name.into(), "inherited".into()));
    let host = HostEnv::new(HANDSHAKE).versions([1]);
    let env = host.merge([], inherited(), false);
    assert_eq!(env.len(), host.variables().len());
    assert!(env.iter().all(|(_, value)| value != "inherited"));

    let host = host.socket_dir("/mine");
    let env = host.merge([], inherited(), false);
    assert_eq!(get(&env, UNIX_SOCKET_DIR), Some("/mine"));
}

#[test]
fn what_the_command_asks_for_is_kept() {
    let command = pairs(&[(UNIX_SOCKET_DIR, "/asked")]);
    let inherited = pairs(&[(UNIX_SOCKET_DIR, "/inherited")]);
    let env = HostEnv::new(HANDSHAKE).merge(command, inherited, false);
    assert_eq!(get(&env, UNIX_SOCKET_DIR), Some("/asked"));
}

#[test]
fn a_plugin_reads_what_its_host_wrote() {
    let host = HostEnv::new(HANDSHAKE)
        .versions([3, 1])
        .multiplexing(true)
        .client_cert("PEM\n")
        .socket_dir("/run/p")
        .socket_group(SocketGroup::Name("staff".into()))
        .transports([Protocol::Stdio]);
    let env = host.merge([], [], false);
    let plugin = PluginEnv::read(&HANDSHAKE, |name| get(&env, name).map(OsString::from))
        .expect("the cookie fits");
    assert_eq!(plugin.offered(), &[1, 3].into_iter().collect());
    assert!(plugin.multiplexing_active(Protocol::Grpc));
    assert_eq!(plugin.client_cert(), Some("PEM\n"));
    assert_eq!(plugin.socket_dir(), Some(Path::new("/run/p")));
    assert_eq!(
        plugin.socket_group(),
        Some(&SocketGroup::Name("staff".into()))
    );
    assert_eq!(plugin.transports(), [Protocol::Stdio]);
    let (min, max) = DEFAULT_PORTS;
    assert_eq!(plugin.ports(), Ok(Ports::Range { min, max }));
}

proptest! {
    #[test]
    fn names_are_unique_and_ours_win(
        command in proptest::collection::vec(("[A-C]|PLUGIN_MIN_PORT|BASIC_PLUGIN", "[a-z]"), 0..8),
        inherited in proptest::collection::vec(("[A-C]|PLUGIN_CLIENT_CERT|BASIC_PLUGIN", "[a-z]"), 0..8),
        skip: bool,
    ) {
        let own = |list: &[(String, String)]| -> Vec<Pair> {
            list.iter().map(|(name, value)| (name.into(), value.into())).collect()
        };
        let host = HostEnv::new(HANDSHAKE).versions([1]);
        let env = host.merge(own(&command), own(&inherited), skip);
        for (name, value) in host.variables() {
            let name = name.to_str().expect("ours");
            prop_assert_eq!(get(&env, name), value.to_str());
        }
        let last = |list: &[(String, String)], name| {
            list.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.clone())
        };
        for name in ["A", "B", "C"] {
            let from_host = if skip { None } else { last(&inherited, name) };
            let expected = from_host.or_else(|| last(&command, name));
            prop_assert_eq!(get(&env, name), expected.as_deref());
        }
        prop_assert_eq!(get(&env, CLIENT_CERT), None);
    }
}
