//! A plugin in a container, by the command line of a tool.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio as StdStdio;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::AsyncReadExt as _;
use outboard_core::exit::Exit;
use outboard_core::rt::{BoxFuture, Child, Launch, Process, Runner, SharedRuntime, Stdin};
use outboard_unix::ForkExec;

use super::oci::{Dirs, Run, Variable, without_handshake};
use crate::command::Command;
use crate::sys::{group, random};

/// Runs plugins in containers: by `TOOL run --rm …` of docker, podman, nerdctl, or whatever takes the
/// same words.
///
/// ```no_run
/// # use outboard::{Host, Tokio, runner::Container};
/// # async fn example(host: Host) -> Result<(), Box<dyn std::error::Error>> {
/// let contained = Container::new("podman", "acme/indexer:2").options(["--network", "none"]);
/// let plugin = host.runner(contained).start(Tokio::current()).await?;
/// # Ok(())
/// # }
/// ```
///
/// Without a [`Host::command`](crate::Host::command) the image's own program is run. Otherwise the
/// command's program is one of the image (its `--entrypoint`), and its working directory too.
///
/// - **Sockets.** The directory that the host makes for this launch is mounted at
///   [`socket_dir`](Self::socket_dir) inside, and addresses in it are translated in both directions,
///   those of the broker too. Other sockets of the plugin, TCP ports among them, are not reached.
/// - **Environment.** The container gets the variables of the handshake and those of the command, not the
///   host's own, which the tool has.
/// - **Streams.** The plugin's stdout and stderr are the tool's. It has no stdin unless calls go over it.
/// - **The end.** A kill is `TOOL rm --force NAME`; the name is
///   [`RunningPlugin::id`](crate::RunningPlugin::id). If the host itself is killed, the tool goes with it
///   and the container may not: a plugin of outboard notices that its streams are closed, where the tool
///   closes them. What [`Command::outlive_host`] says goes for the tool alone.
///
/// # Who may use the sockets
///
/// The plugin makes its sockets for its own user, and the directory is this host's user's alone. So the two
/// must be the same user as the kernel sees them, as with rootless tools and a plugin that is root inside, or
/// with [`user`](Self::user) and the host's own number where containers share the host's numbers. Otherwise
/// [`Host::socket_group`](crate::Host::socket_group) names a group of which both are members: it is added
/// to the container (`--group-add`), and its number inside is [`group_inside`](Self::group_inside) if that is
/// another. A connection that is refused for this reason is told with mode and owner of the socket and of the
/// directories, and with what the numbers are mapped to.
#[derive(Clone, Debug)]
pub struct Container {
    tool: OsString,
    image: OsString,
    options: Vec<OsString>,
    user: Option<OsString>,
    group_inside: Option<u32>,
    socket_dir: PathBuf,
}

impl Container {
    /// By this tool (a path, or a name that is looked up in the host's own `PATH`), from this image.
    pub fn new(tool: impl AsRef<OsStr>, image: impl AsRef<OsStr>) -> Self {
        Self {
            tool: tool.as_ref().to_owned(),
            image: image.as_ref().to_owned(),
            options: Vec::new(),
            user: None,
            group_inside: None,
            socket_dir: PathBuf::from("/run/outboard"),
        }
    }

    /// Adds options of `run`, as they are: networks, limits, further mounts.
    #[must_use]
    pub fn options(mut self, options: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        let options = options.into_iter().map(|option| option.as_ref().to_owned());
        self.options.extend(options);
        self
    }

    /// The user inside, as the tool's `--user` takes it: `1000:1000`. The image's own if this is not
    /// called.
    #[must_use]
    pub fn user(mut self, user: impl AsRef<OsStr>) -> Self {
        self.user = Some(user.as_ref().to_owned());
        self
    }

    /// The number inside of the group that [`Host::socket_group`](crate::Host::socket_group) names; the
    /// same as outside if this is not called.
    #[must_use]
    pub fn group_inside(mut self, number: u32) -> Self {
        self.group_inside = Some(number);
        self
    }

