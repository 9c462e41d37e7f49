//! What only looks like a plugin, or is one for somebody else: each gives an error that says what
//! happened, and leaves no process behind.

use std::time::Duration;

use outboard::{
    Command, Evidence, Handshake, Host, HostError, StartError, StartFailure, StartPhase, Tokio,
};

use super::{Peer, run};

/// Starts what must not start.
async fn refused(host: Host) -> (StartError, String) {
    let error = match host.start(Tokio::current()).await {
        Ok(plugin) => panic!("it started: {plugin:?}"),
        Err(error) => error,
    };
    let text = format!("{error:?}");
    match error {
        HostError::Start { error, .. } => (*error, text),
        other => panic!("{other:?}"),
    }
}

/// Processes that have this text among their arguments.
fn processes_with(argument: &str) -> Vec<String> {
    let Ok(processes) = std::fs::read_dir("/proc") else {
        // Not Linux: the machine's tests have to do.
        return Vec::new();
    };
    processes
        .filter_map(|entry| std::fs::read(entry.ok()?.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).into_owned())
        .filter(|line| line.split('\0').any(|word| word == argument))
        .collect()
}

/// A text that no other process has among its arguments.
fn unique(text: &str) -> String {
    format!(
        "{text}#{}-{:?}\n",
        std::process::id(),
        std::thread::current().id()
    )
}

/// A wrong cookie: the plugin's explanation and its status are in the error.
pub fn cookie_mismatch(peer: &Peer) {
    run(async {
        let other = Handshake::new(1, "BASIC_PLUGIN", "good bye");
        let (error, text) = refused(Host::new(other).command(peer.command(&["all"]))).await;
        let Evidence { exit, killed, .. } = &error.evidence;
        assert_eq!(exit.and_then(|exit| exit.code()), Some(1), "{text}");
        assert!(!killed, "{text}");
        assert!(
            text.contains("plugin") && text.contains("status 1"),
            "{text}"
        );
        assert!(!error.evidence.stderr.is_empty(), "{text}");
    });
}

/// A program that ends without a word to the host, or with the wrong ones.
pub fn ends_at_once(peer: &Peer) {
    run(async {
        for (status, stdout) in [
            ("0", ""),
            ("3", ""),
            ("3", "no plugin\n"),
            ("3", "half a line"),
        ] {
            let command = peer
                .command(&["print-and-exit", status, stdout])
                .env("INTEROP_STDERR_FIRST", "all went wrong\n");
            let (error, text) = refused(Host::new(super::HANDSHAKE).command(command)).await;
            let exit = error.evidence.exit.expect("it was reaped");
            if !error.evidence.killed {
                assert_eq!(exit.code(), status.parse().ok(), "{text}");
                assert!(text.contains(&format!("status {status}")), "{text}");
            }
            assert_eq!(error.evidence.stderr, ["all went wrong"], "{text}");
            assert!(text.contains("all went wrong"), "{text}");
            assert!(text.contains(stdout.trim_end()), "{text}");
            // What is known of the file: it may be no plugin at all, or not one for this machine.
            let file = peer.program.to_string_lossy();
            assert!(text.contains(&*file), "no {file} in {text}");
            assert!(text.contains("Mode: -rwx"), "{text}");
            assert!(text.contains(" architecture: "), "{text}");
        }
    });
}

/// A Go program that dies at its start: how that began is told, however long the stack behind it.
pub fn dies_first(peer: &Peer) {
    run(async {
        for (how, told) in [
            ("panic", "panic: no cheese today"),
            (
                "nil",
                "panic: runtime error: invalid memory address or nil pointer dereference",
            ),
            (
                "deadlock",
                "fatal error: all goroutines are asleep - deadlock!",
            ),
        ] {
            let command = peer.command(&["all"]).env("INTEROP_DIE_FIRST", how);
            let (error, text) = refused(Host::new(super::HANDSHAKE).command(command)).await;
            let Evidence { exit, killed, .. } = &error.evidence;
            assert_eq!(exit.and_then(|exit| exit.code()), Some(2), "{text}");
            assert!(!killed, "{text}");
            // The first line says it.
            let first = error.to_string();
            let message = told.strip_prefix("panic: ").unwrap_or(told);
            assert!(first.contains(message), "{first}");
            assert!(!first.contains('\n'), "{first}");
            // The evidence has its head, with the place where it began, and its end.
            let lines = &error.evidence.stderr;
            assert_eq!(lines[0], told, "{lines:#?}");
            let head = &lines[..6];
            assert!(
                head.iter().any(|line| line.contains("goroutine 1")),
                "{lines:#?}"
            );
            assert!(
                head.iter().any(|line| line.contains("main.die")),
                "{lines:#?}"
            );
            assert!(
                lines
                    .iter()
                    .any(|line| line.ends_with("lines are left out]")),
                "{lines:#?}"
            );
            let last = lines.last().expect("lines");
            assert!(last.contains("main.go:"), "{lines:#?}");
        }
    });
}

