//! A plugin over net/rpc on outboard, and some that only look like one: the Rust counterpart of
//! `go-netrpc-peer`; see `outboard_interop::netrpc`.
//!
//! ```text
//! plain                serves "greeter"; so it does without an argument
//! linger               the same, and does not end when it is asked to
//! prints               the same, and prints something before it serves
//! limited              the same, with messages of at most 64 KiB
//! versions             has version 1 over net/rpc and version 2 over gRPC
//! mixed                has both in version 1
//! untransported        has version 1 over net/rpc, and speaks gRPC alone
//! no-yamux | no-gob | lost-answer | lost-answer-stays   what `netrpc::by_hand` has
//! ```
//!
//! `INTEROP_RUNTIME` is what it runs on, by the names of the kit's axes, and the variables `INTEROP_TLS_…`,
//! `INTEROP_OUTLIVE` and `INTEROP_ORDERS` are those of `rust-plugin-peer`, but for `INTEROP_TLS`.

#[cfg(unix)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    unix::main()
}

#[cfg(not(unix))]
fn main() {}

#[cfg(unix)]
mod unix {
    use std::error::Error;
    use std::time::Duration;

    use outboard::netrpc::make;
    use outboard::{H2, Handshake, Plugin, Provided, Status, Tokio};
    use outboard_conformance::axes::{self, RuntimeKind};
    use outboard_interop::netrpc::by_hand::{self, Wrong};
    use outboard_interop::netrpc::service;
    use outboard_interop::proto::examples::{AddHelper, AddHelperServer, SumRequest, SumResponse};
    use outboard_interop::tls;

    const HANDSHAKE: Handshake = Handshake::new(1, "BASIC_PLUGIN", "hello");

    /// Bounds what blocks on purpose, so that a test that fails to kill it leaves nothing behind
    /// for good.
    const FOREVER: Duration = Duration::from_secs(600);

    struct Adder;

    impl AddHelper for Adder {
        async fn sum(&self, request: SumRequest) -> Result<SumResponse, Status> {
            Ok(SumResponse {
                r: request.a + request.b,
            })
        }
    }

    fn over_net_rpc() -> Provided {
        make(|broker| Ok::<_, String>(service(broker)))
    }

    pub(super) fn main() -> Result<(), Box<dyn Error>> {
        let mode = std::env::args().nth(1).unwrap_or_else(|| "plain".into());
        let kind = match std::env::var("INTEROP_RUNTIME") {
            Ok(kind) => kind.parse()?,
            Err(_) => RuntimeKind::Tokio,
        };
        if let Some((_, wrong)) = Wrong::ALL.iter().find(|(name, _)| *name == mode) {
            return go_wrong(*wrong);
        }
        let plugin = Plugin::new(HANDSHAKE);
        let plugin = match mode.as_str() {
            "plain" | "linger" => plugin.provide("greeter", over_net_rpc()),
            "prints" => {
                println!("before, on stdout");
                eprintln!("before, on stderr");
                plugin.provide("greeter", over_net_rpc())
            }
            "limited" => {
                let plugin = plugin.max_message_size(64 << 10);
                plugin.provide("greeter", over_net_rpc())
            }
            "versions" => {
                let plugin = plugin.provide_version(1, "greeter", over_net_rpc());
                plugin.provide_version(2, "greeter", AddHelperServer::new(Adder))
            }
            "mixed" => {
                let plugin = plugin.provide("greeter", over_net_rpc());
                plugin.provide("adder", AddHelperServer::new(Adder))
            }
            "untransported" => {
                let plugin = plugin.transport(H2::new());
                plugin.provide("greeter", over_net_rpc())
            }
            other => return Err(format!("unknown mode {other:?}").into()),
        };
        let plugin = tls::of_environment(plugin)?;
        let plugin = outboard_interop::detached::of_environment(plugin)?;
        axes::block_on(kind, |runtime| plugin.serve_or_exit(runtime));
        if mode == "linger" {
            std::thread::sleep(FOREVER);
        }
        Ok(())
    }

    fn go_wrong(wrong: Wrong) -> Result<(), Box<dyn Error>> {
        if std::env::var("BASIC_PLUGIN").as_deref() != Ok("hello") {
            return Err("this is a plugin, which a host starts".into());
        }
        // Where the host looks that nothing is left, if it says so.
        let dir = match std::env::var_os("PLUGIN_UNIX_SOCKET_DIR") {
            Some(dir) => tempfile::tempdir_in(dir)?,
            None => tempfile::tempdir()?,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let shared = Tokio::from_handle(runtime.handle().clone()).into();
        let serving = by_hand::serve(wrong, shared, dir.path());
        let bounded = async { tokio::time::timeout(FOREVER, serving).await };
        let _over = runtime.block_on(bounded);
        Ok(())
    }
}
