//! Programs that are launched only if they have the right checksum.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use outboard::discover::Search;
use outboard::error::{Mistake, TextEncoding};
use outboard::rt::{BoxFuture, Launch, Process, Runner, SharedRuntime};
use outboard::{
    Checksum, ChecksumError, ChecksumList, Command, Execute, Exit, FileDigest, ForkExec, HostError,
    StartFailure,
};
use outboard_conformance::axes::RuntimeKind;
use outboard_conformance::proto::Probe as _;
use rustix::fs::{CWD, Mode, mkfifoat};
use sha2::{Digest as _, Sha256, Sha512};

use crate::calls::payload;
use crate::harness::{Harness, PLUGIN};

/// All that runs what was hashed.
const PINNED: [Execute; 2] = [Execute::SealedCopy, Execute::OpenFile];

fn sha256(bytes: &[u8]) -> FileDigest {
    Sha256::digest(bytes).to_vec().into()
}

/// A hash of anything, which the library does not bring along.
fn hash(file: &mut dyn Read) -> io::Result<FileDigest> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(sha256(&bytes))
}

fn executable(path: &Path, content: &[u8]) {
    fs::write(path, content).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("it is ours");
}

/// Why it does not start, by its checksum.
async fn refused(h: &Harness, command: Command, checksum: Checksum) -> ChecksumError {
    let host = h.host_of(command).checksum(checksum).name("it");
    match h.promptly(host.start(h.runtime.clone())).await {
        Err(HostError::Checksum { name, error }) => {
            assert_eq!(name, "it");
            *error
        }
        other => panic!("unexpected outcome {other:?}"),
    }
}

pub async fn the_right_checksum_lets_a_plugin_start(h: Harness) {
    let program = fs::read(PLUGIN).expect("it was built");
    let checksums = [
        Checksum::sha256(sha256(&program)),
        Checksum::of::<Sha512>(Sha512::digest(&program).to_vec()),
        Checksum::new(sha256(&program), hash),
    ];
    let ways = [None, Some(Execute::OpenFile), Some(Execute::Path)];
    for (checksum, way) in checksums.into_iter().zip(ways) {
        let checksum = match way {
            None => checksum,
            Some(way) => checksum.execute(way),
        };
        let rig = h.start_host(h.host([""; 0]).checksum(checksum)).await;
        let echoed = rig.probe.echo(payload(b"it works")).await;
        assert_eq!(echoed.expect("it runs").data, b"it works"[..]);

        let proc = PathBuf::from(format!("/proc/{}", rig.pid()));
        let exe = fs::read_link(proc.join("exe")).expect("it runs");
        let is_copy = exe.starts_with("/memfd:outboard-plugin (deleted)");
        assert_eq!(is_copy, way.is_none(), "{exe:?}");
        assert!(is_copy || exe == Path::new(PLUGIN), "{exe:?}");
        let args = fs::read(proc.join("cmdline")).expect("it runs");
        let name = args.split(|byte| *byte == 0).next().expect("one at least");
        assert_eq!(name, PLUGIN.as_bytes(), "it has its name");
        for file in fs::read_dir(proc.join("fd")).expect("it runs").flatten() {
            let file = fs::read_link(file.path()).unwrap_or_default();
            assert!(file != exe, "the program's descriptor is left to it");
        }
        rig.shutdown().await;
    }
}

