//! The peer on tonic: `bench-tonic host|plugin [threads]`, over a unix socket, one thread each or, with
//! `threads`, two, with tonic's own defaults. It does less than go-plugin or outboard: no broker, no logs, no output of the
//! plugin, and ending the plugin is killing it.

use std::process::Stdio;

use outboard_benches::clock::monotonic_ns;
use outboard_benches::drive::{Client, Driver, FIRST_CALL, Launch, Launcher, Plugin};
use outboard_benches::runner::subject::THREADS;
use outboard_benches::service::compute;
use outboard_benches::{Failure, orders};
use outboard_core::rt::BoxFuture;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::UnixListener;
use tokio::process::{Child, Command};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status, Streaming};

use self::generated::bench_client::BenchClient;
use self::generated::bench_server::{Bench, BenchServer};
use self::generated::{Moment, Offered, Payload, Transfer, Work};

#[allow(unused_qualifications, unreachable_pub)] // tonic's generator does not mind.
mod generated {
    include!(concat!(env!("OUT_DIR"), "/tonic/bench.rs"));
}

fn main() -> Result<(), Failure> {
    let born = monotonic_ns();
    let threads = std::env::args().nth(2).is_some_and(|arg| arg == THREADS);
    let mut builder = if threads {
        tokio::runtime::Builder::new_multi_thread()
    } else {
        tokio::runtime::Builder::new_current_thread()
    };
    let runtime = builder.worker_threads(2).enable_all().build()?;
    match std::env::args().nth(1).as_deref() {
        Some("plugin") => runtime.block_on(serve(born)),
        Some("host") => runtime.block_on(async {
            let mut driver = Driver::new(Tonic { threads });
            orders::serve(async |order| driver.obey(order).await).await?;
            driver.end().await
        }),
        _ => Err("usage: bench-tonic host|plugin [threads]".into()),
    }
}

async fn serve(born: u64) -> Result<(), Failure> {
    let path = std::env::temp_dir().join(format!("bench-tonic-{}", std::process::id()));
    let listener = UnixListener::bind(&path)?;
    println!("{}", path.display());
    Server::builder()
        .add_service(BenchServer::new(Implementation { born }))
        .serve_with_incoming(UnixListenerStream::new(listener))
        .await?;
    Ok(())
}

struct Implementation {
    born: u64,
}

type Pieces = Box<dyn Iterator<Item = Result<Payload, Status>> + Send>;
type Reply<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Bench for Implementation {
    type DownloadStream = tokio_stream::Iter<Pieces>;

    async fn echo(&self, request: Request<Payload>) -> Reply<Payload> {
        Ok(Response::new(request.into_inner()))
    }

    async fn compute(&self, request: Request<Work>) -> Reply<Payload> {
        compute(request.into_inner().micros);
        Ok(Response::new(Payload::default()))
    }

    async fn born(&self, _request: Request<Payload>) -> Reply<Moment> {
        Ok(Response::new(Moment {
            monotonic_ns: self.born,
        }))
    }

    async fn offer(&self, _request: Request<Payload>) -> Reply<Offered> {
        Err(Status::unimplemented("there is no broker"))
    }

    async fn download(&self, request: Request<Transfer>) -> Reply<Self::DownloadStream> {
        let all = pieces(&request.into_inner())?.map(Ok);
        Ok(Response::new(tokio_stream::iter(Box::new(all) as Pieces)))
    }

    async fn upload(&self, request: Request<Streaming<Payload>>) -> Reply<Transfer> {
        let mut stream = request.into_inner();
        let mut bytes = 0;
        while let Some(piece) = stream.next().await {
            bytes += piece?.data.len() as u64;
        }
        Ok(Response::new(Transfer { bytes, piece: 0 }))
    }
}

#[allow(clippy::result_large_err)] // tonic's own type.
fn pieces(transfer: &Transfer) -> Result<impl Iterator<Item = Payload> + use<>, Status> {
    let piece = u64::from(transfer.piece);
    if piece == 0 {
        return Err(Status::invalid_argument("the piece must have a size"));
    }
    let size = transfer.piece as usize;
    let count = transfer.bytes.div_ceil(piece);
    Ok((0..count).map(move |_| Payload {
        data: vec![0; size],
    }))
}

struct Tonic {
    threads: bool,
}

struct Running {
    child: Child,
    path: String,
    client: BenchClient<Channel>,
}

impl Launcher for Tonic {
    type Plugin = Running;

    async fn launch(&self) -> Result<(Running, Launch), Failure> {
        let begin = monotonic_ns();
        let mut child = Command::new(std::env::current_exe()?)
            .arg("plugin")
            .args(self.threads.then_some(THREADS))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut stdout = BufReader::new(child.stdout.take().ok_or("no stdout")?);
        let mut path = String::new();
        stdout.read_line(&mut path).await?;
        let path = path.trim_end().to_owned();
        let line = monotonic_ns();
        let channel = Endpoint::from_shared(format!("unix:{path}"))?
            .connect()
            .await?;
        let connected = monotonic_ns();
        let mut client = BenchClient::new(channel);
        let dispensed = monotonic_ns();
        Client::echo(&client, vec![0; FIRST_CALL]).await?;
        let end = monotonic_ns();
        let born = client.born(Payload::default()).await?.into_inner();
        let running = Running {
            child,
            path,
            client,
        };
        let launch = Launch {
            begin,
            main: born.monotonic_ns,
            line,
            connected,
            dispensed,
            end,
        };
        Ok((running, launch))
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        tokio::spawn(task);
    }
}

impl Plugin for Running {
    type Client = BenchClient<Channel>;

    fn client(&self) -> Self::Client {
        self.client.clone()
    }

    fn pid(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }

    fn dial(&self) -> Option<impl Future<Output = Result<u64, Failure>>> {
        None::<std::future::Ready<_>>
    }

    async fn end(mut self) -> Result<(), Failure> {
        self.child.kill().await?;
        std::fs::remove_file(self.path)?;
        Ok(())
    }
}

impl Client for BenchClient<Channel> {
    async fn echo(&self, data: Vec<u8>) -> Result<usize, Failure> {
        // tonic's clients are cloned for each caller; a call needs one of its own.
        let reply = Self::echo(&mut self.clone(), Payload { data }).await?;
        Ok(reply.into_inner().data.len())
    }

    async fn compute(&self, micros: u64) -> Result<(), Failure> {
        Self::compute(&mut self.clone(), Work { micros }).await?;
        Ok(())
    }

    async fn download(&self, piece: usize, bytes: usize) -> Result<usize, Failure> {
        let request = transfer(piece, bytes);
        let mut stream = Self::download(&mut self.clone(), request)
            .await?
            .into_inner();
        let mut got = 0;
        while let Some(message) = stream.message().await? {
            got += message.data.len();
        }
        Ok(got)
    }

    async fn upload(&self, piece: usize, bytes: usize) -> Result<usize, Failure> {
        let messages = tokio_stream::iter(pieces(&transfer(piece, bytes))?);
        let taken = Self::upload(&mut self.clone(), messages).await?;
        Ok(usize::try_from(taken.into_inner().bytes)?)
    }
}

fn transfer(piece: usize, bytes: usize) -> Transfer {
    Transfer {
        bytes: bytes as u64,
        piece: u32::try_from(piece).unwrap_or(u32::MAX),
    }
}
