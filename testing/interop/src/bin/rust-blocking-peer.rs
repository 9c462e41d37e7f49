//! A plugin built on outboard's blocking API: go-plugin's examples with the arguments of
//! `go-plugin-peer`, `kv`, `counter` and `streamer`.

#[cfg(unix)]
fn main() {
    unix::main();
}

/// The tests that use it run on unix only.
#[cfg(not(unix))]
fn main() {}

#[cfg(unix)]
mod unix {
    use std::fs::{self, File};
    use std::io::{self, Read as _, Write as _};
    use std::sync::{Mutex, PoisonError};

    use outboard::blocking::{Broker, Plugin, Streaming};
    use outboard::{Handshake, Status};
    use outboard_interop::proto::examples::{
        AddHelperBlocking as _, AddHelperBlockingClient, CounterBlocking, CounterBlockingServer,
        CounterGetRequest, CounterGetResponse, CounterPutRequest, CounterPutResponse, Empty,
        GetRequest, GetResponse, KvBlocking, KvBlockingServer, PutRequest, StreamerServiceBlocking,
        StreamerServiceBlockingServer, SumRequest, configure, read, write,
    };

    const HANDSHAKE: Handshake = Handshake::new(1, "BASIC_PLUGIN", "hello");

    pub(super) fn main() {
        let plugin = Plugin::new(HANDSHAKE);
        let mode = std::env::args().nth(1).unwrap_or_default();
        let plugin = match mode.as_str() {
            "kv" => plugin.provide("kv", KvBlockingServer::new(Files)),
            "counter" => plugin.provide("counter", CounterBlockingServer::new(Sums)),
            "streamer" => {
                let service = StreamerServiceBlockingServer::new(Streamer::default());
                plugin.provide("streamer", service)
            }
            mode => panic!("unknown mode {mode:?}"),
        };
        plugin.serve_or_exit();
    }

    /// Stores each value in a file of the working directory.
    struct Files;

    impl KvBlocking for Files {
        fn get(&self, request: GetRequest) -> Result<GetResponse, Status> {
            let value = fs::read(file(&request.key)).map_err(unknown)?;
            Ok(GetResponse { value })
        }

        fn put(&self, request: PutRequest) -> Result<Empty, Status> {
            let mut value = request.value;
            value.extend_from_slice(b"\n\nWritten from plugin-rust-blocking");
            fs::write(file(&request.key), value).map_err(unknown)?;
            Ok(Empty {})
        }
    }

    /// One sum per key, added up by the host.
    struct Sums;

    impl CounterBlocking for Sums {
        fn get(&self, request: CounterGetRequest) -> Result<CounterGetResponse, Status> {
            let value = load(&request.key)?;
            Ok(CounterGetResponse { value })
        }

        fn put(&self, request: CounterPutRequest) -> Result<CounterPutResponse, Status> {
            let helper: AddHelperBlockingClient = Broker::current()?.dial(request.add_server)?;
            let (a, b) = (load(&request.key)?, request.value);
            let sum = helper.sum(SumRequest { a, b })?.r;
            fs::write(file(&request.key), sum.to_string()).map_err(unknown)?;
            Ok(CounterPutResponse {})
        }
    }

    fn load(key: &str) -> Result<i64, Status> {
        match fs::read_to_string(file(key)) {
            Ok(text) => text
                .parse()
                .map_err(|_| Status::data_loss(format!("no number in the file of {key}"))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(unknown(error)),
        }
    }

    /// The file that the host has chosen, and the size of the pieces it is read in.
    #[derive(Default)]
    struct Streamer(Mutex<(String, usize)>);

    impl Streamer {
        fn chosen(&self) -> (String, usize) {
            let chosen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            chosen.clone()
        }
    }

    impl StreamerServiceBlocking for Streamer {
        fn configure(&self, request: configure::Request) -> Result<configure::Response, Status> {
            let size = usize::try_from(request.chunk_size)
                .ok()
                .filter(|size| *size > 0)
                .ok_or_else(|| Status::invalid_argument("chunk_size must be at least 1"))?;
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (request.path, size);
            Ok(configure::Response {})
        }

        fn read(&self, _request: read::Request) -> Result<Streaming<read::ResponseChunk>, Status> {
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

        fn write(
            &self,
            requests: Streaming<write::RequestChunk>,
        ) -> Result<write::Response, Status> {
            let mut file = File::create(self.chosen().0).map_err(unknown)?;
            for chunk in requests {
                file.write_all(&chunk?.bytes_to_write).map_err(unknown)?;
            }
            Ok(write::Response {})
        }
    }

    fn file(key: &str) -> String {
        format!("kv_{key}")
    }

    /// The status that grpc-go makes of an error that is none.
    fn unknown(error: io::Error) -> Status {
        Status::unknown(error.to_string())
    }
}
