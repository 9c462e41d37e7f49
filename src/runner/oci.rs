//! What is said to the command line of a container tool, and which names things have on both sides. No
//! IO.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Component, Path, PathBuf};

use outboard_core::endpoint::Endpoint;
use outboard_core::env::{OUTBOARD_OUTPUT_DIR, UNIX_SOCKET_DIR, UNIX_SOCKET_GROUP};
use outboard_core::rt::{AddressTranslator, Launch, Stdin};

/// A variable of an environment: name and value.
pub(super) type Variable = (OsString, OsString);

/// One container to be run, with docker's words, which the others have taken over.
pub(super) struct Run<'a> {
    pub(super) name: &'a str,
    pub(super) image: &'a OsStr,
    /// The directory of the sockets, here and inside.
    pub(super) dirs: &'a Dirs,
    pub(super) user: Option<&'a OsStr>,
    /// The number of the sockets' group inside.
    pub(super) group: Option<u32>,
    /// What the caller has to add, in front of the image.
    pub(super) options: &'a [OsString],
}

impl Run<'_> {
    /// The arguments of the tool and its environment, which is `own` but for what it hands on.
    ///
    /// A value is told by its variable's name alone where it can be, since others on this machine can see
    /// the arguments.
    pub(super) fn command_line(
        &self,
        launch: &Launch,
        own: Vec<Variable>,
    ) -> (Vec<OsString>, Vec<Variable>) {
        let mut args: Vec<OsString> = ["run", "--rm", "--name", self.name].map(Into::into).into();
        if launch.stdin == Stdin::Pipe {
            args.push("--interactive".into());
        }
        let mut mount = OsString::from("type=bind,source=");
        mount.push(&self.dirs.here);
        mount.push(",target=");
        mount.push(&self.dirs.inside);
        args.extend(["--mount".into(), mount]);
        if let Some(user) = self.user {
            args.extend(["--user".into(), user.to_owned()]);
        }
        if let Some(group) = self.group {
            args.extend(["--group-add".into(), group.to_string().into()]);
        }
        if let Some(dir) = &launch.dir {
            args.extend(["--workdir".into(), dir.into()]);
        }
        let taken: BTreeSet<OsString> = own.iter().map(|(name, _)| name.clone()).collect();
        let mut env = own;
        for (name, value) in &launch.own_env {
            let value = self.inside(name, value);
            args.push("--env".into());
            if taken.contains(name) {
                let mut pair = name.clone();
                pair.push("=");
                pair.push(value);
                args.push(pair);
            } else {
                args.push(name.clone());
                env.push((name.clone(), value));
            }
        }
        if !launch.program.is_empty() {
            args.extend(["--entrypoint".into(), launch.program.clone()]);
        }
        args.extend(self.options.iter().cloned());
        args.push(self.image.to_owned());
        args.extend(launch.args.iter().cloned());
        (args, env)
    }

    /// What a variable of the handshake is inside.
    fn inside(&self, name: &OsStr, value: &OsStr) -> OsString {
        if name == UNIX_SOCKET_DIR || name == OUTBOARD_OUTPUT_DIR {
            let inside = self.dirs.to_inside(Path::new(value));
            return inside.map_or_else(|| value.to_owned(), Into::into);
        }
        match self.group {
            Some(group) if name == UNIX_SOCKET_GROUP => group.to_string().into(),
            Some(_) | None => value.to_owned(),
        }
    }
}

/// A directory that is in two places: here, and inside a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Dirs {
    pub(super) here: PathBuf,
    pub(super) inside: PathBuf,
}

impl Dirs {
    /// # Errors
    /// `InvalidInput` for a path that cannot be said to a tool.
    pub(super) fn new(here: &Path, inside: &Path) -> io::Result<Self> {
        for (path, absolute) in [(here, true), (inside, inside.is_absolute())] {
            let bytes = path.as_os_str().as_encoded_bytes();
            if !absolute || bytes.iter().any(|byte| matches!(byte, b',' | b'"' | b'\n')) {
                let text = format!(
                    "{} cannot be a directory shared with a container: it must be absolute and have no \
                     comma, quote or line end in it",
                    path.display()
                );
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
        }
        Ok(Self {
            here: here.to_owned(),
            inside: inside.to_owned(),
        })
    }

    fn to_inside(&self, path: &Path) -> Option<PathBuf> {
        moved(path, &self.here, &self.inside)
    }

    fn to_here(&self, path: &Path) -> Option<PathBuf> {
        moved(path, &self.inside, &self.here)
    }
}

/// A path in one directory, as it is in another. None that leads out of it again.
fn moved(path: &Path, from: &Path, to: &Path) -> Option<PathBuf> {
    let rest = path.strip_prefix(from).ok()?;
    let stays = rest
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    if rest.as_os_str().is_empty() {
        return Some(to.to_owned());
    }
    stays.then(|| to.join(rest))
}

impl AddressTranslator for Dirs {
    fn plugin_to_host(&self, endpoint: &Endpoint) -> io::Result<Endpoint> {
        match endpoint {
            Endpoint::Unix(path) => match self.to_here(path) {
                Some(path) => Ok(Endpoint::Unix(path)),
                None => Err(io::Error::other(format!(
                    "of the container's files the host has only those in {}: the plugin must make its \
                     sockets where PLUGIN_UNIX_SOCKET_DIR says",
                    self.inside.display()
                ))),
            },
            _ => Err(io::Error::other(
                "the network of the container is its own: the plugin must listen on a unix socket",
            )),
        }
    }

