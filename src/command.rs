//! What a host launches.

use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
#[cfg(unix)]
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use outboard_core::rt::Stdin;

/// A variable of an environment: name and value.
type Variable = (OsString, OsString);

/// A plugin's program with its arguments, environment and working directory.
///
/// It mirrors [`std::process::Command`], less what a plugin's host must decide itself: stdout and
/// stderr are always pipes to the host.
#[derive(Clone, Debug)]
pub struct Command {
    pub(crate) program: OsString,
    pub(crate) args: Vec<OsString>,
    env: Vec<Variable>,
    overrides: Vec<Variable>,
    removed: Vec<OsString>,
    /// Of the host's environment these alone, where that is said.
    kept: Option<Vec<OsString>>,
    pub(crate) dir: Option<PathBuf>,
    pub(crate) stdin: Stdin,
    pub(crate) stdin_bytes: Option<Arc<[u8]>>,
    pub(crate) outlive_host: bool,
    pub(crate) spare_descendants: bool,
    pub(crate) process_group: bool,
    pub(crate) guarded: bool,
}

impl Command {
    /// A program: a path, or a name to be looked up in `PATH`.
    ///
    /// A name without a separator is looked up in the host's own `PATH`, whatever environment the
    /// plugin gets. Relative entries of `PATH`, and empty ones, which stand for the current
    /// directory, are taken from the host's working directory, and what was found there is what
    /// runs, also with a [`current_dir`](Self::current_dir) of the plugin's own. A relative path
    /// with a separator is taken from the plugin's working directory, as the system and go-plugin do.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            env: Vec::new(),
            overrides: Vec::new(),
            removed: Vec::new(),
            kept: None,
            dir: None,
            stdin: Stdin::Inherit,
            stdin_bytes: None,
            outlive_host: false,
            spare_descendants: false,
            process_group: false,
            guarded: false,
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

    /// Sets an environment variable of the plugin, if the host's own environment does not have it.
    ///
    /// As in go-plugin, the host's environment, where it is
    /// [passed on](crate::Host::inherit_env), wins over a variable set here. To win over it use
    /// [`env_override`](Self::env_override), or [`env_remove`](Self::env_remove) before this.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env
            .push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable of the plugin, also if the host's own environment has it. Only
    /// the variables of the handshake win over it.
    #[must_use]
    pub fn env_override(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        let name = name.as_ref().to_owned();
        self.overrides.retain(|(other, _)| *other != name);
        self.overrides.push((name, value.as_ref().to_owned()));
        self
    }

    /// As [`env_override`](Self::env_override), where that was not called for this variable.
    pub(crate) fn env_override_unless_set(self, name: &str, value: String) -> Self {
        match self.overrides.iter().any(|(other, _)| other == name) {
            true => self,
            false => self.env_override(name, value),
        }
    }

