//! Tests of the line and of a host's rules for it.

use proptest::prelude::*;

use super::*;
use crate::handshake::CertificateError;
use crate::handshake::certificate::tests::outline;
use crate::version::IncompatibleVersion;

fn parse(line: &str) -> HandshakeLine {
    HandshakeLine::parse(line).unwrap_or_else(|error| panic!("{line:?}: {error}"))
}

fn unix(path: &str) -> Location {
    Location::Endpoint(Endpoint::Unix(path.into()))
}

/// A host that offers version 1 over both of go-plugin's protocols.
fn host() -> HostExpectation {
    HostExpectation::new([1]).allowing([Protocol::NetRpc, Protocol::Grpc])
}

fn refused(host: &HostExpectation, line: &str) -> HandshakeError {
    host.check(line).expect_err(line)
}

#[test]
fn four_to_eight_fields_are_read() {
    let plain = HandshakeLine::new(2, unix("/tmp/p"), Protocol::NetRpc);
    assert_eq!(parse("1|2|unix|/tmp/p"), plain);
    assert_eq!(parse("1|2|unix|/tmp/p|netrpc"), plain);
    let grpc = HandshakeLine::new(2, unix("/tmp/p"), Protocol::Grpc);
    assert_eq!(parse("1|2|unix|/tmp/p|grpc"), grpc);
    assert_eq!(parse("1|2|unix|/tmp/p|grpc|"), grpc);
    let seven = parse("1|2|unix|/tmp/p|grpc||true");
    assert_eq!(seven, grpc.with_multiplexing_mentioned(true));
    assert_eq!(parse("1|2|unix|/tmp/p|grpc||true|more|and more"), seven);
}

#[test]
fn tcp_addresses_are_read() {
    let line = parse("1|1|tcp|127.0.0.1:1234|grpc");
    let tcp = Endpoint::Tcp("127.0.0.1:1234".into());
    assert_eq!(line.location(), &Location::Endpoint(tcp));
}

#[test]
fn the_lines_real_plugins_print() {
    let line = parse("1|1|unix|/tmp/plugin4188633212|grpc|");
    assert_eq!(line.location(), &unix("/tmp/plugin4188633212"));
    let line = parse("1|1|unix|/tmp/plugin4290953686|grpc||true");
    assert_eq!(line.require_multiplexing(), Ok(()));
    let line = parse("1|2|unix|/tmp/plugin1970779647|netrpc|");
    assert_eq!((line.app_version(), line.protocol()), (2, Protocol::NetRpc));
}

#[test]
fn white_space_around_the_line_is_ignored() {
    let expected = parse("1|2|unix|/tmp/p|grpc");
    for line in [
        " 1|2|unix|/tmp/p|grpc\t",
        "\r\n1|2|unix|/tmp/p|grpc\r\n",
        "\u{a0}\u{2003}1|2|unix|/tmp/p|grpc\u{85}",
    ] {
        assert_eq!(parse(line), expected, "{line:?}");
    }
}

#[test]
fn white_space_inside_a_field_is_not() {
    assert!(matches!(
        refused(&host(), "1 |1|unix|/tmp/p|grpc"),
        HandshakeError::CoreVersionNotInteger { found, .. } if found == "1 "
    ));
    assert!(matches!(
        refused(&host(), "1| 1|unix|/tmp/p|grpc"),
        HandshakeError::AppVersionNotInteger { found, .. } if found == " 1"
    ));
    assert!(matches!(
        refused(&host(), "1|1| unix|/tmp/p|grpc"),
        HandshakeError::UnknownNetwork { network, .. } if network == " unix"
    ));
    assert!(matches!(
        refused(&host(), "1|1|unix|/tmp/p| grpc |"),
        HandshakeError::ProtocolNotAllowed { found, .. } if found == " grpc "
    ));
    assert_eq!(
        parse("1|1|unix|/tmp/a b |grpc").location(),
        &unix("/tmp/a b ")
    );
}

#[test]
fn integers_may_have_signs_and_leading_zeros() {
    assert_eq!(parse("+01|-0003|unix|/p").app_version(), -3);
    assert_eq!(parse("1|0|unix|/p").app_version(), 0);
    for bad in ["", "x", "1.0", "0x1", "1_0", "--1", "99999999999999999999"] {
        let line = format!("{bad}|1|unix|/p");
        assert!(
            matches!(
                refused(&host(), &line),
                HandshakeError::CoreVersionNotInteger { .. }
            ),
            "{line}"
        );
    }
}

