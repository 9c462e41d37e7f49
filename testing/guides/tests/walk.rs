//! Follows the guides as a reader would: writes each file, runs each command, and compares what is printed.
//!
//! All of them in turn and in one package outside of this repository, since each goes on from those before
//! it. Nothing of this repository is compiled for it a second time where the tests have it already.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use outboard_guides::{Block, Step, blocks, is_quoted, missing, root};

/// In the order in which they go on from each other.
const GUIDES: [&str; 4] = [
    "write-a-plugin.md",
    "write-a-host.md",
    "test-a-plugin.md",
    "security-model.md",
];

/// What a reader has beside the package: a checkout.
const CHECKOUT: &str = "../outboard";

struct Reader {
    package: PathBuf,
    checkout: String,
    path: std::ffi::OsString,
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

    /// Whether they succeed, and what they print.
    fn run(&self, script: &str) -> (bool, String) {
        let script = script.replace(CHECKOUT, &self.checkout);
        let (mut reader, writer) = std::io::pipe().expect("a pipe");
        let mut command = Command::new("sh");
        command
            .args(["-e", "-c", &script])
            .current_dir(&self.package)
            .env("PATH", &self.path)
            // All that a build needs is in the lock file and on this machine.
            .env("CARGO_NET_OFFLINE", "true")
            .env_remove("CARGO_TARGET_DIR")
            .stdin(Stdio::null())
            .stdout(writer.try_clone().expect("a second end"))
            .stderr(writer);
        let mut child = command.spawn().expect("a shell");
        // The ends that this process has of the pipe.
        drop(command);
        let mut output = Vec::new();
        reader.read_to_end(&mut output).expect("it ends");
        let status = child.wait().expect("waited for");
        (
            status.success(),
            String::from_utf8_lossy(&output).into_owned(),
        )
    }
}

fn reader(package: &Path) -> Reader {
    let root = root();
    fs::copy(root.join("Cargo.lock"), package.join("Cargo.lock")).expect("copied");
    // Where this test was built: `target/debug/deps/walk-…`.
    let this = std::env::current_exe().expect("this test");
    let target = this.ancestors().nth(3).expect("a directory for targets");
    std::os::unix::fs::symlink(target, package.join("target")).expect("linked");
    let cargo = PathBuf::from(env!("CARGO"));
    let mut dirs = vec![cargo.parent().expect("its directory").to_owned()];
    dirs.extend(std::env::split_paths(
        &std::env::var_os("PATH").unwrap_or_default(),
    ));
    Reader {
        package: package.to_owned(),
        checkout: root.to_str().expect("a path in UTF-8").to_owned(),
        path: std::env::join_paths(dirs).expect("no separators in them"),
    }
}

#[test]
fn everything_in_the_guides_works() {
    let dir = tempfile::tempdir().expect("a directory");
    let reader = reader(dir.path());
    for name in GUIDES {
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
                } => reader.write(path, continued, text),
                Step::Quote { path, text } => {
                    let file = fs::read_to_string(root().join(path));
                    let file = file.unwrap_or_else(|error| panic!("{place}: {path}: {error}"));
                    assert!(is_quoted(text, &file), "{place}: {path} is another");
                }
                Step::Run { script, succeeds } => {
                    eprintln!("{place}: {}", script.trim_end());
                    let (success, output) = reader.run(script);
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
