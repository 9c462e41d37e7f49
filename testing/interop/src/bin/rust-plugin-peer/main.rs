//! A plugin built on outboard, and a few programs that only look like one: the Rust counterpart of
//! `go-plugin-peer`, with the same arguments and environment variables.
//!
//! ```text
//! kv | counter | streamer | probe   serve that service
//! all                               serve all four
//! negotiated [2,3]                  serve these application versions of kv
//! hang                              like all, but never exits when asked to
//! flood                             like all, and 100 MB without a line break
//!                                   go to the real stdout after the first Echo
//! print-and-block TEXT              print TEXT on stdout, then do nothing
//! print-and-exit CODE TEXT          print TEXT on stdout, then exit
//! hold MILLIS                       keep the inherited streams open, then exit
//! first FILE PROGRAM [ARGS...]      take the one connection of that plugin before its host can,
//!                                   try to be served in it, and say in FILE how that went
//! tap FILE PROGRAM [ARGS...]        note in FILE what passes between that plugin and the host
//! knock PEM SOCKET...               try to be served at sockets of others, of whom one
//!                                   has the certificate in the file PEM; fails if it is
//! ```
//!
//! Environment, for all serving modes:
//!
//! ```text
//! INTEROP_EXIT_FILE        written when serving ended in an orderly way
//! INTEROP_STDERR_FIRST     written to stderr before anything else
//! INTEROP_DEFAULT_LIMITS   if set: grpc-go's limit of 4 MiB per message
//! INTEROP_TCP              if set: listen on TCP
//! INTEROP_OUTLIVE          how many bytes it keeps of what nobody takes, where it is to outlive its host
//! INTEROP_ORDERS           a pipe for orders, see `outboard_conformance::orders`
//! INTEROP_LOCK_STDOUT      if set: a thread holds the lock on stdout for good
//! INTEROP_RUNTIME          what it runs on, by the names of the kit's axes
//! INTEROP_MULTIPLEX        if no: it does not multiplex
//! INTEROP_TLS              if none: as a plugin that knows no AutoMTLS
//! INTEROP_TLS_IDENTITY     path of a certificate and its key, less .pem and .key:
//!                          TLS of its own, whatever its host asks for
//! INTEROP_TLS_TRUST        with it: file of the certificates to trust
//! INTEROP_TLS_VERSION      with it: 1.2 or 1.3 for that alone
//! INTEROP_TLS_KEY          the kind of key for AutoMTLS: p256, p384, p521, ed25519
//! ```

#[cfg(unix)]
mod examples;
#[cfg(unix)]
mod probe;

#[cfg(unix)]
fn main() -> std::process::ExitCode {
    unix::main()
}

/// The tests that use it run on unix only.
#[cfg(not(unix))]
fn main() {}

#[cfg(unix)]
mod unix {
    use std::error::Error;
    use std::fs::File;
    use std::io::{self, Write as _};
    use std::os::fd::AsFd as _;
    use std::os::unix::process::CommandExt as _;
    use std::path::Path;
    use std::process::{Command, ExitCode};
    use std::thread;
    use std::time::Duration;

    use outboard::{Handshake, Plugin, Tokio};
    use outboard_conformance::axes::{self, RuntimeKind};
    use outboard_interop::proto::{
        examples::{CounterServer, KvServer, StreamerServiceServer},
        probe::ProbeServer,
    };
    use outboard_interop::tap;
    use outboard_interop::tls::strangers::{Known, Stranger};
    use outboard_interop::tls::{self, pki_types::CertificateDer, pki_types::pem::PemObject as _};

    use crate::examples::{Files, Streamer, Sums};
    use crate::probe::{Prober, Streams};

    /// The one of go-plugin's examples.
    const HANDSHAKE: Handshake = Handshake::new(1, "BASIC_PLUGIN", "hello");

    /// Bounds what blocks on purpose, so that a test that fails to kill it leaves nothing behind
    /// for good.
    const FOREVER: Duration = Duration::from_secs(600);

    /// As go-plugin-peer's flood.
    const FLOOD: u64 = 100 << 20;

    pub(super) fn main() -> ExitCode {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let (mode, arguments) = match arguments.split_first() {
            Some((mode, rest)) => (mode.as_str(), rest),
            None => ("all", &[][..]),
        };
        match run(mode, arguments) {
            Ok(code) => code,
            Err(error) => {
                eprintln!("rust-plugin-peer: {error:?}");
                ExitCode::from(2)
            }
        }
    }

