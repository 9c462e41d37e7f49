//! Two sides over streams in memory: what connects, and what comes through.

mod support;

use std::time::{Duration, SystemTime};

use futures_util::future::{join, join4};
use futures_util::io::{AsyncReadExt as _, AsyncWriteExt as _};
use outboard_core::rt::BoxByteStream;
use outboard_tls::{Identity, KeyKind, Pinned, Tls, TlsError};

use outboard_kit::run;
use support::{End, KINDS, Limits, VERSIONS, identity, pair, pinned, sides};

type Secured = Result<BoxByteStream, TlsError>;

async fn shake(
    client: (&Tls, End),
    server: (&Tls, End),
    alpn: Option<&'static str>,
) -> (Secured, Secured) {
    join(
        client.0.connect(client.1.boxed(), alpn),
        server.0.accept(server.1.boxed(), alpn),
    )
    .await
}

/// Says something each way and closes both.
async fn talk(mut client: BoxByteStream, mut server: BoxByteStream) {
    let ask = async {
        client.write_all(b"question").await.expect("written");
        client.flush().await.expect("flushed");
    };
    let mut heard = [0; 8];
    let (read, ()) = join(server.read_exact(&mut heard), ask).await;
    read.expect("read");
    assert_eq!(&heard, b"question");
    let answer = async {
        server.write_all(b"answer").await.expect("written");
        server.close().await.expect("closed");
    };
    let mut all = Vec::new();
    let (read, ()) = join(client.read_to_end(&mut all), answer).await;
    read.expect("a clean end");
    assert_eq!(all, b"answer");
    // The other direction is open still, and a word into it is no fault.
    let more = async {
        client.write_all(b"more").await.expect("written");
        client.close().await.expect("closed");
    };
    let mut rest = Vec::new();
    let (read, ()) = join(server.read_to_end(&mut rest), more).await;
    read.expect("a clean end");
    assert_eq!(rest, b"more");
}

fn connects(tls: (&Tls, &Tls), limits: Limits, alpn: Option<&'static str>) {
    run(async {
        let (one, other) = pair(limits);
        let (client, server) = shake((tls.0, one), (tls.1, other), alpn).await;
        talk(client.expect("connected"), server.expect("accepted")).await;
    });
}

#[test]
fn every_kind_of_key_connects_with_every_other_in_both_versions() {
    for versions in VERSIONS {
        for host in KINDS {
            for plugin in KINDS {
                let (host, plugin) = (identity(host), identity(plugin));
                let one = Tls::pinned_with(&host, &pinned(&plugin), versions).expect("made");
                let other = Tls::pinned_with(&plugin, &pinned(&host), versions).expect("made");
                connects((&one, &other), Limits::WIDE, Some("h2"));
                connects((&other, &one), Limits::WIDE, None);
            }
        }
    }
}

#[test]
fn bytes_may_come_one_at_a_time() {
    for versions in VERSIONS {
        let (host, plugin) = sides(KeyKind::P521, versions);
        for limits in [Limits::BYTE, Limits::NARROW] {
            connects((&host, &plugin), limits, Some("h2"));
        }
    }
}

#[test]
fn certificates_come_as_text_or_bytes() {
    let (host, plugin) = (identity(KeyKind::P256), identity(KeyKind::P521));
    let read = Pinned::from_pem(&host.pem()).expect("a certificate");
    assert_eq!(read.der(), host.der());
    let one = Tls::pinned(&host, &pinned(&plugin)).expect("made");
    let other = Tls::pinned(&plugin, &read).expect("made");
    connects((&one, &other), Limits::WIDE, Some("h2"));
}

#[test]
fn clocks_that_are_wrong_by_years_do_not_matter() {
    let year = Duration::from_secs(365 * 24 * 60 * 60);
    let now = SystemTime::now();
    for when in [now - year * 50, now + year * 50] {
        for versions in VERSIONS {
            let other = identity(KeyKind::P256);
            let shifted = Identity::generate(KeyKind::P256, when).expect("a certificate");
            let one = Tls::pinned_with(&shifted, &pinned(&other), versions).expect("made");
            let two = Tls::pinned_with(&other, &pinned(&shifted), versions).expect("made");
            connects((&one, &two), Limits::WIDE, None);
            connects((&two, &one), Limits::WIDE, None);
        }
    }
}