pub async fn what_does_not_fit_launches_nothing(h: Harness) {
    let program = fs::read("/bin/sh").expect("there is one");
    let digest = sha256(&program);
    let hex = digest.to_string();
    let other = sha256(b"another program");
    let nothing = sha256(b"");
    let text = |encoding, fits| Some(Mistake::Text { encoding, fits });
    // What is expected, and the mistake that is told.
    let cases: [(FileDigest, Option<Mistake>); 5] = [
        (other.clone(), None),
        (nothing.clone(), Some(Mistake::ExpectsNothing)),
        (hex.as_bytes().into(), text(TextEncoding::Hex, true)),
        (
            other.to_string().as_bytes().into(),
            text(TextEncoding::Hex, false),
        ),
        (
            digest.as_bytes()[..20].into(),
            Some(Mistake::Length {
                expected: 20,
                actual: 32,
            }),
        ),
    ];
    let mark = h.dir().join("it ran");
    let command = || {
        Command::new("/bin/sh")
            .args(["-c", ": > \"$0\""])
            .arg(&mark)
    };
    for way in [Execute::SealedCopy, Execute::OpenFile, Execute::Path] {
        for (expected, mistake) in &cases {
            let checksum = Checksum::sha256(expected.clone()).execute(way);
            let error = refused(&h, command(), checksum).await;
            let ChecksumError::Mismatch { path, mismatch } = &error else {
                panic!("unexpected error {error:?}");
            };
            assert_eq!(path, Path::new("/bin/sh"));
            assert_eq!(&mismatch.expected, expected);
            assert_eq!(mismatch.actual, digest);
            assert_eq!(&mismatch.mistake, mistake);
            let told = error.to_string();
            for part in ["/bin/sh", &hex, &expected.to_string()] {
                assert!(told.contains(part), "{part}: {told}");
            }
        }
        let none = Checksum::sha256([]).execute(way);
        let error = refused(&h, command(), none).await;
        assert!(matches!(error, ChecksumError::Empty { .. }), "{error:?}");
        assert!(!mark.exists(), "it ran");
        // A program that is empty.
        let file = h.dir().join("empty");
        executable(&file, b"");
        let checksum = Checksum::sha256(digest.clone()).execute(way);
        let error = refused(&h, Command::new(&file), checksum).await;
        let told = error.to_string();
        assert!(told.contains("the file is empty"), "{told}");
        fs::remove_file(&file).expect("it was made");
    }
    // The command does what it is taken to do.
    let right = h.host_of(command()).checksum(Checksum::sha256(digest));
    h.start_error(right).await;
    fs::remove_file(&mark).expect("it ran");
}

pub async fn what_cannot_be_hashed_launches_nothing(h: Harness) {
    let expected = sha256(b"anything");
    let file = |name| h.dir().join(name);
    mkfifoat(CWD, file("pipe"), Mode::RUSR | Mode::XUSR).expect("made");
    fs::create_dir(file("dir")).expect("made");
    executable(&file("large"), b"");
    let large = fs::File::options().append(true).open(file("large"));
    large
        .and_then(|large| large.set_len((1 << 30) + 1))
        .expect("a hole");

    let unreadable = |error: &ChecksumError, text: &str| {
        let told = error.to_string();
        let is_typed = matches!(error, ChecksumError::Unreadable { .. });
        assert!(is_typed && told.contains(text), "{text}: {error:?}");
        assert!(told.contains(&sha256(b"anything").to_string()), "{told}");
    };
    for (program, text) in [
        (file("missing"), "No such file"),
        (file("pipe"), "no regular file"),
        (file("dir"), "a directory"),
        ("no-such-plugin-here".into(), "in PATH"),
    ] {
        let checksum = Checksum::sha256(expected.clone());
        let error = refused(&h, Command::new(program), checksum).await;
        unreadable(&error, text);
    }
    // A relative path begins at the plugin's directory.
    let relative = Command::new("./missing").current_dir(h.dir());
    let error = refused(&h, relative, Checksum::sha256(expected.clone())).await;
    let told = error.to_string();
    let path = h.dir().join("./missing");
    assert!(told.contains(&*path.to_string_lossy()), "{told}");

    let large = Command::new(file("large"));
    let error = refused(&h, large, Checksum::sha256(expected.clone())).await;
    assert!(matches!(error, ChecksumError::TooLarge { .. }), "{error:?}");

    // Hashes that are none.
    let sh = || Command::new("/bin/sh");
    let fails = |_: &mut dyn Read| Err::<Vec<u8>, _>(io::Error::other("out of numbers"));
    let error = refused(&h, sh(), Checksum::new(expected.clone(), fails)).await;
    unreadable(&error, "out of numbers");
    let panics = |_: &mut dyn Read| -> io::Result<Vec<u8>> { panic!("out of numbers") };
    let error = refused(&h, sh(), Checksum::new(expected.clone(), panics)).await;
    unreadable(&error, "panicked");
    let hasty = |file: &mut dyn Read| {
        let mut begin = [0; 4];
        file.read_exact(&mut begin)?;
        Ok(begin)
    };
    let error = refused(&h, sh(), Checksum::new(*b"\x7fELF", hasty)).await;
    let size = fs::metadata("/bin/sh").expect("there is one").len();
    let not_all = ChecksumError::NotAllRead {
        path: "/bin/sh".into(),
        read: 4,
        size,
    };
    assert_eq!(error, not_all);
    fs::remove_dir(file("dir")).expect("it is empty");
    for made in ["pipe", "large"] {
        fs::remove_file(file(made)).expect("it was made");
    }
}

