//! Both ends of a net/rpc session with a peer that sends whatever it likes: bytes, frames of yamux, and values
//! of gob on the streams that there are, in any order and with time between them. Nothing panics, and once the
//! peer is gone and the time of all that waits is over, no task is left.
#![no_main]

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use arbitrary::Arbitrary;
use futures_io::{AsyncRead, AsyncWrite};
use libfuzzer_sys::fuzz_target;
use outboard_core::rt::{BoxByteStream, SharedRuntime};
use outboard_gob::{Encoder, Limits, Value};
use outboard_kit::runtime::{Clock, Tasks};
use outboard_kit::{TestRuntime, pipe, settle};
use outboard_transport_netrpc::wire::{Request, Response};
use outboard_transport_netrpc::{HostSession, Make, Methods, PluginSession, Provided, Service};
use outboard_yamux::{Header, Kind};

#[derive(Arbitrary, Debug)]
enum Op<'a> {
    /// Bytes as they are.
    Raw(&'a [u8]),
    /// A frame with data on one of the first streams.
    Data {
        stream: u8,
        flags: u8,
        bytes: &'a [u8],
    },
    /// A call on a stream, of a method that there may be.
    Call { stream: u8, method: u8, seq: u8, text: &'a str },
    /// An answer on a stream.
    Answer { stream: u8, seq: u8, error: &'a str, number: u32 },
    /// Window, or a reset.
    Window { stream: u8, flags: u8, len: u32 },
    /// Time that passes.
    Wait { seconds: u8 },
}

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    /// The end that is looked at is the host's.
    host: bool,
    ops: Vec<Op<'a>>,
}

/// One for all runs: its tasks are gone after each.
struct Rig {
    runtime: SharedRuntime,
    tasks: Tasks,
    clock: Clock,
}

thread_local! {
    static RIG: Rig = {
        let (runtime, tasks, clock) = TestRuntime::with_clock();
        Rig { runtime, tasks, clock }
    };
}

const METHODS: [&str; 8] = [
    "Control.Ping",
    "Control.Quit",
    "Dispenser.Dispense",
    "Plugin.Echo",
    "Plugin.Dial",
    "Plugin.Offer",
    "Plugin.Nope",
    "none",
];

fn provided(runtime: &SharedRuntime) -> Provided {
    let runtime = Arc::clone(runtime);
    let make: Make = Arc::new(move |broker| {
        let (dials, offers) = (broker.clone(), broker.clone());
        let runtime = Arc::clone(&runtime);
        let methods = Methods::new()
            .with("Echo", |value: Value| async move { Ok::<_, String>(value) })
            .with("Dial", move |id: u32| {
                let dialling = dials.dial(id);
                async move {
                    let dialled = dialling.await.map_err(|error| error.to_string())?;
                    drop(dialled);
                    Ok::<_, String>(id)
                }
            })
            .with("Offer", move |_: Value| {
                let service: Arc<dyn Service> = Arc::new(Methods::new());
                let offered = offers.offer(service);
                let limit = runtime.timer(runtime.now() + Duration::from_secs(3));
                async move {
                    let offered = offered.map_err(|error| error.to_string())?;
                    let mut limit = limit;
                    std::future::poll_fn(|cx| limit.as_mut().poll_expired(cx)).await;
                    Ok::<_, String>(offered.id())
                }
            });
        Ok(Arc::new(methods) as Arc<dyn Service>)
    });
    Provided {
        plugins: BTreeMap::from([(String::new(), make)]),
        ..Provided::default()
    }
}

/// Sends what there is room for, and takes what has come.
fn exchange(tasks: Tasks, peer: &mut BoxByteStream, mut bytes: &[u8]) {
    let mut cx = Context::from_waker(Waker::noop());
    let mut read = [0; 4096];
    loop {
        settle(tasks);
        let mut progress = false;
        while let Poll::Ready(Ok(count)) = Pin::new(&mut *peer).poll_read(&mut cx, &mut read)
            && count > 0
        {
            progress = true;
        }
        if !bytes.is_empty()
            && let Poll::Ready(Ok(count)) = Pin::new(&mut *peer).poll_write(&mut cx, bytes)
            && count > 0
        {
            bytes = &bytes[count..];
            progress = true;
        }
        if !progress {
            return;
        }
    }
}

fn frame(kind: Kind, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).expect("short");
    let header = Header::new(kind, flags.into(), stream.into(), len);
    [&header.encode(), payload].concat()
}