// The conditions of the start, in the order they are checked.

#[test]
fn s8_fewer_than_four_fields_is_not_recognised() {
    for line in ["", " ", "hello", "1|2|unix", "||"] {
        let error = refused(&host(), line);
        assert_eq!(
            error,
            HandshakeError::Unrecognised {
                line: line.trim().to_owned()
            }
        );
    }
    let text = refused(&host(), "Listening on port 80").to_string();
    assert!(text.contains("\"Listening on port 80\""), "{text}");
    assert!(text.contains("1|1|unix|"), "says what was expected: {text}");
    let long = refused(&host(), &"x".repeat(60_000)).to_string();
    assert!(long.len() < 1_500 && long.contains("60000 bytes"), "{long}");
}

#[test]
fn s9_core_must_be_an_integer() {
    let error = refused(&host(), "x|y|z|");
    assert!(matches!(
        error,
        HandshakeError::CoreVersionNotInteger { .. }
    ));
    assert!(std::error::Error::source(&error).is_some());
}

#[test]
fn s10_core_must_be_one() {
    for (field, plugin) in [("2", 2), ("0", 0), ("-1", -1)] {
        let error = refused(&host(), &format!("{field}|y|z|"));
        assert_eq!(error, HandshakeError::IncompatibleCore { plugin });
        let text = error.to_string();
        assert!(text.contains(field) && text.contains("version 1"), "{text}");
    }
}

#[test]
fn s11_the_application_version_must_be_an_integer() {
    let text = refused(&host(), "1|y|z|").to_string();
    assert!(text.contains("\"y\""), "{text}");
}

#[test]
fn s12_the_application_version_must_be_offered() {
    let host = HostExpectation::new([3, 2]);
    let expected = IncompatibleVersion {
        plugin: 1,
        host: vec![2, 3],
    };
    assert_eq!(
        refused(&host, "1|1|z|"),
        HandshakeError::IncompatibleVersion(expected)
    );
    let zero = HostExpectation::new([0]);
    assert!(zero.check("1|0|unix|/p").is_ok());
}

#[test]
fn s13_the_translator_comes_before_the_address_is_judged() {
    let line = "1|1|vsock|7|grpc";
    let accepted = host()
        .check_translated(line, |network, address| {
            assert_eq!((network, address), ("vsock", "7"));
            Ok(("tcp".to_owned(), "10.0.0.1:7".to_owned()))
        })
        .expect("translated");
    assert_eq!(
        accepted.line.location(),
        &Location::Endpoint(Endpoint::Tcp("10.0.0.1:7".into()))
    );
    let error = host()
        .check_translated(line, |_, _| Err("no such container".to_owned()))
        .expect_err("the translator failed");
    assert!(matches!(&error, HandshakeError::Translation { .. }));
    assert!(error.to_string().contains("no such container"), "{error}");
}

#[test]
fn s14_the_address_must_be_usable() {
    for line in ["1|1|tcp|nowhere|bad", "1|1|unix||bad", "1|1|tcp|:http|bad"] {
        let error = refused(&host(), line);
        assert!(matches!(error, HandshakeError::BadAddress(_)), "{error}");
    }
    let long = format!("1|1|unix|/{}|grpc", "x".repeat(50_000));
    let HandshakeError::BadAddress(error) = refused(&host(), &long) else {
        panic!("a path no kernel takes")
    };
    assert!(error.to_string().len() < 1_000, "bounded");
    assert!(error.to_string().contains("50001"), "{error}");
}

#[test]
fn s15_the_network_must_be_known() {
    let text = refused(&host(), "1|1|udp|/p|bad").to_string();
    assert!(
        text.contains("\"udp\"") && text.contains("\"/p\""),
        "{text}"
    );
}