/// Of the programs of a directory those run that are listed and have not changed.
pub async fn a_list_tells_which_programs_may_run(h: Harness) {
    let program = fs::read(PLUGIN).expect("it was built");
    let digest = sha256(&program);
    let changed = [&program[..], b"and more"].concat();
    let files = [
        ("changed", &changed),
        ("listed", &program),
        ("new", &program),
    ];
    for (name, content) in files {
        executable(&h.dir().join(name), content);
    }
    let list = format!("{digest}  ./changed\nSHA256 (listed) = {digest}\n");
    let list = ChecksumList::parse(&list).expect("a list");
    let found = Search::new(h.dir()).find().expect("it is there");
    assert_eq!(found.programs.len(), files.len(), "{found:?}");
    let mut outcomes = Vec::new();
    for file in &found.programs {
        let name = file.file_name().and_then(OsStr::to_str).expect("text");
        let expected = match list.digest(name) {
            Ok(expected) => expected.clone(),
            Err(error) => {
                outcomes.push(format!("{name}: {error}"));
                continue;
            }
        };
        let (on, command) = (h.on, Command::new(file));
        let command = command.args([on.plugin.to_string(), on.transport.to_string()]);
        let host = h.host_of(command).checksum(Checksum::sha256(expected));
        outcomes.push(match host.start(h.runtime.clone()).await {
            Ok(plugin) => {
                plugin.shutdown().await.expect("it ends");
                format!("{name} runs")
            }
            Err(error) => format!("{name}: {error}"),
        });
    }
    for (outcome, part) in outcomes
        .iter()
        .zip(["does not match", "listed runs", "none of the 2"])
    {
        assert!(outcome.contains(part), "{part}: {outcomes:?}");
    }
    for (name, _) in files {
        fs::remove_file(h.dir().join(name)).expect("it was made");
    }
}

/// A copy in memory could be executed, whatever the file's mode.
pub async fn a_file_that_may_not_be_executed_is_told_as_ever(h: Harness) {
    let file = h.dir().join("plugin");
    fs::write(&file, "#!/bin/sh\n").expect("written");
    for way in PINNED {
        let checksum = Checksum::sha256(sha256(b"#!/bin/sh\n")).execute(way);
        let host = h.host_of(Command::new(&file)).checksum(checksum);
        let error = h.start_error(host).await;
        assert!(
            matches!(error.failure, StartFailure::Launch(_)),
            "{error:?}"
        );
        let told = error.to_string();
        assert!(told.contains("is not executable by this user"), "{told}");
    }
    fs::remove_file(&file).expect("it was made");
}

/// How a program is swapped for another one.
#[derive(Clone, Copy, Debug)]
enum Swap {
    /// Another file takes its path.
    Renamed,
    /// Its own file is written anew.
    InPlace,
}

impl Swap {
    fn swap(self, file: &Path, evil: &[u8]) -> io::Result<()> {
        match self {
            Self::Renamed => {
                let other = file.with_extension("evil");
                executable(&other, evil);
                fs::rename(other, file)
            }
            Self::InPlace => fs::write(file, evil),
        }
    }
}