fn play(rig: &Rig, peer: &mut BoxByteStream, ops: Vec<Op<'_>>) {
    // A stream's encoder goes on with what it has defined.
    let mut encoders: BTreeMap<u8, Encoder> = BTreeMap::new();
    for op in ops {
        let bytes = match op {
            Op::Raw(bytes) => bytes.to_vec(),
            Op::Data { stream, flags, bytes } => frame(Kind::Data, flags, stream % 10, bytes),
            Op::Call { stream, method, seq, text } => {
                let stream = stream % 10;
                let name = METHODS[usize::from(method) % METHODS.len()];
                let request = Request {
                    service_method: name.to_owned(),
                    seq: seq.into(),
                };
                let encoder = encoders.entry(stream).or_default();
                let mut out = Vec::new();
                encoder.encode(&request, &mut out).expect("a request");
                match name {
                    "Control.Ping" | "Control.Quit" => encoder.encode(&true, &mut out),
                    "Plugin.Dial" => encoder.encode(&u32::from(seq), &mut out),
                    _ => encoder.encode(text, &mut out),
                }
                .expect("an argument");
                frame(Kind::Data, 0, stream, &out)
            }
            Op::Answer { stream, seq, error, number } => {
                let stream = stream % 10;
                let response = Response {
                    service_method: String::new(),
                    seq: seq.into(),
                    error: error.to_owned(),
                };
                let encoder = encoders.entry(stream).or_default();
                let mut out = Vec::new();
                encoder.encode(&response, &mut out).expect("a response");
                encoder.encode(&number, &mut out).expect("a number");
                frame(Kind::Data, 0, stream, &out)
            }
            Op::Window { stream, flags, len } => {
                let header = Header::new(Kind::WindowUpdate, flags.into(), (stream % 10).into(), len);
                header.encode().to_vec()
            }
            Op::Wait { seconds } => {
                rig.clock.advance(Duration::from_secs(seconds.into()));
                Vec::new()
            }
        };
        exchange(rig.tasks, peer, &bytes);
    }
}

fuzz_target!(|input: Input<'_>| RIG.with(|rig| {
    let (near, far) = pipe(64 * 1024);
    let mut peer: BoxByteStream = Box::new(far);
    if input.host {
        let begun = HostSession::begin(&rig.runtime, Box::new(near), Limits::default());
        let (session, printed) = begun.expect("it has just begun");
        let session = Arc::new(session);
        for _ in 0..2 {
            let session = Arc::clone(&session);
            rig.runtime.spawn(Box::pin(async move {
                let second = Duration::from_secs(20);
                let _pinged = session.ping(second).await;
                if let Ok(instance) = session.dispense("", second).await {
                    let answer: Result<u32, _> = instance.call("Plugin.Echo", &7_u32).await;
                    drop(answer);
                }
            }));
        }
        play(rig, &mut peer, input.ops);
        drop(printed);
        session.close("the test is over");
    } else {
        let session = PluginSession::begin(&rig.runtime, Box::new(near), provided(&rig.runtime));
        play(rig, &mut peer, input.ops);
        session.drain();
        settle(rig.tasks);
        drop(session);
    }
    drop(peer);
    for _ in 0..4 {
        settle(rig.tasks);
        rig.clock.advance(Duration::from_secs(600));
    }
    settle(rig.tasks);
    assert!(rig.tasks.is_empty(), "tasks are left");
}));
