//! One connection's TLS without its IO: bytes of the peer in, plaintext out, and the reverse.

mod buffer;

use std::io::IoSlice;

use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, UnbufferedStatus, WriteTraffic,
};
use rustls::{CommonState, Error, InvalidMessage};

use self::buffer::{Buffer, Plain};
use crate::TlsError;

/// What one record carries at most.
const RECORD: usize = 16 * 1024;
/// Above what any cipher adds to a record.
const OVERHEAD: usize = 128;
/// What is encrypted at once: a gRPC message of 64 KiB in its frames, and some.
const AT_ONCE: usize = 6 * RECORD;
/// The most that is read and not understood yet: handshake messages have up to 64 KiB.
const INPUT: usize = 80 * 1024;
/// How much of what is no TLS an error shows.
const SHOWN: usize = 16;

pub(crate) enum Connection {
    Client(UnbufferedClientConnection),
    Server(UnbufferedServerConnection),
}

impl Connection {
    fn common(&self) -> &CommonState {
        match self {
            Self::Client(client) => client,
            Self::Server(server) => server,
        }
    }
}

/// What rustls is run for.
#[derive(Clone, Copy)]
enum Want<'a> {
    /// To go on with what has come.
    Progress,
    Encrypt(&'a [u8]),
    Close,
}

/// How a run ended.
enum Ran {
    /// Nothing is left to do before more comes.
    Blocked,
    /// What was wanted is done, or the plaintext asked for is there.
    Done,
    /// Neither side sends any more.
    Closed,
}

enum Step {
    Again,
    PeerClosed,
    End(Ran),
}

pub(crate) struct Session {
    connection: Connection,
    alpn: Option<&'static str>,
    /// What came and is not understood yet.
    pub(crate) input: Buffer,
    /// What waits to be written.
    pub(crate) output: Buffer,
    /// Plaintext that the reader had no room for.
    plain: Plain,
    /// Small pieces of a vectored write on their way to being one record.
    staged: Vec<u8>,
    peer_closed: bool,
    closed: bool,
    failed: Option<TlsError>,
    /// For an error's text.
    beginning: Vec<u8>,
    received: u64,
}

impl Session {
    pub(crate) fn new(connection: Connection, alpn: Option<&'static str>) -> Self {
        Self {
            connection,
            alpn,
            input: Buffer::new(INPUT),
            output: Buffer::new(usize::MAX),
            plain: Plain::default(),
            staged: Vec::new(),
            peer_closed: false,
            closed: false,
            failed: None,
            beginning: Vec::new(),
            received: 0,
        }
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.connection.common().is_handshaking()
    }

