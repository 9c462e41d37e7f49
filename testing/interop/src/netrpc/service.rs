//! What is called on either side.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use outboard::netrpc::{Accepting, Instance, Methods, MuxBroker, Value};
use outboard_core::told::Teller;
use rustix::process::Signal;

use super::{Point, Stream, hold};

/// A block of the pattern that streams carry: each byte is its place modulo 251, which the length of a
/// block is a multiple of.
const BLOCK: usize = 251 * 256;

fn block() -> Vec<u8> {
    (0..BLOCK).map(|place| (place % 251) as u8).collect()
}

/// Writes so many bytes of the pattern, and the end.
///
/// # Errors
/// If they cannot be written.
pub(super) async fn pour(mut to: impl AsyncWrite + Unpin, mut count: usize) -> io::Result<()> {
    let block = block();
    while count > 0 {
        let piece = &block[..count.min(BLOCK)];
        to.write_all(piece).await?;
        count -= piece.len();
    }
    to.close().await
}

/// Reads the pattern to its end, and waits for `first` after the first block. How many bytes came.
///
/// # Errors
/// If something else comes than the pattern, or no end.
pub(super) async fn take(
    mut from: impl AsyncRead + Unpin,
    first: impl Future<Output = ()>,
) -> io::Result<usize> {
    let block = block();
    let mut first = Some(first);
    let mut buffer = vec![0; BLOCK];
    let mut count = 0;
    loop {
        let mut filled = 0;
        while filled < BLOCK {
            match from.read(&mut buffer[filled..]).await? {
                0 => break,
                read => filled += read,
            }
        }
        if buffer[..filled] != block[..filled] {
            let text = format!("other bytes than were sent, in the block at {count}");
            return Err(io::Error::other(text));
        }
        count += filled;
        if let Some(first) = first.take() {
            first.await;
        }
        if filled < BLOCK {
            return Ok(count);
        }
    }
}

/// The methods.
#[must_use]
pub fn service(broker: &MuxBroker) -> Methods {
    let methods = Methods::new()
        .with("Greet", |_: Value| async {
            Ok::<_, String>("Hello!".to_owned())
        })
        .with("Double", |number: i64| async move {
            if number > 1 << 40 {
                return Err("it is too large");
            }
            Ok(2 * number)
        })
        .with("Mirror", |Point { x, y }: Point| async move {
            Ok::<_, String>(Point { x: -x, y: -y })
        })
        .with(
            "Echo",
            |bytes: Vec<u8>| async move { Ok::<_, String>(bytes) },
        )
        .with("Fill", |count: i64| async move {
            let count = usize::try_from(count).map_err(|error| error.to_string())?;
            Ok::<_, String>(vec![1_u8; count])
        })
        .with("PrintKV", |values: BTreeMap<String, Value>| async move {
            match (values.get("key"), values.get("value")) {
                (Some(Value::String(key)), Some(Value::Bytes(value))) => {
                    Ok(format!("{key}={}", String::from_utf8_lossy(value)))
                }
                other => Err(format!("{other:?}")),
            }
        });
    in_streams(in_process(methods), broker)
}

/// Adds what is about the process.
fn in_process(methods: Methods) -> Methods {
    methods
        .with("Print", |text: String| async move {
            println!("{text}");
            eprintln!("{text}");
            Ok::<_, String>(())
        })
        .with("PrintMany", |lines: i64| async move {
            let mut all = String::new();
            for line in 0..lines {
                writeln!(all, "{line:063}").map_err(|error| error.to_string())?;
            }
            let done = Teller::new();
            let told = done.told();
            // More than is kept for a host: on the only thread of a runtime nobody would send meanwhile.
            std::thread::spawn(move || {
                let print = |to: &mut dyn Write| to.write_all(all.as_bytes());
                let printed = print(&mut io::stdout()).and_then(|()| print(&mut io::stderr()));
                done.tell(printed.map_err(|error| error.to_string()));
            });
            let printed = told.await;
            printed.unwrap_or_else(|| Err("the thread has panicked".to_owned()))
        })
        .with("Log", |text: String| async move {
            tracing::trace!(count = 7, text = "a b", flag = true, "{text}");
            tracing::debug!(count = 7, text = "a b", flag = true, "{text}");
            tracing::info!(count = 7, text = "a b", flag = true, "{text}");
            tracing::warn!(count = 7, text = "a b", flag = true, "{text}");
            tracing::error!(count = 7, text = "a b", flag = true, "{text}");
            Ok::<_, String>(())
        })
        .with("Hold", |name: String| async move {
            let _told = hold::wait(&name).await;
            Ok::<_, String>(name)
        })
        .with("Begun", |name: String| async move {
            let _told = hold::begun(&name).await;
            Ok::<_, String>(())
        })
        .with("LetGo", |name: String| async move {
            hold::let_go(&name);
            Ok::<_, String>(())
        })
        .with("Exit", |code: i32| async move {
            eprintln!("leaving in mid-call");
            std::process::exit(code);
            #[allow(unreachable_code, reason = "it says what the method would answer")]
            Ok::<(), String>(())
        })
        .with("Die", |_: Value| async {
            let own = rustix::process::getpid();
            let killed = rustix::process::kill_process(own, Signal::KILL);
            killed.map_err(|error| error.to_string())
        })
        .with("Panic", |text: String| async move {
            if !text.is_empty() {
                panic!("{text}");
            }
            Ok::<_, String>(())
        })
}

/// Adds what uses the broker.
fn in_streams(methods: Methods, broker: &MuxBroker) -> Methods {
    let (dials, calls, serves) = (broker.clone(), broker.clone(), broker.clone());
    let (pours, takes) = (broker.clone(), broker.clone());
    // What was offered, for as long as the instance lives.
    let offered: Mutex<Vec<Accepting>> = Mutex::default();
    methods
        .with("Dial", move |id: u32| {
            let dialling = dials.dial(id);
            async move {
                let mut io = dialling.await.map_err(|error| error.to_string())?;
                let mut all = String::new();
                let read = io.read_to_string(&mut all).await;
                read.map(|_| all).map_err(|error| error.to_string())
            }
        })
        .with("Call", move |id: u32| {
            let broker = calls.clone();
            async move {
                let instance = Instance::dial(&broker, id).await;
                let instance = instance.map_err(|error| error.to_string())?;
                let doubled: Result<i64, _> = instance.call("Plugin.Double", &21).await;
                doubled.map_err(|error| error.to_string())
            }
        })
        .with("Serve", move |_: Value| {
            let accepting = serves.offer(Arc::new(service(&serves)));
            std::future::ready(accepting.map_err(|error| error.to_string()).map(|it| {
                let id = it.id();
                let mut offered = offered.lock().unwrap_or_else(PoisonError::into_inner);
                offered.push(it);
                id
            }))
        })
        .with("Pour", move |stream: Stream| {
            let dialling = pours.dial(stream.id);
            async move {
                let io = dialling.await.map_err(|error| error.to_string())?;
                let poured = pour(io, stream.count as usize).await;
                poured.map_err(|error| error.to_string())
            }
        })
        .with("Take", move |stream: Stream| {
            let dialling = takes.dial(stream.id);
            async move {
                let io = dialling.await.map_err(|error| error.to_string())?;
                let first = async {
                    if !stream.hold.is_empty() {
                        let _told = hold::wait(&stream.hold).await;
                    }
                };
                let taken = take(io, first).await;
                let taken = taken.map_err(|error| error.to_string())?;
                Ok::<_, String>(taken as i64)
            }
        })
}
