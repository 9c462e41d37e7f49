//! A plugin over net/rpc, as a process of its own, and hosts that do what no proper one does: each gets a
//! clear end or is left alone, nobody else notices, and nothing is kept for them.
#![cfg(target_os = "linux")]

use std::time::{Duration, Instant};

use futures_util::{AsyncReadExt as _, AsyncWriteExt as _, FutureExt as _};
use outboard::Endpoint;
use outboard::rt::SharedRuntime;
use outboard_conformance::axes::RuntimeKind;
use outboard_core::handshake::Protocol;
use outboard_core::rt::BoxByteStream;
use outboard_gob::{Decoder, Encoder, Limits};
use outboard_interop::Launched;
use outboard_interop::tls::on;
use outboard_transport_netrpc::RpcClient;
use outboard_transport_netrpc::wire::{Nothing, Request, Response};
use outboard_yamux::{Config, Incoming, Opener, Role, session};

const PLUGIN: &str = env!("CARGO_BIN_EXE_rust-netrpc-peer");

/// More than any of these may make a plugin keep, in KiB of resident memory: a debug build's allocator gives
/// little back.
const KEPT: u64 = 32 * 1024;

/// A host that is made by hand.
struct ByHand {
    runtime: SharedRuntime,
    opener: Opener,
    _incoming: Incoming,
}

impl ByHand {
    async fn connect(runtime: &SharedRuntime, plugin: &Launched) -> Self {
        let io = connect(runtime, plugin).await;
        let (opener, incoming, driver) = session(runtime, io, Config::new(Role::Client));
        runtime.spawn(Box::pin(driver));
        Self {
            runtime: runtime.clone(),
            opener,
            _incoming: incoming,
        }
    }

    async fn open(&self) -> BoxByteStream {
        Box::new(self.opener.open().await.expect("a stream"))
    }

    async fn three(&self) -> [BoxByteStream; 3] {
        [self.open().await, self.open().await, self.open().await]
    }

    fn client(&self, io: BoxByteStream) -> RpcClient {
        RpcClient::new(&self.runtime, io, Limits::default())
    }
}

async fn connect(runtime: &SharedRuntime, plugin: &Launched) -> BoxByteStream {
    let to = Endpoint::Unix(plugin.socket.clone());
    runtime.connect(&to).await.expect("it listens")
}

async fn say(io: &mut BoxByteStream, bytes: &[u8]) {
    // It may have hung up by now.
    if io.write_all(bytes).await.is_ok() {
        let _broken = io.flush().await;
    }
}

/// Reads until the plugin hangs up.
async fn end(io: &mut BoxByteStream) -> Vec<u8> {
    let mut heard = Vec::new();
    let _how = io.read_to_end(&mut heard).await;
    heard
}

/// One after whom it is seen whether the plugin does its work.
async fn a_proper_host(runtime: &SharedRuntime, plugin: &Launched) {
    let host = ByHand::connect(runtime, plugin).await;
    let [control, _stdout, _stderr] = host.three().await;
    let control = host.client(control);
    let ping = control.call::<_, Nothing>("Control.Ping", &true).await;
    ping.expect("it lives");
    let id: u32 = control
        .call("Dispenser.Dispense", "greeter")
        .await
        .expect("it has one");
    let mut instance = host.open().await;
    say(&mut instance, &id.to_le_bytes()).await;
    let mut answered = [0; 4];
    instance.read_exact(&mut answered).await.expect("an answer");
    assert_eq!(answered, id.to_le_bytes());
    let doubled = host.client(instance).call("Plugin.Double", &21_i64).await;
    let doubled: i64 = doubled.expect("an answer");
    assert_eq!(doubled, 42);
}

/// What is no yamux at all ends its connection.
async fn no_yamux(runtime: &SharedRuntime, plugin: &Launched) {
    for nonsense in [
        &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..],
        // A version that there is not, and a kind.
        &[9, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0],
        &[0, 9, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0],
        // A stream of an even number, which are the plugin's.
        &[0, 1, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0],
    ] {
        let mut io = connect(runtime, plugin).await;
        say(&mut io, nonsense).await;
        end(&mut io).await;
    }
    // Data of a stream that was not opened, of four gigabytes, which would be read and forgotten.
    let mut io = connect(runtime, plugin).await;
    say(&mut io, &[0, 0, 0, 0, 0, 0, 0, 7, 0xff, 0xff, 0xff, 0xff]).await;
    say(&mut io, &[0xaa; 100_000]).await;
    a_proper_host(runtime, plugin).await;
}

/// More streams than anybody has taken.
async fn a_flood_of_streams(runtime: &SharedRuntime, plugin: &Launched) {
    let mut io = connect(runtime, plugin).await;
    let syn = |number: u32| {
        let [a, b, c, d] = (2 * number + 1).to_be_bytes();
        [0, 1, 0, 1, a, b, c, d, 0, 0, 0, 0]
    };
    let many: Vec<u8> = (0..10_000).flat_map(syn).collect();
    let writing = say(&mut io, &many);
    // It takes them all, or stops reading, or hangs up: whichever, it goes on with others meanwhile.
    let others = async {
        for _ in 0..3 {
            a_proper_host(runtime, plugin).await;
        }
    };
    futures_util::pin_mut!(writing, others);
    futures_util::future::select(writing, others).await;
}

/// Two of the three streams with which a session begins, and no more.
async fn too_few_streams(runtime: &SharedRuntime, plugin: &Launched) {
    let host = ByHand::connect(runtime, plugin).await;
    let _two = [host.open().await, host.open().await];
    a_proper_host(runtime, plugin).await;
}

