//! The floor: a blocking ping-pong without any protocol, over a unix socket or pipes.
//!
//! A message is its length in four bytes and its bytes, sent with one system call.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use serde_json::{Value, json};

use crate::Failure;
use crate::clock::monotonic_ns;
use crate::drive::{FIRST_CALL, Launch};
use crate::orders::{self, Order};

/// Takes orders as the host, over `wire`: `socket` or `pipe`. It never waits for anything but by
/// blocking.
///
/// # Errors
/// Those of stdin and stdout.
pub async fn host(wire: &str) -> Result<(), Failure> {
    let mut running: Option<Pair> = None;
    orders::serve(async |order| match order {
        Order::Start => {
            running = None;
            let (pair, _) = Pair::launch(wire)?;
            let plugin = running.insert(pair).child.id();
            Ok(json!({ "host": std::process::id(), "plugin": plugin }))
        }
        Order::Stop => {
            let begin = monotonic_ns();
            running = None;
            Ok(json!({ "shutdown": monotonic_ns() - begin }))
        }
        Order::Dispense(count) => {
            let mut launches = Vec::new();
            for _ in 0..count {
                let (pair, launch) = Pair::launch(wire)?;
                let begin = monotonic_ns();
                drop(pair);
                launches.push(json!({
                    "total": launch.total(),
                    "phases": launch.phases(),
                    "shutdown": monotonic_ns() - begin,
                }));
            }
            Ok(json!({ "launches": launches }))
        }
        Order::Unary { size, count } => {
            let pair = running.as_mut().ok_or("no plugin has been started")?;
            pair.unary(size, count)
        }
        Order::Load { .. }
        | Order::Download { .. }
        | Order::Upload { .. }
        | Order::Dial(_)
        | Order::Compute { .. }
        | Order::Plugins { .. } => Err(orders::unsupported(&order)),
    })
    .await
}

/// Echoes as the plugin, until the host is gone.
///
/// # Errors
/// Those of the socket or the pipes.
pub fn plugin(wire: &str) -> Result<(), Failure> {
    let born = monotonic_ns();
    if wire == "pipe" {
        println!("pipe|{born}");
        return echo(&mut std::io::stdin().lock(), &mut std::io::stdout().lock());
    }
    let path = std::env::temp_dir().join(format!("bench-floor-{}", std::process::id()));
    let listener = UnixListener::bind(&path)?;
    println!("{}|{born}", path.display());
    let (mut socket, _) = listener.accept()?;
    std::fs::remove_file(path)?;
    let mut writer = socket.try_clone()?;
    echo(&mut socket, &mut writer)
}

/// Sends back what comes, as soon as a message is whole.
fn echo(from: &mut impl Read, to: &mut impl Write) -> Result<(), Failure> {
    let mut buffer = Vec::new();
    while let Some(count) = receive(from, &mut buffer)? {
        to.write_all(buffer.get(..count).unwrap_or_default())?;
        to.flush()?;
    }
    Ok(())
}

/// Bytes of the length before each message.
const PREFIX: usize = 4;

/// Receives a message with its prefix; how long that is, or nothing at the end. Only what was asked
/// for is on its way, so no read gets too much.
fn receive(from: &mut impl Read, buffer: &mut Vec<u8>) -> Result<Option<usize>, Failure> {
    let mut got = 0;
    loop {
        if let Some(prefix) = buffer
            .get(..got)
            .and_then(|all| all.first_chunk::<PREFIX>())
        {
            let whole = PREFIX + u32::from_le_bytes(*prefix) as usize;
            if got >= whole {
                return Ok(Some(got));
            }
            if buffer.len() < whole {
                buffer.resize(whole, 0);
            }
        } else if buffer.len() < 4096 {
            buffer.resize(4096, 0);
        }
        match from.read(buffer.get_mut(got..).unwrap_or_default())? {
            0 => return Ok(None),
            count => got += count,
        }
    }
}

/// A plugin's process and the way to it. Dropping it ends the process.
struct Pair {
    child: Child,
    reader: Option<Box<dyn Read>>,
    writer: Option<Box<dyn Write>>,
    out: Vec<u8>,
    buffer: Vec<u8>,
}

impl Pair {
    fn launch(wire: &str) -> Result<(Self, Launch), Failure> {
        let begin = monotonic_ns();
        let mut child = Command::new(std::env::current_exe()?)
            .args(["plugin", wire])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdin = child.stdin.take().ok_or("no stdin")?;
        // Nothing follows the line before the host has asked, so this takes nothing too much.
        let mut stdout = BufReader::new(child.stdout.take().ok_or("no stdout")?);
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        let read = monotonic_ns();
        let (place, born) = line.trim_end().split_once('|').ok_or("no line")?;
        let main = born.parse()?;
        let (reader, writer): (Box<dyn Read>, Box<dyn Write>) = if wire == "pipe" {
            (Box::new(stdout.into_inner()), Box::new(stdin))
        } else {
            let socket = UnixStream::connect(place)?;
            (Box::new(socket.try_clone()?), Box::new(socket))
        };
        let connected = monotonic_ns();
        let mut pair = Self {
            child,
            reader: Some(reader),
            writer: Some(writer),
            out: Vec::new(),
            buffer: Vec::new(),
        };
        pair.call(FIRST_CALL)?;
        let launch = Launch {
            begin,
            main,
            line: read,
            connected,
            dispensed: connected,
            end: monotonic_ns(),
        };
        Ok((pair, launch))
    }

    fn call(&mut self, size: usize) -> Result<(), Failure> {
        self.out.clear();
        self.out.extend(u32::try_from(size)?.to_le_bytes());
        self.out.resize(PREFIX + size, 0);
        let (Some(reader), Some(writer)) = (&mut self.reader, &mut self.writer) else {
            return Err("the plugin has ended".into());
        };
        writer.write_all(&self.out)?;
        match receive(reader, &mut self.buffer)? {
            Some(got) if got == self.out.len() => Ok(()),
            other => Err(format!("a strange echo: {other:?}").into()),
        }
    }

    fn unary(&mut self, size: usize, count: usize) -> Result<Value, Failure> {
        let mut samples = Vec::with_capacity(count);
        let begin = Instant::now();
        let mut last = begin;
        for _ in 0..count {
            self.call(size)?;
            let now = Instant::now();
            samples.push(u64::try_from((now - last).as_nanos())?);
            last = now;
        }
        let ns = u64::try_from((last - begin).as_nanos())?;
        Ok(json!({ "samples": samples, "ns": ns }))
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        // The plugin ends when its input does.
        self.writer = None;
        self.reader = None;
        let _ended = self.child.wait();
    }
}
