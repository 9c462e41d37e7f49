//! TLS of a Go plugin under a Rust host.
#![cfg(unix)]

use outboard::tls::KeyKind;
use outboard::{Command, Host, StartFailure, TlsReason};
use outboard_conformance::axes::RuntimeKind;
use outboard_interop::rust_host::{HANDSHAKE, Peer};
use outboard_interop::tls::pairs::{Kind, Refusal, Sides, try_out, use_all};
use outboard_interop::tls::{Certificates, Certified, Wanted, on};
use outboard_interop::{GoPeers, go};
use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ECDSA_P521_SHA512, PKCS_ED25519};

const RUNTIMES: [RuntimeKind; 2] = [RuntimeKind::Tokio, RuntimeKind::Smol];

fn plugin(peers: &GoPeers) -> Command {
    Peer::go(peers).command(&["all"])
}

fn host_of(command: Command) -> Host {
    Host::new(HANDSHAKE).command(command)
}

/// The plugin as go-plugin makes it, under a host with each kind of key: the plugin's has P-521 and is
/// marked as an authority.
#[test]
fn auto_mtls() {
    let Some(peers) = go() else { return };
    for runtime in RUNTIMES {
        for key in [
            KeyKind::P256,
            KeyKind::P384,
            KeyKind::P521,
            KeyKind::Ed25519,
        ] {
            let host = host_of(plugin(peers)).auto_mtls(true).identity_key(key);
            on(runtime, async |runtime| use_all(host, &runtime).await);
        }
    }
}

/// A plugin that announces one certificate and shows another.
fn plugin_with(peers: &GoPeers, announced: &Certified, shown: &Certified) -> Command {
    plugin(peers)
        .env("INTEROP_TLS_ANNOUNCE", announced.file())
        .env("INTEROP_TLS_IDENTITY", shown.path())
}

/// Whatever kind of certificate a plugin announces, it is accepted, in both versions of TLS: by its
/// bytes, so that its dates do not count, as if one of the clocks were years off.
#[test]
fn every_kind_of_plugin() {
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
        let certified = certificates.make(name, wanted);
        for runtime in RUNTIMES {
            for version in ["1.2", "1.3"] {
                let command = plugin_with(peers, &certified, &certified);
                let host = host_of(command.env("INTEROP_TLS_VERSION", version));
                let host = host.auto_mtls(true);
                on(runtime, async |runtime| use_all(host, &runtime).await);
            }
        }
    }
}

/// Whoever answers without the announced certificate is not used: with another one, with one that the
/// announced one has signed, without TLS, or having announced none.
#[test]
fn wrong_plugins() {
    let Some(peers) = go() else { return };
    let certificates = Certificates::new();
    let announced = certificates.alone("announced");
    let another = certificates.alone("another");
    let wanted = Wanted {
        issuer: Some(&announced),
        authority: false,
        ..Wanted::default()
    };
    let signed = certificates.make("signed", wanted);
    let plain = plugin(peers)
        .env("INTEROP_TLS", "none")
        .env("INTEROP_TLS_ANNOUNCE", announced.file());
    for (what, command, told) in [
        (
            "another",
            plugin_with(peers, &announced, &another),
            "certificate",
        ),
        (
            "signed",
            plugin_with(peers, &announced, &signed),
            "certificate",
        ),
        ("plaintext", plain, "TLS"),
    ] {
        for version in ["1.2", "1.3"] {
            for runtime in RUNTIMES {
                let host = host_of(command.clone().env("INTEROP_TLS_VERSION", version));
                let host = host.auto_mtls(true);
                let tried = on(runtime, async |runtime| {
                    try_out(host, &runtime).await.map(drop)
                });
                let Err(Refusal::Start(error)) = tried else {
                    panic!("{what}: {tried:?}")
                };
                let text = format!("{error:?}");
                let StartFailure::Tls { reason, .. } = error.failure else {
                    panic!("{what}: {text}");
                };
                let expected = match what {
                    "plaintext" => TlsReason::NotTls,
                    _ => TlsReason::OtherCertificate,
                };
                assert_eq!(reason, expected, "{what}: {text}");
                assert!(text.contains(told), "{what}: {text}");
            }
        }
    }
}

#[test]
fn nine_pairs() {
    let Some(peers) = go() else { return };
    let sides = Sides::default();
    for runtime in RUNTIMES {
        for (host, plugin) in Kind::pairs() {
            sides.expect(runtime, &Peer::go(peers), host, plugin);
        }
    }
}
