//! The plugin of the suite.
//!
//! ```text
//! suite-plugin RUNTIME TRANSPORT [OPTION]...
//!
//! --versions 2,3     serves these application versions
//! --twice            gives the probe's name to another interface, too; ends with status 4 for that
//! --tcp              listens on TCP
//! --allow-user USER  lets this user connect, too
//! --allow-any-user   lets everybody connect
//! --listen-on PATH   listens on a unix socket of the program's own there
//! --listen-on-tcp A  listens on a TCP socket of the program's own at this address
//! --listen-on-nothing  is given a socket that does not listen
//! --remove-socket    has the file of that socket removed
//! --outlive          outlives its host
//! --alone MILLIS     how long it goes on without a host
//! --backlog BYTES    how much it keeps of what nobody takes
//! --orders PATH      a thread says what comes through this pipe, see `outboard_conformance::orders`
//! --limit BYTES      the largest message
//! --drain MILLIS     how long calls in flight may go on after the host asked for the end; a minute without it
//! --sigpipe          has SIGPIPE at its default
//! --print-first TEXT prints TEXT before it serves
//! --chatter          a thread prints numbered lines from the start until the process ends, which is
//!                    some lines after serving has ended; one of the main thread is among those
//! --log-first TEXT   installs the logging and logs TEXT before it serves
//! --not-serving      has its health service say that it takes no calls
//! --traced           makes spans of its handlers and calls
//! --print-levels     prints each log level that its host wants
//! --no-logging       leaves the logging to the program, which has none
//! --fail-first HOW   before it serves, says "no cheese today" and ends so: with an error of main (return),
//!                    a panic, or on stderr and then with status 3 (exit, exit-now), SIGABRT (abort),
//!                    SIGKILL (kill) or a stack that overflows (overflow)
//! --exit-file PATH   writes PATH when serving has ended in good order
//! --stubborn         then sleeps for ever
//! --deaf             ignores SIGTERM
//! --grandchild PATH  first starts a process that sleeps for ever and holds the original streams;
//!                    PATH gets its pid
//! --activated-at PATH  first becomes itself again, with a socket that listens there
//! --no-cookie        instead of all this: serves nothing, with a handshake without a cookie
//! --hold-streams     instead of all this: sleeps for ever, streams open
//! ```

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
    use std::net::TcpListener;
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::path::PathBuf;
    use std::process::ExitCode;
    use std::sync::{Arc, mpsc};
    use std::time::Duration;

    use outboard::{Handshake, Plugin, ServeError, Service};
    use outboard_conformance::axes::{self, RuntimeKind, TransportKind};
    use outboard_conformance::blocking::BlockingProber;
    use outboard_conformance::probe::{self, Prober};
    use outboard_conformance::process::ThisProcess;
    use outboard_conformance::proto::{ProbeBlockingServer, ProbeServer, ProcessServer};
    use outboard_conformance::{FOREVER, HANDSHAKE, HEALTH_NAME, PROBE, PROCESS, end};

    pub(super) fn main() -> ExitCode {
        match run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("suite-plugin: {error:?}");
                match error.downcast_ref() {
                    Some(ServeError::DuplicateName { .. }) => ExitCode::from(4),
                    _ => ExitCode::from(2),
                }
            }
        }
    }

    fn run() -> Result<(), Box<dyn Error>> {
        let mut arguments = std::env::args().skip(1);
        let mut next = || arguments.next().ok_or("an argument is missing");
        let first = next()?;
        if first == "--hold-streams" {
            std::thread::sleep(FOREVER);
            return Ok(());
        }
        let runtime: RuntimeKind = first.parse()?;
        let transport: TransportKind = next()?.parse()?;
        let mut arguments = arguments.peekable();
        if arguments.next_if_eq("--no-cookie").is_some() {
            let plugin = Plugin::new(Handshake::new(1, "", ""));
            axes::block_on(runtime, |runtime| plugin.serve_or_exit(runtime));
            return Ok(());
        }
        // Before the plugin claims the streams.
        if arguments.next_if_eq("--grandchild").is_some() {
            let path = arguments.next().ok_or("a path is missing")?;
            let program = std::env::current_exe()?;
            let child = std::process::Command::new(program)
                .arg("--hold-streams")
                .spawn()?;
            std::fs::write(path, child.id().to_string())?;
        }
        let mut activated = Vec::new();
        if arguments.next_if_eq("--activated-at").is_some() {
            let path = arguments.next().ok_or("a path is missing")?;
            activated = outboard::activation::take()?;
            if activated.is_empty() {
                return Err(outboard_conformance::activate::again(path.as_ref()).into());
            }
            let name = activated.first().and_then(|socket| socket.name());
            assert_eq!(name, Some("suite.socket"));
            assert!(outboard::activation::take()?.is_empty(), "they are taken");
        }
        let patient = Plugin::new(HANDSHAKE).drain_timeout(Duration::from_secs(60));
        let mut plugin = axes::of_plugin(transport, patient);
        for socket in activated {
            plugin = plugin.listener(socket);
        }
        let mut versions = vec![1];
        let mut exit_file: Option<PathBuf> = None;
        let mut stubborn = false;
        let mut twice = false;
        let mut chatter = None;
        while let Some(option) = arguments.next() {
            let mut value = || arguments.next().ok_or("a value is missing");
            match option.as_str() {
                "--versions" => {
                    let list = value()?;
                    versions = list.split(',').map(str::parse).collect::<Result<_, _>>()?;
                }
                "--twice" => twice = true,
                "--tcp" => plugin = plugin.tcp(true),
                "--allow-user" => plugin = plugin.allow_users([value()?.parse()?]),
                "--allow-any-user" => plugin = plugin.allow_any_user(true),
                "--listen-on" => plugin = plugin.listener(UnixListener::bind(value()?)?),
                "--listen-on-tcp" => plugin = plugin.listener(TcpListener::bind(value()?)?),
                "--listen-on-nothing" => plugin = plugin.listener(UnixStream::pair()?.0),
                "--remove-socket" => plugin = plugin.remove_socket(true),
                "--outlive" => plugin = plugin.outlive_host(true),
                "--alone" => {
                    plugin = plugin.alone_limit(Duration::from_millis(value()?.parse()?));
                }
                "--backlog" => plugin = plugin.backlog_limit(value()?.parse()?),
                "--orders" => outboard_conformance::orders::obey(value()?.into()),
                "--limit" => plugin = plugin.max_message_size(value()?.parse()?),
                "--drain" => {
                    plugin = plugin.drain_timeout(Duration::from_millis(value()?.parse()?));
                }
                "--sigpipe" => outboard_conformance::sigpipe::at_default(),
                "--print-first" => println!("{}", value()?),
                "--log-first" => {
                    plugin = plugin.install_logging();
                    tracing::warn!("{}", value()?);
                }
                "--not-serving" => plugin.health().set(HEALTH_NAME, false),
                "--traced" => outboard::trace::set_propagator(outboard::trace::Ids)?,
                "--print-levels" => {
                    plugin = plugin.on_log_level(|level| println!("level {level}"));
                }
                "--no-logging" => plugin = plugin.logging(false),
                "--fail-first" => return fail_first(&value()?),
                "--chatter" => chatter = Some(chatter_on()),
                "--exit-file" => exit_file = Some(value()?.into()),
                "--stubborn" => stubborn = true,
                "--deaf" => end::ignore_termination(),
                option => return Err(format!("unknown option {option:?}").into()),
            }
        }
        let process = ThisProcess::new(plugin.health());
        for version in versions {
            let probe: Arc<dyn Service> = match runtime {
                RuntimeKind::Blocking => {
                    let probe = ProbeBlockingServer::new(BlockingProber::default());
                    // A case has more calls wait at once than services have threads by default.
                    Arc::new(probe.threads(512))
                }
                _ => Arc::new(ProbeServer::new(Prober::default())),
            };
            plugin = plugin.provide_version(version, PROBE, probe);
            if !twice {
                let process = ProcessServer::new(process.clone());
                plugin = plugin.provide_version(version, PROCESS, process);
            }
        }
        if twice {
            plugin = plugin.provide(PROBE, ProcessServer::new(process));
        }
        let left = if runtime == RuntimeKind::Blocking {
            let plugin = outboard::blocking::Plugin::from(plugin);
            if twice {
                plugin.serve()?;
            } else {
                plugin.serve_or_exit();
            }
            // Threads that nobody waits for may still be on their way out of a handler.
            0
        } else {
            axes::block_on(runtime, |runtime| async move {
                if twice {
                    plugin.serve(runtime).await?;
                } else {
                    plugin.serve_or_exit(runtime).await;
                }
                Ok::<_, ServeError>(probe::alive())
            })?
        };
        if left > 0 {
            return Err(format!("{left} calls outlive the serving").into());
        }
        if let Some(printed) = chatter {
            println!("after serving");
            let _before = printed.try_iter().count();
            printed.iter().take(5).for_each(drop);
        }
        if let Some(path) = exit_file {
            std::fs::write(path, "served to the end\n")?;
        }
        if stubborn {
            std::thread::sleep(FOREVER);
        }
        Ok(())
    }

    fn fail_first(how: &str) -> Result<(), Box<dyn Error>> {
        const WHY: &str = "no cheese today";
        match how {
            "return" => return Err(WHY.into()),
            "panic" => panic!("{WHY}"),
            _ => eprintln!("{WHY}"),
        }
        match how {
            "exit" => std::process::exit(3),
            "exit-now" => end::exit_now(3),
            "abort" => std::process::abort(),
            "kill" => end::kill(),
            "overflow" => end::overflow(),
            how => Err(format!("unknown end {how:?}").into()),
        }
    }

    /// Starts the thread that prints. Gives an event per line.
    fn chatter_on() -> mpsc::Receiver<()> {
        let (printed, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            for number in 0_u64.. {
                println!("chatter {number}");
                let _over = printed.send(());
                // Far below what any reader takes.
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        receiver
    }
}
