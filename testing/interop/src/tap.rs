//! Listening in on the one connection of a multiplexed plugin: a program between host and plugin that
//! notes what passes, and what a note tells.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use outboard::prost::Message as _;
use outboard_core::wire::plugin::ConnInfo;
use outboard_kit::h2_frames::{DATA, HEAD, PREFACE};

/// How long the head of a yamux frame is.
const YAMUX_HEAD: usize = 12;

/// Launches a plugin, has its host connect to a socket of its own instead, and notes in `record` what
/// passes between them. Ends as the plugin does.
///
/// # Errors
/// If the plugin prints no line with a unix socket, or the system refuses something.
pub fn run(record: &Path, program: &str, arguments: &[String]) -> io::Result<ExitCode> {
    let mut plugin = Command::new(program)
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()?;
    let stdout = plugin.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let mut stdout = BufReader::new(stdout);
    let mut line = String::new();
    let _length = stdout.read_line(&mut line)?;
    let mut fields: Vec<&str> = line.split('|').collect();
    let of_plugin = PathBuf::from(*fields.get(3).ok_or(io::ErrorKind::InvalidData)?);
    let own = of_plugin.with_extension("tap");
    let shown = own.to_string_lossy().into_owned();
    if let Some(address) = fields.get_mut(3) {
        *address = &shown;
    }
    let listener = UnixListener::bind(&own)?;
    let record = Arc::new(Mutex::new(File::create(record)?));
    thread::spawn(move || -> io::Result<()> {
        for connection in 0_u32.. {
            let (host, _) = listener.accept()?;
            let plugin = UnixStream::connect(&of_plugin)?;
            relay(connection, '>', &host, &plugin, &record)?;
            relay(connection, '<', &plugin, &host, &record)?;
        }
        Ok(())
    });
    print!("{}", fields.join("|"));
    io::stdout().flush()?;
    thread::spawn(move || io::copy(&mut stdout, &mut io::stdout()));
    let ended = plugin.wait()?;
    std::fs::remove_file(own)?;
    let code = ended.code().and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(code.unwrap_or(1)))
}

/// Passes on what comes one way, and notes it before that: nothing is noted before what it answers.
fn relay(
    connection: u32,
    way: char,
    from: &UnixStream,
    to: &UnixStream,
    record: &Arc<Mutex<File>>,
) -> io::Result<()> {
    let (mut from, mut to) = (from.try_clone()?, to.try_clone()?);
    let record = Arc::clone(record);
    thread::spawn(move || -> io::Result<()> {
        let mut buffer = [0; 16 << 10];
        loop {
            let length = from.read(&mut buffer)?;
            let Some(bytes) = buffer.get(..length).filter(|_| length > 0) else {
                return to.shutdown(std::net::Shutdown::Write);
            };
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            let mut record = record.lock().unwrap_or_else(PoisonError::into_inner);
            writeln!(record, "{connection} {way} {hex}")?;
            drop(record);
            to.write_all(bytes)?;
        }
    });
    Ok(())
}

/// What passed between host and plugin.
#[derive(Debug, Default)]
pub struct Tapped {
    /// How many connections there were.
    pub connections: u32,
    /// In their order.
    pub events: Vec<Tap>,
}

/// Something that one side did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tap {
    /// By the host, and not the plugin.
    pub by_host: bool,
    /// What it was.
    pub did: Did,
}

/// What a side did in the session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Did {
    /// It opened this stream.
    Open(u32),
    /// It took this stream.
    Take(u32),
    /// This was the first that it wrote to this stream.
    Begin(u32, Vec<u8>),
    /// It dialled this id. Seen without TLS.
    Knock(u32),
    /// It said that it serves this id. Seen without TLS.
    Acknowledge(u32),
}

/// What came one way and has yet to be read.
#[derive(Default)]
struct Way {
    session: Vec<u8>,
    /// What is left of a frame's payload, and of which stream.
    payload: (u32, usize),
    begun: Vec<u32>,
    first: Vec<u8>,
}

impl Tapped {
    /// Reads what [`run`] has noted.
    ///
    /// # Panics
    /// If that is nothing that could have passed.
    #[must_use]
    pub fn read(record: &Path) -> Self {
        let text = std::fs::read_to_string(record).expect("a record");
        let mut tapped = Self::default();
        let mut ways = [Way::default(), Way::default()];
        for line in text.lines() {
            let parts: Vec<&str> = line.split(' ').collect();
            let [connection, way, hex] = parts[..] else {
                panic!("no record: {line}")
            };
            let connection: u32 = connection.parse().expect("a number");
            tapped.connections = tapped.connections.max(connection + 1);
            let by_host = way == ">";
            let bytes = hex.as_bytes().chunks(2);
            let bytes = bytes.map(|pair| std::str::from_utf8(pair).expect("hex"));
            let bytes = bytes.map(|pair| u8::from_str_radix(pair, 16).expect("hex"));
            let way = &mut ways[usize::from(by_host)];
            way.session.extend(bytes);
            way.read(&mut |did| tapped.events.push(Tap { by_host, did }));
        }
        tapped
    }