    pub(crate) fn peer_has_closed(&self) -> bool {
        self.peer_closed
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(crate) fn failure(&self) -> Option<&TlsError> {
        self.failed.as_ref()
    }

    /// Takes note that `count` bytes have been read into the input's room.
    pub(crate) fn received(&mut self, count: usize) {
        self.input.fill(count);
        self.received += count as u64;
        if self.beginning.len() < SHOWN {
            let new = &self.input.filled()[self.input.len() - count..];
            let room = SHOWN - self.beginning.len();
            self.beginning.extend(new.iter().take(room));
        }
    }

    /// Takes note that the connection has ended, and says what that means.
    pub(crate) fn ended(&mut self) -> TlsError {
        let error = if self.is_handshaking() {
            TlsError::Ended {
                received: self.received,
            }
        } else {
            TlsError::Truncated
        };
        self.failed.get_or_insert(error).clone()
    }

    /// Goes on with the handshake. Check [`Session::is_handshaking`], and write the output, after it.
    pub(crate) fn advance(&mut self) -> Result<(), TlsError> {
        self.run(Want::Progress, &mut [], &mut 0)?;
        if self.is_handshaking() && !self.input.has_room() {
            return Err(self.fail(TlsError::TooLong { most: INPUT }));
        }
        Ok(())
    }

    /// Whether the protocol was agreed on that is required.
    pub(crate) fn check_protocol(&mut self) -> Result<(), TlsError> {
        let Some(expected) = self.alpn else {
            return Ok(());
        };
        let found = match self.connection.common().alpn_protocol() {
            Some(agreed) if agreed == expected.as_bytes() => return Ok(()),
            Some(other) => format!("{:?}", String::from_utf8_lossy(other)),
            None => "none".to_owned(),
        };
        // Nobody has written yet, so that this says all there is to say.
        let _ = self.close();
        Err(self.fail(TlsError::NoProtocol { expected, found }))
    }

    /// Moves plaintext into `into`. Zero means that more input is needed, or none comes any more.
    pub(crate) fn read(&mut self, into: &mut [u8]) -> Result<usize, TlsError> {
        let mut filled = self.plain.take(into);
        if filled == into.len() {
            return Ok(filled);
        }
        let before = filled;
        match self.run(Want::Progress, into, &mut filled) {
            Ok(_) => Ok(filled),
            // What came before the fault is told first; the fault stays.
            Err(_) if filled > before => Ok(filled),
            Err(_) if before > 0 => Ok(before),
            Err(error) => Err(error),
        }
    }

    /// Encrypts the beginning of `pieces` into the output and says how much that is.
    pub(crate) fn write(&mut self, pieces: &[IoSlice<'_>]) -> Result<usize, TlsError> {
        let mut staged = std::mem::take(&mut self.staged);
        let result = self.encrypt_all(pieces, &mut staged);
        staged.clear();
        self.staged = staged;
        result
    }

    fn encrypt_all(
        &mut self,
        pieces: &[IoSlice<'_>],
        staged: &mut Vec<u8>,
    ) -> Result<usize, TlsError> {
        let mut left = AT_ONCE;
        for (index, piece) in pieces.iter().enumerate() {
            let mut rest = &piece[..piece.len().min(left)];
            left -= rest.len();
            let last = left == 0 || index + 1 == pieces.len();
            while !rest.is_empty() {
                // Whole records, and whatever nothing follows, go without a copy.
                let direct = match staged.is_empty() {
                    true if last => rest.len(),
                    true => rest.len() - rest.len() % RECORD,
                    false => 0,
                };
                if direct > 0 {
                    self.encrypt(&rest[..direct])?;
                    rest = &rest[direct..];
                    continue;
                }
                let (now, more) = rest.split_at(rest.len().min(RECORD - staged.len()));
                staged.extend_from_slice(now);
                rest = more;
                if staged.len() == RECORD {
                    self.encrypt(staged)?;
                    staged.clear();
                }
            }
            if left == 0 {
                break;
            }
        }
        if !staged.is_empty() {
            self.encrypt(staged)?;
        }
        Ok(AT_ONCE - left)
    }

    fn encrypt(&mut self, data: &[u8]) -> Result<(), TlsError> {
        let records = data.len().div_ceil(RECORD);
        self.output.reserve(data.len() + records * OVERHEAD);
        match self.run(Want::Encrypt(data), &mut [], &mut 0)? {
            Ran::Done => Ok(()),
            Ran::Blocked | Ran::Closed => Err(self.fail(TlsError::Other(Error::EncryptError))),
        }
    }

    /// Says to the peer that nothing more is written, once.
    pub(crate) fn close(&mut self) -> Result<(), TlsError> {
        if !self.closed {
            self.closed = true;
            if !self.is_handshaking() {
                self.run(Want::Close, &mut [], &mut 0)?;
            }
        }
        Ok(())
    }

    fn run(
        &mut self,
        want: Want<'_>,
        into: &mut [u8],
        filled: &mut usize,
    ) -> Result<Ran, TlsError> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        loop {
            match self.turn(want, into, filled) {
                Ok(Step::Again) => {}
                Ok(Step::PeerClosed) => self.peer_closed = true,
                Ok(Step::End(ran)) => return Ok(ran),
                Err(error) => {
                    let error = self.explain(error);
                    self.collect_alert();
                    return Err(self.fail(error));
                }
            }
        }
    }

    fn turn(&mut self, want: Want<'_>, into: &mut [u8], filled: &mut usize) -> Result<Step, Error> {
        let input = self.input.filled_mut();
        let (output, plain) = (&mut self.output, &mut self.plain);
        let (discard, turn) = match &mut self.connection {
            Connection::Client(client) => {
                let status = client.process_tls_records(input);
                handle(status, want, into, filled, output, plain)
            }
            Connection::Server(server) => {
                let status = server.process_tls_records(input);
                handle(status, want, into, filled, output, plain)
            }
        };
        self.input.consume(discard);
        turn
    }

    /// rustls has an alert for the peer after most faults; it goes out with the next write.
    fn collect_alert(&mut self) {
        // While it has something to say it looks at no input, in which it would find the same fault
        // again, and it takes that for a mistake of its own.
        while self.connection.common().wants_write() {
            if !matches!(self.turn(Want::Progress, &mut [], &mut 0), Ok(Step::Again)) {
                break;
            }
        }
    }

    fn explain(&self, error: Error) -> TlsError {
        let no_tls = !matches!(self.beginning.as_slice(), [20..=23, 3, ..]);
        match error {
            Error::InvalidMessage(
                InvalidMessage::InvalidContentType
                | InvalidMessage::UnknownProtocolVersion
                | InvalidMessage::MessageTooLarge
                | InvalidMessage::InvalidEmptyPayload,
            ) if no_tls && self.is_handshaking() => TlsError::NotTls {
                found: format!("\"{}\"", self.beginning.escape_ascii()),
            },
            error => TlsError::from_rustls(error, self.alpn),
        }
    }

    fn fail(&mut self, error: TlsError) -> TlsError {
        self.failed.get_or_insert(error).clone()
    }
}

/// Does what one state asks for. The first number is how much of the input is done with.
fn handle<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    want: Want<'_>,
    into: &mut [u8],
    filled: &mut usize,
    output: &mut Buffer,
    plain: &mut Plain,
) -> (usize, Result<Step, Error>) {
    let UnbufferedStatus { mut discard, state } = status;
    let turn = match state {
        Err(error) => Err(error),
        Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
            let Some(record) = traffic.next_record() else {
                // A reader with its room full needs no more, and what it has no room for would have
                // to be copied twice.
                break Ok(if !into.is_empty() && *filled == into.len() {
                    Step::End(Ran::Done)
                } else {
                    Step::Again
                });
            };
            match record {
                Ok(record) => {
                    discard += record.discard;
                    let room = &mut into[*filled..];
                    let (now, later) = record
                        .payload
                        .split_at(record.payload.len().min(room.len()));
                    room[..now.len()].copy_from_slice(now);
                    *filled += now.len();
                    plain.push(later);
                }
                Err(error) => break Err(error),
            }
        },
        Ok(ConnectionState::EncodeTlsData(mut data)) => loop {
            match data.encode(output.room_mut()) {
                Ok(count) => {
                    output.fill(count);
                    break Ok(Step::Again);
                }
                Err(EncodeError::InsufficientSize(short)) => output.reserve(short.required_size),
                Err(EncodeError::AlreadyEncoded) => break Err(Error::EncryptError),
            }
        },
        // It is in the output, which is written in order.
        Ok(ConnectionState::TransmitTlsData(data)) => {
            data.done();
            Ok(Step::Again)
        }
        Ok(ConnectionState::PeerClosed) => Ok(Step::PeerClosed),
        Ok(ConnectionState::Closed) => Ok(Step::End(Ran::Closed)),
        Ok(ConnectionState::BlockedHandshake) => Ok(Step::End(Ran::Blocked)),
        Ok(ConnectionState::WriteTraffic(mut traffic)) => match want {
            Want::Progress => Ok(Step::End(Ran::Blocked)),
            Want::Encrypt(data) => put(&mut traffic, output, |traffic, room| {
                traffic.encrypt(data, room)
            }),
            Want::Close => put(&mut traffic, output, |traffic, room| {
                traffic.queue_close_notify(room)
            }),
        },
        // Early data is not asked for, and states yet to come are not known.
        Ok(_) => Err(Error::General("unexpected state".to_owned())),
    };
    (discard, turn)
}

fn put<Data>(
    traffic: &mut WriteTraffic<'_, Data>,
    output: &mut Buffer,
    mut how: impl FnMut(&mut WriteTraffic<'_, Data>, &mut [u8]) -> Result<usize, EncryptError>,
) -> Result<Step, Error> {
    loop {
        match how(traffic, output.room_mut()) {
            Ok(count) => {
                output.fill(count);
                return Ok(Step::End(Ran::Done));
            }
            Err(EncryptError::InsufficientSize(short)) => output.reserve(short.required_size),
            Err(EncryptError::EncryptExhausted) => return Err(Error::EncryptError),
        }
    }
}