    /// Keeps a variable of the host's environment from the plugin, and takes back what was set for
    /// it here. It can be set again afterwards.
    #[must_use]
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        let name = name.as_ref();
        self.env.retain(|(other, _)| other != name);
        self.overrides.retain(|(other, _)| other != name);
        self.removed.push(name.to_owned());
        self
    }

    /// Passes on no other variables of the host's environment than these, and those of further calls. All
    /// are passed on unless this is called, and none with
    /// [`Host::inherit_env(false)`](crate::Host::inherit_env). A plugin that is not trusted with the host's
    /// secrets is best given `PATH`, `HOME`, `LANG` and `TMPDIR`, or less.
    #[must_use]
    pub fn env_keep(mut self, names: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        let names = names.into_iter().map(|name| name.as_ref().to_owned());
        self.kept.get_or_insert_default().extend(names);
        self
    }

    /// Sets the working directory; the host's own if this is not called. See [`new`](Self::new) for
    /// what it means for a program given by a relative path.
    #[must_use]
    pub fn current_dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.dir = Some(dir.as_ref().to_owned());
        self
    }

    /// Whether the plugin's stdin is the host's own; it is unless this is called with `false`, and
    /// empty then.
    #[must_use]
    pub fn inherit_stdin(mut self, inherit: bool) -> Self {
        self.stdin = if inherit { Stdin::Inherit } else { Stdin::Null };
        self.stdin_bytes = None;
        self
    }

    /// Gives the plugin these bytes for its stdin, and the end behind them. It reads them when it likes,
    /// also before it serves; what it does not read is lost with it.
    ///
    /// Calls cannot go over stdin then: a host that was not given transports offers no `Stdio`, and one
    /// that was given it does not start.
    #[must_use]
    pub fn stdin_bytes(mut self, bytes: impl Into<Arc<[u8]>>) -> Self {
        self.stdin_bytes = Some(bytes.into());
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

    /// Whether the end of a plugin, a kill of a start that failed among others, leaves alone what the launched
    /// program has started itself. It does not unless this is called: with a wrapper such as `sh -c`, that is
    /// the plugin. At a kill its descendants are stopped with it, then killed; of a plugin that is asked to
    /// end those that it had then are killed once it has ended. Each as far as they can be found (Linux 5.4
    /// and later): one whose own parent has ended is nobody's descendant any more, and those of a plugin that
    /// crashes are found by a [guard](Self::guarded) alone. A host that is itself killed in the
    /// milliseconds of such a kill may leave stopped processes, without a guard.
    #[must_use]
    pub fn spare_descendants(mut self, spare: bool) -> Self {
        self.spare_descendants = spare;
        self
    }

    /// Whether the plugin leads a process group of its own, which its host ends with it, however it ends: all
    /// that it has started and that has not left the group is killed (unix). It is in the host's group unless
    /// this is called. Of a host that is killed itself the system kills the plugin alone: for the rest
    /// there are [guards](Self::guarded).
    ///
    /// A group of its own is what a terminal's job control goes by. The plugin is no longer in the
    /// terminal's foreground then: a Ctrl-C reaches the host alone, a Ctrl-Z stops the host and not the
    /// plugin, a shell's `fg`, `bg` and `kill %1` leave it alone, and it is stopped by the system
    /// (SIGTTIN) when it reads from the terminal that is its [stdin](Self::inherit_stdin). Whoever ends
    /// the host by its process group does not end the plugin by that.
    ///
    /// What is [spared](Self::spare_descendants) is not killed, with or without a group.
    #[must_use]
    pub fn process_group(mut self, group: bool) -> Self {
        self.process_group = group;
        self
    }

    /// Whether the plugin has a guard: a small process between host and plugin, which ends all that the
    /// plugin has started, whatever becomes of either (Linux). It has none unless this is called.
    ///
    /// When the plugin ends, however that comes, or when the host does, the guard kills everything that
    /// descends from the plugin: also what has left its process group or its session, and what was made a
    /// daemon. A plugin whose host is gone is told to end (SIGTERM) and killed after 300 ms, in whatever
    /// language it is written. A second process, one for all guarded plugins of a host, removes the
    /// directories of their launches if the host is killed at any moment; so within a second nothing of it
    /// is left, neither process nor socket nor directory.
    ///
    /// Process groups stay as they are, and signals of a terminal reach the plugin as ever.
    /// [`RunningPlugin::pid`](crate::RunningPlugin::pid) is the plugin's own number; the number of its
    /// parent is the guard's. Both processes are forked from the host and execute nothing, and so have the
    /// host's name in its list of processes, and share its memory as that was then: what the host changes
    /// afterwards is in memory twice, and what it frees stays, with a plugin that was detached for as long as
    /// that lives. Each is in a session of its own, so that who kills the host's process group does not kill
    /// them with it; who goes by the name does. Nothing is left alone that was to be
    /// [spared](Self::spare_descendants). A plugin that is to [outlive](Self::outlive_host) its host has no
    /// guard. A guard that is itself killed takes the plugin along, and leaves what that has started.
    ///
    /// What the host may not kill stays, a program with the rights of another user (set-uid) for example: the
    /// guard tries for five seconds after the plugin's end, which is told before. And what a
    /// [wrapper](crate::runner::Wrapper) has somebody else start, as `systemd-run` does, is no descendant.
    ///
    /// A start fails ([`ConfigError::NoGuard`](crate::ConfigError::NoGuard)) where there are no guards: on
    /// other systems, with runners whose programs are no children of the host, and where `/proc` does not tell
    /// which processes are whose, or is that of another pid namespace.
    #[must_use]
    pub fn guarded(mut self, guarded: bool) -> Self {
        self.guarded = guarded;
        self
    }

    /// The program, as a runner gets it: looked up, if its files are the host's own.
    pub(crate) fn program(&self, here: bool) -> OsString {
        if here {
            self.resolve()
        } else {
            self.program.clone()
        }
    }

    /// The program to run: a bare name is looked up in the host's own `PATH`, since the plugin may be
    /// given another or none. A name that is not found there is left for the system to refuse.
    fn resolve(&self) -> OsString {
        let is_bare = Path::new(&self.program).components().count() == 1
            && !self.program.as_encoded_bytes().contains(&b'/');
        let path = std::env::var_os("PATH").filter(|_| is_bare && cfg!(unix));
        let found = path.and_then(|path| self.find_in(&path));
        found.map_or_else(|| self.program.clone(), Into::into)
    }

    /// Absolute: the directory changes before the program is executed, and a name that had no
    /// separator would be looked up once more.
    fn find_in(&self, path: &OsStr) -> Option<PathBuf> {
        std::env::split_paths(path)
            .map(|dir| dir.join(&self.program))
            .filter_map(|file| std::path::absolute(file).ok())
            .find(|file| is_program(file))
    }

    /// The command's own variables, and those of the host as they are passed on where they are.
    pub(crate) fn environment(
        &self,
        host: impl IntoIterator<Item = Variable>,
    ) -> (Vec<Variable>, Vec<Variable>) {
        let mut own = self.env.clone();
        own.extend(self.overrides.iter().cloned());
        let listed = |name: &OsString| self.kept.as_ref().is_none_or(|kept| kept.contains(name));
        let kept = |(name, _): &Variable| listed(name) && !self.removed.contains(name);
        let passed_on = host.into_iter().filter(kept);
        (own, passed_on.chain(self.overrides.clone()).collect())
    }

    /// What people call this plugin unless told otherwise: the program's file name, as in
    /// go-plugin's log names.
    pub(crate) fn name(&self) -> String {
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

/// Takes over program, arguments, directory, and the variables that it sets and removes. One that it
/// sets is as with [`Command::env`].
impl From<&std::process::Command> for Command {
    fn from(command: &std::process::Command) -> Self {
        let mut taken = Self::new(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            taken = match value {
                Some(value) => taken.env(name, value),
                None => taken.env_remove(name),
            };
        }
        taken.dir = command.get_current_dir().map(Path::to_owned);
        taken
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

    /// A directory with executables of these names.
    fn programs(names: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a directory");
        for name in names {
            let file = dir.path().join(name);
            std::fs::create_dir_all(file.parent().expect("it is in one")).expect("it can be made");
            std::fs::write(&file, "").expect("it can be written");
            let permissions = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(file, permissions).expect("it is ours");
        }
        dir
    }

    #[test]
    fn what_was_found_by_a_relative_entry_of_path_is_absolute() {
        // The working directory belongs to the whole process, so that this looks from it.
        let here = std::env::current_dir().expect("there is one");
        let up: PathBuf = here.components().skip(1).map(|_| "..").collect();
        let dir = programs(&["plugin"]);
        let relative = up.join(dir.path().strip_prefix("/").expect("it is absolute"));
        let found = Command::new("plugin").find_in(relative.as_os_str());
        let found = found.expect("it is there");
        assert!(found.is_absolute(), "{found:?}");
        assert_eq!(
            found.canonicalize().ok(),
            dir.path().join("plugin").canonicalize().ok()
        );
    }

    #[test]
    fn an_empty_entry_of_path_is_the_current_directory() {
        // The tests' own, which has no program of its own but these files.
        let found = Command::new("Cargo.toml").find_in(OsStr::new(":"));
        assert_eq!(found, None, "it cannot be executed");
        let directory = Command::new("src").find_in(OsStr::new(""));
        assert_eq!(directory, None, "nor a directory");
        let ci = Command::new("run").find_in(OsStr::new(".ci:"));
        let expected = std::env::current_dir()
            .expect("there is one")
            .join(".ci/run");
        assert_eq!(
            ci.is_some_and(|found| found == expected),
            is_program(&expected)
        );
    }

    fn var(name: &str, value: &str) -> (OsString, OsString) {
        (name.into(), value.into())
    }

    #[test]
    fn variables_can_win_over_the_hosts_and_be_kept_from_the_plugin() {
        let host = || [var("A", "host"), var("B", "host"), var("C", "host")];
        let command = Command::new("x")
            .env("A", "loses")
            .env_override("B", "first")
            .env_override("B", "wins")
            .env("C", "taken back")
            .env_remove("C")
            .env("D", "own");
        let (own, passed_on) = command.environment(host());
        assert_eq!(own, [var("A", "loses"), var("D", "own"), var("B", "wins")]);
        let expected = [var("A", "host"), var("B", "host"), var("B", "wins")];
        assert_eq!(passed_on, expected, "later ones win");
        let again = Command::new("x").env_remove("C").env("C", "own");
        let (own, passed_on) = again.environment(host());
        assert_eq!(own, [var("C", "own")]);
        assert_eq!(passed_on, [var("A", "host"), var("B", "host")]);
        let mut std = std::process::Command::new("x");
        std.env("A", "set").env_remove("B");
        let (own, passed_on) = Command::from(&std).environment(host());
        assert_eq!(own, [var("A", "set")]);
        assert_eq!(passed_on, [var("A", "host"), var("C", "host")]);
    }

    #[test]
    fn of_the_hosts_variables_those_are_kept_that_are_listed() {
        let host = [var("A", "host"), var("B", "host"), var("C", "host")];
        let command = Command::new("x")
            .env_keep(["A", "C"])
            .env_keep(["D"])
            .env_remove("C")
            .env_override("E", "own");
        let (own, passed_on) = command.environment(host.clone());
        assert_eq!(own, [var("E", "own")]);
        assert_eq!(passed_on, [var("A", "host"), var("E", "own")]);
        let (_, passed_on) = Command::new("x").env_keep([""; 0]).environment(host);
        assert_eq!(passed_on, []);
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
