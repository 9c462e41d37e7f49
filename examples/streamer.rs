//! Streams in both directions: a file of any size through a plugin, piece by piece.
//!
//! ```sh
//! cargo run --example streamer -- write copy.bin < some-file
//! cargo run --example streamer -- read copy.bin > same-file
//! ```
//!
//! The binary is also the plugin (argument `plugin`); with `STREAMER_PLUGIN` set it runs that shell
//! command instead.

use std::error::Error;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::sync::Mutex;

use outboard::{Command, Handshake, Host, Plugin, RunningPlugin, Status, Streaming, Tokio};
use outboard_examples::{args, with_flags};

outboard::include_proto!("streamer/proto");

const HANDSHAKE: Handshake = Handshake::new(1, "BASIC_PLUGIN", "hello");

/// The size of the pieces the host asks for, in bytes.
const PIECE: i64 = 64 * 1024;

/// The plugin's side: the file the host has chosen, and the size of its pieces.
#[derive(Default)]
struct OneFile {
    chosen: Mutex<Option<(String, usize)>>,
}

impl OneFile {
    fn chosen(&self) -> Result<(String, usize), Status> {
        let chosen = self
            .chosen
            .lock()
            .map_err(|_| Status::internal("a handler panicked"))?;
        chosen
            .clone()
            .ok_or_else(|| Status::failed_precondition("call Configure first"))
    }
}

impl StreamerService for OneFile {
    async fn configure(&self, request: configure::Request) -> Result<configure::Response, Status> {
        let size = usize::try_from(request.chunk_size)
            .ok()
            .filter(|size| *size > 0);
        let size = size.ok_or_else(|| Status::invalid_argument("chunk_size must be positive"))?;
        let mut chosen = self
            .chosen
            .lock()
            .map_err(|_| Status::internal("a handler panicked"))?;
        *chosen = Some((request.path, size));
        Ok(configure::Response {})
    }

    async fn read(
        &self,
        _request: read::Request,
    ) -> Result<Streaming<read::ResponseChunk>, Status> {
        let (path, size) = self.chosen()?;
        let mut file = File::open(path).map_err(unknown)?;
        // Pulled as the host's flow control allows, so the file never lies in memory whole.
        Ok(Streaming::try_iter(std::iter::from_fn(move || {
            let mut read_bytes = vec![0; size];
            match file.read(&mut read_bytes) {
                Ok(0) => None,
                Ok(count) => {
                    read_bytes.truncate(count);
                    Some(Ok(read::ResponseChunk { read_bytes }))
                }
                Err(error) => Some(Err(unknown(error))),
            }
        })))
    }

    async fn write(
        &self,
        mut requests: Streaming<write::RequestChunk>,
    ) -> Result<write::Response, Status> {
        let (path, _) = self.chosen()?;
        let mut file = File::create(path).map_err(unknown)?;
        while let Some(chunk) = requests.message().await? {
            file.write_all(&chunk.bytes_to_write).map_err(unknown)?;
        }
        Ok(write::Response {})
    }
}

fn unknown(error: io::Error) -> Status {
    Status::unknown(error.to_string())
}

async fn run(plugin: &RunningPlugin, args: &[&str]) -> Result<(), Box<dyn Error>> {
    let [direction @ ("read" | "write"), path] = *args else {
        return Err("usage: streamer read FILE | streamer write FILE".into());
    };
    let streamer: StreamerServiceClient = plugin.dispense("streamer").await?;
    let request = configure::Request {
        path: path.into(),
        chunk_size: PIECE,
    };
    streamer.configure(request).await?;
    if direction == "read" {
        let mut pieces = streamer.read(read::Request {}).await?;
        while let Some(piece) = pieces.message().await? {
            io::stdout().write_all(&piece.read_bytes)?;
        }
        io::stdout().flush()?;
    } else {
        let pieces = std::iter::from_fn(|| {
            let mut bytes_to_write = vec![0; PIECE as usize];
            match io::stdin().read(&mut bytes_to_write) {
                Ok(0) => None,
                Ok(count) => {
                    bytes_to_write.truncate(count);
                    Some(Ok(write::RequestChunk { bytes_to_write }))
                }
                Err(error) => Some(Err(unknown(error))),
            }
        });
        streamer.write(Streaming::try_iter(pieces)).await?;
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = args();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    if args == ["plugin"] {
        let service = StreamerServiceServer::new(OneFile::default());
        let plugin = Plugin::new(HANDSHAKE).provide("streamer", service);
        plugin.serve_or_exit(Tokio::current()).await;
        return Ok(());
    }
    let command = match std::env::var("STREAMER_PLUGIN") {
        Ok(command) => Command::new("sh").arg("-c").arg(command),
        Err(_) => Command::new(std::env::current_exe()?).arg("plugin"),
    };
    // The plugin must not read the stdin that is being copied.
    let command = command.inherit_stdin(false);
    let plugin = with_flags(Host::new(HANDSHAKE))
        .command(command)
        .start(Tokio::current())
        .await?;
    let outcome = run(&plugin, &args).await;
    plugin.shutdown().await?;
    outcome
}
