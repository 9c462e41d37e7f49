use std::path::Path;

use super::*;
use crate::diagnose::{ClosedDir, Executable, Id, Ids};
use crate::fault::Fault;
use crate::handshake::MultiplexingRefusal;
use crate::host::StartError;
use crate::tls::TlsReason;

/// What is told of a launch that the system refused with this kind of error.
fn launch(kind: ErrorKind, change: impl FnOnce(&mut Notes)) -> (Option<Hint>, StartError) {
    let mut notes = Notes::new("/opt/plugin", "amd64");
    notes.kind = Some(FileKind::File);
    notes.may_execute = Some(true);
    notes.mode = Some(0o100_755);
    change(&mut notes);
    let fault = Fault {
        kind,
        message: "the system's words".to_owned(),
    };
    let mut error = StartError {
        failure: StartFailure::Launch(fault),
        evidence: Evidence::default(),
    };
    error.explain(notes);
    (error.evidence.hint.clone(), error)
}

/// What is told of a program that ended before it served.
fn ended(exit: Exit, stderr: &[&str], panic: Option<&str>) -> StartError {
    let failure = StartFailure::Exited {
        phase: StartPhase::Handshake,
    };
    let mut error = StartError {
        failure,
        evidence: Evidence {
            exit: Some(exit),
            panic: panic.map(str::to_owned),
            stderr: stderr.iter().map(|&line| line.to_owned()).collect(),
            ..Evidence::default()
        },
    };
    error.explain(Notes::new("/opt/plugin", "amd64"));
    error
}

#[test]
fn what_the_system_refuses_to_launch_is_told_by_its_reason() {
    let path = Path::new("/opt/plugin").to_owned();
    let missing = |notes: &mut Notes| notes.kind = Some(FileKind::Missing);
    let (hint, error) = launch(ErrorKind::NotFound, missing);
    assert_eq!(
        hint,
        Some(Hint::NoSuchFile {
            path: path.clone(),
            searched: false
        })
    );
    assert_eq!(
        error.to_string(),
        "the plugin's process could not be started: there is no file /opt/plugin (the system's \
         words)"
    );
    let bare = |notes: &mut Notes| {
        missing(notes);
        notes.path = "plugin".into();
    };
    let (_, error) = launch(ErrorKind::NotFound, bare);
    assert!(
        error.to_string().contains("no program plugin in PATH"),
        "{error}"
    );

    let directory = |notes: &mut Notes| notes.kind = Some(FileKind::Directory);
    let (hint, _) = launch(ErrorKind::PermissionDenied, directory);
    assert_eq!(hint, Some(Hint::Directory { path: path.clone() }));

    let nowhere = |notes: &mut Notes| notes.missing_dir = Some("/nowhere".into());
    let (_, error) = launch(ErrorKind::NotFound, nowhere);
    assert!(
        error.to_string().contains("working directory /nowhere"),
        "{error}"
    );

    let script = |first: &'static str| {
        move |notes: &mut Notes| {
            notes.missing_interpreter = Some("/bin/fish".into());
            notes.contents = Some(Contents::detect(first.as_bytes()));
        }
    };
    let (_, error) = launch(ErrorKind::NotFound, script("#!/bin/fish\n"));
    assert!(
        error.to_string().contains("its interpreter /bin/fish"),
        "{error}"
    );
    let (hint, error) = launch(ErrorKind::NotFound, script("#!/bin/fish\r\n"));
    assert!(
        matches!(hint, Some(Hint::CarriageReturn { .. })),
        "{hint:?}"
    );
    assert!(format!("{error:?}").contains("sed -i"), "{error:?}");
    let (hint, error) = launch(ErrorKind::NotFound, script("\x7fELF"));
    assert!(matches!(hint, Some(Hint::NoLoader { .. })), "{hint:?}");
    assert!(
        error.to_string().contains("its loader /bin/fish"),
        "{error}"
    );
}