#[test]
fn s16_the_protocol_must_be_allowed() {
    let default = HostExpectation::new([1]);
    assert!(default.check("1|1|unix|/p").is_ok());
    let error = refused(&default, "1|1|unix|/p|grpc|!");
    assert_eq!(
        error,
        HandshakeError::ProtocolNotAllowed {
            found: "grpc".to_owned(),
            allowed: vec![Protocol::NetRpc]
        }
    );
    let only_grpc = HostExpectation::new([1]).allowing([Protocol::Grpc]);
    for line in ["1|1|unix|/p", "1|1|unix|/p|netrpc|"] {
        let text = refused(&only_grpc, line).to_string();
        assert!(
            text.contains("net/rpc") && text.contains("serves gRPC"),
            "{text}"
        );
    }
    for (line, found) in [("1|1|unix|/p||", ""), ("1|1|unix|/p|http|", "http")] {
        let text = refused(&only_grpc, line).to_string();
        let named = format!("{found:?} is not allowed: expected \"grpc\"");
        assert!(text.contains(&named), "{text}");
    }
}

#[test]
fn s17_a_used_sixth_field_must_be_a_certificate() {
    let ignored = format!("1|1|unix|/p|grpc|{}", "!".repeat(50));
    assert_eq!(parse(&ignored).certificate(), None);
    let error = refused(&host(), &format!("{ignored}!"));
    assert!(matches!(
        &error,
        HandshakeError::Certificate(CertificateError::Base64 { .. })
    ));
    assert!(error.to_string().contains("base64"), "{error}");
    let error = refused(&host(), &format!("1|1|unix|/p|grpc|{}", "A".repeat(60)));
    assert_eq!(
        error,
        HandshakeError::Certificate(CertificateError::NotACertificate { length: 45 })
    );
}

#[test]
fn a_certificate_must_be_there_if_wanted() {
    let wanting = host().certificate(true);
    for without in ["", "|", "|!!!!", "||true"] {
        let error = refused(&wanting, &format!("1|1|unix|/p|grpc{without}"));
        assert_eq!(error, HandshakeError::CertificateMissing, "{without}");
    }
    let endpoint = Endpoint::Unix("/p".into());
    let line = HandshakeLine::new(1, Location::Endpoint(endpoint), Protocol::Grpc);
    let shown = line.with_certificate(outline(100)).to_string();
    let accepted = wanting.check(&shown).expect("one is there");
    assert_eq!(accepted.line.certificate(), Some(&outline(100)[..]));
    // Pipes need none.
    let over_pipes = wanting.allowing([Protocol::Stdio]);
    over_pipes.check("1|1|stdio|-|stdio|").expect("accepted");
}

#[test]
fn s18_to_s20_multiplexing_must_be_agreed_if_wanted() {
    let host = host().multiplexing(true);
    let accepted = host.check("1|1|unix|/p|grpc||true").expect("agreed");
    assert!(accepted.multiplexing);

    let error = refused(&host, "1|1|unix|/p|grpc|");
    let s18 = HandshakeError::MultiplexingUnsupported(MultiplexingRefusal::NotMentioned);
    assert_eq!(error, s18);
    assert!(error.to_string().contains("rebuild"), "{error}");

    let error = refused(&host, "1|1|unix|/p|grpc||yes");
    let found = "yes".to_owned();
    assert_eq!(error, HandshakeError::MultiplexingNotBoolean { found });

    let error = refused(&host, "1|1|unix|/p|grpc||false");
    let s20 = HandshakeError::MultiplexingUnsupported(MultiplexingRefusal::SaidNo);
    assert_eq!(error, s20);
}

#[test]
fn twelve_spellings_of_a_boolean_are_read_and_no_others() {
    let ask = |field: &str| parse(&format!("1|1|unix|/p|grpc||{field}|")).require_multiplexing();
    for yes in ["1", "t", "T", "true", "TRUE", "True"] {
        assert_eq!(ask(yes), Ok(()), "{yes}");
    }
    for no in ["0", "f", "F", "false", "FALSE", "False"] {
        let said_no = HandshakeError::MultiplexingUnsupported(MultiplexingRefusal::SaidNo);
        assert_eq!(ask(no), Err(said_no), "{no}");
    }
    for other in ["", "yes", "tRUE", " true", "2", "on"] {
        let found = other.to_owned();
        let error = HandshakeError::MultiplexingNotBoolean { found };
        assert_eq!(ask(other), Err(error), "{other}");
    }
}

