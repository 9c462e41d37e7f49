//! Plugins that do not start. Each failure is typed, tells a person what happened, and leaves
//! nothing running (which the harness checks).

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, join, select};
use outboard::error::HandshakeError;
use outboard::{
    Command, ConfigError, Exit, Handshake, Host, HostError, StartError, StartFailure, StartPhase,
};

use outboard_conformance::axes;
use rustix::fs::{CWD, Mode, mkfifoat};

use crate::harness::{FAKE, Harness};
use crate::leftovers::{self, processes_of};

/// The text for people: the error, and whatever is behind it.
fn text(error: &StartError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Starts a script, which must fail with a text that contains all of these.
async fn fails(h: &Harness, script: &str, texts: &[&str]) -> StartError {
    let error = h.start_error(h.script(script)).await;
    let told = text(&error);
    for text in texts {
        assert!(told.contains(text), "{text:?} in {told:?}");
    }
    error
}

/// Starts a program that prints this line and lives on.
async fn refused(h: &Harness, line: &str, texts: &[&str]) -> HandshakeError {
    let script = format!("printf '%s\\n' '{line}'; exec sleep 600");
    let error = fails(h, &script, texts).await;
    assert!(error.evidence.killed, "the host ended it");
    match error.failure {
        StartFailure::Handshake(error) => error,
        other => panic!("unexpected failure {other:?}"),
    }
}

pub async fn lines_that_are_no_handshake(h: Harness) {
    for line in ["hello from a program", "1|1|unix", "", "|||"] {
        let quoted = if line == "|||" { "\"\"" } else { line };
        let error = refused(&h, line, &[quoted]).await;
        let fits = match line {
            "|||" => matches!(error, HandshakeError::CoreVersionNotInteger { .. }),
            _ => matches!(error, HandshakeError::Unrecognised { .. }),
        };
        assert!(fits, "{error:?}");
    }
}

pub async fn lines_with_a_field_that_does_not_do(h: Harness) {
    use HandshakeError as E;
    let certificate = "A".repeat(51) + "=";
    type Case<'a> = (&'a str, &'a [&'a str], fn(&E) -> bool);
    let cases: [Case<'_>; 12] = [
        ("one|1|unix|/x|grpc", &["\"one\""], |e| {
            matches!(e, E::CoreVersionNotInteger { .. })
        }),
        (
            "2|1|unix|/x|grpc",
            &["version 2", "version 1", "rebuild"],
            |e| matches!(e, E::IncompatibleCore { plugin: 2 }),
        ),
        ("1|x|unix|/x|grpc", &["\"x\""], |e| {
            matches!(e, E::AppVersionNotInteger { .. })
        }),
        ("1|7|unix|/x|grpc", &["7", "1"], |e| {
            matches!(e, E::IncompatibleVersion(_))
        }),
        ("1|1|pigeon|/x|grpc", &["\"pigeon\"", "\"unix\""], |e| {
            matches!(e, E::UnknownNetwork { .. })
        }),
        ("1|1|tcp|nowhere|grpc", &["nowhere"], |e| {
            matches!(e, E::BadAddress(_))
        }),
        ("1|1|unix||grpc", &["address"], |e| {
            matches!(e, E::BadAddress(_))
        }),
        ("1|1|unix|/x|smoke", &["\"smoke\""], |e| {
            matches!(e, E::ProtocolNotAllowed { .. })
        }),
        ("1|1|unix|/x| grpc ", &["\" grpc\""], |e| {
            matches!(e, E::ProtocolNotAllowed { .. })
        }),
        ("1|1|unix|/x|netrpc", &["net/rpc"], |e| {
            matches!(e, E::NetRpcUnsupported)
        }),
        ("1|1|unix|/x", &["net/rpc"], |e| {
            matches!(e, E::NetRpcUnsupported)
        }),
        ("CERTIFICATE", &["certificate"], |e| {
            matches!(e, E::Certificate(_))
        }),
    ];
    for (line, texts, fits) in cases {
        let with_certificate = format!("1|1|unix|/x|grpc|{certificate}");
        let line = if line == "CERTIFICATE" {
            &with_certificate
        } else {
            line
        };
        if line == with_certificate && !h.on.transport.has_sockets() {
            // The protocol is refused before the certificate is looked at.
            continue;
        }
        let error = refused(&h, line, texts).await;
        assert!(fits(&error), "{line}: {error:?}");
    }
}

