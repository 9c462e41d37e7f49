//! The example services: kv, negotiated, counter, streamer, and the broker.

use std::time::{Duration, Instant};

use outboard::{BrokerError, Code, HostError, Status, Streaming};

use super::{Peer, dispense, end, pattern, run, start};
use crate::proto::examples::{
    AddHelper, AddHelperClient, AddHelperServer, Counter as _, CounterClient, CounterGetRequest,
    CounterPutRequest, GetRequest, Kv as _, KvClient, PutRequest, StreamerService as _,
    StreamerServiceClient, SumRequest, SumResponse, configure, read, write,
};
use crate::proto::probe::{BrokerDialRequest, Nothing, Probe as _};
use outboard_kit::files::sockets_in;

/// What the host lends to the plugin.
struct Adder;

impl AddHelper for Adder {
    async fn sum(&self, request: SumRequest) -> Result<SumResponse, Status> {
        Ok(SumResponse {
            r: request.a + request.b,
        })
    }
}

/// Put, get, and a key that does not exist.
pub fn kv(peer: &Peer) {
    run(async {
        let dir = tempfile::tempdir().expect("a directory");
        let command = peer.command(&["kv"]).current_dir(dir.path());
        let plugin = start(peer.host(&["kv"]).command(command)).await;
        let (plugin, kv) = dispense::<KvClient>(plugin, "kv").await;
        let put = PutRequest {
            key: "hello".into(),
            value: b"world".to_vec(),
        };
        kv.put(put).await.expect("put");
        let get = |key: &str| kv.get(GetRequest { key: key.into() });
        let reply = get("hello").await.expect("get");
        assert_eq!(
            String::from_utf8_lossy(&reply.value),
            format!("world{}", peer.put_note)
        );
        let missing = get("nothing").await.expect_err("there is no such key");
        assert_eq!(missing.code(), Code::Unknown);
        assert!(
            missing.message().contains("no such file")
                || missing.message().contains("No such file")
        );
        assert!(dir.path().join("kv_hello").is_file());
        end(plugin).await;
    });
}

/// The highest common version is chosen, and each version behaves as its own.
pub fn negotiated(peer: &Peer) {
    run(async {
        for (offered, chosen) in [(&[2, 3][..], 3), (&[3, 2, 7], 3), (&[2], 2), (&[3], 3)] {
            let dir = tempfile::tempdir().expect("a directory");
            let command = peer.command(&["negotiated"]).current_dir(dir.path());
            let host = peer.host(&[]).versions(offered.to_vec()).command(command);
            let (plugin, kv) = dispense::<KvClient>(start(host).await, "kv").await;
            assert_eq!(plugin.negotiated_version(), chosen, "offered {offered:?}");
            let put = PutRequest {
                key: "k".into(),
                value: b"v".to_vec(),
            };
            kv.put(put).await.expect("put");
            let value = kv.get(GetRequest { key: "k".into() }).await.expect("get");
            let value = String::from_utf8(value.value).expect("text");
            assert!(
                value.contains(&format!("Written from plugin version {chosen}\n"))
                    && value.contains(&format!("Read by plugin version {chosen}\n")),
                "offered {offered:?}: {value:?}"
            );
            end(plugin).await;
        }
    });
}

/// Version 0 is a version like any other.
pub fn version_zero(peer: &Peer) {
    run(async {
        let host = peer.host(&["negotiated", "0,4"]).versions([0, 1]);
        let plugin = start(host).await;
        assert_eq!(plugin.negotiated_version(), 0);
        end(plugin).await;
    });
}

/// No common version: the host refuses, and names both sides' versions.
pub fn incompatible_version(peer: &Peer) {
    run(async {
        let host = peer.host(&["negotiated", "2,3"]).versions([8, 9]);
        let error = host
            .start(outboard::Tokio::current())
            .await
            .expect_err("nothing in common");
        let HostError::Start { error: start, .. } = &error else {
            panic!("{error:?}")
        };
        assert!(
            matches!(start.failure, outboard::StartFailure::Handshake(_)),
            "{error:?}"
        );
        let text = format!("{error:?}");
        // The plugin falls back to its lowest version and lets the host complain.
        for number in ["2", "8", "9"] {
            assert!(text.contains(number), "{text}");
        }
    });
}