/// How the program ended that ran after `good` was hashed and swapped for `evil`.
async fn end_after(h: &Harness, way: Execute, swap: Swap, good: &[u8], evil: &Arc<[u8]>) -> Exit {
    let file = h.dir().join("plugin");
    executable(&file, good);
    let swapped = {
        let (file, evil) = (file.clone(), Arc::clone(evil));
        move |input: &mut dyn Read| {
            let digest = hash(input)?;
            swap.swap(&file, &evil)?;
            Ok::<_, io::Error>(digest)
        }
    };
    let checksum = Checksum::new(sha256(good), swapped).execute(way);
    // To a shell it is what to do, to others an argument that they do not know.
    let command = Command::new(&file).args(["-c", "exit 7"]);
    let error = h.start_error(h.host_of(command).checksum(checksum)).await;
    fs::remove_file(&file).expect("it is there");
    error.evidence.exit.expect("it was executed and has ended")
}

pub async fn a_swap_between_hash_and_launch_never_wins(h: Harness) {
    let shell = fs::read("/bin/sh").expect("there is one");
    let cat: Arc<[u8]> = fs::read("/bin/cat").expect("there is one").into();
    let script: &[u8] = b"#!/bin/sh\nexit 7\n";
    let other: Arc<[u8]> = b"#!/bin/sh\nexit 8\n".as_slice().into();
    // Those that look at the path alone run the wrong one.
    let exit = end_after(&h, Execute::Path, Swap::Renamed, &shell, &cat).await;
    assert_ne!(exit, Exit::Code(7));
    let exit = end_after(&h, Execute::OpenFile, Swap::InPlace, script, &other).await;
    assert_eq!(exit, Exit::Code(8), "what is promised for OpenFile says so");
    let cases = [
        (Execute::SealedCopy, Swap::Renamed, shell.as_slice(), &cat),
        (Execute::SealedCopy, Swap::InPlace, &shell, &cat),
        (Execute::SealedCopy, Swap::Renamed, script, &other),
        (Execute::SealedCopy, Swap::InPlace, script, &other),
        (Execute::OpenFile, Swap::Renamed, &shell, &cat),
    ];
    // Who launches and executes is the same on all runtimes.
    let rounds = match h.on.host {
        RuntimeKind::Tokio => 1000,
        _ => 100,
    };
    for round in 0..rounds {
        let (way, swap, good, evil) = cases[round % cases.len()];
        let exit = end_after(&h, way, swap, good, evil).await;
        assert_eq!(exit, Exit::Code(7), "{round}: {way:?}, {swap:?}");
    }
}

/// A runner that does with a launch what all did before there were open files in it.
#[derive(Debug)]
struct ByPath;

impl Runner for ByPath {
    fn launch(
        &self,
        runtime: &SharedRuntime,
        launch: Launch,
    ) -> BoxFuture<'static, io::Result<Process>> {
        assert!(launch.open.is_none(), "nobody said that it is executed");
        ForkExec.launch(runtime, launch)
    }
}

pub async fn without_the_means_the_path_is_executed(h: Harness) {
    let digest = sha256(&fs::read(PLUGIN).expect("it was built"));
    let host = || h.host([""; 0]).runner(ByPath);
    let checksum = Checksum::sha256(digest.clone());
    let rig = h.start_host(host().checksum(checksum.clone())).await;
    let exe = fs::read_link(format!("/proc/{}/exe", rig.pid()));
    assert_eq!(exe.expect("it runs"), Path::new(PLUGIN));
    rig.shutdown().await;
    for execute in PINNED {
        let host = host().checksum(checksum.clone().execute(execute));
        let cannot = match host.start(h.runtime.clone()).await {
            Err(HostError::Checksum { error, .. }) => *error,
            other => panic!("unexpected outcome {other:?}"),
        };
        let path = PLUGIN.into();
        assert_eq!(cannot, ChecksumError::CannotExecute { path, execute });
    }
    // What is wrong is refused all the same.
    let wrong = host().checksum(Checksum::sha256(sha256(b"wrong")));
    let wrong = wrong.start(h.runtime.clone()).await;
    let wrong = wrong.expect_err("it is not the one");
    assert!(matches!(wrong, HostError::Checksum { .. }), "{wrong:?}");
}