    fn run(mode: &str, arguments: &[String]) -> Result<ExitCode, Box<dyn Error>> {
        if let Some(text) = std::env::var_os("INTEROP_STDERR_FIRST") {
            io::stderr().write_all(text.as_encoded_bytes())?;
        }
        if std::env::var_os("INTEROP_TLS").is_some_and(|how| how == "none")
            && is_set("PLUGIN_CLIENT_CERT")
        {
            let mut without = Command::new(std::env::current_exe()?);
            without.args(std::env::args_os().skip(1));
            return Err(without.env_remove("PLUGIN_CLIENT_CERT").exec().into());
        }
        let text = arguments.last().map_or("", String::as_str);
        match mode {
            "print-and-block" => {
                print(text)?;
                thread::sleep(FOREVER);
            }
            "print-and-exit" => {
                let [code, text] = arguments else {
                    return Err("print-and-exit needs CODE and TEXT".into());
                };
                print(text)?;
                return Ok(ExitCode::from(code.parse::<u8>()?));
            }
            "hold" => thread::sleep(Duration::from_millis(text.parse()?).min(FOREVER)),
            "first" => {
                let [said, program, arguments @ ..] = arguments else {
                    return Err("first needs FILE and PROGRAM".into());
                };
                return Ok(tls::first::run(said.as_ref(), program, arguments)?);
            }
            "tap" => {
                let [record, program, arguments @ ..] = arguments else {
                    return Err("tap needs FILE and PROGRAM".into());
                };
                return Ok(tap::run(record.as_ref(), program, arguments)?);
            }
            "knock" => {
                let (known, sockets) = arguments.split_first().ok_or("knock needs PEM")?;
                knock(known.as_ref(), sockets)?;
            }
            mode => serve(mode, arguments)?,
        }
        Ok(ExitCode::SUCCESS)
    }

    fn knock(known: &Path, sockets: &[String]) -> Result<(), Box<dyn Error>> {
        let certificates = tls::Certificates::new();
        let known = Known::Public(CertificateDer::from_pem_file(known)?);
        for stranger in Stranger::all(&certificates, &known) {
            for socket in sockets {
                if let Ok(answer) = stranger.knock(socket.as_ref()) {
                    return Err(format!("{stranger:?} at {socket}: {answer:?}").into());
                }
            }
        }
        Ok(())
    }

    fn print(text: &str) -> io::Result<()> {
        io::stdout().write_all(text.as_bytes())?;
        io::stdout().flush()
    }

    fn serve(mode: &str, arguments: &[String]) -> Result<(), Box<dyn Error>> {
        // Before the plugin claims them.
        let streams = Streams {
            stdout: File::from(io::stdout().as_fd().try_clone_to_owned()?),
            stderr: File::from(io::stderr().as_fd().try_clone_to_owned()?),
        };
        let mut plugin = Plugin::new(HANDSHAKE);
        let flood = (mode == "flood").then_some(FLOOD);
        let whole = matches!(mode, "all" | "hang" | "flood");
        let known = ["kv", "counter", "streamer", "probe", "negotiated"];
        if !whole && !known.contains(&mode) {
            return Err(format!("unknown mode {mode:?}").into());
        }
        if mode == "negotiated" {
            for version in arguments.first().map_or("2,3", String::as_str).split(',') {
                let version: u32 = version.parse()?;
                let store = KvServer::new(Files::of_version(version));
                plugin = plugin.provide_version(version, "kv", store);
            }
        }
        if whole || mode == "kv" {
            plugin = plugin.provide("kv", KvServer::new(Files::plain()));
        }
        if whole || mode == "counter" {
            plugin = plugin.provide("counter", CounterServer::new(Sums));
        }
        if whole || mode == "streamer" {
            let streamer = StreamerServiceServer::new(Streamer::default());
            plugin = plugin.provide("streamer", streamer);
        }
        if whole || mode == "probe" {
            plugin = plugin.provide("probe", ProbeServer::new(Prober::new(streams, flood)));
        }
        if is_set("INTEROP_DEFAULT_LIMITS") {
            plugin = plugin.max_message_size(4 << 20);
        }
        if is_set("INTEROP_TCP") {
            plugin = plugin.tcp(true);
        }
        plugin = outboard_interop::detached::of_environment(plugin)?;
        if is_set("INTEROP_LOCK_STDOUT") {
            let (locked, is_locked) = std::sync::mpsc::channel();
            thread::spawn(move || {
                let _stdout = io::stdout().lock();
                let _nobody_waits = locked.send(());
                thread::sleep(FOREVER);
            });
            is_locked.recv()?;
        }
        if std::env::var_os("INTEROP_MULTIPLEX").is_some_and(|how| how == "no") {
            plugin = plugin.multiplex(false);
        }
        plugin = tls::of_environment(plugin)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        match std::env::var("INTEROP_RUNTIME") {
            Ok(kind) => {
                let kind: RuntimeKind = kind.parse()?;
                axes::block_on(kind, |runtime| plugin.serve_or_exit(runtime));
            }
            Err(_) => runtime.block_on(async { plugin.serve_or_exit(Tokio::current()).await }),
        }
        if let Some(path) = std::env::var_os("INTEROP_EXIT_FILE") {
            std::fs::write(path, "served to the end\n")?;
        }
        if mode == "hang" {
            thread::sleep(FOREVER);
        }
        // Not waiting for blocking writes that nobody reads.
        runtime.shutdown_background();
        Ok(())
    }

    fn is_set(name: &str) -> bool {
        std::env::var_os(name).is_some()
    }
}