    fn host_to_plugin(&self, endpoint: &Endpoint) -> io::Result<Endpoint> {
        match endpoint {
            Endpoint::Unix(path) => match self.to_inside(path) {
                Some(path) => Ok(Endpoint::Unix(path)),
                None => Err(io::Error::other(format!(
                    "the container has only what is in {}",
                    self.here.display()
                ))),
            },
            _ => Err(io::Error::other(
                "the network of the container is its own: only unix sockets can be reached from there",
            )),
        }
    }
}

/// What is left of an environment without what a host of plugins was itself given by its own host.
pub(super) fn without_handshake(env: impl Iterator<Item = Variable>) -> Vec<Variable> {
    env.filter(|(name, _)| !outboard_core::env::ALL.iter().any(|ours| name == *ours))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dirs() -> Dirs {
        Dirs::new(Path::new("/tmp/plugin-dir1"), Path::new("/outboard")).expect("plain")
    }

    fn var(name: &str, value: &str) -> Variable {
        (name.into(), value.into())
    }

    #[test]
    fn the_command_line_is_dockers() {
        let dirs = dirs();
        let options = ["--network".into(), "none".into()];
        let run = Run {
            name: "outboard-1",
            image: OsStr::new("acme/plugin:2"),
            dirs: &dirs,
            user: Some(OsStr::new("1000:1000")),
            group: Some(77),
            options: &options,
        };
        let mut launch = Launch::new("/plugin");
        launch.args = vec!["--verbose".into()];
        launch.stdin = Stdin::Pipe;
        launch.dir = Some("/data".into());
        launch.env = vec![var("HOME", "/home/of-the-host")];
        launch.own_env = vec![
            var("COOKIE", "hello"),
            var("PATH", "/bin"),
            var("PLUGIN_UNIX_SOCKET_DIR", "/tmp/plugin-dir1"),
            var("PLUGIN_UNIX_SOCKET_GROUP", "plugins"),
        ];
        let (args, env) = run.command_line(&launch, vec![var("PATH", "/usr/bin")]);
        let expected = "run --rm --name outboard-1 --interactive --mount \
                        type=bind,source=/tmp/plugin-dir1,target=/outboard --user 1000:1000 \
                        --group-add 77 --workdir /data --env COOKIE --env PATH=/bin \
                        --env PLUGIN_UNIX_SOCKET_DIR --env PLUGIN_UNIX_SOCKET_GROUP \
                        --entrypoint /plugin --network none acme/plugin:2 --verbose";
        assert_eq!(args, expected.split_whitespace().collect::<Vec<_>>());
        let expected = [
            var("PATH", "/usr/bin"),
            var("COOKIE", "hello"),
            var("PLUGIN_UNIX_SOCKET_DIR", "/outboard"),
            var("PLUGIN_UNIX_SOCKET_GROUP", "77"),
        ];
        assert_eq!(env, expected);
        // The image's own program.
        let (args, _) = run.command_line(&Launch::new(""), Vec::new());
        assert!(!args.contains(&"--entrypoint".into()), "{args:?}");
    }

    #[test]
    fn addresses_are_translated_in_both_directions() {
        let dirs = dirs();
        let (here, inside) = (
            Endpoint::Unix("/tmp/plugin-dir1/plugin7".into()),
            Endpoint::Unix("/outboard/plugin7".into()),
        );
        assert_eq!(dirs.plugin_to_host(&inside).ok(), Some(here.clone()));
        assert_eq!(dirs.host_to_plugin(&here).ok(), Some(inside));
    }

    #[test]
    fn no_address_leads_out_of_the_directory() {
        let dirs = dirs();
        for path in [
            "/outboard/../etc/socket",
            "/outboard/a/../../b",
            "/outboardx/plugin7",
            "/tmp/plugin-dir1/plugin7",
            "@abstract",
        ] {
            let error = dirs.plugin_to_host(&Endpoint::Unix(path.into()));
            let text = error.expect_err(path).to_string();
            assert!(text.contains("/outboard"), "{text}");
        }
        let tcp = Endpoint::Tcp("127.0.0.1:1234".into());
        dirs.plugin_to_host(&tcp).expect_err("another network");
        dirs.host_to_plugin(&tcp).expect_err("another network");
        dirs.host_to_plugin(&Endpoint::Unix("/tmp/plugin8".into()))
            .expect_err("not inside");
    }

    #[test]
    fn a_directory_that_cannot_be_said_is_refused() {
        for (here, inside) in [("/a,b", "/c"), ("/a", "c"), ("/a", "/c\"")] {
            let error = Dirs::new(Path::new(here), Path::new(inside));
            let error = error.expect_err("it cannot be said");
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
    }

    #[test]
    fn what_a_host_was_given_by_its_own_is_left_out() {
        let env = [var("PLUGIN_CLIENT_CERT", "x"), var("HOME", "/root")];
        assert_eq!(without_handshake(env.into_iter()), [var("HOME", "/root")]);
    }
}