    /// Where the sockets are inside: an absolute path, `/run/outboard` if this is not called. A short one
    /// leaves more room for their names.
    #[must_use]
    pub fn socket_dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.socket_dir = dir.as_ref().to_owned();
        self
    }

    fn group(&self, launch: &Launch) -> io::Result<Option<u32>> {
        match (&launch.socket_group, self.group_inside) {
            (None, _) => Ok(None),
            (Some(_), Some(inside)) => Ok(Some(inside)),
            (Some(name), None) => group::resolve(name).map(Some),
        }
    }

    /// What is to be run, as the child of this process that it will be.
    fn prepare(&self, launch: Launch) -> io::Result<(Launch, Dirs, Owned)> {
        let Some(here) = &launch.socket_dir else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a container needs a directory for sockets that the host has made: leave \
                 Host::private_socket_dir as it is, and let Host::socket_dir be one where this user may \
                 make it",
            ));
        };
        let dirs = Dirs::new(here, &self.socket_dir)?;
        let number = random::number();
        let name = format!("outboard-{}-{number:x}", std::process::id());
        let group = self.group(&launch)?;
        let run = Run {
            name: &name,
            image: &self.image,
            dirs: &dirs,
            user: self.user.as_deref(),
            group,
            options: &self.options,
        };
        let own = without_handshake(std::env::vars_os());
        let (args, env) = run.command_line(&launch, own.clone());
        let tool = Tool {
            program: Command::new(&self.tool).program(true),
            env: own,
        };
        let mut child = Launch::new(tool.program.clone());
        child.args = args;
        child.env = env;
        child.stdin = if launch.stdin == Stdin::Pipe {
            Stdin::Pipe
        } else {
            Stdin::Null
        };
        child.outlive_parent = launch.outlive_parent;
        // What a tool starts serves all its containers.
        child.spare_descendants = true;
        let said = said(&child);
        let owned = Owned {
            tool,
            name,
            said,
            there: true,
        };
        Ok((child, dirs, owned))
    }
}

impl Runner for Container {
    fn launch(
        &self,
        runtime: &SharedRuntime,
        launch: Launch,
    ) -> BoxFuture<'static, io::Result<Process>> {
        let prepared = self.prepare(launch);
        let runtime = runtime.clone();
        Box::pin(async move {
            let (child, dirs, mut owned) = prepared?;
            let program = child.program.clone();
            let started = ForkExec.launch(&runtime, child).await;
            let mut process = started.map_err(|error| {
                owned.there = false;
                let text = format!("the tool {} does not start: {error}", program.display());
                io::Error::new(error.kind(), text)
            })?;
            process.child = Box::new(Contained {
                tool: process.child,
                owned,
                runtime,
                telling: None,
                removing: None,
                exit: None,
            });
            process.addresses = Some(Arc::new(dirs));
            Ok(process)
        })
    }

    fn name(&self) -> Option<String> {
        Some(self.image.to_string_lossy().into_owned())
    }

    fn shares_files(&self) -> bool {
        false
    }
}

/// A tool, as it is called for one container.
#[derive(Clone)]
struct Tool {
    program: OsString,
    env: Vec<Variable>,
}

/// How much of what a tool says is kept, in bytes: what people read of it. (A choice.)
const SAID: u64 = 1024;

impl Tool {
    /// Runs it with these arguments to its end. How it ended, and the beginning of what it said.
    fn call(
        &self,
        runtime: &SharedRuntime,
        args: &[&str],
    ) -> BoxFuture<'static, io::Result<(Exit, String)>> {
        let mut launch = Launch::new(self.program.clone());
        launch.args = args.iter().map(Into::into).collect();
        launch.env.clone_from(&self.env);
        launch.stdin = Stdin::Null;
        launch.spare_descendants = true;
        let launching = ForkExec.launch(runtime, launch);
        Box::pin(async move {
            let mut process = launching.await?;
            let mut said = Vec::new();
            let pipes = [process.stdout.take(), process.stderr.take()];
            for pipe in pipes.into_iter().flatten() {
                pipe.take(SAID).read_to_end(&mut said).await?;
            }
            let mut child = process.child;
            let exit = std::future::poll_fn(|cx| child.poll_wait(cx)).await?;
            Ok((exit, String::from_utf8_lossy(&said).trim().to_owned()))
        })
    }
}

/// A container that is there until it is seen to be gone. Dropping it removes it.
struct Owned {
    tool: Tool,
    name: String,
    /// How it was run, for people.
    said: String,
    there: bool,
}

impl Drop for Owned {
    fn drop(&mut self) {
        if !self.there {
            return;
        }
        // There may be no runtime any more.
        let (tool, name) = (self.tool.clone(), self.name.clone());
        let removal = std::thread::Builder::new().name("outboard-remove".to_owned());
        let removing = removal.spawn(move || {
            let removed = std::process::Command::new(&tool.program)
                .args(["rm", "--force", &name])
                .env_clear()
                .envs(tool.env)
                .stdin(StdStdio::null())
                .stdout(StdStdio::null())
                .stderr(StdStdio::null())
                .status();
            if let Err(error) = removed {
                tracing::warn!(target: "outboard", container = name, %error, "it cannot be removed");
            }
        });
        if let Err(error) = removing {
            let container = self.name.as_str();
            tracing::warn!(target: "outboard", container, %error, "it cannot be removed");
        }
    }
}

/// A container, with the tool that runs it and has its streams.
struct Contained {
    tool: Box<dyn Child>,
    owned: Owned,
    runtime: SharedRuntime,
    /// Its being told to end, under way.
    telling: Option<BoxFuture<'static, io::Result<(Exit, String)>>>,
    /// Its removal, under way.
    removing: Option<BoxFuture<'static, io::Result<(Exit, String)>>>,
    exit: Option<Exit>,
}

