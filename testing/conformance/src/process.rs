//! What a plugin's process can do on request.

use std::fs::File;
use std::io::{self, Write as _};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use crate::probe::Prober;
use crate::proto::{
    BrokerId, CrashRequest, FactsReply, Flag, LogRequest, MarkRequest, Nothing, Pid, PrintRequest,
    ProbeServer, Process, ProcessServer, Text, crash_request, print_request::How,
};
use outboard::HealthReporter;
use outboard::{Broker, Plugin, Router, Served, Shutdown, Status};
use outboard_core::rpc::DuplicateService;

use crate::{HANDSHAKE, end};

/// The process service. Clones are the same.
#[derive(Clone)]
pub struct ThisProcess(Arc<State>);

struct State {
    health: HealthReporter,
    served: Mutex<Vec<Served>>,
    hoard: Mutex<Vec<File>>,
}

impl ThisProcess {
    /// With the reporter of its plugin's health.
    #[must_use]
    pub fn new(health: HealthReporter) -> Self {
        let served = Mutex::default();
        let hoard = Mutex::default();
        Self(Arc::new(State {
            health,
            served,
            hoard,
        }))
    }
}

impl Process for ThisProcess {
    async fn print(&self, request: PrintRequest) -> Result<Nothing, Status> {
        match request.how() {
            How::Handler => print(&request).map_err(unknown)?,
            How::Thread => {
                let printing = std::thread::spawn(move || print(&request));
                let printed = printing.join();
                printed
                    .map_err(|_| Status::internal("the thread panicked"))?
                    .map_err(unknown)?;
            }
            How::Child => {
                let mut script = Command::new("/bin/sh");
                Plugin::strip_env(&HANDSHAKE, &mut script);
                let script = script.arg("-c").arg(&request.text).status();
                if !script.map_err(unknown)?.success() {
                    return Err(Status::unknown("the script failed"));
                }
            }
        }
        Ok(Nothing {})
    }

    async fn log(&self, request: LogRequest) -> Result<Nothing, Status> {
        let message = request.message.as_str();
        let span = tracing::info_span!("request", tenant = "acme", shadowed = "by the event");
        let _inside = span.enter();
        macro_rules! log {
            ($level:ident) => {
                tracing::$level!(number = 12, flag = true, shadowed = "no", "{message}")
            };
        }
        match request.level.as_str() {
            "trace" => log!(trace),
            "debug" => log!(debug),
            "info" => log!(info),
            "warn" => log!(warn),
            "error" => log!(error),
            level => return Err(Status::invalid_argument(format!("unknown level {level:?}"))),
        }
        Ok(Nothing {})
    }

    async fn crash(&self, request: CrashRequest) -> Result<Nothing, Status> {
        if request.how() == crash_request::How::PanicElsewhere {
            let _panicked = std::thread::spawn(move || panic!("{}", request.text)).join();
            return Ok(Nothing {});
        }
        if !request.printed.is_empty() {
            print(&PrintRequest {
                text: request.printed.clone(),
                ..PrintRequest::default()
            })
            .map_err(unknown)?;
        }
        if request.on_stderr {
            eprintln!("{}", request.text);
        } else if !request.text.is_empty() {
            // A record, since the plain stderr goes to the host as output.
            tracing::error!("{}", request.text);
        }
        match request.how() {
            crash_request::How::PanicElsewhere => Ok(Nothing {}),
            crash_request::How::Exit => std::process::exit(request.code),
            crash_request::How::ExitNow => end::exit_now(request.code),
            crash_request::How::Abort => std::process::abort(),
            crash_request::How::Overflow => end::overflow(),
            crash_request::How::Kill => end::kill(),
        }
    }

    async fn crash_once(&self, request: Text) -> Result<Pid, Status> {
        if std::fs::exists(&request.text).map_err(unknown)? {
            let pid = std::process::id();
            return Ok(Pid { pid });
        }
        std::fs::write(&request.text, "").map_err(unknown)?;
        end::kill()
    }

