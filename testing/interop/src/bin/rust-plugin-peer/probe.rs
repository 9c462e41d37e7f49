//! The probe: does what the tests ask for; see probe.proto.

use std::fs::File;
use std::io::{self, Write as _};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use outboard::prost::Message as _;
use outboard::{Broker, Code, Served, Status, Streaming, context};
use outboard_interop::numbered::{Numbered, dial_numbered};
use outboard_interop::proto::{
    examples::AddHelperServer,
    probe::{
        BrokerCount, BrokerDialManyReply, BrokerDialManyRequest, BrokerDialReply,
        BrokerDialRequest, BrokerDialled, BrokerId, BrokerIds, CollectReply, CrashRequest,
        FailRequest, LogField, LogRequest, MetadataEntry, MetadataReply, Nothing, Observed,
        Payload, PourRequest, PrintRequest, Probe, ProcessReply, RawRequest, SleepRequest,
        SpawnReply, SpawnRequest, crash_request::Way, log_field::Value, raw_request::Target,
    },
};
use outboard_kit::reflect::reflect;

use crate::examples::{Adder, dial_sum};

/// The process's streams as they were before the plugin claimed them.
pub(crate) struct Streams {
    pub(crate) stdout: File,
    pub(crate) stderr: File,
}

pub(crate) struct Prober {
    streams: Streams,
    sleeps: Mutex<Observed>,
    served: Mutex<Vec<Served>>,
    /// Taken by the first call of Echo: bytes for the original stdout.
    flood: Mutex<Option<u64>>,
}

impl Prober {
    pub(crate) fn new(streams: Streams, flood: Option<u64>) -> Self {
        Self {
            streams,
            sleeps: Mutex::default(),
            served: Mutex::default(),
            flood: Mutex::new(flood),
        }
    }

    fn raw(&self, target: Target) -> io::Result<File> {
        match target {
            Target::Stdout => self.streams.stdout.try_clone(),
            Target::Stderr => self.streams.stderr.try_clone(),
        }
    }

    /// On a thread of its own: the host may well not read it.
    fn start_flood(&self, bytes: u64) -> io::Result<()> {
        let mut stdout = self.raw(Target::Stdout)?;
        std::thread::spawn(
            move || match io::copy(&mut FloodSource(bytes), &mut stdout) {
                Ok(bytes) => tracing::info!(bytes, "flood done"),
                Err(error) => tracing::error!(%error, "flood stopped"),
            },
        );
        Ok(())
    }
}

impl Probe for Prober {
    async fn echo(&self, request: Payload) -> Result<Payload, Status> {
        let flood = lock(&self.flood).take();
        if let Some(bytes) = flood {
            self.start_flood(bytes).map_err(unknown)?;
        }
        Ok(request)
    }

    async fn fail(&self, request: FailRequest) -> Result<Nothing, Status> {
        let code = Code::from_number(request.code.unsigned_abs());
        let status = Status::new(code, request.message.clone());
        if request.details.is_empty() {
            return Err(status);
        }
        // The request has the fields of google.rpc.Status.
        Err(status.with_details(request.encode_to_vec()))
    }

    async fn sleep(&self, request: SleepRequest) -> Result<Nothing, Status> {
        let deadline = context::current().and_then(|call| call.deadline());
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        {
            let mut seen = lock(&self.sleeps);
            seen.started += 1;
            seen.had_deadline = left.is_some();
            seen.remaining_millis = left.map_or(0, |left| left.as_millis() as i64);
        }
        // Counts in its drop, because a cancelled handler is dropped.
        let mut outcome = Outcome {
            sleeps: &self.sleeps,
            finished: false,
        };
        tokio::time::sleep(Duration::from_millis(request.millis)).await;
        outcome.finished = true;
        Ok(Nothing {})
    }

    async fn observe(&self, _request: Nothing) -> Result<Observed, Status> {
        Ok(*lock(&self.sleeps))
    }

