//! A host on outboard that starts the plugin of its command line, prints the plugin's process id
//! and waits to be killed: for tests of what a plugin gets from its host's process, and of what the
//! host's death leaves behind.
//!
//! ```text
//! INTEROP_KEEP_STDIN   if set: the plugin gets the host's stdin instead of an empty one
//! INTEROP_SKIP_ENV     if set: the plugin does not get the host's environment
//! INTEROP_COMMAND_ENV  NAME=VALUE for the plugin's command
//! ```

#[cfg(unix)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    use std::io::Write as _;

    use outboard::{Command, Host, Tokio};
    use outboard_interop::rust_host::HANDSHAKE;

    /// So that a test that fails to kill it leaves nothing behind for good.
    const FOREVER: std::time::Duration = std::time::Duration::from_secs(600);

    let mut arguments = std::env::args_os().skip(1);
    let program = arguments
        .next()
        .ok_or("usage: rust-host-peer PLUGIN [ARGS ...]")?;
    let mut command = Command::new(program).args(arguments);
    if std::env::var_os("INTEROP_KEEP_STDIN").is_none() {
        command = command.inherit_stdin(false);
    }
    if let Ok(variable) = std::env::var("INTEROP_COMMAND_ENV") {
        let (name, value) = variable.split_once('=').ok_or("no NAME=VALUE")?;
        command = command.env(name, value);
    }
    let inherit = std::env::var_os("INTEROP_SKIP_ENV").is_none();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let host = Host::new(HANDSHAKE).command(command).inherit_env(inherit);
        let plugin = host.start(Tokio::current()).await?;
        plugin.ping().await?;
        println!("{}", plugin.pid().ok_or("it has ended")?);
        std::io::stdout().flush()?;
        tokio::time::sleep(FOREVER).await;
        Ok(())
    })
}

/// The tests that use it run on unix only.
#[cfg(not(unix))]
fn main() {}
