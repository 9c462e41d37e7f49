//! Each cause of a failed start, provoked, is a variant of its own with its evidence, and the text says
//! what to do.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command as Program;

use outboard::error::{Contents, Foreign, Format, Hint};
use outboard::{Command, Exit, Host, StartError};

use crate::harness::{FAKE, HOST, Harness};

/// Writes a file that may be executed.
fn file(h: &Harness, content: &[u8]) -> PathBuf {
    let path = h.dir().join("plugin");
    write(&path, content, 0o755);
    path
}

fn write(path: &Path, content: &[u8], mode: u32) {
    let _none_yet = std::fs::remove_file(path);
    std::fs::write(path, content).expect("written");
    set_mode(path, mode);
}

fn set_mode(path: &Path, mode: u32) {
    let mode = std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(path, mode).expect("it is ours");
}

fn remove(path: &Path) {
    std::fs::remove_file(path).expect("it was made");
}

/// The cause, which has this code, is in the error that people read, and says this in its advice.
async fn cause(h: &Harness, host: Host, code: &str, advice: &str) -> (Hint, StartError) {
    let error = h.start_error(host).await;
    let hint = error.evidence.hint.clone();
    let hint = hint.unwrap_or_else(|| panic!("no cause is told: {error:?}"));
    assert_eq!(hint.code(), code, "{error:?}");
    assert!(hint.to_string().contains(advice), "{advice:?}: {hint}");
    let text = format!("{error:?}");
    assert!(text.contains(&hint.to_string()), "{text}");
    assert!(!error.to_string().contains('\n'), "{error}");
    (hint, error)
}

