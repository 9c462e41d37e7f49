//! What `docs/from-go-plugin.md` names of ours, for the compiler: each is used by its path, as somebody would
//! who depends on the facade alone.

use std::io;
use std::sync::Arc;

use outboard::discover::{Search, enumerate};
use outboard::log::Layer;
use outboard::netrpc::MuxBroker;
use outboard::rt::{AddressTranslator, Child, Runner, SharedRuntime};
use outboard::tls::{KeyKind, Tls, TlsError};
use outboard::{
    Broker, CallOptions, Checksum, ChecksumList, Command, FileDigest, ForkExec, H2, Handshake,
    Host, Managed, Plugin, ReattachConfig, RunningPlugin, Served, Service, Tokio, memory,
};

use outboard_interop::proto::examples::KvClient;

/// Stands for any value. Nothing here is ever run.
fn any<T>() -> T {
    unreachable!("it is only compiled")
}

/// Each path as a value, or, where it takes arguments of any type, as a call.
macro_rules! named {
    ($($path:path $(=> ($($argument:expr),*))?;)*) => {
        /// The paths, as the document writes them.
        pub(crate) const NAMES: &[&str] = &[$(stringify!($path)),*];

        #[expect(dead_code, reason = "it is only compiled")]
        #[allow(clippy::let_underscore_future)]
        fn compiled() {
            $(let _ = $path $(($($argument),*))?;)*
        }
    };
}

named! {
    AddressTranslator::host_to_plugin => (any::<&dyn AddressTranslator>(), any());
    AddressTranslator::plugin_to_host => (any::<&dyn AddressTranslator>(), any());
    Broker::dial::<KvClient> => (any::<&Broker>(), 1);
    Broker::dial_channel;
    Broker::serve => (any::<&Broker>(), any::<Arc<dyn Service>>());
    Broker::serve_router;
    CallOptions::new;
    Checksum::new => ([0; 32], |_: &mut dyn io::Read| any::<io::Result<[u8; 32]>>());
    Checksum::of::<sha2::Sha512> => ([0; 64]);
    Checksum::sha256 => ([0; 32]);
    ChecksumList::parse;
    Child::diagnose => (any::<&dyn Child>());
    Child::id => (any::<&dyn Child>());
    Child::poll_kill => (any::<&mut dyn Child>(), any());
    Child::poll_wait => (any::<&mut dyn Child>(), any());
    Command::env_keep => (any(), ["PATH"]);
    Command::new => ("greeter");
    FileDigest::as_bytes;
    H2::keepalive;
    Handshake::new;
    Host::allow_users => (any(), [1000]);
    Host::attach;
    Host::auto_mtls;
    Host::checksum;
    Host::command => (any(), any::<Command>());
    Host::identity_key => (any(), KeyKind::default());
    Host::inherit_env;
    Host::log_level;
    Host::log_rate;
    Host::log_sink => (any(), io::sink);
    Host::managed;
    Host::max_message_size;
    Host::multiplex;
    Host::new;
    Host::on_log => (any(), |_| ());
    Host::plugins => (any(), 1, ["greeter"]);
    Host::ports;
    Host::private_socket_dir;
    Host::runner => (any(), ForkExec);
    Host::socket_dir => (any(), "/run");
    Host::socket_group => (any(), "plugins");
    Host::start => (any(), any::<Tokio>());
    Host::start_timeout;
    Host::sync_stderr => (any(), io::sink);
    Host::sync_stdout => (any(), io::sink);
    Host::tls;
    Host::transport => (any(), any::<H2>());
    Host::versions => (any(), [1]);
    Layer::new;
    Managed::end_all;
    Managed::guard;
    MuxBroker::accept;
    MuxBroker::client;
    MuxBroker::dial;
    MuxBroker::next_id;
    MuxBroker::offer;
    MuxBroker::serve => (any(), 1, |_| ());
    Plugin::allow_users => (any(), [1000]);
    Plugin::install_logging;
    Plugin::is_launched;
    Plugin::max_message_size;
    Plugin::new;
    Plugin::provide => (any(), "greeter", any::<Arc<dyn Service>>());
    Plugin::provide_version => (any(), 1, "greeter", any::<Arc<dyn Service>>());
    Plugin::serve => (any(), any::<SharedRuntime>());
    Plugin::serve_for_debugging => (any(), any::<SharedRuntime>(), any::<fn(&ReattachConfig)>());
    Plugin::serve_in_test => (any(), any::<SharedRuntime>());
    Plugin::serve_or_exit => (any(), any::<SharedRuntime>());
    Plugin::tls_provider => (any(), any::<fn() -> Result<Tls, TlsError>>());
    Plugin::transport => (any(), any::<H2>());
    ReattachConfig::from_json;
    ReattachConfig::map_from_json;
    ReattachConfig::new;
    ReattachConfig::to_json;
    Runner::attach => (&ForkExec, any(), any());
    Runner::launch => (&ForkExec, any(), any());
    Runner::name => (&ForkExec);
    RunningPlugin::channel;
    RunningPlugin::detach;
    RunningPlugin::dispense::<KvClient> => (any(), "greeter");
    RunningPlugin::exited;
    RunningPlugin::health;
    RunningPlugin::id;
    RunningPlugin::is_exited;
    RunningPlugin::kill;
    RunningPlugin::negotiated_version;
    RunningPlugin::pid;
    RunningPlugin::ping;
    RunningPlugin::protocol;
    RunningPlugin::reattach_config;
    RunningPlugin::shutdown;
    Search::find;
    Served::id;
    enumerate => (any::<Tokio>(), [any::<Host>()], 4);
    memory::start => (any(), any(), any::<SharedRuntime>());
    memory::client::<KvClient> => (any::<Tokio>(), any::<Arc<dyn Service>>());
}
