//! Go host and Go plugin: proves that the peers themselves behave, so that a
//! failure with one Rust side is that side's.
#![cfg(unix)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use outboard_interop::{
    GENERATOR, Wait, go, is_alive, kill, loud_skip,
    scenarios::{Subject, calls, life, output, services, tls},
    wait_until_gone,
};

/// One test per scenario.
macro_rules! scenarios {
    ($($module:ident: $($name:ident)*;)*) => {$($(
        #[test]
        fn $name() {
            if let Some(peers) = go() {
                $module::$name(&Subject::go(peers));
            }
        }
    )*)*};
}

scenarios! {
    services: kv negotiated incompatible_version counter broker broker_timeout streamer;
    calls: large_message status deadline cancel metadata sequential parallel streams unknown_method
        health reflection;
    output: stdio logs raw_stderr;
    life: cookie_mismatch crash crash_by_panic shutdown shutdown_ignored interrupt_ignored
        terminate_obeyed;
    tls: auto_mtls;
}

/// Without a response message, Write fails on a current client.
#[test]
fn broken_streamer() {
    let Some(peers) = go() else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let found = Subject::go(peers)
        .run(&["streamer-broken"])
        .dir(dir.path())
        .expect("streamer-broken", &[]);
    assert_eq!(found["code"], "Internal", "{found:#}");
    let message = found["message"].as_str().expect("a text");
    assert!(message.contains("cardinality"), "{message:?}");
}

/// go-plugin's own receive limit stands in the way of large messages unless
/// the plugin's author raised it.
#[test]
fn default_limit() {
    let Some(peers) = go() else { return };
    let run = |size: &str| {
        Subject::go(peers)
            .run(&["probe"])
            .env("INTEROP_DEFAULT_LIMITS", "1")
            .report("echo", &[size])
            .found
    };
    // 4 MiB of message, of which the field's tag and length take 5 bytes.
    assert_eq!(run("size=4194299")["ok"], true);
    assert_eq!(run("size=4194300")["code"], "ResourceExhausted");
}

/// The streams are secured and shared in all of go-plugin's ways.
#[test]
fn options_of_the_host() {
    let Some(peers) = go() else { return };
    for flags in [
        vec!["-automtls"],
        vec!["-multiplex"],
        vec!["-automtls", "-multiplex"],
    ] {
        let run = flags
            .iter()
            .fold(Subject::go(peers).run(&["all"]), |run, flag| run.flag(flag));
        let found = run.expect("broker", &[]);
        assert_eq!(found["host_served"], 3, "{flags:?}");
    }
}

/// A Go host waits for a grandchild that holds the pipes, which a better host
/// does not; here it shows that the grandchild holds them.
#[test]
fn grandchild_holds_the_pipes() {
    let Some(peers) = go() else { return };
    let found = Subject::go(peers)
        .run(&["probe"])
        .expect("grandchild", &["millis=3000"]);
    assert!(found["kill"]["millis"].as_u64() >= Some(2_500), "{found:#}");
}

/// A flood without a line break makes a Go host stop reading; calls still work.
#[test]
fn flood() {
    let Some(peers) = go() else { return };
    let found = Subject::go(peers).run(&["flood"]).expect("sequential", &[]);
    assert_eq!(found["calls"], 1000);
}

/// What only looks like a plugin is refused.
#[test]
fn no_plugin_at_all() {
    let Some(peers) = go() else { return };
    for (mode, error) in [
        (vec!["print-and-exit", "0", ""], ""),
        (vec!["print-and-exit", "3", "no plugin\n"], "no plugin"),
        (vec!["print-and-block", "garbage\n"], "garbage"),
        (vec!["print-and-block", "2|1|unix|/x|grpc\n"], "version"),
        (vec!["print-and-block", "1|1|pigeon|/x|grpc\n"], "address"),
        (vec!["print-and-block", ""], "timeout"),
    ] {
        let found = Subject::go(peers)
            .run(&mode)
            .flag("-start-timeout=3s")
            .expect("rejected", &[]);
        let text = found["start_error"].as_str().expect("a text");
        assert!(text.contains(error), "{mode:?}: {text:?}");
        assert_eq!(found["kill"]["exited"], true, "{mode:?}: {found:#}");
    }
}