/// Lines that no plugin of this host prints.
pub fn bad_lines(peer: &Peer) {
    run(async {
        for (line, part) in [
            ("garbage", "garbage"),
            ("1|1|unix", "unrecognised"),
            ("2|1|unix|/x|grpc|", "core protocol"),
            ("x|1|unix|/x|grpc|", "core protocol"),
            ("1|x|unix|/x|grpc|", "version"),
            ("1|7|unix|/x|grpc|", "7"),
            ("1|1|pigeon|/x|grpc|", "pigeon"),
            ("1|1|unix|/x|netrpc|", "netrpc"),
            ("1|1|unix|/x|morse|", "morse"),
        ] {
            let line = unique(line);
            let (error, text) = refused(peer.host(&["print-and-block", &line])).await;
            assert!(
                matches!(error.failure, StartFailure::Handshake(_)),
                "{line:?}: {text}"
            );
            assert!(
                error.evidence.exit.is_some() && error.evidence.killed,
                "{text}"
            );
            assert!(text.contains(part), "{line:?}: {text}");
            assert_eq!(processes_with(&line), [""; 0], "{line:?}");
        }
    });
}

/// The start timeout names the phase that ran out.
pub fn silent(peer: &Peer) {
    run(async {
        let marker = unique("not a whole line").trim_end().to_owned();
        let timeout = Duration::from_millis(500);
        let host = peer.host(&["print-and-block", &marker]);
        let (error, text) = refused(host.start_timeout(timeout)).await;
        assert_eq!(
            error.failure,
            StartFailure::TimedOut {
                phase: StartPhase::Handshake,
                after: timeout
            }
        );
        assert!(text.contains("no handshake line within 500ms"), "{text}");
        assert_eq!(processes_with(&marker), [""; 0]);
    });
}

/// An address at which nobody listens.
pub fn nobody_listens(peer: &Peer) {
    run(async {
        // A trailing field keeps the line unique and the address as it is.
        let fields = unique("1|1|unix|/nowhere/at/all|grpc||false|")
            .trim_end()
            .to_owned();
        let line = format!("{fields}\n");
        let (error, text) = refused(peer.host(&["print-and-block", &line])).await;
        assert!(
            matches!(error.failure, StartFailure::Connect { .. }),
            "{text}"
        );
        assert!(text.contains("/nowhere/at/all"), "{text}");
        assert_eq!(processes_with(&line), [""; 0]);
    });
}

/// A program that is not there at all.
pub fn no_program() {
    run(async {
        let host = Host::new(super::HANDSHAKE).command(Command::new("/no/such/program"));
        let (error, text) = refused(host).await;
        assert!(matches!(error.failure, StartFailure::Launch(_)), "{text}");
    });
}

/// A start that is given up leaves nothing behind.
pub fn given_up(peer: &Peer) {
    run(async {
        let marker = unique("nothing to wait for").trim_end().to_owned();
        let host = peer.host(&["print-and-block", &marker]);
        {
            let start = host.start(Tokio::current());
            let launched = async {
                while processes_with(&marker).is_empty() && cfg!(target_os = "linux") {
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! {
                outcome = start => panic!("it ended: {outcome:?}"),
                () = launched => {}
            }
        }
        while !processes_with(&marker).is_empty() {
            tokio::task::yield_now().await;
        }
    });
}