    async fn metadata(&self, _request: Nothing) -> Result<MetadataReply, Status> {
        let call = context::current().ok_or_else(|| Status::internal("no current call"))?;
        let made = reflect(call.metadata()).map_err(internal)?;
        call.extend_headers(&made.headers);
        call.extend_trailers(&made.trailers);
        let entry = |(key, value)| MetadataEntry { key, value };
        let entries = made.entries.into_iter().map(entry).collect();
        Ok(MetadataReply { entries })
    }

    async fn print(&self, request: PrintRequest) -> Result<Nothing, Status> {
        print(&mut io::stdout(), &request.stdout).map_err(unknown)?;
        print(&mut io::stderr(), &request.stderr).map_err(unknown)?;
        Ok(Nothing {})
    }

    async fn write_raw(&self, request: RawRequest) -> Result<Nothing, Status> {
        let mut file = self.raw(request.target()).map_err(unknown)?;
        // Not on this thread: a host that does not read must not stop the other calls.
        let written = tokio::task::spawn_blocking(move || {
            (0..request.repeat.max(1)).try_for_each(|_| file.write_all(&request.data))
        });
        written.await.map_err(internal)?.map_err(unknown)?;
        Ok(Nothing {})
    }

    async fn log(&self, request: LogRequest) -> Result<Nothing, Status> {
        // `tracing` knows its fields at compile time: these are the ones that tests send.
        let (mut text, mut number, mut flag) = (None, None, None);
        for field in &request.fields {
            match (field.key.as_str(), &field.value) {
                ("text", Some(Value::Text(value))) => text = Some(value.as_str()),
                ("number", Some(Value::Number(value))) => number = Some(*value),
                ("flag", Some(Value::Flag(value))) => flag = Some(*value),
                (key, _) => {
                    return Err(Status::invalid_argument(format!("unknown field {key:?}")));
                }
            }
        }
        let message = request.message.as_str();
        match request.level.as_str() {
            "trace" => tracing::trace!(text, number, flag, "{message}"),
            "debug" => tracing::debug!(text, number, flag, "{message}"),
            "info" => tracing::info!(text, number, flag, "{message}"),
            "warn" => tracing::warn!(text, number, flag, "{message}"),
            "error" => tracing::error!(text, number, flag, "{message}"),
            level => return Err(Status::invalid_argument(format!("unknown level {level:?}"))),
        }
        Ok(Nothing {})
    }

    async fn crash(&self, request: CrashRequest) -> Result<Nothing, Status> {
        match request.way() {
            Way::Exit => std::process::exit(request.code),
            Way::Panic => {
                // On a thread that answers no call, so that it is not taken for a handler's.
                let panicked = std::thread::spawn(move || panic!("{}", request.message));
                let _panicked = panicked.join();
                std::process::abort()
            }
            Way::Kill => {
                let own = rustix::process::getpid();
                rustix::process::kill_process(own, rustix::process::Signal::KILL)
                    .map_err(internal)?;
                std::future::pending().await
            }
            Way::Handler => panic!("{}", request.message),
        }
    }

    async fn spawn(&self, request: SpawnRequest) -> Result<SpawnReply, Status> {
        let program = std::env::current_exe().map_err(unknown)?;
        let mut child = Command::new(program)
            .args(["hold", &request.hold_millis.to_string()])
            .stdin(Stdio::null())
            .stdout(self.raw(Target::Stdout).map_err(unknown)?)
            .stderr(self.raw(Target::Stderr).map_err(unknown)?)
            .spawn()
            .map_err(unknown)?;
        let pid = child.id().into();
        // Reaped here if it ends first; nobody needs the outcome.
        std::thread::spawn(move || child.wait());
        Ok(SpawnReply { pid })
    }

    async fn chat(&self, requests: Streaming<Payload>) -> Result<Streaming<Payload>, Status> {
        Ok(requests)
    }

