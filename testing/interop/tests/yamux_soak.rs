//! Thousands of streams of `outboard-yamux` with `hashicorp/yamux` on the other end, in both roles: both
//! open streams, of all sizes, some of which are reset or left in the middle, while one reader on each end
//! is slow.
//!
//! `OUTBOARD_SOAK_MIB` says how many MiB go each way; 64 of them unless it is set.
#![cfg(unix)]

use std::future::poll_fn;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::{AsyncReadExt as _, AsyncWriteExt as _};
use outboard::Tokio;
use outboard_core::endpoint::Endpoint;
use outboard_core::rt::SharedRuntime;
use outboard_interop::go;
use outboard_yamux::{Config, Incoming, Opener, Role, SessionError, Stream, session};
use serde_json::Value;
use tokio::sync::Semaphore;

// What a stream is for; as in `go/cmd/go-yamux-peer`.
const TURNS: u32 = 0;
const BOTH: u32 = 1;
const RESET: u32 = 2;
const LEAVE: u32 = 3;
const DOWNLOAD: u32 = 4;
const UPLOAD: u32 = 5;
const REPORT: u32 = 9;

/// Of both ends together.
const STREAMS: u32 = 10_000;
const AT_ONCE: usize = 32;
/// What a slow reader reads in all: much more than any window.
const SLOW: u64 = 4 << 20;
/// Longer than any run of the usual size takes on a machine that is busy.
const LIMIT: Duration = Duration::from_secs(600);

const PERIOD: u64 = 251;
const PIECE: usize = 64 << 10;

fn pattern(seed: u32, at: u64, len: usize) -> &'static [u8] {
    static PATTERN: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    let pattern = PATTERN.get_or_init(|| {
        let all = PIECE + PERIOD as usize;
        (0..PERIOD as u8).cycle().take(all).collect()
    });
    let from = ((u64::from(seed) + at) % PERIOD) as usize;
    &pattern[from..from + len]
}

#[derive(Clone, Copy, Debug)]
struct Head {
    kind: u32,
    seed: u32,
    len: u64,
}

impl Head {
    fn encode(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&self.kind.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.seed.to_be_bytes());
        bytes[8..].copy_from_slice(&self.len.to_be_bytes());
        bytes
    }

    fn decode(bytes: [u8; 16]) -> Self {
        let word = |at: usize| {
            let word = bytes.get(at..at + 4).and_then(|word| word.try_into().ok());
            u32::from_be_bytes(word.expect("four bytes"))
        };
        Self {
            kind: word(0),
            seed: word(4),
            len: u64::from(word(8)) << 32 | u64::from(word(12)),
        }
    }
}

type Result<T = ()> = std::result::Result<T, String>;

fn at(done: u64, of: u64) -> impl Fn(std::io::Error) -> String {
    move |error| format!("at {done} of {of}: {error}")
}

async fn send(stream: &mut (impl futures_util::AsyncWrite + Unpin), seed: u32, len: u64) -> Result {
    let mut done = 0;
    while done < len {
        let count = (len - done).min(PIECE as u64);
        let bytes = pattern(seed, done, count as usize);
        stream.write_all(bytes).await.map_err(at(done, len))?;
        done += count;
    }
    Ok(())
}