#[test]
fn the_seventh_field_is_ignored_unless_it_matters() {
    for line in ["1|1|unix|/p|grpc||garbage", "1|1|unix|/p|grpc||true"] {
        let accepted = host().check(line).expect("multiplexing is not wanted");
        assert!(!accepted.multiplexing);
    }
    let wanting = host().multiplexing(true);
    for line in ["1|1|unix|/p|netrpc||garbage", "1|1|unix|/p"] {
        let accepted = wanting.check(line).expect("netrpc does not broker so");
        assert!(!accepted.multiplexing);
    }
}

#[test]
fn the_first_broken_rule_is_reported() {
    // Every rule is broken; each line repairs one more.
    let host = HostExpectation::new([1])
        .allowing([Protocol::Grpc])
        .multiplexing(true);
    let cert = "!".repeat(60);
    let kinds: Vec<_> = [
        format!("x|x|x|x|x|{cert}|x"),
        format!("2|x|x|x|x|{cert}|x"),
        format!("1|x|x|x|x|{cert}|x"),
        format!("1|9|x|x|x|{cert}|x"),
        format!("1|1|x|x|x|{cert}|x"),
        format!("1|1|tcp|x|x|{cert}|x"),
        format!("1|1|tcp|h:1|x|{cert}|x"),
        format!("1|1|tcp|h:1|grpc|{cert}|x"),
        "1|1|tcp|h:1|grpc||x".to_owned(),
    ]
    .iter()
    .map(|line| match refused(&host, line) {
        HandshakeError::CoreVersionNotInteger { .. } => 9,
        HandshakeError::IncompatibleCore { .. } => 10,
        HandshakeError::AppVersionNotInteger { .. } => 11,
        HandshakeError::IncompatibleVersion(_) => 12,
        HandshakeError::BadAddress(_) => 14,
        HandshakeError::UnknownNetwork { .. } => 15,
        HandshakeError::ProtocolNotAllowed { .. } => 16,
        HandshakeError::Certificate(_) => 17,
        HandshakeError::MultiplexingNotBoolean { .. } => 19,
        other => panic!("{other}"),
    })
    .collect();
    assert_eq!(kinds, [9, 10, 11, 12, 15, 14, 16, 17, 19]);
}

#[test]
fn stdio_is_accepted_by_a_host_that_offered_it() {
    let line = "1|1|stdio|-|stdio|";
    let offering = host().allowing([Protocol::Grpc, Protocol::Stdio]);
    let accepted = offering.multiplexing(true).check(line).expect("offered");
    assert_eq!(accepted.line.location(), &Location::Stdio);
    assert_eq!(accepted.line.protocol(), Protocol::Stdio);
    assert!(!accepted.multiplexing);
    assert_eq!(accepted.line.to_string(), line);

    let error = refused(&host(), line);
    assert_eq!(error, HandshakeError::StdioNotOffered);
}

#[test]
fn stdio_answers_must_fit_together() {
    let offering = host().allowing([Protocol::Grpc, Protocol::NetRpc, Protocol::Stdio]);
    for line in [
        "1|1|stdio|/tmp/p|stdio|",
        "1|1|stdio|-|grpc|",
        "1|1|stdio|-",
        "1|1|unix|-|stdio|",
        "1|1|tcp|h:1|stdio|",
    ] {
        let error = refused(&offering, line);
        assert!(
            matches!(error, HandshakeError::BadStdioAnswer { .. }),
            "{line}: {error}"
        );
    }
    // Over a socket the protocol is simply one the host did not allow.
    assert!(matches!(
        refused(&host(), "1|1|unix|/p|stdio|"),
        HandshakeError::ProtocolNotAllowed { .. }
    ));
}

#[test]
fn lines_are_printed_by_the_emission_rules() {
    let line = HandshakeLine::new(1, unix("/tmp/p"), Protocol::Grpc);
    assert_eq!(line.to_bytes(), b"1|1|unix|/tmp/p|grpc|\n");
    let quiet = line.clone().with_multiplexing_mentioned(false);
    assert_eq!(quiet.to_string(), "1|1|unix|/tmp/p|grpc|");
    let mentioned = line.clone().with_multiplexing_mentioned(true);
    assert_eq!(mentioned.to_string(), "1|1|unix|/tmp/p|grpc||true");
    let netrpc = HandshakeLine::new(0, unix("/tmp/p"), Protocol::NetRpc);
    let netrpc = netrpc.with_multiplexing_mentioned(true);
    assert_eq!(netrpc.to_string(), "1|0|unix|/tmp/p|netrpc||true");

    let der = outline(500);
    let certified = line.with_certificate(der.clone());
    let printed = certified.to_string();
    assert!(!printed.contains('='), "no padding: {printed}");
    assert_eq!(parse(&printed).certificate(), Some(&der[..]));
}