#[test]
fn what_may_not_be_executed_says_how_to_change_that() {
    let path = Path::new("/opt/plugin").to_owned();
    let mode = |mode| {
        move |notes: &mut Notes| {
            notes.may_execute = Some(false);
            notes.mode = Some(mode);
        }
    };
    let (hint, error) = launch(ErrorKind::PermissionDenied, mode(0o644));
    assert_eq!(
        hint,
        Some(Hint::NotExecutable {
            path: path.clone(),
            mode: Some(0o644),
            user: None,
            others_may: false,
        })
    );
    assert!(
        error.to_string().contains("not executable by this user"),
        "{error}"
    );
    assert!(
        format!("{error:?}").contains("chmod +x /opt/plugin"),
        "{error:?}"
    );
    let (_, error) = launch(ErrorKind::PermissionDenied, mode(0o700));
    assert!(format!("{error:?}").contains("owner or group"), "{error:?}");
    // Executable, and refused all the same.
    let (hint, _) = launch(ErrorKind::PermissionDenied, |_| {});
    assert_eq!(hint, Some(Hint::Forbidden { path: path.clone() }));
    // Where nothing may be executed, the system says that this file is not executable.
    let mount = Path::new("/opt").to_owned();
    let (hint, error) = launch(ErrorKind::PermissionDenied, |notes| {
        notes.may_execute = Some(false);
        notes.noexec_mount = Some(mount.clone());
    });
    assert_eq!(hint, Some(Hint::NoExecMount { path, mount }));
    assert!(
        error.to_string().contains("mounted \"noexec\" at /opt"),
        "{error}"
    );
    // Nothing is known of the file itself.
    let id = |number| Id::new(number, None);
    let user = Ids::new(id(0), id(1000));
    let closed = ClosedDir::new("/opt", 0o40_700, user.clone());
    let (hint, error) = launch(ErrorKind::PermissionDenied, |notes| {
        notes.kind = None;
        notes.closed_dir = Some(closed);
    });
    let dir = Path::new("/opt").to_owned();
    let mode = 0o40_700;
    assert_eq!(hint, Some(Hint::ClosedDirectory { dir, mode, user }));
    let text = error.to_string();
    assert!(
        text.contains("directory /opt (mode 0700, owner 0 (current: 1000))"),
        "{text}"
    );
}

#[test]
fn only_another_architecture_is_told_as_one() {
    let arm = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\xb7\0";
    let foreign = |notes: &mut Notes| {
        notes.contents = Some(Contents::detect(arm));
        notes.host_arch = "amd64".to_owned();
    };
    let (hint, error) = launch(ErrorKind::Other, foreign);
    let expected = (Executable::detect(arm), "amd64");
    match hint {
        Some(Hint::OtherArchitecture { executable, this }) => {
            assert_eq!((Some(executable), &*this), expected);
        }
        other => panic!("unexpected cause {other:?}"),
    }
    assert!(error.to_string().contains("arm64"), "{error}");
    // Nor is one of another system.
    let (hint, error) = launch(ErrorKind::Other, |notes| {
        let pe = {
            let mut pe = b"MZ".to_vec();
            pe.resize(0x3c, 0);
            pe.extend(b"\x40\0\0\0PE\0\0\x64\x86");
            pe
        };
        let mac = b"\xcf\xfa\xed\xfe\x0c\0\0\x01";
        let other: &[u8] = if Format::OWN == Format::Pe { mac } else { &pe };
        notes.contents = Some(Contents::detect(other));
    });
    assert!(matches!(hint, Some(Hint::OtherSystem { .. })), "{hint:?}");
    assert!(error.to_string().contains("another system"), "{error}");
    assert_eq!(launch(ErrorKind::Other, |_| {}).0, None);
    for (contents, told) in [("", "it is empty"), ("hello", "begins with \"hello\"")] {
        let (hint, error) = launch(ErrorKind::Other, |notes| {
            notes.contents = Some(Contents::detect(contents.as_bytes()));
        });
        assert!(matches!(hint, Some(Hint::NotAProgram { .. })), "{hint:?}");
        assert!(error.to_string().contains(told), "{error}");
    }
    // No memory for a process has nothing to do with the file.
    for kind in [ErrorKind::OutOfMemory, ErrorKind::WouldBlock] {
        assert_eq!(launch(kind, foreign).0, None);
    }
}