/// Go plugins do not watch their host: they live on when it dies. So what a
/// test sees of a plugin that ends is not the host's doing.
#[test]
fn host_death_leaves_the_plugin() {
    let Some(peers) = go() else { return };
    for death in [life::Death::Exit, life::Death::Kill] {
        let plugin = life::host_death(&Subject::go(peers), death);
        assert!(is_alive(plugin), "{death:?}: the plugin ended");
        kill(plugin);
        assert!(wait_until_gone(plugin, Wait::default()), "{death:?}");
    }
}

/// The Go code is formatted and passes `go vet`.
#[test]
fn go_code_is_tidy() {
    let Some(peers) = go() else { return };
    let minute = std::time::Duration::from_secs(300);
    for (module, mut vet) in [
        ("the peers", peers.command(".")),
        ("gen", peers.generator()),
    ] {
        let vet = outboard_interop::run_to_end(vet.args(["vet", "./..."]), minute);
        let stderr = String::from_utf8_lossy(&vet.stderr);
        assert!(vet.status.success(), "go vet in {module}: {stderr}");
    }
    let mut list = peers.command(".");
    // The formatter lies beside the go command, not always on the path.
    let root = outboard_interop::run_to_end(list.args(["env", "GOROOT"]), minute);
    let gofmt = Path::new(String::from_utf8_lossy(&root.stdout).trim()).join("bin/gofmt");
    let sources = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut format = Command::new(gofmt);
    let format = outboard_interop::run_to_end(
        format
            .arg("-l")
            .args([sources.join("go"), sources.join(GENERATOR)]),
        minute,
    );
    assert!(format.status.success());
    assert_eq!(String::from_utf8_lossy(&format.stdout), "", "not formatted");
}

/// The generated code in the tree, of the peers and of the benchmarks, is what the generator makes
/// of the protos.
#[test]
fn generated_code_is_current() {
    let Some(peers) = go() else { return };
    let limit = std::time::Duration::from_secs(600);
    let mut download = peers.generator();
    let download = outboard_interop::run_to_end(download.args(["mod", "download"]), limit);
    if !download.status.success() {
        loud_skip(
            "check of the generated Go code",
            "its generator cannot be had",
        );
        return;
    }
    let fresh = tempfile::tempdir().expect("a directory");
    let mut generator = peers.generator();
    let generator =
        outboard_interop::run_to_end(generator.args(["run", "."]).arg(fresh.path()), limit);
    let stderr = String::from_utf8_lossy(&generator.stderr);
    assert!(generator.status.success(), "{stderr}");
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (module, kept, services) in [
        (
            "interop",
            crates.join("interop/go"),
            &["counter", "kv", "probe", "streamer"][..],
        ),
        ("benches", crates.join("../benches/go"), &["bench"][..]),
    ] {
        let fresh = generated_files(&fresh.path().join(module));
        let kept = generated_files(&kept);
        assert_eq!(fresh.len(), 2 * services.len(), "of {services:?}");
        let names = |files: &BTreeMap<_, _>| files.keys().cloned().collect::<Vec<PathBuf>>();
        assert_eq!(names(&kept), names(&fresh), "{module}");
        for (path, made) in fresh {
            assert!(
                kept[&path] == made,
                "{module}: {} differs: run `go run .` in testing/kit/go/gen",
                path.display()
            );
        }
    }
}

/// The generated files below a directory: path from there, and text.
fn generated_files(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut files = BTreeMap::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                directories.push(path);
            } else if path.to_string_lossy().ends_with(".pb.go") {
                let text = std::fs::read_to_string(&path).expect("text");
                let path = path.strip_prefix(root).expect("below it");
                files.insert(path.to_owned(), text);
            }
        }
    }
    files
}
