//! TLS of a Rust plugin under the Go host.
#![cfg(unix)]

use std::time::Duration;

use outboard_conformance::axes::RuntimeKind;
use outboard_interop::scenarios::{Subject, tls};
use outboard_interop::tls::pairs::{Kind, Sides};
use outboard_interop::tls::{Certificates, Certified, Wanted};
use outboard_interop::{GoPeers, HostRun, go};
use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ECDSA_P521_SHA512, PKCS_ED25519};

const RUNTIMES: [RuntimeKind; 2] = [RuntimeKind::Tokio, RuntimeKind::Smol];

fn rust(peers: &GoPeers) -> Subject<'_> {
    Subject {
        peers,
        command: vec![env!("CARGO_BIN_EXE_rust-plugin-peer").into()],
        put_note: "\n\nWritten from plugin-rust",
    }
}

fn plugin_on(peers: &GoPeers, runtime: RuntimeKind) -> HostRun {
    let run = rust(peers).run(&["all"]);
    run.env("INTEROP_RUNTIME", runtime.to_string())
}

#[test]
fn auto_mtls() {
    let Some(peers) = go() else { return };
    tls::auto_mtls(&rust(peers));
}

/// A Go host accepts each kind of certificate that a plugin of ours can make, in both versions of TLS
/// and both roles.
#[test]
fn every_kind_of_key() {
    let Some(peers) = go() else { return };
    for runtime in RUNTIMES {
        for version in ["1.2", "1.3"] {
            for (key, named) in [
                (None, "P-256"),
                (Some("p256"), "P-256"),
                (Some("p384"), "P-384"),
                (Some("p521"), "P-521"),
                (Some("ed25519"), "Ed25519"),
            ] {
                let run = plugin_on(peers, runtime).flag("-automtls");
                let mut run = run.flag(&format!("-tls-version={version}"));
                if let Some(key) = key {
                    run = run.env("INTEROP_TLS_KEY", key);
                }
                let found = run.expect("secured", &[]);
                assert_eq!(found["key"], named, "{runtime}: {found:#}");
                assert_eq!(
                    found["tls"],
                    format!("TLS {version}"),
                    "{runtime}: {found:#}"
                );
                assert_eq!(found["alpn"], "h2", "{runtime}: {found:#}");
                assert_eq!(found["kill"]["forced"], false, "{runtime}: {found:#}");
            }
        }
    }
}

/// A host that has told the plugin of `announced`, and has the certificate `shown`.
fn host_with(run: HostRun, announced: &Certified, shown: &Certified) -> HostRun {
    run.env("PLUGIN_CLIENT_CERT", announced.pem.as_str())
        .flag(&format!("-tls-identity={}", shown.path().display()))
        // What the plugin announces takes its place.
        .flag(&format!("-tls-trust={}", announced.file().display()))
}

/// Whatever kind of certificate the host has, it is accepted: by its bytes, so that its dates do not
/// count, as if one of the clocks were years off.
#[test]
fn every_kind_of_host() {
    let Some(peers) = go() else { return };
    let certificates = Certificates::new();
    let usual = Wanted::default();
    for (name, wanted) in [
        (
            "p256",
            Wanted {
                key: &PKCS_ECDSA_P256_SHA256,
                ..usual
            },
        ),
        (
            "p384",
            Wanted {
                key: &PKCS_ECDSA_P384_SHA384,
                ..usual
            },
        ),
        (
            "p521",
            Wanted {
                key: &PKCS_ECDSA_P521_SHA512,
                ..usual
            },
        ),
        (
            "ed25519",
            Wanted {
                key: &PKCS_ED25519,
                ..usual
            },
        ),
        (
            "no-authority",
            Wanted {
                authority: false,
                ..usual
            },
        ),
        (
            "over",
            Wanted {
                years: (1990, 1991),
                ..usual
            },
        ),
        (
            "to-come",
            Wanted {
                years: (2090, 2091),
                ..usual
            },
        ),
    ] {
        let host = certificates.make(name, wanted);
        for runtime in RUNTIMES {
            for version in ["1.2", "1.3"] {
                // Go checks the dates of who calls it, and these brokered calls would go that way.
                let scenario = if name == "over" || name == "to-come" {
                    "echo"
                } else {
                    "secured"
                };
                let run = host_with(plugin_on(peers, runtime), &host, &host);
                let found = run
                    .flag(&format!("-tls-version={version}"))
                    .expect(scenario, &[]);
                assert_eq!(found["kill"]["forced"], false, "{name}: {found:#}");
            }
        }
    }
}

/// Whoever is not the host that has launched the plugin is not served: one without a certificate, with
/// another, with one that the host's has signed, or without TLS.
#[test]
fn wrong_hosts() {
    let Some(peers) = go() else { return };
    let certificates = Certificates::new();
    let host = certificates.alone("host");
    let another = certificates.alone("another");
    let wanted = Wanted {
        issuer: Some(&host),
        authority: false,
        ..Wanted::default()
    };
    let signed = certificates.make("signed", wanted);
    let shown = |run: HostRun, as_client: &str| {
        host_with(run, &host, &host).flag(&format!("-tls-as-client={as_client}"))
    };
    let path = |certified: &Certified| certified.path().display().to_string();
    for runtime in RUNTIMES {
        for version in ["1.2", "1.3"] {
            for as_client in ["none", &path(&another), &path(&signed)] {
                let run = shown(plugin_on(peers, runtime), as_client);
                let run = run.flag(&format!("-tls-version={version}"));
                refused(run, &format!("{runtime} {version} {as_client}"));
            }
        }
    }
}

/// The host gets an error, and in good time.
fn refused(run: HostRun, what: &str) {
    let found = run.expect("insecurable", &[]);
    let millis = found["millis"].as_u64().expect("a number");
    let limit = Duration::from_secs(10).as_millis();
    assert!(u128::from(millis) < limit, "{what}: {found:#}");
}

#[test]
fn nine_pairs() {
    let Some(peers) = go() else { return };
    let sides = Sides::default();
    for runtime in RUNTIMES {
        for (host, plugin) in Kind::pairs() {
            let mut run = plugin_on(peers, runtime);
            for flag in sides.go_host(host) {
                run = run.flag(&flag);
            }
            for (name, value) in sides.plugin(plugin) {
                run = run.env(name, value);
            }
            let pair = format!("{runtime}: host {host:?}, plugin {plugin:?}");
            if host.suits(plugin) {
                let found = run.expect("secured", &[]);
                let secured = found["tls"] != "none";
                assert_eq!(secured, host != Kind::None, "{pair}: {found:#}");
                assert_eq!(found["kill"]["forced"], false, "{pair}: {found:#}");
            } else {
                refused(run, &pair);
            }
        }
    }
}