/// What a host says that is a process of its own: the text that a `main` prints that returns the error.
fn told(program: &mut Program) -> String {
    let output = loop {
        match program.output() {
            // A process that another test starts right now still has the file open that was written here.
            Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => {
                std::thread::yield_now();
            }
            output => break output.expect("it runs"),
        }
    };
    assert!(!output.status.success(), "it started");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Says on stderr itself, since a test that passes keeps back what it prints, that something could not be
/// tried. It is no failure under `CI=true` either: unlike a toolchain, nobody can install it.
fn skipped(what: &str, why: &str) {
    let line = format!("SKIPPED: {what}: {why}\n");
    // A closed stderr leaves nobody to tell.
    let _told = std::io::stderr().write_all(line.as_bytes());
}

/// A header of Windows' and one of macOS' format.
fn of_other_systems() -> [(Vec<u8>, Format, &'static str); 2] {
    let mut pe = b"MZ".to_vec();
    pe.resize(0x3c, 0);
    pe.extend(b"\x40\0\0\0PE\0\0\x64\x86");
    let mac = b"\xcf\xfa\xed\xfe\x0c\0\0\x01".to_vec();
    [(pe, Format::Pe, "amd64"), (mac, Format::MachO, "arm64")]
}

pub async fn each_kind_of_file_is_told_by_its_own_cause(h: Harness) {
    let start = async |content: &[u8], code: &str, advice: &str| {
        let path = file(&h, content);
        cause(&h, h.host_of(Command::new(&path)), code, advice).await
    };
    let foreign = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x15\0";
    let (hint, _) = start(foreign, "other-architecture", "for this machine").await;
    match hint {
        Hint::OtherArchitecture { executable, this } => {
            assert_eq!(&*executable.arch, "ppc64le");
            assert_eq!(executable.format, Format::Elf);
            assert_ne!(this, executable.arch);
        }
        other => panic!("unexpected cause {other:?}"),
    }
    for (header, format, arch) in of_other_systems() {
        let (hint, _) = start(&header, "other-system", "for this system").await;
        match hint {
            Hint::OtherSystem { executable, this } => {
                assert_eq!((executable.format, &*executable.arch), (format, arch));
                assert_eq!(this, Format::Elf);
            }
            other => panic!("unexpected cause {other:?}"),
        }
    }
    for (content, kind) in [("", Contents::Empty), ("hello", Contents::detect(b"hello"))] {
        let (hint, _) = start(content.as_bytes(), "not-a-program", "#!").await;
        match hint {
            Hint::NotAProgram { contents, .. } => assert_eq!(contents, kind),
            other => panic!("unexpected cause {other:?}"),
        }
    }
    let (hint, _) = start(b"#!/no/such/shell\n", "no-interpreter", "Install it").await;
    let interpreter = PathBuf::from("/no/such/shell");
    assert_eq!(hint, Hint::NoInterpreter { interpreter });
    remove(&h.dir().join("plugin"));
}

pub async fn who_may_not_execute_or_search_is_told_by_mode_and_owner(h: Harness) {
    let path = file(&h, b"#!/bin/sh\n");
    set_mode(&path, 0o640);
    let host = h.host_of(Command::new(&path));
    let (hint, error) = cause(&h, host, "not-executable", "chmod +x").await;
    match hint {
        Hint::NotExecutable {
            mode,
            user: Some(user),
            others_may,
            ..
        } => {
            assert_eq!(mode.map(|mode| mode & 0o777), Some(0o640));
            assert_eq!(user.file.number, user.current.number);
            assert!(!others_may);
        }
        other => panic!("unexpected cause {other:?}"),
    }
    assert!(format!("{error:?}").contains("-rw-r-----"), "{error:?}");
    if !rustix::process::geteuid().is_root() {
        // What is closed to its owner is open to root.
        let closed = h.dir().join("closed");
        std::fs::create_dir(&closed).expect("made");
        write(&closed.join("plugin"), b"#!/bin/sh\n", 0o755);
        set_mode(&closed, 0o600);
        let host = h.host_of(Command::new(closed.join("plugin")));
        let (hint, _) = cause(&h, host, "closed-directory", "chmod a+x").await;
        assert!(
            matches!(&hint, Hint::ClosedDirectory { dir, mode, .. }
                if *dir == closed && mode & 0o777 == 0o600),
            "{hint:?}"
        );
        set_mode(&closed, 0o700);
        std::fs::remove_dir_all(&closed).expect("ours");
    } else {
        as_nobody(&h, &path);
    }
    remove(&path);
}

/// The same by a host that runs as another user than root.
fn as_nobody(h: &Harness, path: &Path) {
    const NOBODY: u32 = 65534;
    // A copy that others can reach, which the one that was built may be no more than its directory.
    let place = tempfile::TempDir::with_prefix("outboard-nobody").expect("a directory");
    set_mode(place.path(), 0o755);
    let host = place.path().join("host");
    std::fs::copy(HOST, &host).expect("copied");
    set_mode(h.dir(), 0o700);
    let mut program = Program::new(&host);
    program
        .args([h.on.host.to_string(), h.on.transport.to_string()])
        .arg("wait")
        .arg(path)
        .env("TMPDIR", "/tmp")
        .uid(NOBODY)
        .gid(NOBODY);
    let text = told(&mut program);
    let dir = h.dir().display();
    assert!(
        text.contains(&format!(
            "may not search the directory {dir} (mode 0700, owner 0 [root] (current: 65534"
        )),
        "{text}"
    );
    assert!(text.contains(&format!("chmod a+x {dir}")), "{text}");
    set_mode(h.dir(), 0o755);
    set_mode(path, 0o750);
    let text = told(&mut program);
    set_mode(h.dir(), 0o700);
    assert!(text.contains("is not executable by this user"), "{text}");
    assert!(text.contains("the host runs as neither"), "{text}");
    assert!(text.contains("Owner: 0 [root] (current: 65534"), "{text}");
}

pub async fn a_file_system_without_execution_is_told(h: Harness) {
    // In a namespace for mounts, so that nobody else sees it; by a host that is a process of its own.
    let mount = h.dir().join("mount");
    std::fs::create_dir(&mount).expect("made");
    let script = "mount -t tmpfs -o noexec none \"$1\" && printf '#!/bin/sh\\n' >\"$1/plugin\" && \
                  chmod 755 \"$1/plugin\" && echo mounted && shift && exec \"$@\"";
    let ways: [&[&str]; 2] = [&["--user", "--map-root-user", "--mount"], &["--mount"]];
    let mut why = String::new();
    let mut text = None;
    for way in ways {
        let mut program = Program::new("/usr/bin/unshare");
        program
            .args(way)
            .args(["--", "/bin/sh", "-c", script, "sh"])
            .arg(&mount)
            .arg(HOST)
            .args([h.on.host.to_string(), h.on.transport.to_string()])
            .arg("wait")
            .arg(mount.join("plugin"))
            .env("TMPDIR", h.dir());
        match program.output() {
            Ok(output) if output.stdout.starts_with(b"mounted") => {
                assert!(!output.status.success(), "it started");
                text = Some(String::from_utf8_lossy(&output.stderr).into_owned());
                break;
            }
            Ok(output) => why = String::from_utf8_lossy(&output.stderr).into_owned(),
            Err(error) => why = error.to_string(),
        }
    }
    std::fs::remove_dir(&mount).expect("it is empty");
    let Some(text) = text else {
        return skipped(
            "a file system that is mounted noexec: nothing can be mounted",
            &why,
        );
    };
    let fact = format!(
        "nothing may be executed, mounted \"noexec\" at {}",
        mount.display()
    );
    assert!(text.contains(&fact), "{text}");
    assert!(text.contains("Install the plugin elsewhere"), "{text}");
    // The mode is right, so that nobody is told to change it.
    assert!(!text.contains("chmod"), "{text}");
}

/// The suite's own program with some of its text changed for other of the same length; `None` if it has
/// none of it, as programs that are linked statically.
fn changed(from: &[u8], to: &[u8]) -> Option<Vec<u8>> {
    assert_eq!(from.len(), to.len());
    let mut bytes = std::fs::read(FAKE).expect("it was built");
    let places: Vec<usize> = bytes
        .windows(from.len())
        .enumerate()
        .filter_map(|(at, window)| (window == from).then_some(at))
        .collect();
    for at in &places {
        bytes[*at..at + to.len()].copy_from_slice(to);
    }
    (!places.is_empty()).then_some(bytes)
}

pub async fn a_library_or_loader_that_is_missing_is_told(h: Harness) {
    let path = h.dir().join("plugin");
    let start = async |bytes: Option<Vec<u8>>, code: &str, advice: &str| {
        let Some(bytes) = bytes else {
            skipped(
                code,
                "the suite's programs are not of the kind that is needed: x86_64, glibc",
            );
            return None;
        };
        write(&path, &bytes, 0o755);
        let host = h.host_of(Command::new(&path).arg("panic").arg("no"));
        Some(cause(&h, host, code, advice).await)
    };
    let missing = changed(b"libgcc_s.so.1\0", b"libxyz_s.so.1\0");
    if let Some((hint, error)) = start(missing, "no-library", "libxyz_s.so.1").await {
        let library = "libxyz_s.so.1".to_owned();
        let by_program = Some(true);
        assert_eq!(
            hint,
            Hint::NoLibrary {
                library,
                by_program
            }
        );
        assert_eq!(error.evidence.exit, Some(Exit::Code(127)));
        let notes = error.evidence.notes.expect("the file was looked at");
        assert!(notes.libraries.iter().any(|name| name == "libc.so.6"));
    }
    let old = changed(b"\0GLIBC_2.", b"\0GLIBC_7.");
    if let Some((hint, _)) = start(old, "old-library", "built on a newer system").await {
        assert!(
            matches!(&hint, Hint::OldLibrary { library, version }
                if library.contains(".so") && version.starts_with("GLIBC_7.")),
            "{hint:?}"
        );
    }
    let loader = changed(
        b"/lib64/ld-linux-x86-64.so.2",
        b"/lib64/no-linux-x86-64.so.2",
    );
    if let Some((hint, _)) = start(loader, "no-loader", "link it statically").await {
        let loader = PathBuf::from("/lib64/no-linux-x86-64.so.2");
        assert_eq!(hint, Hint::NoLoader { loader });
    }
    let _none_was_made = std::fs::remove_file(&path);
}

pub async fn a_command_that_env_does_not_find_is_told(h: Harness) {
    let path = file(&h, b"#!/usr/bin/env no-such-command\n");
    let (hint, _) = cause(&h, h.host_of(Command::new(&path)), "no-command", "PATH").await;
    let command = "no-such-command".to_owned();
    assert_eq!(hint, Hint::NoCommand { command });
    for first in ["#!/usr/bin/env sh\r\n", "#!/bin/sh\r\n"] {
        write(&path, first.as_bytes(), 0o755);
        let host = h.host_of(Command::new(&path));
        let (hint, error) = cause(&h, host, "carriage-return", "sed -i").await;
        let line = first.trim_start_matches("#!").trim_end().to_owned();
        let expected = Hint::CarriageReturn {
            path: path.clone(),
            line,
        };
        assert_eq!(hint, expected);
        assert!(error.to_string().contains("ends with CR LF"), "{error}");
    }
    remove(&path);
}

pub async fn what_comes_in_place_of_a_handshake_is_told(h: Harness) {
    let printed = async |line: &str, code: &str, advice: &str| {
        let script = format!("printf '%s\\n' '{line}'; exec sleep 600");
        cause(&h, h.script(&script), code, advice).await.0
    };
    let line = "starting up".to_owned();
    let hint = printed(&line, "noise", "belongs on stderr").await;
    assert_eq!(hint, Hint::Noise { line });
    for (line, protocol) in [
        ("Content-Length: 52\r", Foreign::LanguageServer),
        (
            "{\"jsonrpc\":\"2.0\",\"method\":\"hello\"}",
            Foreign::JsonRpc,
        ),
        ("HTTP/1.1 400 Bad Request\r", Foreign::Http),
    ] {
        let hint = printed(line, "foreign-protocol", "no plugin of go-plugin").await;
        assert!(
            matches!(&hint, Hint::ForeignProtocol { protocol: found, line: told }
                if *found == protocol && line.starts_with(told.trim_end())),
            "{hint:?}"
        );
    }
    let hint = printed("7|1|unix|/x|grpc", "other-core-version", "update the host").await;
    assert_eq!(hint, Hint::OtherCoreVersion { plugin: 7, this: 1 });
    for line in ["1|1|unix|/x", "1|1|unix|/x|netrpc"] {
        let hint = printed(line, "other-protocol", "old go-plugin").await;
        assert!(
            matches!(&hint, Hint::OtherProtocol { found, .. } if found == "netrpc"),
            "{hint:?}"
        );
    }
    let hint = printed("1|1|unix|/x|smoke", "other-protocol", "another host").await;
    assert!(
        matches!(&hint, Hint::OtherProtocol { found, allowed: Some(allowed) }
            if found == "smoke" && !allowed.is_empty()),
        "{hint:?}"
    );
    for (version, advice) in [(0, "older than"), (9, "newer than")] {
        let line = format!("1|{version}|unix|/x|grpc");
        let hint = printed(&line, "other-version", advice).await;
        let (plugin, offered) = (version, vec![1]);
        assert_eq!(hint, Hint::OtherVersion { plugin, offered });
    }
}

pub async fn the_end_of_a_program_is_told_by_its_own_cause(h: Harness) {
    let (hint, _) = cause(&h, h.script("exit 42"), "exited", "says why on its stderr").await;
    assert_eq!(hint, Hint::Exited { status: 42 });
    let (hint, _) = cause(&h, h.script("kill -KILL $$"), "signalled", "want of memory").await;
    let (signal, core_dumped) = (9, false);
    assert_eq!(
        hint,
        Hint::Signalled {
            signal,
            core_dumped
        }
    );
    let panics = Command::new(FAKE).args(["panic", "out of cheese"]);
    let (hint, _) = cause(&h, h.host_of(panics), "panicked", "mistake in the plugin").await;
    let (message, exit) = ("out of cheese".to_owned(), Exit::Code(101));
    assert_eq!(hint, Hint::Panicked { message, exit });
    // A program that prints how it is used, and ends.
    let host = h.script("echo 'usage: tool FILE'; exit 2");
    let (hint, error) = cause(&h, host, "exited", "does not know the arguments").await;
    assert_eq!(hint, Hint::Exited { status: 2 });
    assert!(error.to_string().contains("usage: tool FILE"), "{error}");
}

pub async fn what_a_plugin_needs_is_told(h: Harness) {
    let asks = h
        .script("echo '1|1|unix|/x|grpc'; exec sleep 600")
        .auto_mtls(true);
    let (hint, _) = cause(&h, asks, "no-auto-mtls", "sixth field").await;
    assert_eq!(hint, Hint::NoAutoMtls);
    let asks = h
        .script("echo '1|1|unix|/x|grpc||no'; exec sleep 600")
        .multiplex(true);
    let error = h.start_error(asks).await;
    assert!(error.evidence.hint.is_none(), "a broken line says all");
    let asks = h
        .script("echo '1|1|unix|/x|grpc||false'; exec sleep 600")
        .multiplex(true);
    let (hint, _) = cause(&h, asks, "no-multiplexing", "1.6").await;
    assert!(matches!(hint, Hint::NoMultiplexing { .. }), "{hint:?}");
}