    /// Whether each stream but the first was opened as go-plugin asks for it: by who has dialled, with
    /// odd numbers for the host and even ones for the plugin, one after another, and once the other
    /// side had said that it serves the id. Without TLS all of that is to be seen; with it, that each
    /// stream begins with it.
    ///
    /// # Panics
    /// If not, or if `dials` streams are not what there was on each side.
    pub fn assert_dialled(&self, dials: usize, tls: bool) {
        assert_eq!(self.connections, 1, "everything in one connection");
        for by_host in [true, false] {
            let mut next = if by_host { 1 } else { 2 };
            let (mut knocked, mut acknowledged) = (None, None);
            let mut opened = 0;
            for Tap { by_host: by, did } in &self.events {
                match did {
                    Did::Knock(id) if *by == by_host => {
                        assert_eq!(knocked.replace(*id), None, "one after another: {self}");
                    }
                    Did::Acknowledge(id) if *by != by_host => {
                        assert_eq!(knocked, Some(*id), "asked for: {self}");
                        acknowledged = Some(*id);
                    }
                    Did::Open(stream) if *by == by_host => {
                        assert_eq!(*stream, next, "{self}");
                        next += 2;
                        if *stream == 1 {
                            continue;
                        }
                        opened += 1;
                        if !tls {
                            assert!(acknowledged.is_some(), "{stream}: {self}");
                            assert_eq!(knocked.take(), acknowledged.take(), "{self}");
                        }
                    }
                    Did::Begin(stream, first) if *by == by_host => {
                        let dialler = (stream % 2 == 1) == by_host;
                        let handshake = first.starts_with(&[22, 3]);
                        let preface = dialler && first.starts_with(&PREFACE[..first.len()]);
                        assert_eq!(handshake, tls, "{stream}: {self}");
                        assert!(tls || !dialler || preface, "{stream}: {self}");
                    }
                    _ => {}
                }
            }
            assert_eq!(opened, dials, "by the host: {by_host}: {self}");
        }
    }

    /// Whether no side dialled before the other had taken the stream of its last dial.
    #[must_use]
    pub fn waits_until_taken(&self, by_host: bool) -> bool {
        let mut open = None;
        self.events.iter().all(|Tap { by_host: by, did }| {
            match did {
                Did::Open(stream) if *by == by_host => open = Some(*stream),
                Did::Take(stream) if *by != by_host && open == Some(*stream) => open = None,
                Did::Knock(_) if *by == by_host => return open.is_none(),
                _ => {}
            }
            true
        })
    }
}

/// A line for each of what the sides did, the host's with `>`.
impl fmt::Display for Tapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Tap { by_host, did } in &self.events {
            let by = if *by_host { '>' } else { '<' };
            match did {
                Did::Begin(stream, first) => {
                    writeln!(f, "{by} Begin({stream}, {})", first.escape_ascii())?;
                }
                did => writeln!(f, "{by} {did:?}")?,
            }
        }
        Ok(())
    }
}

impl Way {
    fn read(&mut self, tell: &mut impl FnMut(Did)) {
        loop {
            let (stream, left) = self.payload;
            if left > 0 {
                let length = left.min(self.session.len());
                let bytes: Vec<u8> = self.session.drain(..length).collect();
                self.payload.1 -= length;
                self.data(stream, &bytes, tell);
                if self.payload.1 > 0 {
                    return;
                }
                continue;
            }
            let Some(head) = self.session.get(..YAMUX_HEAD) else {
                return;
            };
            let number = |at: usize| u32::from_be_bytes(head[at..at + 4].try_into().expect("four"));
            let (kind, flags, stream, length) = (head[1], head[3], number(4), number(8));
            assert_eq!(head[0], 0, "yamux has one version");
            self.session.drain(..YAMUX_HEAD);
            if kind <= 1 && flags & 1 != 0 {
                tell(Did::Open(stream));
            }
            if kind <= 1 && flags & 2 != 0 {
                tell(Did::Take(stream));
            }
            if kind == 0 {
                self.payload = (stream, length as usize);
            }
        }
    }

    /// Bytes of a stream.
    fn data(&mut self, stream: u32, bytes: &[u8], tell: &mut impl FnMut(Did)) {
        if !self.begun.contains(&stream) && !bytes.is_empty() {
            self.begun.push(stream);
            let length = bytes.len().min(PREFACE.len());
            tell(Did::Begin(stream, bytes[..length].to_vec()));
        }
        if stream != 1 {
            return;
        }
        self.first.extend_from_slice(bytes);
        if self.first.starts_with(PREFACE) {
            self.first.drain(..PREFACE.len());
        }
        while let Some(head) = self.first.get(..HEAD) {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let kind = head[3];
            let Some(payload) = self.first.get(HEAD..HEAD + length) else {
                return;
            };
            if kind == DATA {
                messages(payload, tell);
            }
            self.first.drain(..HEAD + length);
        }
    }
}

/// The knocks among the messages of gRPC; all others have no such field.
fn messages(mut payload: &[u8], tell: &mut impl FnMut(Did)) {
    while let Some((head, rest)) = payload.split_at_checked(5) {
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let Some((message, rest)) = rest.split_at_checked(length) else {
            return;
        };
        payload = rest;
        let Ok(message) = ConnInfo::decode(message) else {
            continue;
        };
        match message.knock {
            Some(knock) if knock.knock && knock.ack => tell(Did::Acknowledge(message.service_id)),
            Some(knock) if knock.knock => tell(Did::Knock(message.service_id)),
            _ => {}
        }
    }
}