    async fn mark(&self, request: MarkRequest) -> Result<Nothing, Status> {
        let file = File::options()
            .append(true)
            .create(true)
            .open(&request.path);
        // In one piece or not at all, whatever becomes of the process.
        let number = request.number.to_le_bytes();
        file.map_err(unknown)?.write_all(&number).map_err(unknown)?;
        Ok(Nothing {})
    }

    async fn block(&self, request: Text) -> Result<Nothing, Status> {
        std::fs::write(&request.text, "").map_err(unknown)?;
        std::thread::sleep(crate::FOREVER);
        Ok(Nothing {})
    }

    async fn await_end(&self, request: Text) -> Result<Text, Status> {
        let shutdown = Shutdown::current();
        let shutdown = shutdown.ok_or_else(|| Status::internal("no plugin runs this"))?;
        std::fs::write(&request.text, "").map_err(unknown)?;
        let reason = shutdown.begun().await;
        Ok(Text {
            text: format!("{reason:?}"),
        })
    }

    async fn read_stdin(&self, _request: Nothing) -> Result<Text, Status> {
        let text = io::read_to_string(io::stdin()).map_err(unknown)?;
        Ok(Text { text })
    }

    async fn spawn(&self, _request: Nothing) -> Result<Pid, Status> {
        let program = std::env::current_exe().map_err(unknown)?;
        let child = Command::new(program).arg("--hold-streams").spawn();
        let mut child = child.map_err(unknown)?;
        let pid = child.id();
        // Reaped here if it ends first; nobody needs the outcome.
        std::thread::spawn(move || child.wait());
        Ok(Pid { pid })
    }

    async fn set_serving(&self, request: Flag) -> Result<Nothing, Status> {
        self.0.health.set(crate::HEALTH_NAME, request.flag);
        Ok(Nothing {})
    }

    async fn hoard(&self, request: Flag) -> Result<Nothing, Status> {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let mut hoard = self.0.hoard.lock().unwrap_or_else(PoisonError::into_inner);
        hoard.clear();
        if request.flag {
            let few = Rlimit {
                current: Some(256),
                ..getrlimit(Resource::Nofile)
            };
            setrlimit(Resource::Nofile, few).map_err(|error| unknown(error.into()))?;
            while let Ok(file) = File::open("/dev/null") {
                hoard.push(file);
            }
        }
        Ok(Nothing {})
    }

    async fn serve_both(&self, _request: Nothing) -> Result<BrokerId, Status> {
        let mut router = Router::new();
        let duplicate = |error: DuplicateService| Status::internal(error.to_string());
        router
            .add(Arc::new(ProbeServer::new(Prober::default())))
            .map_err(duplicate)?;
        router
            .add(Arc::new(ProcessServer::new(self.clone())))
            .map_err(duplicate)?;
        let served = Broker::current()?.serve_router(router)?;
        let id = served.id();
        let all = self.0.served.lock();
        all.unwrap_or_else(PoisonError::into_inner).push(served);
        Ok(BrokerId { id })
    }

    async fn facts(&self, _request: Nothing) -> Result<FactsReply, Status> {
        let environment = std::env::vars().filter(|(name, _)| name.starts_with("PLUGIN_"));
        let mut threads = Vec::new();
        if let Ok(tasks) = std::fs::read_dir("/proc/self/task") {
            for task in tasks.flatten() {
                let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
                threads.push(name.trim_end().to_owned());
            }
        }
        Ok(FactsReply {
            pid: std::process::id(),
            working_dir: std::env::current_dir()
                .map_err(unknown)?
                .to_string_lossy()
                .into_owned(),
            environment: environment.collect(),
            user: rustix::process::geteuid().as_raw(),
            threads,
            in_tokio: tokio::runtime::Handle::try_current().is_ok(),
        })
    }
}

fn print(request: &PrintRequest) -> io::Result<()> {
    for _ in 0..request.repeat.max(1) {
        if request.stderr {
            eprint!("{}", request.text);
        } else {
            print!("{}", request.text);
        }
    }
    io::stdout().flush()
}

fn unknown(error: io::Error) -> Status {
    Status::unknown(error.to_string())
}
