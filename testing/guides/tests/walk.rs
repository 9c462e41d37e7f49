//! Follows the guides as a reader would: writes each file, runs each command, and compares what is printed.
//!
//! All of them in turn and in one package outside of this repository, since each goes on from those before
//! it. Nothing of this repository is compiled for it a second time where the tests have it already.
#![cfg(target_os = "linux")]

use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use outboard_guides::{Block, Step, blocks, missing, root};
use outboard_interop::{go, kill, node, python, run_to_end};

/// In the order in which they go on from each other.
const GUIDES: [&str; 4] = [
    "write-a-plugin.md",
    "write-a-host.md",
    "test-a-plugin.md",
    "security-model.md",
];

/// The last one, which needs Go, Python and Node.
const OTHERS: &str = "other-languages.md";

/// What a reader has beside the package: a checkout.
const CHECKOUT: &str = "../outboard";

/// Reached only by a failure: the longest that any commands take is a first build.
const LIMIT: Duration = Duration::from_secs(900);

struct Reader {
    package: PathBuf,
    checkout: String,
    /// What is set for each command.
    environment: Vec<(&'static str, OsString)>,
}

impl Reader {
    fn write(&self, path: &str, continued: bool, text: &str) {
        let file = self.package.join(path);
        let dir = file.parent().expect("it is in the package");
        fs::create_dir_all(dir).expect("made");
        let mut options = fs::OpenOptions::new();
        options.create(!continued).write(true);
        options.append(continued).truncate(!continued);
        let mut file = options
            .open(file)
            .expect("a file that is continued is there");
        let text = text.replace(CHECKOUT, &self.checkout);
        file.write_all(text.as_bytes()).expect("written");
    }

    /// Whether they succeed, and what they print, on stdout before what is on stderr.
    fn run(&self, script: &str) -> (bool, String) {
        let script = script.replace(CHECKOUT, &self.checkout);
        let mut command = Command::new("sh");
        command
            .args(["-e", "-c", &script])
            .current_dir(&self.package)
            .envs(self.environment.iter().cloned())
            .env_remove("CARGO_TARGET_DIR");
        let printed = run_to_end(&mut command, LIMIT);
        let text = [printed.stdout, printed.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        (printed.status.success(), text)
    }

    /// The processes that were started in the package and are still there.
    fn left(&self) -> Vec<u32> {
        let package = self.package.canonicalize().ok();
        let processes = fs::read_dir("/proc").expect("Linux").flatten();
        let ours = processes.filter(|entry| {
            let dir = fs::read_link(entry.path().join("cwd"));
            dir.ok().is_some_and(|dir| Some(dir) == package)
        });
        let numbers = ours.map(|entry| entry.file_name().to_string_lossy().parse());
        numbers.filter_map(Result::ok).collect()
    }
}

impl Drop for Reader {
    /// A plugin that outlives its host outlives a guide that has failed, too.
    fn drop(&mut self) {
        for pid in self.left() {
            kill(pid);
        }
    }
}

fn reader(package: &Path) -> Reader {
    let root = root();
    fs::copy(root.join("Cargo.lock"), package.join("Cargo.lock")).expect("copied");
    // Where this test was built: `target/debug/deps/walk-…`.
    let this = std::env::current_exe().expect("this test");
    let target = this.ancestors().nth(3).expect("a directory for targets");
    std::os::unix::fs::symlink(target, package.join("target")).expect("linked");
    Reader {
        package: package.to_owned(),
        checkout: root.to_str().expect("a path in UTF-8").to_owned(),
        environment: vec![("PATH", path_behind([Path::new(env!("CARGO"))]))],
    }
}

/// The search path behind the directories of these programs.
fn path_behind<'a>(programs: impl IntoIterator<Item = &'a Path>) -> OsString {
    let dirs = programs.into_iter().filter_map(Path::parent);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = dirs.map(Path::to_owned).chain(std::env::split_paths(&path));
    std::env::join_paths(all).expect("no separators in them")
}

impl Reader {
    /// Gives a reader what the other languages need, in the versions that the suite of `interop` has brought
    /// here. False if something is missing, which has been said.
    fn learn_others(&mut self) -> bool {
        let (Some(_), Some(python), Some(node)) = (go(), python(), node()) else {
            return false;
        };
        let sums = self.package.join("go");
        fs::create_dir_all(&sums).expect("made");
        let pinned = root().join("testing/interop/go/go.sum");
        fs::copy(pinned, sums.join("go.sum")).expect("copied");
        let path = path_behind([Path::new(env!("CARGO")), python.interpreter()]);
        self.environment = vec![
            ("PATH", path),
            ("NODE_PATH", node.modules().into()),
            ("GOTOOLCHAIN", "local".into()),
            ("GOWORK", "off".into()),
            ("CGO_ENABLED", "0".into()),
        ];
        true
    }

    fn follow(&self, name: &str) {
        let text = fs::read_to_string(root().join("docs").join(name)).expect("a guide");
        let blocks = blocks(name, &text);
        assert!(blocks.len() > 2, "{name} has {} blocks", blocks.len());
        let mut printed = None;
        for Block { place, step } in blocks {
            match step {
                Step::Write {
                    path,
                    continued,
                    text,
                } => self.write(path, continued, text),
                Step::Run { script, succeeds } => {
                    eprintln!("{place}: {}", script.trim_end());
                    let (success, output) = self.run(script);
                    assert_eq!(success, succeeds, "{place}: {output}");
                    printed = Some(output);
                }
                Step::See { text } => {
                    let printed = printed.take();
                    let printed = printed.unwrap_or_else(|| panic!("{place}: nothing was run"));
                    let line = missing(text, &printed);
                    assert_eq!(line, None, "{place}: not in this: {printed}");
                }
            }
        }
    }
}

#[test]
fn everything_in_the_guides_works() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut reader = reader(dir.path());
    for name in GUIDES {
        reader.follow(name);
    }
    if reader.learn_others() {
        reader.follow(OTHERS);
    }
    assert_eq!(reader.left(), [0; 0], "a guide leaves processes behind");
}