pub async fn a_silent_exit_is_told_with_status_and_stderr(h: Harness) {
    let script = "echo 'no such database' >&2; exit 42";
    let error = fails(&h, script, &["exited with status 42", "no such database"]).await;
    assert_eq!(error.evidence.exit, Some(Exit::Code(42)));
    assert!(!error.evidence.killed);
    assert_eq!(error.evidence.stderr, ["no such database"]);
    // A signal is told by name.
    let error = fails(&h, "kill -SEGV $$", &["SIGSEGV"]).await;
    assert_eq!(error.evidence.exit.and_then(Exit::signal), Some(11));
    // An exit with status 0 is no more of a start.
    let error = fails(&h, "exit 0", &["exited with status 0", "without serving"]).await;
    assert!(!text(&error).contains("architecture,"), "{error:?}");
}

pub async fn closing_stdout_is_no_handshake(h: Harness) {
    let error = fails(&h, "exec >&-; exec sleep 600", &["nothing could be read"]).await;
    let no_line = StartFailure::Handshake(HandshakeError::NoLine);
    assert_eq!(error.failure, no_line);
}

pub async fn programs_that_cannot_be_launched(h: Harness) {
    let file = h.dir().join("plugin");
    // What stands in the file and its mode, and what the first line and the advice then say.
    for (content, mode, told, advice) in [
        ("#!/bin/sh\n", 0o644, "not executable", "chmod +x"),
        (
            "#!/no/such/shell\n",
            0o755,
            "interpreter /no/such/shell",
            "first line",
        ),
        ("hello", 0o755, "not a program", "#!"),
        (
            "\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x15\0",
            0o755,
            "ppc64le",
            "a build",
        ),
    ] {
        std::fs::write(&file, content).expect("written");
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(&file, mode).expect("it is ours");
        cannot_be_launched(&h, Command::new(&file), "", told, advice).await;
    }
    std::fs::remove_file(&file).expect("it was made");
    let missing = Command::new("/no/such/plugin");
    cannot_be_launched(
        &h,
        missing,
        "no file /no/such/plugin",
        "o such file",
        "path",
    )
    .await;
    let relative = Command::new("no/such/plugin");
    cannot_be_launched(
        &h,
        relative,
        "no file no/such/plugin",
        "o such file",
        "working",
    )
    .await;
    let bare = Command::new("no-such-plugin-here");
    cannot_be_launched(
        &h,
        bare,
        "no program no-such-plugin-here in PATH",
        "",
        "PATH",
    )
    .await;
    let directory = Command::new(h.dir());
    cannot_be_launched(&h, directory, "is a directory", "ermission denied", "Name").await;
    let nowhere = Command::new("/bin/sh").current_dir(&file);
    cannot_be_launched(&h, nowhere, "working directory", "does not exist", "Make").await;
}

async fn cannot_be_launched(h: &Harness, command: Command, fact: &str, told: &str, advice: &str) {
    let error = h.start_error(h.host_of(command)).await;
    let is_launch = matches!(error.failure, StartFailure::Launch(_));
    assert!(is_launch, "{error:?}");
    let line = error.to_string();
    assert!(!line.contains('\n'), "{line}");
    assert!(
        line.contains(fact) && line.contains(told),
        "{fact:?}, {told:?}: {line}"
    );
    let text = format!("{error:?}");
    assert!(text.contains(advice), "{advice:?}: {text}");
}

pub async fn the_first_line_says_what_happened(h: Harness) {
    let host = h
        .script("echo '{\"no\": \"record\"}' >&2; exit 3")
        .name("it");
    let error = host.start(h.runtime.clone()).await.expect_err("it ends");
    let line = "plugin it: the plugin ended before the host could connect; it exited with status 3";
    assert_eq!(error.to_string(), line);
    // What a main that returns it prints, and whoever writes the sources out.
    let text = format!("{error:?}");
    assert!(text.starts_with(line) && text.contains("record"), "{text}");
    let source = std::error::Error::source(&error).expect("there is evidence");
    assert_eq!(text, format!("{line}: {source}"));
}