/// The plugin dials back into the host for each Put.
pub fn counter(peer: &Peer) {
    run(async {
        let dir = tempfile::tempdir().expect("a directory");
        let command = peer.command(&["counter"]).current_dir(dir.path());
        let plugin = start(peer.host(&[]).command(command)).await;
        let (plugin, counter) = dispense::<CounterClient>(plugin, "counter").await;
        for value in [5, 6] {
            let helper = plugin.broker().serve(AddHelperServer::new(Adder));
            let helper = helper.expect("the host serves");
            let put = CounterPutRequest {
                add_server: helper.id(),
                key: "count".into(),
                value,
            };
            counter.put(put).await.expect("put");
        }
        let get = CounterGetRequest {
            key: "count".into(),
        };
        assert_eq!(counter.get(get).await.expect("get").value, 11);
        end(plugin).await;
    });
}

/// Several brokered servers at once on both sides.
pub fn broker(peer: &Peer) {
    run(async {
        let sockets = tempfile::tempdir().expect("a directory");
        let files = || sockets_in(sockets.path()).len();
        let plugin = start(peer.host(&["all"]).socket_dir(sockets.path())).await;
        let (plugin, probe) = dispense::<super::ProbeClient>(plugin, "probe").await;
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            let served = plugin.broker().serve(AddHelperServer::new(Adder));
            ours.push(served.expect("the host serves"));
            let accepted = probe.broker_accept(Nothing {}).await;
            theirs.push(accepted.expect("the plugin serves").id);
        }
        for (n, (ours, theirs)) in (0..).zip(ours.iter().zip(&theirs)) {
            let dial = BrokerDialRequest {
                id: ours.id(),
                a: n,
                b: 100,
            };
            let reply = probe.broker_dial(dial).await.expect("the plugin dials");
            assert_eq!(reply.r, n + 100);
            let helper: AddHelperClient = plugin.broker().dial(*theirs).await.expect("dial");
            for b in [-1, -2] {
                let sum = helper.sum(SumRequest { a: n, b }).await.expect("sum");
                assert_eq!(sum.r, n + b);
            }
        }
        // A Go plugin tells the id before it listens: all listen only once all were dialled.
        assert_eq!(files(), 1 + 3 + 3, "a socket each");
        drop(ours);
        // Ours are removed with their handles, by tasks that must run for that.
        while files() > 1 + 3 {
            tokio::task::yield_now().await;
        }
        end(plugin).await;
        assert_eq!(files(), 0, "none stays behind");
    });
}

/// A server that ends connections for their age, as Go's can, fails not one call of a dialled client.
pub fn brokered_age(peer: &Peer) {
    const AGE: Duration = Duration::from_millis(100);
    run(async {
        let command = peer.command(&["probe"]);
        let command = command.env("INTEROP_BROKERED_AGE", AGE.as_millis().to_string());
        let plugin = start(peer.host(&["probe"]).command(command)).await;
        let (plugin, probe) = dispense::<super::ProbeClient>(plugin, "probe").await;
        let id = probe.broker_accept(Nothing {}).await.expect("it serves").id;
        let helper: AddHelperClient = plugin.broker().dial(id).await.expect("dial");
        let began = Instant::now();
        let mut calls = 0;
        while began.elapsed() < 10 * AGE {
            let sum = helper.sum(SumRequest { a: calls, b: 1 }).await;
            assert_eq!(sum.map(|sum| sum.r), Ok(calls + 1));
            calls += 1;
        }
        // One after a pause, too: nothing was asked while the connection ended.
        tokio::time::sleep(2 * AGE).await;
        let sum = helper.sum(SumRequest { a: 1, b: 1 }).await;
        assert_eq!(sum.map(|sum| sum.r), Ok(2));
        end(plugin).await;
    });
}