impl Contained {
    /// Has it removed, whether or not it runs.
    fn poll_remove(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let owned = &self.owned;
        let removing = self.removing.get_or_insert_with(|| {
            let args = ["rm", "--force", owned.name.as_str()];
            owned.tool.call(&self.runtime, &args)
        });
        let removed = ready!(removing.as_mut().poll(cx));
        self.removing = None;
        let (exit, said) = removed?;
        if !exit.success() {
            let (container, said) = (self.owned.name.as_str(), said.as_str());
            tracing::debug!(target: "outboard", container, %exit, said, "it was not removed");
        }
        Poll::Ready(Ok(()))
    }
}

impl Child for Contained {
    fn id(&self) -> &str {
        &self.owned.name
    }

    /// The tool's would be no number of the plugin.
    fn pid(&self) -> Option<u32> {
        None
    }

    fn poll_terminate(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.exit.is_some() {
            return Poll::Ready(Ok(()));
        }
        let owned = &self.owned;
        let telling = self.telling.get_or_insert_with(|| {
            let args = ["kill", "--signal", "TERM", owned.name.as_str()];
            owned.tool.call(&self.runtime, &args)
        });
        let told = ready!(telling.as_mut().poll(cx));
        self.telling = None;
        let (exit, said) = told?;
        Poll::Ready(if exit.success() {
            Ok(())
        } else {
            Err(io::Error::other(said))
        })
    }

    fn poll_kill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.exit.is_some() {
            return Poll::Ready(Ok(()));
        }
        let removed = ready!(self.poll_remove(cx));
        // It ends by itself with its container, unless it had none yet, or lost it.
        self.tool.poll_kill(cx).map(|killed| removed.and(killed))
    }

    fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Exit>> {
        if let Some(exit) = self.exit
            && !self.owned.there
        {
            return Poll::Ready(Ok(exit));
        }
        let exit = ready!(self.tool.poll_wait(cx))?;
        self.exit = Some(exit);
        // One that was killed could not see its container's end.
        if !matches!(exit, Exit::Code(_))
            && let Err(error) = ready!(self.poll_remove(cx))
        {
            let container = self.owned.name.as_str();
            tracing::warn!(target: "outboard", container, %error, "it may go on running");
        }
        self.owned.there = false;
        Poll::Ready(Ok(exit))
    }

    fn diagnose(&self) -> BoxFuture<'static, Option<String>> {
        let args = [
            "inspect",
            "--format",
            "{{.State.Status}}, exit code {{.State.ExitCode}}, killed for want of memory: \
             {{.State.OOMKilled}} {{.State.Error}}",
            self.owned.name.as_str(),
        ];
        let state = self.owned.tool.call(&self.runtime, &args);
        let mut text = format!("it was run as: {}", self.owned.said);
        if let Some(meaning) = self.exit.and_then(meaning) {
            // Writing to a string does not fail.
            let _written = write!(text, "\n{meaning}");
        }
        Box::pin(async move {
            if let Ok((Exit::Code(0), state)) = state.await {
                let _written = write!(text, "\nits state: {state}");
            }
            Some(text)
        })
    }

    fn release(mut self: Box<Self>) {
        self.owned.there = false;
        let Self { tool, .. } = *self;
        tool.release();
    }
}

/// What the tools say by how they end.
fn meaning(exit: Exit) -> Option<&'static str> {
    match exit {
        Exit::Code(125) => Some(
            "125 is the tool's own failure: is there such an image, does it know these options?",
        ),
        Exit::Code(126) => Some("126: the program is in the image, and may not be executed"),
        Exit::Code(127) => Some("127: there is no such program in the image"),
        _ => None,
    }
}

/// A command line, for people to try. Values of variables are not in it but for those that the arguments
/// have.
fn said(child: &Launch) -> String {
    let words = std::iter::once(&child.program).chain(&child.args);
    let mut said = String::new();
    for word in words {
        let word = word.to_string_lossy();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
        let separator = if said.is_empty() { "" } else { " " };
        let written = if !word.is_empty() && word.chars().all(is_plain) {
            write!(said, "{separator}{word}")
        } else {
            write!(said, "{separator}'{}'", word.replace('\'', "'\\''"))
        };
        debug_assert!(written.is_ok(), "strings take everything");
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_can_be_tried_in_a_shell() {
        let mut child = Launch::new("/usr/bin/podman");
        child.args = ["run", "a b", "it's", ""].map(Into::into).into();
        assert_eq!(said(&child), r"/usr/bin/podman run 'a b' 'it'\''s' ''");
    }

    #[test]
    fn a_launch_without_a_directory_says_what_to_do() {
        let container = Container::new("docker", "acme/plugin");
        let Err(error) = container.prepare(Launch::new("/plugin")) else {
            panic!("there is no directory");
        };
        assert!(error.to_string().contains("Host::private_socket_dir"));
    }
}