#[test]
fn a_refused_cookie_is_told_from_other_ends() {
    let go = "This binary is a plugin. These are not meant to be executed directly.";
    let ours = "This program is a plugin and does nothing on its own.";
    for line in [go, ours] {
        let error = ended(Exit::Code(1), &[line, "..."], None);
        assert_eq!(error.evidence.hint, Some(Hint::CookieRefused));
        assert!(error.to_string().contains("magic cookie"), "{error}");
        assert!(
            format!("{error:?}").contains("another program"),
            "{error:?}"
        );
    }
    for (exit, word) in [
        (Exit::Code(0), "without serving"),
        (Exit::Code(3), "failed at its own start"),
        (Exit::Code(127), "loader"),
        (Exit::from_wait_status(9), "memory"),
    ] {
        let text = format!("{:?}", ended(exit, &["no"], None));
        assert!(
            text.contains(word) && !text.contains("architecture"),
            "{text}"
        );
        assert!(text.contains(&exit.to_string()), "{text}");
    }
}

#[test]
fn a_panic_stands_in_the_first_line() {
    let error = ended(
        Exit::Code(101),
        &["panic: boom", "\t99: frame"],
        Some("boom"),
    );
    assert_eq!(
        error.to_string(),
        "the plugin ended before the host could connect; it exited with status 101 after a panic: \
         boom"
    );
    // What the host killed has not ended so.
    let mut error = error;
    error.evidence.killed = true;
    assert_eq!(Hint::of(&error.failure, &error.evidence), None);
}

/// As [`ended`], with what was found out about the file.
fn ended_with(exit: i32, stderr: &str, first: &str, libraries: &[&str]) -> (Hint, StartError) {
    let mut error = ended(Exit::Code(exit), &[stderr], None);
    let mut notes = Notes::new("/opt/plugin", "amd64");
    notes.contents = Some(Contents::detect(first.as_bytes()));
    notes.libraries = libraries.iter().map(|&name| name.to_owned()).collect();
    error.explain(notes);
    (error.evidence.hint.clone().expect("it is known"), error)
}

#[test]
fn what_a_loader_said_is_the_cause() {
    let line = "/opt/plugin: error while loading shared libraries: libz.so.1: cannot open shared \
                object file: No such file or directory";
    for (libraries, by_program) in [
        (&[][..], None),
        (&["libz.so.1"], Some(true)),
        (&["libq.so.1"], Some(false)),
    ] {
        let (hint, error) = ended_with(127, line, "\x7fELF", libraries);
        let library = "libz.so.1".to_owned();
        let expected = Hint::NoLibrary {
            library,
            by_program,
        };
        assert_eq!(hint, expected);
        let text = error.to_string();
        assert!(
            text.contains("the shared library libz.so.1 is missing"),
            "{text}"
        );
    }
    let line = "p: /lib/libc.so.6: version `GLIBC_2.99' not found (required by p)";
    let (hint, error) = ended_with(1, line, "\x7fELF", &[]);
    assert!(matches!(hint, Hint::OldLibrary { .. }), "{hint:?}");
    assert!(error.to_string().contains("/lib/libc.so.6"), "{error}");
    // A program that says so and ends content is none the worse for it.
    let (hint, _) = ended_with(0, line, "\x7fELF", &[]);
    assert_eq!(hint, Hint::Exited { status: 0 });
}