#[cfg(unix)]
#[test]
fn paths_keep_bytes_that_are_not_utf8() {
    let bytes = b"1|1|unix|/tmp/\xff\xfep|grpc|\n";
    let line = HandshakeLine::parse(bytes).expect("a path is bytes");
    assert_eq!(line.to_bytes(), bytes);
    let accepted = host().check(bytes).expect("a path is bytes");
    assert_eq!(accepted.line, line);
}

#[test]
fn handshakes_are_told_from_other_output() {
    for yes in ["1|1|unix|/p", "2|x|tcp|", " 1|1|stdio|-|stdio|"] {
        assert!(looks_like_handshake(yes.as_bytes()), "{yes}");
    }
    for no in ["", "hello", "a|b|c|d", "1|2|3|4", "| a | unix | b |"] {
        assert!(!looks_like_handshake(no.as_bytes()), "{no}");
    }
}

fn any_line() -> impl Strategy<Value = HandshakeLine> {
    let location = prop_oneof![
        "/[^|\u{0}\n\r]{1,100}".prop_filter_map("path too long", |path| {
            Endpoint::unix(path).ok().map(Location::Endpoint)
        }),
        ("[a-z.:\\[\\]0-9]{0,20}", any::<u16>())
            .prop_map(|(host, port)| Location::Endpoint(Endpoint::Tcp(format!("{host}:{port}")))),
        Just(Location::Stdio),
    ];
    let certificate = proptest::option::of(30usize..600);
    (
        any::<i64>(),
        location,
        any::<bool>(),
        certificate,
        any::<bool>(),
    )
        .prop_map(|(version, location, grpc, certificate, mentioned)| {
            let protocol = match (&location, grpc) {
                (Location::Stdio, _) => Protocol::Stdio,
                (Location::Endpoint(_), true) => Protocol::Grpc,
                (Location::Endpoint(_), false) => Protocol::NetRpc,
            };
            let line = HandshakeLine::new(version, location, protocol)
                .with_multiplexing_mentioned(mentioned);
            match certificate {
                Some(payload) => line.with_certificate(outline(payload)),
                None => line,
            }
        })
}

proptest! {
    #[test]
    fn what_is_printed_is_read_back(line in any_line()) {
        prop_assert_eq!(HandshakeLine::parse(line.to_bytes()), Ok(line.clone()));
        let host = HostExpectation::new([line.app_version()]).allowing(Protocol::ALL);
        let accepted = host.check(line.to_bytes()).expect("everything is allowed");
        prop_assert_eq!(accepted.line, line);
    }

    #[test]
    fn any_bytes_give_a_line_or_a_short_error(bytes: Vec<u8>) {
        if let Err(error) = HandshakeLine::parse(&bytes) {
            prop_assert!(error.to_string().len() < 4_000);
        }
    }

    #[test]
    fn anything_like_a_line_gives_a_line_or_a_short_error(
        line in "[ +]?[012x]\\|[-1 ]?[0-9]{0,20}\\|(unix|tcp|stdio|x)\\|(-|/p|h:1|.{0,200})\
                 (\\|(grpc|netrpc|stdio|)(\\|[A-Za-z0-9+/=]{0,200}(\\|(true|f|x))?)?)?",
    ) {
        let host = HostExpectation::new([1]).allowing(Protocol::ALL).multiplexing(true);
        match (HandshakeLine::parse(&line), host.check(&line)) {
            (Err(parse), Err(check)) => {
                prop_assert!(parse.to_string().len() < 4_000 && check.to_string().len() < 4_000);
            }
            (parsed, Ok(accepted)) => prop_assert_eq!(parsed, Ok(accepted.line)),
            (Ok(_), Err(_)) => {}
        }
    }
}
