use std::path::Path;

use super::*;
use crate::diagnose::Executable;
use crate::fault::Fault;
use crate::host::StartError;

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

    let script = |notes: &mut Notes| notes.missing_interpreter = Some("/bin/fish".into());
    let (_, error) = launch(ErrorKind::NotFound, script);
    assert!(
        error.to_string().contains("its interpreter /bin/fish"),
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
    let others_may = false;
    assert_eq!(
        hint,
        Some(Hint::NotExecutable {
            path: path.clone(),
            others_may
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
    assert_eq!(hint, Some(Hint::Forbidden { path }));
}

#[test]
fn only_another_architecture_is_told_as_one() {
    let arm = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\xb7\0";
    let foreign = |notes: &mut Notes| {
        notes.executable = Executable::detect(arm);
        notes.host_arch = "amd64".to_owned();
    };
    let (hint, error) = launch(ErrorKind::Other, foreign);
    assert!(
        matches!(hint, Some(Hint::OtherArchitecture { .. })),
        "{hint:?}"
    );
    assert!(error.to_string().contains("arm64"), "{error}");
    let (hint, _) = launch(ErrorKind::Other, |_| {});
    assert!(matches!(hint, Some(Hint::NotAProgram { .. })), "{hint:?}");
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
        (Exit::Code(127), "shared library"),
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
