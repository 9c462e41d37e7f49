//! A plugin at rest, as the system sees it.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Duration;

use outboard::{Command, H2, Handshake, Host, Stdio, Tokio};

outboard::include_proto!("greeter");

const HANDSHAKE: Handshake = Handshake::new(1, "GREETER_PLUGIN", "hello");

/// How long a plugin is left alone before it is looked at: nothing here takes as long, but a
/// garbage collector may have something to give back. (A choice.)
const REST: Duration = Duration::from_secs(2);

/// What a process holds.
pub(crate) struct Idle {
    /// KiB of memory, and those of it that no file backs.
    pub(crate) resident: u64,
    pub(crate) private: u64,
    /// The names of the threads.
    pub(crate) threads: Vec<String>,
    /// Open file descriptors.
    pub(crate) descriptors: usize,
}

/// Launches a plugin, calls it once, and looks at it when it is done.
pub(crate) async fn observe(program: &Path, stdio: bool) -> Result<Idle, Box<dyn Error>> {
    let host = Host::new(HANDSHAKE).command(Command::new(program));
    let host = if stdio {
        host.transport(Stdio::new())
    } else {
        host.transport(H2::default())
    };
    let plugin = host.start(Tokio::current()).await?;
    let greeter: GreeterClient = plugin.dispense("greeter").await?;
    let request = GreetRequest {
        name: "world".into(),
    };
    let reply = greeter.greet(request).await?;
    if reply.text != "Hello, world!" {
        return Err(format!("the plugin answered {:?}", reply.text).into());
    }
    tokio::time::sleep(REST).await;
    let id = plugin.pid().ok_or("the plugin has ended")?;
    let idle = look(id)?;
    plugin.shutdown().await?;
    Ok(idle)
}

fn look(id: u32) -> Result<Idle, Box<dyn Error>> {
    let process = Path::new("/proc").join(id.to_string());
    let status = fs::read_to_string(process.join("status"))?;
    let kib = |field: &str| -> Result<u64, Box<dyn Error>> {
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let number = line.and_then(|line| line.trim_start_matches(':').split_whitespace().next());
        Ok(number.ok_or("a field of the status is missing")?.parse()?)
    };
    let mut threads = Vec::new();
    for task in fs::read_dir(process.join("task"))? {
        let name = fs::read_to_string(task?.path().join("comm"))?;
        threads.push(name.trim_end().to_owned());
    }
    Ok(Idle {
        resident: kib("VmRSS")?,
        private: kib("RssAnon")?,
        threads,
        descriptors: fs::read_dir(process.join("fd"))?.count(),
    })
}
