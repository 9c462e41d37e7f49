//! Tests of [`PluginEnv`].

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const HANDSHAKE: Handshake = Handshake::new(1, "BASIC_PLUGIN", "hello");

fn env(pairs: &[(&str, &str)]) -> PluginEnv {
    PluginEnv::read_without_cookie(lookup(pairs))
}

fn lookup(pairs: &[(&str, &str)]) -> impl Fn(&str) -> Option<OsString> {
    move |name| {
        let (_, value) = pairs.iter().find(|(key, _)| *key == name)?;
        Some(value.into())
    }
}

#[test]
fn the_cookie_must_match_exactly() {
    assert!(PluginEnv::read(&HANDSHAKE, lookup(&[("BASIC_PLUGIN", "hello")])).is_ok());
    for wrong in [
        &[][..],
        &[("BASIC_PLUGIN", "")],
        &[("BASIC_PLUGIN", "hello ")],
        &[("BASIC_PLUGIN", "Hello")],
        &[("OTHER", "hello")],
    ] {
        let error = PluginEnv::read(&HANDSHAKE, lookup(wrong)).expect_err("no cookie");
        assert_eq!(error, CookieError::NotLaunchedByHost);
    }
}

#[test]
fn refusals_explain_themselves() {
    let text = CookieError::NotLaunchedByHost.to_string();
    assert!(
        text.contains("is a plugin") && text.contains("by hand"),
        "{text}"
    );
    assert_eq!(text.lines().count(), 3);

    for handshake in [Handshake::new(1, "", "v"), Handshake::new(1, "K", "")] {
        // Even a variable that matches the empty value does not help.
        let error = PluginEnv::read(&handshake, |_| Some(OsString::new()))
            .expect_err("the plugin is misconfigured");
        assert!(matches!(error, CookieError::Misconfigured(_)));
        let text = error.to_string();
        assert!(
            text.contains("misconfigured") && text.contains("author"),
            "{text}"
        );
    }
    assert_eq!(CookieError::EXIT_CODE, 1);
}

#[test]
fn an_empty_environment_is_that_of_a_legacy_host() {
    let env = env(&[]);
    assert_eq!(env, PluginEnv::default());
    assert!(env.offered().is_legacy());
    assert_eq!(env.ports(), Ok(Ports::Any));
    assert!(!env.multiplexing_mentioned());
    assert_eq!(env.client_cert(), None);
    assert_eq!(env.socket_dir(), None);
    assert_eq!(env.socket_group(), None);
    assert!(env.transports().is_empty());
    assert_eq!(env.output_dir(), None);
}

#[test]
fn empty_values_are_missing_ones() {
    let pairs = super::super::ALL.map(|name| (name, ""));
    assert_eq!(env(&pairs), env(&[]));
}

#[test]
fn everything_is_read() {
    let env = env(&[
        (PROTOCOL_VERSIONS, "3,1,x"),
        (MIN_PORT, "10000"),
        (MAX_PORT, "10002"),
        (MULTIPLEX_GRPC, "true"),
        (CLIENT_CERT, "-----BEGIN CERTIFICATE-----\n"),
        (UNIX_SOCKET_DIR, "/run/p"),
        (UNIX_SOCKET_GROUP, "staff"),
        (OUTBOARD_TRANSPORTS, "stdio, grpc,carrier-pigeon,stdio"),
        (OUTBOARD_OUTPUT_DIR, "/run/o"),
    ]);
    assert_eq!(env.offered().versions(), &BTreeSet::from([1, 3]));
    assert_eq!(env.offered().invalid(), ["x"]);
    let note = env.invalid_note().expect("there is an invalid item");
    assert!(note.contains("\"x\""), "{note}");
    assert!(!note.contains('\n'));
    let ports = env.ports().expect("a good range");
    assert_eq!(ports.iter().collect::<Vec<_>>(), [10_000, 10_001, 10_002]);
    assert!(env.multiplexing_mentioned());
    assert_eq!(env.client_cert(), Some("-----BEGIN CERTIFICATE-----\n"));
    assert_eq!(env.socket_dir(), Some(Path::new("/run/p")));
    assert_eq!(env.socket_group(), Some(&SocketGroup::Name("staff".into())));
    assert_eq!(env.transports(), [Protocol::Stdio, Protocol::Grpc]);
    assert_eq!(env.output_dir(), Some(Path::new("/run/o")));
}