pub async fn a_refused_cookie_is_told(h: Harness) {
    let host = h.script("echo 'This binary is a plugin. These are not meant ...' >&2; exit 1");
    let error = h.start_error(host).await;
    assert!(
        error
            .to_string()
            .contains("refused this host's magic cookie"),
        "{error}"
    );
    assert!(
        text(&error).contains("a plugin of another program?"),
        "{error:?}"
    );
}

pub async fn a_panic_at_the_start_is_told_by_its_message(h: Harness) {
    for backtrace in ["0", "1", "full"] {
        let panics = Command::new(FAKE).args(["panic", "out of cheese"]);
        let error = h
            .start_error(h.host_of(panics.env("RUST_BACKTRACE", backtrace)))
            .await;
        assert!(
            error
                .to_string()
                .ends_with("status 101 after a panic: out of cheese"),
            "{error}"
        );
        let lines = &error.evidence.stderr;
        assert!(lines[0].contains("panicked at"), "{lines:#?}");
        assert_eq!(lines[1], "out of cheese", "{lines:#?}");
        // The end is there, too.
        let last = if backtrace == "1" {
            "RUST_BACKTRACE=full"
        } else {
            ""
        };
        assert!(
            lines.last().is_some_and(|line| line.contains(last)),
            "{lines:#?}"
        );
        assert!(lines.len() < 32, "{lines:#?}");
    }
}

pub async fn a_line_that_never_comes_times_out_by_name(h: Harness) {
    // Processes are made in that time, also on a busy machine.
    let limit = Duration::from_secs(2);
    // Nothing at all, half a line, and a flood of stderr meanwhile.
    for script in [
        "exec sleep 600",
        "printf '1|1|unix|/x'; exec sleep 600",
        "while :; do echo noise >&2; done",
    ] {
        let error = h.start_error(h.script(script).start_timeout(limit)).await;
        let timed_out = StartFailure::TimedOut {
            phase: StartPhase::Handshake,
            after: limit,
        };
        assert_eq!(error.failure, timed_out);
        let text = text(&error);
        assert!(text.contains("printed no handshake line"), "{text}");
        assert!(text.contains("2s"), "{text}");
    }
}

pub async fn an_endless_line_is_cut_short(h: Harness) {
    // 16 MiB without a line end.
    let piece = "x".repeat(1 << 10);
    let flood = Command::new(FAKE).args(["print", "16384", &piece]);
    let error = h.start_error(h.host_of(flood)).await;
    match &error.failure {
        StartFailure::Handshake(HandshakeError::LineTooLong { limit, start }) => {
            assert!(*limit <= 1 << 20 && start.len() <= 1024);
        }
        other => panic!("unexpected failure {other:?}"),
    }
    assert!(text(&error).len() < 4096, "the text is for people");
}

pub async fn hosts_that_are_set_up_wrongly_launch_nothing(h: Harness) {
    let start = async |host: Host| match host.start(h.runtime.clone()).await {
        Err(HostError::Config(error)) => error,
        other => panic!("unexpected outcome {other:?}"),
    };
    let handshake = outboard_conformance::HANDSHAKE;
    assert_eq!(start(Host::new(handshake)).await, ConfigError::NoCommand);
    let error = start(h.script("exit").ports(2, 1)).await;
    assert_eq!(error, ConfigError::EmptyPortRange { min: 2, max: 1 });
    let twice = h.script("exit").plugins(1, ["a", "b"]).plugins(1, ["a"]);
    let error = start(twice.plugins(2, ["b"])).await;
    let name = "a".to_owned();
    assert_eq!(error, ConfigError::DuplicateName { name, version: 1 });
    let cookieless = Host::new(Handshake::new(1, "", "")).command(Command::new("sh"));
    assert!(matches!(start(cookieless).await, ConfigError::Handshake(_)));
}

pub async fn addresses_where_nobody_is(h: Harness) {
    let nowhere = h.dir().join("nobody");
    let port = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        free.local_addr().expect("bound").port()
    };
    for address in [
        format!("unix|{}", nowhere.display()),
        format!("tcp|127.0.0.1:{port}"),
    ] {
        let script = format!("echo '1|1|{address}|grpc'; exec sleep 600");
        let (_, place) = address.split_once('|').expect("two fields");
        let error = fails(&h, &script, &[place]).await;
        assert!(
            matches!(error.failure, StartFailure::Connect { .. }),
            "{error:?}"
        );
        // Ended meanwhile: that explains more.
        let script = format!("echo '1|1|{address}|grpc'; echo 'died of it' >&2; exit 9");
        let error = fails(&h, &script, &["exited with status 9", "died of it"]).await;
        assert_eq!(error.evidence.exit, Some(Exit::Code(9)));
    }
}