/// Control is what comes first, whatever a host says elsewhere.
async fn wrong_order(runtime: &SharedRuntime, plugin: &Launched) {
    let host = ByHand::connect(runtime, plugin).await;
    let [first, second, third] = host.three().await;
    let [first, second, third] = [first, second, third].map(|io| host.client(io));
    let mut elsewhere = [&second, &third].map(|client| {
        let call = client.call::<_, Nothing>("Control.Quit", &true);
        call.boxed_local()
    });
    for quit in &mut elsewhere {
        assert!(quit.now_or_never().is_none(), "nobody has read that");
    }
    let ping = first.call::<_, Nothing>("Control.Ping", &true).await;
    ping.expect("it has not quit");
}

/// Bytes that are no gob end the control stream, and the session with it.
async fn no_gob(runtime: &SharedRuntime, plugin: &Launched) {
    for nonsense in [
        &[0xf7; 4096][..],
        // A message of nearly all that 64 bits can say.
        &[0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        &[0, 0],
        &[3, 4, 0, 2],
    ] {
        let host = ByHand::connect(runtime, plugin).await;
        let [mut control, _stdout, _stderr] = host.three().await;
        say(&mut control, nonsense).await;
        end(&mut control).await;
    }
}

/// Streams that never say whom they are for, and for nobody.
async fn nameless_streams(runtime: &SharedRuntime, plugin: &Launched) {
    let host = ByHand::connect(runtime, plugin).await;
    let [control, _stdout, _stderr] = host.three().await;
    let mut streams = Vec::new();
    for number in 0..200_u32 {
        let mut io = host.open().await;
        if number % 2 == 1 {
            say(&mut io, &(1_000_000 + number).to_le_bytes()).await;
        }
        streams.push(io);
    }
    let control = host.client(control);
    let ping = control.call::<_, Nothing>("Control.Ping", &true).await;
    ping.expect("they hold up nobody");
}

/// Each call is answered, whatever number it has.
async fn numbers_that_repeat(runtime: &SharedRuntime, plugin: &Launched) {
    let host = ByHand::connect(runtime, plugin).await;
    let [mut control, _stdout, _stderr] = host.three().await;
    let (mut encoder, mut bytes) = (Encoder::new(), Vec::new());
    for seq in [7, 7, u64::MAX, 0, 7] {
        let request = Request {
            service_method: "Control.Ping".to_owned(),
            seq,
        };
        encoder.encode(&request, &mut bytes).expect("encodes");
        encoder.encode(&true, &mut bytes).expect("encodes");
    }
    say(&mut control, &bytes).await;
    let (mut decoder, mut answers) = (Decoder::new(), Vec::new());
    let mut is_header = true;
    while answers.len() < 5 {
        let mut chunk = [0; 512];
        let read = control.read(&mut chunk).await.expect("reads");
        assert!(read > 0, "it hung up after {answers:?}");
        let mut left = &chunk[..read];
        while let Some(mut received) = decoder.next(&mut left).expect("gob") {
            if is_header {
                let header: Response = received.decode().expect("a header");
                assert_eq!(header.error, "");
                answers.push(header.seq);
            }
            is_header = !is_header;
        }
    }
    answers.sort_unstable();
    assert_eq!(answers, [0, 7, 7, 7, u64::MAX]);
}

fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let digits = line.expect("Linux").trim().trim_end_matches(" kB");
    digits.parse().expect("a number")
}

fn descriptors(pid: u32) -> usize {
    let listed = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs");
    listed.count()
}

#[test]
fn wrong_hosts() {
    for kind in [RuntimeKind::Tokio, RuntimeKind::Smol] {
        let runtime = kind.to_string();
        let (plugin, line) = Launched::new(PLUGIN, "plain", &[("INTEROP_RUNTIME", &runtime)]);
        assert_eq!(line.protocol(), Protocol::NetRpc, "{line}");
        let (pid, socket) = (plugin.pid(), plugin.socket.clone());
        on(kind, async move |runtime| {
            a_proper_host(&runtime, &plugin).await;
            let before = (resident(pid), descriptors(pid));
            let all = async {
                no_yamux(&runtime, &plugin).await;
                a_flood_of_streams(&runtime, &plugin).await;
                too_few_streams(&runtime, &plugin).await;
                wrong_order(&runtime, &plugin).await;
                no_gob(&runtime, &plugin).await;
                nameless_streams(&runtime, &plugin).await;
                numbers_that_repeat(&runtime, &plugin).await;
            };
            all.await;
            a_proper_host(&runtime, &plugin).await;
            let grown = resident(pid).saturating_sub(before.0);
            assert!(grown < KEPT, "{grown} KiB more than before");
            // What it knows to have ended it has closed by the time it has served another.
            let limit = Instant::now() + Duration::from_secs(20);
            while descriptors(pid) > before.1 {
                assert!(Instant::now() < limit, "it keeps descriptors");
                a_proper_host(&runtime, &plugin).await;
            }
            let host = ByHand::connect(&runtime, &plugin).await;
            let [control, _stdout, _stderr] = host.three().await;
            let quit = host
                .client(control)
                .call::<_, Nothing>("Control.Quit", &true);
            quit.await.expect("it is answered");
            let status = plugin.wait();
            assert!(status.success(), "{status}");
            assert!(!socket.exists());
        });
    }
}
