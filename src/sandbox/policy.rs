//! What a plugin may do, as a value.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a plugin may do: a value, which nothing follows from before a [`Sandbox`](super::Sandbox) has it.
///
/// Whatever it says, the plugin and what it starts gain no privileges that their user has not got, by
/// programs that are set-user-ID or have capabilities (`PR_SET_NO_NEW_PRIVS`). Everything else is allowed
/// unless it says otherwise.
///
/// ```
/// use outboard::sandbox::{FileRule, Network, Policy};
/// use std::time::Duration;
///
/// let policy = Policy::new()
///     .files(FileRule::system())
///     .files([FileRule::read("/usr/share"), FileRule::write("/tmp")])
///     .network(Network::Unix)
///     .memory(2 << 30)
///     .processor_time(Duration::from_secs(600))
///     .file_size(100 << 20)
///     .no_processes();
/// assert_eq!(policy, policy.clone());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "a policy does nothing until a sandbox has it"]
pub struct Policy {
    pub(super) files: Option<Vec<FileRule>>,
    pub(super) network: Network,
    pub(super) memory: Option<u64>,
    pub(super) processor_time: Option<Duration>,
    pub(super) file_size: Option<u64>,
    pub(super) tasks: Option<u64>,
    pub(super) no_processes: bool,
    pub(super) lacking: Lacking,
}

/// What of the files below a path a plugin may use.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct FileRule {
    /// A file, or a directory with all that is below it. It must exist when the plugin is launched.
    pub path: PathBuf,
    /// How.
    pub access: FileAccess,
}

/// How a file may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FileAccess {
    /// It may be read, and a directory be listed.
    Read,
    /// That, and it may be executed.
    Execute,
    /// It may be read and written, made, moved and removed, but not executed. No device files may be made.
    Write,
}

/// Which sockets a plugin may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Network {
    /// All.
    #[default]
    Any,
    /// Unix sockets, none of any network: no TCP, no UDP, nothing raw, and no names in the abstract
    /// namespace but those that the plugin itself has made. It may connect to the socket files of others
    /// as far as their modes let it.
    Unix,
    /// The same, and of socket files those alone that lie in the directory of this launch: the plugin's
    /// own and its host's. Linux can do this with Landlock's ABI 9 and later; before that it is
    /// [`Lack::OtherSockets`](super::Lack::OtherSockets).
    OwnSocket,
    /// None whatever, but for pairs that are connected with each other: for plugins whose calls go over stdin and stdout.
    None,
}

/// What becomes of a rule that the kernel cannot carry out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Lacking {
    /// Nothing is launched: [`SandboxError::Lacking`](super::SandboxError::Lacking).
    #[default]
    Refuse,
    /// The plugin is launched without it. That is told in the host's log, as a warning, and to
    /// [`Sandbox::on_lack`](super::Sandbox::on_lack).
    Report,
}

impl FileRule {
    /// It may be read, and a directory be listed.
    pub fn read(path: impl AsRef<Path>) -> Self {
        Self::new(path, FileAccess::Read)
    }

    /// It may be read and executed: directories of programs and of their libraries.
    pub fn execute(path: impl AsRef<Path>) -> Self {
        Self::new(path, FileAccess::Execute)
    }

    /// It may be read and written, made, moved and removed.
    pub fn write(path: impl AsRef<Path>) -> Self {
        Self::new(path, FileAccess::Write)
    }

    fn new(path: impl AsRef<Path>, access: FileAccess) -> Self {
        let path = path.as_ref().to_owned();
        Self { path, access }
    }

    /// What programs of a usual system need to start and to run: libraries and programs, the files by
    /// which names, time zones and certificates are found, what the kernel tells in `/proc` and of
    /// processors, and the devices that do nothing. Of these paths those that exist.
    #[must_use]
    pub fn system() -> Vec<Self> {
        let executed = [
            "/bin",
            "/sbin",
            "/lib",
            "/lib32",
            "/lib64",
            "/usr",
            "/nix/store",
        ];
        let read = [
            "/etc/ld.so.cache",
            "/etc/ld.so.conf",
            "/etc/ld.so.conf.d",
            "/etc/ld.so.preload",
            "/etc/ld-musl-x86_64.path",
            "/etc/localtime",
            "/etc/nsswitch.conf",
            "/etc/passwd",
            "/etc/group",
            "/etc/hosts",
            "/etc/resolv.conf",
            "/etc/ssl",
            "/etc/pki",
            "/etc/ca-certificates",
            "/dev/urandom",
            "/dev/random",
            "/dev/zero",
            "/proc",
            "/sys/devices/system/cpu",
            "/sys/fs/cgroup",
        ];
        let executed = executed.map(Self::execute).into_iter();
        let rules = executed.chain(read.map(Self::read));
        let rules = rules.chain([Self::write("/dev/null")]);
        rules.filter(|rule| rule.path.exists()).collect()
    }
}

