//! Peers that are not who they should be, on either side, in both versions.

mod support;

use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::{Duration, SystemTime};

use futures_util::future::join;
use futures_util::io::{AsyncReadExt as _, AsyncWriteExt as _};
use outboard_core::rt::BoxByteStream;
use outboard_kit::run;
use outboard_tls::rustls::client::{ResolvesClientCert, WebPkiServerVerifier};
use outboard_tls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use outboard_tls::rustls::sign::CertifiedKey;
use outboard_tls::rustls::{
    AlertDescription, CertificateError, ClientConfig, RootCertStore, SignatureScheme,
};
use outboard_tls::{Identity, KeyKind, Pinned, Tls, TlsError};
use rcgen::KeyPair;

use support::strangers::{
    Signed, Validity, Versions, client_config, key_of, provider, server_with, signed,
};
use support::{Limits, VERSIONS, Wakes, identity, pair, pinned};

type Check = fn(&TlsError) -> bool;

/// How each side of an attempt ends. A client has connected before it is refused with TLS 1.3, so it
/// also waits for the first byte.
fn attempt(client: &Tls, server: &Tls, alpn: [Option<&'static str>; 2]) -> (TlsError, TlsError) {
    run(async {
        let (one, other) = pair(Limits::WIDE);
        let connect = async {
            let mut stream = client.connect(one.boxed(), alpn[0]).await?;
            match stream.read(&mut [0]).await {
                Ok(count) => Ok(count),
                Err(error) => Err(TlsError::of(&error).expect("of TLS").clone()),
            }
        };
        let accept = async {
            drop(server.accept(other.boxed(), alpn[1]).await?);
            Ok(0)
        };
        let (client, server) = join(connect, accept).await;
        (end(client), end(server))
    })
}

/// The error, or what stands for a peer that closes without one, which is what no protocol ends in.
fn end(result: Result<usize, TlsError>) -> TlsError {
    result.map_or_else(
        |error| error,
        |count| {
            assert_eq!(count, 0, "nobody talks here");
            TlsError::Truncated
        },
    )
}

fn assert_refused(error: &TlsError) {
    assert!(
        matches!(
            error,
            TlsError::Refused {
                alert: AlertDescription::CertificateUnknown
                    | AlertDescription::BadCertificate
                    | AlertDescription::DecryptError
                    | AlertDescription::CertificateRequired
            }
        ),
        "{error:?}"
    );
}

fn client_with(
    server: &Identity,
    shown: Option<(Vec<CertificateDer<'static>>, &PrivateKeyDer<'_>)>,
    versions: Versions,
) -> Tls {
    Tls::client(client_config(server, shown, versions))
}

#[test]
fn a_server_with_another_certificate() {
    for versions in VERSIONS {
        let (host, plugin, stranger) = three();
        let client = Tls::pinned_with(&host, &pinned(&plugin), versions).expect("made");
        let server = Tls::pinned_with(&stranger, &pinned(&host), versions).expect("made");
        let (client, server) = attempt(&client, &server, [Some("h2"); 2]);
        assert!(matches!(client, TlsError::OtherCertificate), "{client:?}");
        assert_refused(&server);
    }
}

#[test]
fn a_client_with_another_certificate() {
    for versions in VERSIONS {
        let (host, plugin, stranger) = three();
        let client = Tls::pinned_with(&stranger, &pinned(&plugin), versions).expect("made");
        let server = Tls::pinned_with(&plugin, &pinned(&host), versions).expect("made");
        let (client, server) = attempt(&client, &server, [Some("h2"); 2]);
        assert!(matches!(server, TlsError::OtherCertificate), "{server:?}");
        assert_refused(&client);
    }
}

fn three() -> (Identity, Identity, Identity) {
    let made = |()| identity(KeyKind::P256);
    let [host, plugin, stranger] = [(); 3].map(made);
    (host, plugin, stranger)
}

#[test]
fn a_certificate_that_the_pinned_one_has_signed() {
    for versions in VERSIONS {
        let own = identity(KeyKind::P256);
        let Signed {
            authority,
            leaf,
            key,
        } = signed(None);
        let trusting = Tls::pinned_with(
            &own,
            &Pinned::from_der(&authority).expect("a certificate"),
            versions,
        )
        .expect("made");
        let chain = vec![leaf, authority];
        let server = server_with(chain.clone(), &key, versions);
        let (client, _) = attempt(&trusting, &server, [None; 2]);
        assert!(matches!(client, TlsError::OtherCertificate), "{client:?}");

        let client = client_with(&own, Some((chain, &key)), versions);
        let (client, server) = attempt(&client, &trusting, [None; 2]);
        assert!(matches!(server, TlsError::OtherCertificate), "{server:?}");
        assert_refused(&client);
    }
}

#[test]
fn the_pinned_certificate_without_its_key() {
    for versions in VERSIONS {
        for kind in support::KINDS {
            let (own, peer) = (identity(KeyKind::P256), identity(kind));
            let trusting = Tls::pinned_with(&own, &pinned(&peer), versions).expect("made");
            let stolen = vec![CertificateDer::from(peer.der().to_vec())];
            let other = KeyPair::generate_for(match kind {
                KeyKind::P384 => &rcgen::PKCS_ECDSA_P384_SHA384,
                KeyKind::P521 => &rcgen::PKCS_ECDSA_P521_SHA512,
                KeyKind::Ed25519 => &rcgen::PKCS_ED25519,
                _ => &rcgen::PKCS_ECDSA_P256_SHA256,
            })
            .expect("a key");
            let server = server_with(stolen.clone(), &key_of(&other), versions);
            let (client, _) = attempt(&trusting, &server, [None; 2]);
            assert!(matches!(client, TlsError::WrongKey), "{client:?}");

            let client = client_with(&own, Some((stolen, &key_of(&other))), versions);
            let (_, server) = attempt(&client, &trusting, [None; 2]);
            assert!(matches!(server, TlsError::WrongKey), "{server:?}");
        }
    }
}

#[test]
fn a_client_without_a_certificate() {
    for versions in VERSIONS {
        let (host, plugin, _) = three();
        let server = Tls::pinned_with(&plugin, &pinned(&host), versions).expect("made");
        let client = client_with(&plugin, None, versions);
        let (client, server) = attempt(&client, &server, [None; 2]);
        assert!(matches!(server, TlsError::PeerShowedNone), "{server:?}");
        assert!(matches!(client, TlsError::Refused { .. }), "{client:?}");
    }
}

/// Has no certificate to show, and keeps how many authorities the server has named.
#[derive(Debug, Default)]
struct Asked(Mutex<Option<usize>>);

impl ResolvesClientCert for Asked {
    fn resolve(&self, authorities: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        *self.0.lock().expect("whole") = Some(authorities.len());
        None
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// A Go client keeps its certificate back where authorities are named that have not issued it.
#[test]
fn a_server_names_no_authorities() {
    for versions in VERSIONS {
        let (host, plugin, _) = three();
        let server = Tls::pinned_with(&plugin, &pinned(&host), versions).expect("made");
        let asked = Arc::new(Asked::default());
        let mut config = client_config(&plugin, None, versions);
        config.client_auth_cert_resolver = Arc::clone(&asked) as Arc<dyn ResolvesClientCert>;
        let (_, server) = attempt(&Tls::client(config), &server, [None; 2]);
        assert!(matches!(server, TlsError::PeerShowedNone), "{server:?}");
        let named = *asked.0.lock().expect("whole");
        assert_eq!(named, Some(0), "it was asked for one, by no name");
    }
}

/// What protocols of go-plugin say without TLS, and other things.
const PLAIN: [&[u8]; 6] = [
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    // HTTP/2: SETTINGS of a server.
    &[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0x40, 0],
    // yamux: SYN of the first stream.
    &[0, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0],
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
    b"1|1|unix|/tmp/plugin|grpc\n",
    &[0xff; 40],
];

#[test]
fn plaintext_on_either_side() {
    for versions in VERSIONS {
        let (host, plugin, _) = three();
        let tls = Tls::pinned_with(&host, &pinned(&plugin), versions).expect("made");
        for said in PLAIN {
            for connects in [true, false] {
                let error = run(async {
                    let (one, other) = pair(Limits::WIDE);
                    let mut plain = other.boxed();
                    plain.write_all(said).await.expect("written");
                    secured(&tls, one.boxed(), connects).await
                });
                let TlsError::NotTls { found } = &error else {
                    panic!("{error:?}");
                };
                let beginning = said[..said.len().min(16)].escape_ascii().to_string();
                assert_eq!(found, &format!("\"{beginning}\""));
            }
        }
    }
}

async fn secured(tls: &Tls, io: BoxByteStream, connects: bool) -> TlsError {
    let made = match connects {
        true => tls.connect(io, None).await,
        false => tls.accept(io, None).await,
    };
    made.err().expect("refused")
}

#[test]
fn a_peer_that_hangs_up_without_a_word() {
    let (host, plugin, _) = three();
    let tls = Tls::pinned(&host, &pinned(&plugin)).expect("made");
    for connects in [true, false] {
        let error = run(async {
            let (one, mut other) = pair(Limits::WIDE);
            other.close().await.expect("closed");
            secured(&tls, one.boxed(), connects).await
        });
        assert!(
            matches!(error, TlsError::Ended { received: 0 }),
            "{error:?}"
        );
    }
}

#[test]
fn a_peer_that_says_nothing_is_waited_for() {
    // Whoever connects bounds it; nothing here ends it early or asks to be polled again and again.
    let (host, plugin, _) = three();
    let tls = Tls::pinned(&host, &pinned(&plugin)).expect("made");
    let (one, _other) = pair(Limits::WIDE);
    let mut accept = tls.accept(one.boxed(), None);
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut cx = Context::from_waker(&waker);
    for _ in 0..3 {
        assert!(accept.as_mut().poll(&mut cx).is_pending());
    }
    assert_eq!(wakes.count(), 0);
}

#[test]
fn protocols_that_do_not_match() {
    for versions in VERSIONS {
        let (host, plugin, _) = three();
        let client = Tls::pinned_with(&host, &pinned(&plugin), versions).expect("made");
        let server = Tls::pinned_with(&plugin, &pinned(&host), versions).expect("made");
        let (one, _) = attempt(&client, &server, [Some("h2"), None]);
        let TlsError::NoProtocol { expected, found } = &one else {
            panic!("{one:?}");
        };
        assert_eq!((*expected, found.as_str()), ("h2", "none"));
        let (_, other) = attempt(&client, &server, [None, Some("h2")]);
        assert!(matches!(other, TlsError::NoProtocol { .. }), "{other:?}");
        let (one, other) = attempt(&client, &server, [Some("h2"), Some("h3")]);
        assert!(matches!(one, TlsError::NoProtocol { .. }), "{one:?}");
        assert!(matches!(other, TlsError::NoProtocol { .. }), "{other:?}");
    }
}

#[test]
fn versions_that_do_not_match() {
    for (ours, theirs) in [(0, 1), (1, 0)] {
        let (host, plugin, _) = three();
        let client = Tls::pinned_with(&host, &pinned(&plugin), VERSIONS[ours]).expect("made");
        let server = Tls::pinned_with(&plugin, &pinned(&host), VERSIONS[theirs]).expect("made");
        let (client, server) = attempt(&client, &server, [None; 2]);
        assert!(
            matches!(
                client,
                TlsError::Refused {
                    alert: AlertDescription::ProtocolVersion
                }
            ),
            "{client:?}"
        );
        assert!(matches!(server, TlsError::Other(_)), "{server:?}");
    }
}

#[test]
fn certificates_that_the_applications_own_verifier_refuses() {
    let now = SystemTime::now();
    let hour = Duration::from_secs(3600);
    let cases: [(Option<Validity>, &str, Check); 4] = [
        (Some((now - hour * 2, now - hour)), "localhost", |error| {
            matches!(error, TlsError::Expired)
        }),
        (Some((now + hour, now + hour * 2)), "localhost", |error| {
            matches!(error, TlsError::NotYetValid)
        }),
        (None, "elsewhere", |error| {
            matches!(
                error,
                TlsError::NotTrusted(CertificateError::NotValidForNameContext { .. })
            )
        }),
        (None, "localhost", |error| {
            matches!(error, TlsError::Truncated)
        }),
    ];
    for versions in VERSIONS {
        for (valid, name, check) in &cases {
            let made = signed(*valid);
            let server = server_with(vec![made.leaf], &made.key, versions);
            let client = trusting(made.authority, versions)
                .server_name(name)
                .expect("a name");
            let (client, _) = attempt(&client, &server, [Some("h2"); 2]);
            assert!(check(&client), "{client:?}");
        }
        // The right name and another key.
        let (one, other) = (signed(None), signed(None));
        let server = server_with(vec![one.leaf], &one.key, versions);
        let (client, _) = attempt(&trusting(other.authority, versions), &server, [None; 2]);
        assert!(
            matches!(client, TlsError::NotTrusted(CertificateError::BadSignature)),
            "{client:?}"
        );
    }
}

/// An application's client with one root.
fn trusting(root: CertificateDer<'static>, versions: Versions) -> Tls {
    let mut roots = RootCertStore::empty();
    roots.add(root).expect("a root");
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .expect("a verifier");
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .expect("versions")
        .with_webpki_verifier(verifier)
        .with_no_client_auth();
    Tls::client(config)
}

#[test]
fn roles_that_are_not_configured() {
    let made = signed(None);
    let client = trusting(made.authority, VERSIONS[0]);
    let server = server_with(vec![made.leaf], &made.key, VERSIONS[0]);
    assert!(client.can_connect() && !client.can_accept());
    assert!(!server.can_connect() && server.can_accept());
    run(async {
        let (one, other) = pair(Limits::WIDE);
        let error = secured(&client, one.boxed(), false).await;
        assert!(matches!(error, TlsError::NoServerConfig), "{error:?}");
        let error = secured(&server, other.boxed(), true).await;
        assert!(matches!(error, TlsError::NoClientConfig), "{error:?}");
    });
    let error = client.server_name("no name").expect_err("a space");
    assert!(
        matches!(error, TlsError::NotAServerName { .. }),
        "{error:?}"
    );
}

#[test]
fn what_is_no_certificate() {
    let good = identity(KeyKind::P256);
    let mut longer = good.der().to_vec();
    longer.push(0);
    let shorter = &good.der()[..good.der().len() - 1];
    for der in [b"".as_slice(), b"none", &longer, shorter, &[0x30; 70_000]] {
        let error = Pinned::from_der(der).expect_err("none");
        assert!(
            matches!(error, TlsError::NotACertificate { .. }),
            "{error:?}"
        );
    }
    let key = KeyPair::generate().expect("a key").serialize_der();
    assert!(Pinned::from_der(&key).is_err());
    let cut = &good.pem()[..100];
    for pem in [
        "",
        "none",
        cut,
        &good.pem().replace("CERTIFICATE", "PUBLIC KEY"),
    ] {
        let error = Pinned::from_pem(pem).expect_err("none");
        assert!(
            matches!(error, TlsError::NotACertificate { .. }),
            "{error:?}"
        );
    }
    let other = identity(KeyKind::P256);
    let long = format!("-----BEGIN {}\n{}", "x".repeat(40_000), good.pem());
    let error = Pinned::from_pem(&long).expect_err("none");
    assert!(error.to_string().len() < 1_000, "{error}");
    let two = Pinned::from_pem(&(good.pem() + &other.pem())).expect("the first");
    assert_eq!(two.der(), good.der());
    for now in [SystemTime::UNIX_EPOCH - Duration::from_secs(1), far()] {
        let error = Identity::generate(KeyKind::P256, now).expect_err("no such date");
        assert!(matches!(error, TlsError::Clock { .. }), "{error:?}");
    }
    assert!(Identity::generate(KeyKind::P256, SystemTime::UNIX_EPOCH).is_ok());
}

fn far() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(253_370_764_800)
}
