//! Two versions of an interface at once: the highest that both sides know is used.
//!
//! ```sh
//! cargo run --example negotiated            # host knows 2 and 3, plugin too: 3
//! cargo run --example negotiated -- 2       # host knows only 2
//! cargo run --example negotiated -- 4       # nothing in common: a clear error
//! ```
//!
//! With `NEGOTIATED_PLUGIN` set it runs that shell command as its plugin.

use std::error::Error;

use outboard::{Command, Handshake, Host, Plugin, Status, Tokio};
use outboard_examples::{args, with_flags};

outboard::include_proto!("kv/proto");

/// The version in here is not used, since both sides say which versions they know.
const HANDSHAKE: Handshake = Handshake::new(1, "BASIC_PLUGIN", "hello");

/// One implementation per version. A real plugin would translate to one common store.
struct Version(u32);

impl Kv for Version {
    async fn get(&self, request: GetRequest) -> Result<GetResponse, Status> {
        let value = format!("{} as version {} knows it", request.key, self.0);
        Ok(GetResponse {
            value: value.into(),
        })
    }

    async fn put(&self, _request: PutRequest) -> Result<Empty, Status> {
        Err(Status::unimplemented("this store is read-only"))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = args();
    if args == ["plugin"] {
        let plugin = Plugin::new(HANDSHAKE)
            .provide_version(2, "kv", KvServer::new(Version(2)))
            .provide_version(3, "kv", KvServer::new(Version(3)));
        plugin.serve_or_exit(Tokio::current()).await;
        return Ok(());
    }

    let mut versions: Vec<u32> = args
        .iter()
        .map(|arg| arg.parse())
        .collect::<Result<_, _>>()?;
    if versions.is_empty() {
        versions = vec![2, 3];
    }
    let command = match std::env::var("NEGOTIATED_PLUGIN") {
        Ok(command) => Command::new("sh").arg("-c").arg(command),
        Err(_) => Command::new(std::env::current_exe()?).arg("plugin"),
    };
    let plugin = with_flags(Host::new(HANDSHAKE))
        .versions(versions)
        .command(command)
        .start(Tokio::current())
        .await?;
    let kv: KvClient = plugin.dispense("kv").await?;
    let reply = kv
        .get(GetRequest {
            key: "colour".into(),
        })
        .await?;
    println!(
        "version {}: {}",
        plugin.negotiated_version(),
        String::from_utf8(reply.value)?
    );
    plugin.shutdown().await?;
    Ok(())
}
