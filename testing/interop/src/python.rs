//! Making the Python plugins runnable.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use crate::toolchain::{build_once, fingerprint, loud_skip, sources, step, target, version_of};

const PROGRAM: &str = "python3";

/// The Python plugin with its environment.
#[derive(Debug)]
pub struct PythonPeer {
    interpreter: PathBuf,
    script: PathBuf,
    host: PathBuf,
    generated: PathBuf,
}

impl PythonPeer {
    /// The command of a host on grpcio with its defaults; `flavour` is `sync` or `aio`. It prints
    /// `well` when everything was as it should be.
    #[must_use]
    pub fn host(&self, flavour: &str, plugin: &[OsString]) -> Command {
        let mut command = Command::new(&self.interpreter);
        // Nothing is written into the sources.
        command.arg("-B").arg(&self.host).arg("--generated");
        command.arg(&self.generated).arg(flavour).args(plugin);
        command
    }

    /// The command that starts the plugin. With the flag `--extras` it has the
    /// controller and stdio services too.
    #[must_use]
    pub fn command(&self, flags: &[&str]) -> Vec<OsString> {
        let mut command = vec![
            self.interpreter.clone().into(),
            self.script.clone().into(),
            "--generated".into(),
            self.generated.clone().into(),
        ];
        command.extend(flags.iter().map(OsString::from));
        command
    }

    /// The interpreter of the environment, beside which its other programs are.
    #[must_use]
    pub fn interpreter(&self) -> &Path {
        &self.interpreter
    }

    /// The command of the `protoc` that comes with the environment, at a
    /// pinned version.
    #[must_use]
    pub fn protoc(&self) -> Command {
        let mut command = Command::new(&self.interpreter);
        command.args(["-m", "grpc_tools.protoc"]);
        command
    }
}

/// The Python plugin; `None` without Python or without its packages.
///
/// # Panics
/// When its message code cannot be generated; with `CI=true` also instead of
/// `None`.
#[must_use]
pub fn python() -> Option<&'static PythonPeer> {
    static PEER: OnceLock<Option<PythonPeer>> = OnceLock::new();
    PEER.get_or_init(build).as_ref()
}

/// The Python plugin that speaks outboard's stdio protocol, in the standard
/// library alone.
#[derive(Debug)]
pub struct PythonStdioPeer(());

impl PythonStdioPeer {
    /// The program that starts the plugin, and its arguments.
    #[must_use]
    pub fn command(&self) -> (OsString, Vec<OsString>) {
        let script = sources().join("python-stdio").join("plugin.py");
        // Nothing is written into the sources.
        (PROGRAM.into(), vec!["-B".into(), script.into()])
    }
}

/// The Python plugin over stdio; `None` without Python.
///
/// # Panics
/// With `CI=true` instead of `None`.
#[must_use]
pub fn python_stdio() -> Option<PythonStdioPeer> {
    if version_of(PROGRAM, "--version").is_none() {
        loud_skip(
            "tests with the Python plugin over stdio",
            &format!("there is no `{PROGRAM}` command"),
        );
        return None;
    }
    Some(PythonStdioPeer(()))
}

fn build() -> Option<PythonPeer> {
    const WHAT: &str = "tests with the Python peer";
    let Some(version) = version_of(PROGRAM, "--version") else {
        loud_skip(WHAT, &format!("there is no `{PROGRAM}` command"));
        return None;
    };
    let (python, proto) = (sources().join("python"), sources().join("proto"));
    let broker = sources().join("../../core/proto/plugin");
    let requirements = python.join("requirements.txt");
    let home = target("python");
    let (venv, generated) = (home.join("venv"), home.join("generated"));
    let interpreter = venv.join("bin").join("python");
    let key = format!(
        "{version}\n{}",
        fingerprint(&[&requirements, &proto, &broker])
    );
    let built = build_once(&home, &key, || {
        step(
            Command::new(PROGRAM)
                .args(["-m", "venv", "--clear"])
                .arg(&venv),
        )?;
        // `--no-deps`: the file names every package, so nothing else may come.
        step(
            Command::new(&interpreter)
                .args(["-m", "pip", "install", "--quiet", "--no-deps"])
                .args([
                    "--only-binary",
                    ":all:",
                    "--disable-pip-version-check",
                    "-r",
                ])
                .arg(&requirements),
        )?;
        std::fs::create_dir_all(&generated).expect("the directory of generated code");
        let flag = |name: &str| {
            let mut flag = OsString::from(name);
            flag.push(&generated);
            flag
        };
        step(
            Command::new(&interpreter)
                .args(["-m", "grpc_tools.protoc", "-I"])
                .arg(&proto)
                .arg("-I")
                .arg(&broker)
                .arg(flag("--python_out="))
                .arg(flag("--grpc_python_out="))
                .args(["kv.proto", "counter.proto", "probe.proto"])
                .args(["plugin_extras.proto", "grpc_broker.proto"]),
        )
        .unwrap_or_else(|error| panic!("no Python message code: {error}"));
        Ok::<(), String>(())
    });
    if let Err(error) = built {
        loud_skip(WHAT, &format!("no Python environment: {error}"));
        return None;
    }
    Some(PythonPeer {
        interpreter,
        script: python.join("plugin_peer.py"),
        host: python.join("host_peer.py"),
        generated,
    })
}
