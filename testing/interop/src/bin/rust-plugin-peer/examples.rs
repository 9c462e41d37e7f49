//! The services of go-plugin's examples.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::sync::{Mutex, PoisonError};

use outboard::{Broker, Status, Streaming};
use outboard_interop::proto::examples::{
    AddHelper, AddHelperClient, Counter, CounterGetRequest, CounterGetResponse, CounterPutRequest,
    CounterPutResponse, Empty, GetRequest, GetResponse, Kv, PutRequest, StreamerService,
    SumRequest, SumResponse, configure, read, write,
};

/// Stores each value in a file `kv_<key>` of the working directory.
pub(crate) struct Files {
    /// Added below a stored value.
    on_put: String,
    /// Added below a returned value.
    on_get: String,
}

impl Files {
    /// The plain store.
    pub(crate) fn plain() -> Self {
        Self {
            on_put: "\n\nWritten from plugin-rust".to_owned(),
            on_get: String::new(),
        }
    }

    /// The store of one version, told apart by what it adds to the values.
    pub(crate) fn of_version(version: u32) -> Self {
        Self {
            on_put: format!("\n\nWritten from plugin version {version}\n"),
            on_get: format!("\nRead by plugin version {version}\n"),
        }
    }
}

impl Kv for Files {
    async fn get(&self, request: GetRequest) -> Result<GetResponse, Status> {
        let mut value = fs::read(file(&request.key)).map_err(unknown)?;
        value.extend_from_slice(self.on_get.as_bytes());
        Ok(GetResponse { value })
    }

    async fn put(&self, request: PutRequest) -> Result<Empty, Status> {
        let mut value = request.value;
        value.extend_from_slice(self.on_put.as_bytes());
        fs::write(file(&request.key), value).map_err(unknown)?;
        Ok(Empty {})
    }
}

/// One sum per key, as JSON in a file `kv_<key>`, added up by the host.
pub(crate) struct Sums;

impl Counter for Sums {
    async fn get(&self, request: CounterGetRequest) -> Result<CounterGetResponse, Status> {
        Ok(CounterGetResponse {
            value: load(&request.key)?,
        })
    }

    async fn put(&self, request: CounterPutRequest) -> Result<CounterPutResponse, Status> {
        let sum = dial_sum(request.add_server, load(&request.key)?, request.value).await?;
        fs::write(file(&request.key), format!("{{\"Value\":{sum}}}")).map_err(unknown)?;
        Ok(CounterPutResponse {})
    }
}

/// Has the AddHelper that the host serves under a broker id add.
pub(crate) async fn dial_sum(id: u32, a: i64, b: i64) -> Result<i64, Status> {
    let helper: AddHelperClient = Broker::current()?.dial(id).await?;
    Ok(helper.sum(SumRequest { a, b }).await?.r)
}

/// Adds two numbers.
pub(crate) struct Adder;

impl AddHelper for Adder {
    async fn sum(&self, request: SumRequest) -> Result<SumResponse, Status> {
        Ok(SumResponse {
            r: request.a.wrapping_add(request.b),
        })
    }
}

/// The file that the host has chosen, and the size of the pieces it is read in.
#[derive(Default)]
pub(crate) struct Streamer(Mutex<(String, usize)>);

impl Streamer {
    fn chosen(&self) -> (String, usize) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl StreamerService for Streamer {
    async fn configure(&self, request: configure::Request) -> Result<configure::Response, Status> {
        let size = usize::try_from(request.chunk_size)
            .ok()
            .filter(|size| *size > 0)
            .ok_or_else(|| Status::invalid_argument("chunk_size must be at least 1"))?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (request.path, size);
        Ok(configure::Response {})
    }

    async fn read(
        &self,
        _request: read::Request,
    ) -> Result<Streaming<read::ResponseChunk>, Status> {
        let (path, size) = self.chosen();
        let mut file = File::open(path).map_err(unknown)?;
        Ok(Streaming::try_iter(std::iter::from_fn(move || {
            let mut read_bytes = Vec::new();
            // Whole pieces, however little a single read gives.
            match (&mut file).take(size as u64).read_to_end(&mut read_bytes) {
                Ok(0) => None,
                Ok(_) => Some(Ok(read::ResponseChunk { read_bytes })),
                Err(error) => Some(Err(unknown(error))),
            }
        })))
    }

    async fn write(
        &self,
        mut requests: Streaming<write::RequestChunk>,
    ) -> Result<write::Response, Status> {
        let mut file = File::create(self.chosen().0).map_err(unknown)?;
        while let Some(chunk) = requests.message().await? {
            file.write_all(&chunk.bytes_to_write).map_err(unknown)?;
        }
        Ok(write::Response {})
    }
}

fn load(key: &str) -> Result<i64, Status> {
    let text = match fs::read(file(key)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(unknown(error)),
    };
    serde_json::from_slice::<serde_json::Value>(&text)
        .ok()
        .and_then(|stored| stored["Value"].as_i64())
        .ok_or_else(|| Status::data_loss(format!("no number in the file of {key}")))
}

fn file(key: &str) -> String {
    format!("kv_{key}")
}

/// The status that grpc-go makes of an error that is none.
fn unknown(error: io::Error) -> Status {
    Status::unknown(error.to_string())
}