#[test]
fn multiplexing_is_active_only_for_true_and_grpc() {
    for (value, active) in [
        ("true", true),
        ("1", true),
        ("T", true),
        ("false", false),
        ("0", false),
        ("garbage", false),
        (" true", false),
    ] {
        let env = env(&[(MULTIPLEX_GRPC, value)]);
        assert!(env.multiplexing_mentioned(), "{value}");
        assert_eq!(env.multiplexing_active(Protocol::Grpc), active, "{value}");
        assert!(!env.multiplexing_active(Protocol::NetRpc));
        assert!(!env.multiplexing_active(Protocol::Stdio));
    }
}

#[test]
fn port_ranges_are_validated() {
    let ports = |min, max| env(&[(MIN_PORT, min), (MAX_PORT, max)]).ports();
    assert_eq!(ports("0", "0"), Ok(Ports::Any));
    assert_eq!(ports("", "0"), Ok(Ports::Any));
    assert_eq!(Ports::Any.iter().collect::<Vec<_>>(), [0]);
    assert_eq!(ports("7", "7"), Ok(Ports::Range { min: 7, max: 7 }));
    assert_eq!(ports("", "7"), Ok(Ports::Range { min: 0, max: 7 }));
    assert_eq!(
        ports("7", ""),
        Err(PortError::EmptyRange { min: 7, max: 0 })
    );
    assert_eq!(
        ports("9", "8"),
        Err(PortError::EmptyRange { min: 9, max: 8 })
    );
    for bad in ["x", "-1", "65536", " 1", "1.5"] {
        let error = ports(bad, "9").expect_err(bad);
        assert!(error.to_string().contains(MIN_PORT), "{error}");
        let error = ports("1", bad).expect_err(bad);
        assert!(error.to_string().contains(MAX_PORT), "{error}");
        assert!(error.to_string().contains(bad), "{error}");
    }
    let last = Ports::Range {
        min: u16::MAX,
        max: u16::MAX,
    };
    assert_eq!(last.iter().count(), 1);
}

#[test]
fn a_group_is_a_number_or_a_name() {
    let group = |value| env(&[(UNIX_SOCKET_GROUP, value)]).socket_group().cloned();
    assert_eq!(group("1000"), Some(SocketGroup::Id(1000)));
    assert_eq!(group("1000x"), Some(SocketGroup::Name("1000x".into())));
    assert_eq!(group("-1"), Some(SocketGroup::Name("-1".into())));
    for value in ["1000", "staff"] {
        assert_eq!(group(value).expect("is set").to_string(), value);
    }
}

#[test]
fn the_names_to_remove_cover_everything_read() {
    let names: BTreeSet<_> = PluginEnv::names_to_remove(&HANDSHAKE).collect();
    let asked = std::cell::RefCell::new(BTreeSet::new());
    let result = PluginEnv::read(&HANDSHAKE, |name| {
        asked.borrow_mut().insert(name.to_owned());
        (name == "BASIC_PLUGIN").then(|| "hello".into())
    });
    assert!(result.is_ok());
    assert_eq!(names, asked.borrow().iter().map(String::as_str).collect());
}

#[cfg(unix)]
#[test]
fn values_that_are_not_utf8_do_not_hurt() {
    use std::os::unix::ffi::OsStringExt as _;
    let bytes = || OsString::from_vec(b"/tmp/\xff".to_vec());
    let env = PluginEnv::read_without_cookie(|_| Some(bytes()));
    assert_eq!(env.socket_dir(), Some(Path::new(&bytes())));
    assert!(env.ports().is_err());
    assert!(!env.multiplexing_active(Protocol::Grpc));
    let error = PluginEnv::read(&HANDSHAKE, |_| Some(bytes())).expect_err("not the cookie");
    assert_eq!(error, CookieError::NotLaunchedByHost);
}

proptest! {
    #[test]
    fn any_values_are_read(values in proptest::collection::vec("[0-9,a-z -]{0,12}|.*", 8)) {
        let pairs: Vec<_> = super::super::ALL.into_iter().zip(values.iter().map(|v| &**v)).collect();
        let env = env(&pairs);
        if let Ok(ports) = env.ports() {
            prop_assert!(ports.iter().next().is_some());
        }
        prop_assert!(env.transports().len() <= Protocol::ALL.len());
    }
}