impl Policy {
    /// Nothing but that no privileges are gained.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forbids the use of files, by Landlock, but for these and those of further calls; and but for what
    /// follows from the launch: the plugin's program and its interpreter or loader, which may be executed,
    /// and the directory that the host has made for the sockets of the launch, which may be written. A
    /// program's libraries are among [`FileRule::system`].
    ///
    /// Not forbidden is what a path tells without the file: that it exists, its mode and its size; nor the
    /// change of mode, owner and times. Descriptors that the plugin inherits are its stdin, stdout and
    /// stderr. A plugin whose host was killed cannot remove the directory of its sockets, only what is in
    /// there.
    pub fn files(mut self, rules: impl IntoIterator<Item = FileRule>) -> Self {
        self.files.get_or_insert_default().extend(rules);
        self
    }

    /// Which sockets it may use: by a seccomp filter, which knows x86_64, aarch64 and riscv64, and by
    /// Landlock. Descriptors that others send it over a unix socket it may use. `io_uring`, whose
    /// operations no filter sees, is not to be had.
    pub fn network(mut self, network: Network) -> Self {
        self.network = network;
        self
    }

    /// The most address space that each process may have, in bytes (`RLIMIT_AS`). What is mapped and not
    /// used counts, so this has to be well above what is used: a program with threads maps some hundred
    /// mebibytes, and one in Go a gibibyte.
    pub fn memory(mut self, bytes: u64) -> Self {
        self.memory = Some(bytes);
        self
    }

    /// The most processor time that each process may use, all its threads together, in whole seconds, of
    /// which there is at least one (`RLIMIT_CPU`). Whoever has used it is ended by SIGXCPU, and a second
    /// later by SIGKILL.
    pub fn processor_time(mut self, time: Duration) -> Self {
        self.processor_time = Some(time);
        self
    }

    /// The size that no file may be written beyond, in bytes (`RLIMIT_FSIZE`). Whoever tries is ended by
    /// SIGXFSZ, or gets the error "file too large" if it ignores that.
    pub fn file_size(mut self, bytes: u64) -> Self {
        self.file_size = Some(bytes);
        self
    }

    /// How many processes and threads there may be of the plugin's user, all together and not those of the
    /// plugin alone, for it to start another (`RLIMIT_NPROC`). For a user of its own that is a limit of the
    /// plugin's. It does not bind root, or who may manage the system:
    /// [`Lack::TasksOfRoot`](super::Lack::TasksOfRoot).
    pub fn tasks_of_user(mut self, count: u64) -> Self {
        self.tasks = Some(count);
        self
    }

    /// The plugin may have threads and start no process: by a seccomp filter, whoever its user is.
    pub fn no_processes(mut self) -> Self {
        self.no_processes = true;
        self
    }

    /// What becomes of a rule that the kernel cannot carry out; nothing is launched unless this says
    /// otherwise.
    pub fn lacking(mut self, lacking: Lacking) -> Self {
        self.lacking = lacking;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_what_was_said_and_nothing_else() {
        let empty = Policy::new();
        assert_eq!(empty.files, None, "no rule, and not an empty list of them");
        assert_eq!(
            (empty.network, empty.lacking),
            (Network::Any, Lacking::Refuse)
        );
        let none = Policy::new().files([]);
        assert_eq!(none.files, Some(Vec::new()));
        assert_ne!(none, empty);
        let rules = [FileRule::read("/a"), FileRule::write("/b")];
        let both = Policy::new()
            .files(rules[..1].to_vec())
            .files(rules[1..].to_vec());
        assert_eq!(both, Policy::new().files(rules));
    }

    #[test]
    fn rules_of_the_system_exist() {
        let rules = FileRule::system();
        assert!(rules.iter().all(|rule| rule.path.exists()), "{rules:?}");
        let usr = rules.iter().find(|rule| rule.path == Path::new("/usr"));
        assert!(usr.is_some_and(|rule| rule.access == FileAccess::Execute));
        let written = |rule: &&FileRule| rule.access == FileAccess::Write;
        assert_eq!(rules.iter().filter(written).count(), 1, "/dev/null");
    }
}
