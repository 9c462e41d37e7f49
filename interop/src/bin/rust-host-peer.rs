//! A host on outboard that starts the plugin of its command line, prints the plugin's process id
//! and waits to be killed: for tests of what a host's death leaves behind.

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
    let command = Command::new(program).args(arguments).stdin_null();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let host = Host::new(HANDSHAKE).command(command);
        let plugin = host.start(Tokio::current()).await?;
        plugin.ping().await?;
        println!("{}", plugin.id().ok_or("it has ended")?);
        std::io::stdout().flush()?;
        tokio::time::sleep(FOREVER).await;
        Ok(())
    })
}

/// The tests that use it run on unix only.
#[cfg(not(unix))]
fn main() {}