#[test]
fn what_env_did_not_find_is_the_cause() {
    let line = "/usr/bin/env: 'fish': No such file or directory";
    let (hint, error) = ended_with(127, line, "#!/usr/bin/env fish\n", &[]);
    let command = "fish".to_owned();
    assert_eq!(hint, Hint::NoCommand { command });
    assert!(error.to_string().contains("no fish in its PATH"), "{error}");
    let line = "/usr/bin/env: 'fish\\r': No such file or directory";
    let (hint, _) = ended_with(127, line, "#!/usr/bin/env fish\r\n", &[]);
    assert!(matches!(hint, Hint::CarriageReturn { .. }), "{hint:?}");
    for (exit, line, first) in [
        (1, line, "#!/usr/bin/env fish\n"),
        (127, "fish: command not found", "#!/usr/bin/env fish\n"),
        (127, line, "#!/bin/fish\n"),
    ] {
        let (hint, _) = ended_with(exit, line, first, &[]);
        assert_eq!(hint, Hint::Exited { status: exit }, "{line} {first}");
    }
}

#[test]
fn what_is_spoken_in_place_of_a_handshake_is_the_cause() {
    let of = |error: HandshakeError, evidence: &Evidence| {
        Hint::of(&StartFailure::Handshake(error), evidence)
    };
    let said = |line: &str| HandshakeError::Unrecognised {
        line: line.to_owned(),
    };
    let lives = Evidence {
        exit: Some(Exit::from_wait_status(9)),
        killed: true,
        ..Evidence::default()
    };
    let ended = Evidence {
        exit: Some(Exit::Code(2)),
        ..Evidence::default()
    };
    let line = "usage: tool FILE".to_owned();
    assert_eq!(
        of(said(&line), &lives),
        Some(Hint::Noise { line: line.clone() })
    );
    // How it ended says more.
    assert_eq!(of(said(&line), &ended), Some(Hint::Exited { status: 2 }));
    let line = "Content-Length: 3".to_owned();
    for evidence in [&lives, &ended] {
        let protocol = Foreign::LanguageServer;
        let line = line.clone();
        let expected = Hint::ForeignProtocol { protocol, line };
        assert_eq!(of(said("Content-Length: 3"), evidence), Some(expected));
    }
}

#[test]
fn what_a_plugin_needs_is_the_cause() {
    use HandshakeError as E;
    let unsupported = E::MultiplexingUnsupported(MultiplexingRefusal::SaidNo);
    let version = |plugin, host: &[i64]| {
        E::IncompatibleVersion(IncompatibleVersion::new(plugin, host.to_vec()))
    };
    let cases = [
        (
            E::IncompatibleCore { plugin: 0 },
            "other-core-version",
            "older",
        ),
        (
            E::IncompatibleCore { plugin: 2 },
            "other-core-version",
            "newer",
        ),
        (version(1, &[2, 3]), "other-version", "The plugin is older"),
        (version(4, &[2, 3]), "other-version", "The plugin is newer"),
        (version(3, &[2, 4]), "other-version", "Use a plugin"),
        (version(3, &[]), "other-version", "Use a plugin"),
        (E::NetRpcUnsupported, "other-protocol", "old go-plugin"),
        (E::StdioNotOffered, "other-protocol", "outboard"),
        (E::CertificateMissing, "no-auto-mtls", "sixth field"),
        (unsupported, "no-multiplexing", "1.6"),
    ];
    for (error, code, advice) in cases {
        let mut error = StartError::new(StartFailure::Handshake(error));
        error.evidence.hint = Hint::of(&error.failure, &error.evidence);
        let hint = error.evidence.hint.as_ref();
        assert_eq!(hint.map(Hint::code), Some(code), "{error:?}");
        let text = format!("{error:?}");
        assert!(text.contains(advice), "{advice:?}: {text}");
        assert!(!error.to_string().contains('\n'), "{text}");
    }
    let reason = TlsReason::Expired;
    let failure = StartFailure::Tls {
        location: crate::handshake::Location::Stdio,
        reason,
        fault: Fault::other("no luck"),
    };
    let hint = Hint::of(&failure, &Evidence::default());
    assert_eq!(hint, Some(Hint::OtherTls { reason }));
    assert!(hint.is_some_and(|hint| hint.to_string().contains("clocks")));
}
