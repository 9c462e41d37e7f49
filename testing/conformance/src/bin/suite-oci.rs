//! Stands in for the command line of a container tool. A container is namespaces for users, mounts and
//! the network over the files of this machine, in which the plugin has the user and the group 1234.
//!
//! ```text
//! suite-oci run --rm --name NAME [--interactive] --mount type=bind,source=HERE,target=INSIDE
//!     [--user U] [--group-add G] [--workdir DIR] {--env NAME[=VALUE]} --entrypoint PROGRAM
//!     [--hide DIR] IMAGE ARG...
//! suite-oci rm --force NAME
//! ```
//!
//! `--hide` puts an empty directory in the place of another. There is no image `absent`: the tool ends
//! with status 125. As with docker, a container does not end with the tool that runs it.

/// The tests that use it run on unix only.
#[cfg(not(unix))]
fn main() {}

#[cfg(unix)]
fn main() -> std::process::ExitCode {
    match unix::main() {
        Ok(status) => std::process::ExitCode::from(status),
        Err(error) => {
            eprintln!("suite-oci: {error}");
            std::process::ExitCode::from(125)
        }
    }
}

#[cfg(unix)]
mod unix {
    use std::error::Error;
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::Command;

    use rustix::process::{Pid, Signal, kill_process};

    /// What tells a container's processes.
    const MARK: &str = "SUITE_OCI_NAME";

    /// Inside of the first namespaces, where this is root: what is mounted. The plugin is in further ones,
    /// as another user.
    const SET_UP: &str = "\
        set -e; here=$1; inside=$2; hidden=$3; shift 3
        mount -t tmpfs none /mnt
        mkdir -p \"$inside\"
        mount --bind \"$here\" \"$inside\"
        if [ -n \"$hidden\" ]; then mount -t tmpfs none \"$hidden\"; fi
        exec unshare --user --map-user=1234 --map-group=1234 -- \"$@\"";

    pub(super) fn main() -> Result<u8, Box<dyn Error>> {
        let mut arguments = std::env::args_os().skip(1);
        let verb = arguments.next().ok_or("there is no command")?;
        match verb.to_str() {
            Some("run") => run(arguments),
            Some("rm") => remove(arguments.last().ok_or("there is no name")?),
            _ => Err(format!("{verb:?} is not known here").into()),
        }
    }

    fn run(mut arguments: impl Iterator<Item = OsString>) -> Result<u8, Box<dyn Error>> {
        let mut env: Vec<(OsString, OsString)> = Vec::new();
        let (mut mount, mut hidden, mut program) = (None, OsString::new(), None);
        let image = loop {
            let option = arguments.next().ok_or("there is no image")?;
            let mut value = || arguments.next().ok_or("a value is missing");
            match option.to_str() {
                Some("--rm" | "--interactive") => {}
                Some("--name") => env.push((MARK.into(), value()?)),
                Some("--mount") => mount = Some(value()?),
                Some("--hide") => hidden = value()?,
                Some("--entrypoint") => program = Some(value()?),
                Some("--user" | "--group-add" | "--workdir") => drop(value()?),
                Some("--env") => {
                    let variable = value()?;
                    let text = variable.to_str().ok_or("not in Unicode")?;
                    env.push(match text.split_once('=') {
                        Some((name, value)) => (name.into(), value.into()),
                        None => (text.into(), std::env::var_os(text).ok_or("not set")?),
                    });
                }
                Some(option) if option.starts_with('-') => {
                    return Err(format!("{option} is not known here").into());
                }
                _ => break option,
            }
        };
        if image == "absent" {
            return Err("there is no image absent".into());
        }
        let mount = mount.ok_or("nothing is mounted")?;
        let mount = mount.to_str().ok_or("not in Unicode")?;
        let mount = mount.strip_prefix("type=bind,source=").ok_or("no bind")?;
        let (here, inside) = mount.split_once(",target=").ok_or("no target")?;
        // The program itself, since the path is the container's from here on.
        let status = Command::new("/usr/bin/unshare")
            .args(["--user", "--map-root-user", "--mount", "--net", "--"])
            .args(["/bin/sh", "-c", SET_UP, "sh", here, inside])
            .arg(hidden)
            .arg(program.ok_or("there is no program")?)
            .args(arguments)
            .env_clear()
            .envs(env)
            .status()?;
        let code = status
            .code()
            .or_else(|| status.signal().map(|signal| 128 + signal));
        Ok(u8::try_from(code.unwrap_or(125))?)
    }

    fn remove(name: OsString) -> Result<u8, Box<dyn Error>> {
        let mark = [MARK.as_bytes(), b"=", name.as_bytes()].concat();
        let mut found = 1;
        for entry in std::fs::read_dir("/proc")?.flatten() {
            let pid = entry.file_name().to_str().and_then(|pid| pid.parse().ok());
            let Some(pid) = pid.and_then(Pid::from_raw) else {
                continue;
            };
            let env = std::fs::read(entry.path().join("environ")).unwrap_or_default();
            if env
                .split(|byte| *byte == 0)
                .any(|variable| variable == mark)
            {
                // It may have ended meanwhile.
                let _gone = kill_process(pid, Signal::KILL);
                found = 0;
            }
        }
        Ok(found)
    }
}