/// Dialling an id that nobody announces fails after five seconds, and the broker goes on working.
pub fn broker_timeout(peer: &Peer) {
    run(async {
        let (plugin, probe) = peer.probe().await;
        let begin = Instant::now();
        let nobody = BrokerDialRequest {
            id: 4242,
            a: 1,
            b: 1,
        };
        let (theirs, ours) = tokio::join!(
            probe.broker_dial(nobody),
            plugin.broker().dial::<AddHelperClient>(4343)
        );
        let took = begin.elapsed();
        assert!(
            (Duration::from_millis(4_900)..Duration::from_secs(12)).contains(&took),
            "{took:?}"
        );
        assert_ne!(theirs.expect_err("nobody is there").message(), "");
        let error = ours.expect_err("nobody is there");
        assert!(matches!(error, BrokerError::Broker(_)), "{error:?}");
        assert!(error.to_string().contains("4343"), "{error}");
        let accepted = probe.broker_accept(Nothing {}).await.expect("accept");
        let helper: AddHelperClient = plugin.broker().dial(accepted.id).await.expect("dial");
        let sum = helper.sum(SumRequest { a: 1, b: 2 }).await.expect("sum");
        assert_eq!(sum.r, 3);
        end(plugin).await;
    });
}

/// A file goes in and out in chunks; sizes around the chunk size matter.
pub fn streamer(peer: &Peer) {
    run(async {
        let dir = tempfile::tempdir().expect("a directory");
        let plugin = peer.start(&["streamer"]).await;
        let (plugin, streamer) = dispense::<StreamerServiceClient>(plugin, "streamer").await;
        for (size, chunk, chunks) in [
            (0, 10, 0),
            (10, 10, 1),
            (11, 10, 2),
            (3_000_000, 1000, 3000),
        ] {
            let content = pattern(size);
            configured(&streamer, &dir.path().join("streamed"), chunk).await;
            let pieces: Vec<_> = content.chunks(chunk).map(<[u8]>::to_vec).collect();
            let pieces = pieces
                .into_iter()
                .map(|bytes_to_write| write::RequestChunk { bytes_to_write });
            let written = streamer.write(Streaming::iter(pieces)).await;
            written.expect("write");
            let mut stream = streamer.read(read::Request {}).await.expect("read");
            let (mut back, mut count) = (Vec::new(), 0);
            while let Some(piece) = stream.message().await.expect("a piece") {
                assert!(piece.read_bytes.len() <= chunk);
                back.extend(piece.read_bytes);
                count += 1;
            }
            assert!(back == content, "size {size}");
            assert_eq!(count, chunks, "size {size}");
        }
        end(plugin).await;
    });
}

/// go-plugin's own streaming example never answers Write, which a current client reports; nothing
/// else suffers.
pub fn streamer_broken(peer: &Peer) {
    run(async {
        let dir = tempfile::tempdir().expect("a directory");
        let plugin = peer.start(&["streamer-broken"]).await;
        let (plugin, streamer) = dispense::<StreamerServiceClient>(plugin, "streamer").await;
        configured(&streamer, &dir.path().join("streamed"), 10).await;
        let piece = write::RequestChunk {
            bytes_to_write: b"some text".to_vec(),
        };
        let status = streamer
            .write(Streaming::once(piece))
            .await
            .expect_err("a Write without a response");
        assert_eq!(status.code(), Code::Internal, "{status}");
        assert!(status.message().contains("message"), "{status}");
        // The bytes came, and the plugin is as good as before.
        let mut stream = streamer.read(read::Request {}).await.expect("read");
        let piece = stream.message().await.expect("a piece").expect("a piece");
        assert_eq!(piece.read_bytes, b"some text");
        drop(stream);
        end(plugin).await;
    });
}

async fn configured(streamer: &StreamerServiceClient, path: &std::path::Path, chunk: usize) {
    let request = configure::Request {
        path: path.to_string_lossy().into_owned(),
        chunk_size: chunk as i64,
    };
    streamer.configure(request).await.expect("configure");
}