/// Reads up to the end, in pieces of at most `piece` bytes, after each of which it rests unless `hurry`.
async fn expect(
    stream: &mut (impl futures_util::AsyncRead + Unpin),
    seed: u32,
    len: u64,
    slow: Option<&AtomicBool>,
) -> Result {
    let mut buffer = vec![0; PIECE];
    let mut done = 0;
    loop {
        let rests = slow.is_some_and(|hurry| !hurry.load(Ordering::Relaxed));
        let piece = if rests { 1 << 10 } else { PIECE };
        let read = stream.read(&mut buffer[..piece]).await;
        let count = read.map_err(at(done, len))?;
        if buffer[..count] != *pattern(seed, done, count) {
            return Err(format!("wrong bytes at {done} of {len}"));
        }
        if count == 0 {
            return if done == len {
                Ok(())
            } else {
                Err(format!("the end at {done} of {len}"))
            };
        }
        done += count as u64;
        if rests {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Sends and expects at once.
async fn exchange(stream: Stream, ours: u32, theirs: u32, len: u64) -> Result {
    let (mut reads, mut writes) = stream.split();
    let sends = async {
        send(&mut writes, ours, len).await?;
        writes.close().await.map_err(at(len, len))
    };
    let (sent, came) = tokio::join!(sends, expect(&mut reads, theirs, len, None));
    sent.and(came)
}

/// How it goes.
#[derive(Default)]
struct Tally {
    served: AtomicU64,
    /// Told of each that was served.
    news: tokio::sync::Notify,
    /// Streams that the other end gave up.
    left: AtomicU64,
    /// Streams that this end reset.
    reset: AtomicU64,
    /// How much was to be sent and expected by streams that this end opened.
    bytes: AtomicU64,
    failed: Mutex<Vec<String>>,
    /// All but the slow readers are done.
    hurry: AtomicBool,
}

impl Tally {
    fn note(&self, what: &str, result: Result) {
        if let Err(error) = result {
            let mut failed = self.failed.lock().expect("no panic");
            failed.push(format!("{what}: {error}"));
        }
    }
}

async fn open(opener: &Opener, head: Head, tally: &Tally) -> Result {
    let told = |error: std::io::Error| error.to_string();
    let mut stream = opener.open().await.map_err(|error| error.to_string())?;
    stream.write_all(&head.encode()).await.map_err(told)?;
    let Head { kind, seed, len } = head;
    match kind {
        TURNS => {
            send(&mut stream, seed, len).await?;
            stream.close().await.map_err(told)?;
            expect(&mut stream, seed + 1, len, None).await
        }
        BOTH => exchange(stream, seed, seed + 1, len).await,
        RESET => {
            send(&mut stream, seed, len / 2).await?;
            tally.reset.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
        DOWNLOAD => {
            let slow = Some(&tally.hurry);
            expect(&mut stream, seed, len, slow).await?;
            stream.close().await.map_err(told)
        }
        UPLOAD => {
            send(&mut stream, seed, len).await?;
            stream.close().await.map_err(told)?;
            expect(&mut stream, 0, 0, None).await
        }
        _ => unreachable!("not opened here"),
    }
}

async fn serve(mut stream: Stream, tally: &Tally) -> Result {
    let mut bytes = [0; 16];
    let read = stream.read_exact(&mut bytes).await;
    read.map_err(|error| error.to_string())?;
    let Head { kind, seed, len } = Head::decode(bytes);
    match kind {
        TURNS => {
            expect(&mut stream, seed, len, None).await?;
            send(&mut stream, seed + 1, len).await?;
            stream.close().await.map_err(at(len, len))
        }
        BOTH => exchange(stream, seed + 1, seed, len).await,
        LEAVE => {
            expect(&mut stream, 0, 0, None).await?;
            // It goes on until the other end loses patience, and that shows.
            loop {
                if let Err(error) = stream.write_all(b"anybody there?").await {
                    tally.left.fetch_add(1, Ordering::Relaxed);
                    let text = error.to_string();
                    return if text.contains("the peer reset") {
                        Ok(())
                    } else {
                        Err(text)
                    };
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        kind => Err(format!("a stream of kind {kind}")),
    }
}

async fn accept(mut incoming: Incoming, tally: Arc<Tally>) {
    while let Ok(stream) = poll_fn(|cx| incoming.poll_accept(cx)).await {
        let tally = Arc::clone(&tally);
        tokio::spawn(async move {
            let id = stream.id();
            let result = serve(stream, &tally).await;
            tally.note(&format!("served stream {id}"), result);
            tally.served.fetch_add(1, Ordering::Relaxed);
            tally.news.notify_one();
        });
    }
}

/// The streams of this end, as the other has its own.
async fn open_all(opener: &Opener, streams: u32, len: u64, tally: &Arc<Tally>) {
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    for number in 0..streams {
        let slot = Arc::clone(&slots).acquire_owned().await.expect("open");
        let (kind, len) = match number {
            n if n % 50 == 7 => (RESET, len),
            // As much as nine others, which have the half of theirs.
            n if n % 10 == 0 => (n / 10 % 2, 5 * len + len / 2),
            n => (n % 2, len / 2),
        };
        let head = Head {
            kind,
            seed: number,
            len,
        };
        let (opener, tally) = (opener.clone(), Arc::clone(tally));
        tokio::spawn(async move {
            let result = open(&opener, head, &tally).await;
            tally.note(&format!("opened stream for {head:?}"), result);
            tally.bytes.fetch_add(head.len, Ordering::Relaxed);
            drop(slot);
        });
    }
    let all = slots.acquire_many(AT_ONCE as u32).await;
    drop(all.expect("open"));
}

async fn report(opener: &Opener, served: u64) -> Value {
    let mut stream = opener.open().await.expect("opens");
    let head = Head {
        kind: REPORT,
        seed: 0,
        len: served,
    };
    stream.write_all(&head.encode()).await.expect("writes");
    let mut text = Vec::new();
    stream.read_to_end(&mut text).await.expect("reads");
    serde_json::from_slice(&text).expect("a report")
}

async fn soak(role: Role, runtime: SharedRuntime, program: &std::path::Path) {
    let mib = std::env::var("OUTBOARD_SOAK_MIB");
    let mib: u64 = mib.map_or(64, |mib| mib.parse().expect("a number of MiB"));
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("soak");
    let socket = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
    let local = Endpoint::Unix(path.clone());
    let mut listener = runtime.listener(socket.into(), local).expect("listens");
    let (streams, bytes) = (STREAMS / 2, mib << 19);
    let theirs = match role {
        Role::Client => "server",
        Role::Server => "client",
    };
    let mut command = Command::new(program);
    command.arg(theirs).arg(&path).stdin(Stdio::null());
    let mut peer = command
        .args([streams.to_string(), bytes.to_string()])
        .spawn()
        .expect("the peer starts");
    let io = poll_fn(|cx| listener.poll_accept(cx))
        .await
        .expect("it connects")
        .io;
    let began = Instant::now();
    let (opener, incoming, driver) = session(&runtime, io, Config::new(role));
    runtime.spawn(Box::pin(driver));
    let tally = Arc::new(Tally::default());
    tokio::spawn(accept(incoming, Arc::clone(&tally)));
    let slow = [DOWNLOAD, UPLOAD].map(|kind| {
        let (opener, tally) = (opener.clone(), Arc::clone(&tally));
        let head = Head {
            kind,
            seed: 5,
            len: SLOW,
        };
        tokio::spawn(async move {
            let result = open(&opener, head, &tally).await;
            tally.note("a slow stream", result);
        })
    });
    let len = bytes / u64::from(streams);
    open_all(&opener, streams, len, &tally).await;
    let waits = || tally.served.load(Ordering::Relaxed) < u64::from(streams);
    let mut closed = opener.closed();
    while waits() {
        tokio::select! {
            () = tally.news.notified() => {}
            _ = &mut closed => break,
        }
    }
    let took = began.elapsed();
    assert!(
        !slow[0].is_finished(),
        "the slow reader was as fast as the others"
    );
    tally.hurry.store(true, Ordering::Relaxed);
    for slow in slow {
        slow.await.expect("no panic");
    }
    let failed = std::mem::take(&mut *tally.failed.lock().expect("no panic"));
    assert!(
        failed.is_empty(),
        "{} failed: {:#?}",
        failed.len(),
        &failed[..failed.len().min(20)]
    );
    let resets = tally.reset.load(Ordering::Relaxed);
    let told = report(&opener, u64::from(streams) + 2).await;
    assert_eq!(told["failed"], Value::Null, "{told:#}");
    assert_eq!(told["opened"], streams, "{told:#}");
    assert_eq!(told["served"], streams + 2, "{told:#}");
    assert_eq!(told["resets"], resets, "{told:#}");
    let of_fifty = u64::from(streams).div_ceil(50);
    assert_eq!(
        (resets, tally.left.load(Ordering::Relaxed)),
        (of_fifty, of_fifty)
    );
    opener.close(SessionError::ended("enough"));
    let ended = tokio::task::spawn_blocking(move || peer.wait()).await;
    let ended = ended.expect("no panic").expect("it can be waited for");
    assert!(ended.success(), "{ended}");
    let each_way = tally.bytes.load(Ordering::Relaxed) * 2;
    eprintln!(
        "{role:?}: {STREAMS} streams, {} MiB each way in {took:.1?}: {:.0} MiB/s",
        each_way >> 20,
        each_way as f64 * 2.0 / took.as_secs_f64() / f64::from(1 << 20),
    );
}

fn run(role: Role, workers: usize) {
    let Some(peers) = go() else { return };
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(workers).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let soak = soak(role, Arc::new(Tokio::current()), &peers.yamux);
        let done = tokio::time::timeout(LIMIT, soak).await;
        done.expect("the soak hangs");
    });
}

#[test]
fn as_the_client() {
    run(Role::Client, 1);
}

#[test]
fn as_the_server() {
    run(Role::Server, 2);
}