/// Sends `total` bytes that say where they are, in pieces of changing sizes.
async fn send(mut to: impl futures_util::AsyncWrite + Unpin, total: usize) {
    let bytes: Vec<u8> = (0..total).map(|index| (index % 251) as u8).collect();
    let mut rest = bytes.as_slice();
    let mut size = 1;
    while !rest.is_empty() {
        let (now, more) = rest.split_at(rest.len().min(size));
        to.write_all(now).await.expect("written");
        rest = more;
        size = (size * 7 + 3) % 150_000 + 1;
    }
    to.close().await.expect("closed");
}

async fn receive(mut from: impl futures_util::AsyncRead + Unpin, total: usize) {
    let mut buffer = vec![0; 50_000];
    let mut seen = 0;
    loop {
        let size = seen % buffer.len() + 1;
        let count = from.read(&mut buffer[..size]).await.expect("read");
        if count == 0 {
            break;
        }
        for byte in &buffer[..count] {
            assert_eq!(usize::from(*byte), seen % 251);
            seen += 1;
        }
    }
    assert_eq!(seen, total);
}

#[test]
fn large_transfers_go_both_ways_at_once() {
    const TOTAL: usize = 3_000_000;
    for versions in VERSIONS {
        let (host, plugin) = sides(KeyKind::P256, versions);
        for limits in [
            Limits::WIDE,
            Limits {
                holds: 5_000,
                at_once: 3_000,
            },
        ] {
            run(async {
                let (one, other) = pair(limits);
                let (client, server) = shake((&host, one), (&plugin, other), None).await;
                let (client_reads, client_writes) = client.expect("connected").split();
                let (server_reads, server_writes) = server.expect("accepted").split();
                join4(
                    send(client_writes, TOTAL),
                    send(server_writes, TOTAL),
                    receive(client_reads, TOTAL),
                    receive(server_reads, TOTAL),
                )
                .await;
            });
        }
    }
}

#[test]
fn a_message_of_64_kib_takes_two_calls() {
    let (host, plugin) = sides(KeyKind::P256, VERSIONS[0]);
    run(async {
        let (one, other) = pair(Limits::WIDE);
        let tap = one.outgoing();
        let (client, server) = shake((&host, one), (&plugin, other), None).await;
        let (mut client, mut server) = (client.expect("connected"), server.expect("accepted"));
        let message = vec![7; 64 * 1024];
        let mut heard = vec![0; message.len()];
        // The first ones let the reader find out that it needs room.
        for _ in 0..4 {
            client.write_all(&message).await.expect("written");
            server.read_exact(&mut heard).await.expect("read");
        }
        let before = tap.calls();
        client.write_all(&message).await.expect("written");
        server.read_exact(&mut heard).await.expect("read");
        let after = tap.calls();
        assert_eq!((after.0 - before.0, after.1 - before.1), (1, 1));
    });
}

#[test]
fn pieces_of_a_vectored_write_share_a_record() {
    let (host, plugin) = sides(KeyKind::P256, VERSIONS[0]);
    run(async {
        let (one, other) = pair(Limits::WIDE);
        let tap = one.outgoing();
        let (client, server) = shake((&host, one), (&plugin, other), None).await;
        let (mut client, mut server) = (client.expect("connected"), server.expect("accepted"));
        let before = tap.total();
        let pieces: Vec<Vec<u8>> = (0..20).map(|index| vec![index; 5]).collect();
        let slices: Vec<_> = pieces
            .iter()
            .map(|piece| std::io::IoSlice::new(piece))
            .collect();
        let count = client.write_vectored(&slices).await.expect("written");
        assert_eq!(count, 100);
        client.flush().await.expect("flushed");
        let overhead = tap.total() - before - 100;
        assert!(overhead <= 22, "{overhead} bytes around one record");
        let mut heard = vec![0; 100];
        server.read_exact(&mut heard).await.expect("read");
        assert_eq!(heard, pieces.concat());
    });
}

#[test]
fn nothing_printed_holds_a_key() {
    let (host, plugin) = (identity(KeyKind::P256), identity(KeyKind::Ed25519));
    let tls = Tls::pinned(&host, &pinned(&plugin)).expect("made");
    let printed = format!("{host:?} {host:#?} {:?} {tls:?} {tls:#?}", pinned(&plugin));
    // A key is written as many numbers or many digits; nothing like it is here.
    assert!(
        !printed.contains("key") && !printed.contains('['),
        "{printed}"
    );
    let longest = printed
        .split(|c: char| !c.is_ascii_hexdigit())
        .map(str::len)
        .max();
    assert!(longest < Some(8), "{printed}");
}