    async fn pour(&self, request: PourRequest) -> Result<Streaming<Payload>, Status> {
        Ok(Streaming::iter((0..request.count).map(move |n| Payload {
            data: (0..request.size).map(|i| (n + i) as u8).collect(),
        })))
    }

    async fn collect(&self, mut requests: Streaming<Payload>) -> Result<CollectReply, Status> {
        let mut reply = CollectReply::default();
        while let Some(message) = requests.message().await? {
            reply.messages += 1;
            reply.bytes += message.data.len() as u64;
        }
        Ok(reply)
    }

    async fn broker_accept(&self, _request: Nothing) -> Result<BrokerId, Status> {
        let served = Broker::current()?.serve(AddHelperServer::new(Adder))?;
        let id = served.id();
        lock(&self.served).push(served);
        Ok(BrokerId { id })
    }

    async fn broker_dial(&self, request: BrokerDialRequest) -> Result<BrokerDialReply, Status> {
        let r = dial_sum(request.id, request.a, request.b).await?;
        Ok(BrokerDialReply { r })
    }

    async fn broker_accept_many(&self, request: BrokerCount) -> Result<BrokerIds, Status> {
        let served = Numbered::serve(&Broker::current()?, request.count)?;
        let ids = served.iter().map(Served::id).collect();
        lock(&self.served).extend(served);
        Ok(BrokerIds { ids })
    }

    async fn broker_dial_many(
        &self,
        request: BrokerDialManyRequest,
    ) -> Result<BrokerDialManyReply, Status> {
        let broker = Broker::current()?;
        let answers = dial_numbered(&broker, &request.ids, request.at_once).await;
        let dialled = answers.into_iter().map(|answer| match answer {
            Ok(answer) => BrokerDialled {
                answer,
                ..BrokerDialled::default()
            },
            Err(status) => BrokerDialled {
                error: status.to_string(),
                ..BrokerDialled::default()
            },
        });
        Ok(BrokerDialManyReply {
            dialled: dialled.collect(),
        })
    }

    async fn broker_unserve(&self, request: BrokerId) -> Result<Nothing, Status> {
        let mut served = lock(&self.served);
        let at = served.iter().position(|served| served.id() == request.id);
        let gone = at.map(|at| served.swap_remove(at));
        drop(served);
        gone.map(|_| Nothing {})
            .ok_or_else(|| Status::not_found(format!("{} is not served", request.id)))
    }

    async fn process(&self, _request: Nothing) -> Result<ProcessReply, Status> {
        let wanted =
            |(key, _): &(String, String)| key.starts_with("PLUGIN_") || key.starts_with("INTEROP_");
        let environment = std::env::vars()
            .filter(wanted)
            .map(|(key, value)| LogField {
                key,
                value: Some(Value::Text(value)),
            });
        Ok(ProcessReply {
            pid: std::process::id().into(),
            working_dir: std::env::current_dir()
                .map_err(unknown)?
                .to_string_lossy()
                .into_owned(),
            environment: environment.collect(),
        })
    }
}

/// How a Sleep call ended.
struct Outcome<'a> {
    sleeps: &'a Mutex<Observed>,
    finished: bool,
}

impl Drop for Outcome<'_> {
    fn drop(&mut self) {
        let mut seen = lock(self.sleeps);
        if self.finished {
            seen.finished += 1;
        } else {
            seen.cancelled += 1;
        }
    }
}

/// This many bytes without a line end.
struct FloodSource(u64);

impl io::Read for FloodSource {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = buffer
            .len()
            .min(usize::try_from(self.0).unwrap_or(usize::MAX));
        buffer[..count].fill(b'#');
        self.0 -= count as u64;
        Ok(count)
    }
}

fn print(stream: &mut impl io::Write, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes)?;
    stream.flush()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unknown(error: io::Error) -> Status {
    Status::unknown(error.to_string())
}

fn internal(error: impl std::fmt::Display) -> Status {
    Status::internal(error.to_string())
}