pub async fn a_connection_that_is_never_taken_times_out_by_name(h: Harness) {
    let socket = h.dir().join("deaf");
    let deaf = Command::new(FAKE).args(["deaf", socket.to_str().expect("text")]);
    let limit = Duration::from_millis(500);
    let error = h.start_error(h.host_of(deaf).start_timeout(limit)).await;
    let fits = match &error.failure {
        StartFailure::TimedOut { phase, .. } => *phase == StartPhase::Connect,
        // Some systems refuse where others wait.
        StartFailure::Connect { .. } => true,
        _ => false,
    };
    assert!(fits, "{error:?}");
}

pub async fn lines_of_all_lengths_are_accepted(h: Harness) {
    // A short or unused certificate field, white space around, CR, further fields.
    let socket = h.dir().join("listening");
    let listener = std::os::unix::net::UnixListener::bind(&socket).expect("bound");
    let address = socket.display();
    let short = "A".repeat(50);
    for line in [
        format!("1|1|unix|{address}|grpc"),
        format!("1|1|unix|{address}|grpc|"),
        format!("1|1|unix|{address}|grpc|{short}"),
        format!("1|1|unix|{address}|grpc||true"),
        format!("1|1|unix|{address}|grpc||maybe|and|more"),
        format!("  +1|01|unix|{address}|grpc \r"),
    ] {
        let script = format!("printf '%s\\n' '{line}'; exec sleep 600");
        let started = h.script(&script).start(h.runtime.clone()).await;
        let plugin = started.unwrap_or_else(|error| panic!("{line:?}: {error:?}"));
        assert_eq!(plugin.negotiated_version(), 1);
        plugin.kill().await;
    }
    drop(listener);
    // The host removes the socket of a plugin that it killed.
    let _gone = std::fs::remove_file(&socket);
}

pub async fn a_socket_that_nobody_was_told_of_goes_with_its_plugin(h: Harness) {
    for end in ["is given up", "is killed", "loses its runtime"] {
        let told = h.dir().join("told");
        // What is written into it is waited for.
        let mode = Mode::RUSR | Mode::WUSR;
        mkfifoat(CWD, &told, mode).expect("made");
        let bound = Command::new(FAKE).args(["bound", told.to_str().expect("text")]);
        let host = h.host_of(bound);
        let dir_of = {
            let told = told.clone();
            move || PathBuf::from(std::fs::read_to_string(&told).expect("it is told"))
        };
        let dir = match end {
            "is killed" => {
                let kill = h.elsewhere(move || {
                    let dir = dir_of();
                    let processes = processes_of(dir.parent().expect("the case's"));
                    processes.iter().copied().for_each(leftovers::kill);
                    dir
                });
                let (error, dir) = join(h.start_error(host), kill).await;
                assert_eq!(error.evidence.exit.and_then(Exit::signal), Some(9));
                dir
            }
            "is given up" => {
                let start = host.start(h.runtime.clone());
                match select(pin!(start), pin!(h.elsewhere(dir_of))).await {
                    Either::Left((started, _)) => panic!("it started: {started:?}"),
                    Either::Right((dir, _)) => dir,
                }
            }
            _ => {
                let on = h.on.host;
                h.elsewhere(move || {
                    axes::block_on(on, |runtime| async move {
                        let start = host.start(runtime.clone());
                        let (found, dir) = futures_channel::oneshot::channel();
                        std::thread::spawn(move || found.send(dir_of()));
                        match select(pin!(start), dir).await {
                            Either::Left((started, _)) => panic!("it started: {started:?}"),
                            Either::Right((dir, _)) => dir.expect("it is told"),
                        }
                    })
                })
                .await
            }
        };
        assert_eq!(dir.parent(), Some(h.dir()), "{end}");
        // Where nobody waits for the end of the plugin, it comes a moment later.
        let gone = h.elsewhere(move || {
            while dir.exists() {
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        h.promptly(gone).await;
        std::fs::remove_file(told).expect("it was made");
    }
}
