//! What the host launches.

use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
#[cfg(unix)]
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use outboard_core::rt::Stdin;

/// A plugin's program with its arguments, environment and working directory.
///
/// It mirrors [`std::process::Command`], less what a plugin's host must decide itself: stdout and
/// stderr are always pipes to the host.
#[derive(Clone, Debug)]
pub struct Command {
    pub(super) program: OsString,
    pub(super) args: Vec<OsString>,
    pub(super) env: Vec<(OsString, OsString)>,
    pub(super) dir: Option<PathBuf>,
    pub(super) stdin: Stdin,
    pub(super) outlive_host: bool,
    pub(super) spare_descendants: bool,
}

impl Command {
    /// A program: a path, or a name to be looked up in `PATH`.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            env: Vec::new(),
            dir: None,
            stdin: Stdin::Inherit,
            outlive_host: false,
            spare_descendants: false,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.args
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable of the plugin.
    ///
    /// As in go-plugin, the host's own environment, where it is passed on, wins over a variable set
    /// here; see [`Host::inherit_env`](crate::Host::inherit_env).
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env
            .push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Sets the working directory; the host's own if this is not called.
    #[must_use]
    pub fn current_dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.dir = Some(dir.as_ref().to_owned());
        self
    }

    /// Gives the plugin an empty stdin instead of the host's own.
    #[must_use]
    pub fn stdin_null(mut self) -> Self {
        self.stdin = Stdin::Null;
        self
    }

    /// Whether the plugin may go on when the host dies without a chance to end it: killed, or by
    /// `process::exit`. It may not unless this is called: the kernel kills it (its parent-death
    /// signal, SIGKILL; Linux, Android and FreeBSD). A plugin made with this crate takes that over
    /// itself and ends in order.
    ///
    /// The signal reaches the launched program alone: not what a wrapper has started, and no program
    /// that runs with rights beyond the host's (set-user-id, file capabilities), for which the kernel
    /// forgets it. For the signal's sake plugins are launched from one thread that lives as long as
    /// the host, so what belongs to a thread (its namespaces, priority, processors) is that thread's.
    #[must_use]
    pub fn outlive_host(mut self, outlive: bool) -> Self {
        self.outlive_host = outlive;
        self
    }

    /// Whether a kill, of a start that failed among others, leaves alone what the launched program
    /// has started itself. It does not unless this is called: with a wrapper such as `sh -c`, that is
    /// the plugin. Its descendants are stopped, then killed, as far as they can be found (Linux 5.4
    /// and later): one whose own parent has ended is nobody's descendant any more.
    #[must_use]
    pub fn spare_descendants(mut self, spare: bool) -> Self {
        self.spare_descendants = spare;
        self
    }

    /// The program to run: a bare name is looked up in the host's own `PATH`, since the plugin may be
    /// given another or none. A name that is not found there is left for the system to refuse.
    pub(super) fn resolve(&self) -> OsString {
        let is_bare = Path::new(&self.program).components().count() == 1
            && !self.program.as_encoded_bytes().contains(&b'/');
        let path = std::env::var_os("PATH").filter(|_| is_bare && cfg!(unix));
        let found = path.and_then(|path| self.find_in(&path));
        found.map_or_else(|| self.program.clone(), Into::into)
    }

    fn find_in(&self, path: &OsStr) -> Option<PathBuf> {
        std::env::split_paths(path)
            .map(|dir| dir.join(&self.program))
            .find(|file| is_program(file))
    }

    /// What people call this plugin unless told otherwise: the program's file name, as in
    /// go-plugin's log names.
    pub(super) fn name(&self) -> String {
        let name = Path::new(&self.program)
            .file_name()
            .unwrap_or(&self.program);
        name.to_string_lossy().into_owned()
    }
}

/// A file that may be executed: the system's own search goes on past others.
fn is_program(file: &Path) -> bool {
    #[cfg(unix)]
    let may_be_executed = |data: &Metadata| data.permissions().mode() & 0o111 != 0;
    #[cfg(not(unix))]
    let may_be_executed = |_: &Metadata| true;
    std::fs::metadata(file).is_ok_and(|data| data.is_file() && may_be_executed(&data))
}

/// Takes over program, arguments, set variables and directory; variables the command would remove
/// are not known here, see [`Host::inherit_env`](crate::Host::inherit_env).
impl From<&std::process::Command> for Command {
    fn from(command: &std::process::Command) -> Self {
        let set = |(name, value): (&OsStr, Option<&OsStr>)| Some((name.into(), value?.into()));
        Self {
            program: command.get_program().to_owned(),
            args: command.get_args().map(OsStr::to_owned).collect(),
            env: command.get_envs().filter_map(set).collect(),
            dir: command.get_current_dir().map(Path::to_owned),
            stdin: Stdin::Inherit,
            outlive_host: false,
            spare_descendants: false,
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn bare_names_are_found_in_the_hosts_path() {
        let found = Command::new("sh").resolve();
        assert!(Path::new(&found).is_absolute(), "{found:?}");
        for unchanged in ["./sh", "/bin/sh", "no-such-program-here"] {
            assert_eq!(Command::new(unchanged).resolve(), unchanged);
        }
    }

    #[test]
    fn what_cannot_be_executed_hides_no_program() {
        let dir = tempfile::tempdir().expect("a directory");
        let [first, second, third] = ["1", "2", "3"].map(|name| dir.path().join(name));
        for dir in [&first, &second, &third] {
            std::fs::create_dir(dir).expect("it is new");
        }
        std::fs::create_dir(first.join("plugin")).expect("it is new");
        for (dir, mode) in [(&second, 0o644), (&third, 0o755)] {
            let file = dir.join("plugin");
            std::fs::write(&file, "").expect("it can be written");
            let permissions = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(file, permissions).expect("it is ours");
        }
        let path = std::env::join_paths([first, second, third.clone()]).expect("no colons");
        let found = Command::new("plugin").find_in(&path);
        assert_eq!(found, Some(third.join("plugin")));
    }
}
