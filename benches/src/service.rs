//! The measured service on outboard.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use outboard::{Broker, Handshake, Served, Status, Streaming};

pub use self::generated::{
    Bench, BenchClient, BenchServer, Moment, Offered, Payload, Transfer, Work,
};

#[allow(missing_docs)] // The .proto file has them.
mod generated {
    outboard::include_proto!("bench");
}

/// The same as that of the Go peers.
pub const HANDSHAKE: Handshake = Handshake::new(1, "OUTBOARD_BENCH", "measured");

/// What the service is dispensed as.
pub const NAME: &str = "bench";

/// The plugin's side.
#[derive(Debug)]
pub struct Implementation {
    born: u64,
    /// What was offered last.
    offered: Mutex<Option<Served>>,
}

impl Implementation {
    /// That of a plugin whose main function began then.
    #[must_use]
    pub fn new(born: u64) -> Self {
        Self {
            born,
            offered: Mutex::default(),
        }
    }
}

impl Bench for Implementation {
    async fn echo(&self, request: Payload) -> Result<Payload, Status> {
        Ok(request)
    }

    async fn compute(&self, request: Work) -> Result<Payload, Status> {
        compute(request.micros);
        Ok(Payload::default())
    }

    async fn born(&self, _request: Payload) -> Result<Moment, Status> {
        Ok(Moment {
            monotonic_ns: self.born,
        })
    }

    async fn offer(&self, _request: Payload) -> Result<Offered, Status> {
        let failed = |error: outboard::BrokerError| Status::unavailable(error.to_string());
        let broker = Broker::current().map_err(failed)?;
        let served = broker.serve(BenchServer::new(Self::new(self.born)));
        let served = served.map_err(failed)?;
        let id = served.id();
        let mut offered = self.offered.lock().unwrap_or_else(PoisonError::into_inner);
        *offered = Some(served);
        Ok(Offered { id })
    }

    async fn download(&self, request: Transfer) -> Result<Streaming<Payload>, Status> {
        Ok(Streaming::iter(pieces(&request)?))
    }

    async fn upload(&self, mut requests: Streaming<Payload>) -> Result<Transfer, Status> {
        let mut bytes = 0;
        while let Some(piece) = requests.message().await? {
            bytes += piece.data.len() as u64;
        }
        Ok(Transfer { bytes, piece: 0 })
    }
}

/// Keeps the thread busy for so many microseconds.
pub fn compute(micros: u64) {
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_micros(micros) {
        std::hint::spin_loop();
    }
}

/// The messages of a stream, each in a fresh buffer, as a plugin that reads a file would have.
///
/// # Errors
/// If the pieces have no size.
pub fn pieces(transfer: &Transfer) -> Result<impl Iterator<Item = Payload> + use<>, Status> {
    let piece = usize::try_from(transfer.piece)
        .ok()
        .filter(|piece| *piece > 0);
    let piece = piece.ok_or_else(|| Status::invalid_argument("the piece must have a size"))?;
    let count = transfer.bytes.div_ceil(piece as u64);
    Ok((0..count).map(move |_| Payload {
        data: vec![0; piece],
    }))
}
