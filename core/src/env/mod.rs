//! The environment a host gives its plugin: names, what a plugin reads, what a host sets.
//!
//! Nothing here looks at the process's own environment. A plugin passes a lookup closure to
//! [`PluginEnv::read`]; a host passes what it inherited to [`HostEnv::merge`].

mod host;
mod plugin;

pub use host::HostEnv;
pub use plugin::{CookieError, PluginEnv, PortError, Ports, SocketGroup};

/// Lowest port a plugin may listen on; decimal, read only by plugins that listen on TCP.
pub const MIN_PORT: &str = "PLUGIN_MIN_PORT";
/// Highest port a plugin may listen on; decimal.
pub const MAX_PORT: &str = "PLUGIN_MAX_PORT";
/// The application versions the host offers, decimal, separated by commas.
pub const PROTOCOL_VERSIONS: &str = "PLUGIN_PROTOCOL_VERSIONS";
/// `true` if the host wants brokered connections multiplexed; otherwise not set.
pub const MULTIPLEX_GRPC: &str = "PLUGIN_MULTIPLEX_GRPC";
/// The host's certificate, PEM, if TLS certificates are exchanged.
pub const CLIENT_CERT: &str = "PLUGIN_CLIENT_CERT";
/// The group that may connect to the plugin's unix sockets: a name or a decimal gid.
pub const UNIX_SOCKET_GROUP: &str = "PLUGIN_UNIX_SOCKET_GROUP";
/// The directory for the plugin's unix sockets.
pub const UNIX_SOCKET_DIR: &str = "PLUGIN_UNIX_SOCKET_DIR";
/// outboard's own: protocols the host offers besides the one over sockets, names as in the
/// handshake line, separated by commas, best first. A plugin may pick one; it need not.
pub const OUTBOARD_TRANSPORTS: &str = "OUTBOARD_TRANSPORTS";
/// outboard's own: a directory with two named pipes, [`OUTPUT_STDOUT`] and [`OUTPUT_STDERR`], from
/// which the host reads what the program prints. A plugin may make them its descriptors 1 and 2; one
/// that does not, sends its output over the connection.
pub const OUTBOARD_OUTPUT_DIR: &str = "OUTBOARD_OUTPUT_DIR";

/// outboard's own: the level from which on the plugin is to log, by its name as in hclog's records
/// (`trace`, `debug`, `info`, `warn`, `error`). Not set where the host wants none in particular.
pub const OUTBOARD_LOG_LEVEL: &str = "OUTBOARD_LOG_LEVEL";

/// The name of the pipe for stdout in [`OUTBOARD_OUTPUT_DIR`].
pub const OUTPUT_STDOUT: &str = "stdout";
/// The name of the pipe for stderr in [`OUTBOARD_OUTPUT_DIR`].
pub const OUTPUT_STDERR: &str = "stderr";

/// Every variable above. A host removes those it does not set itself from what it passes on: a
/// host that is itself a plugin would otherwise confuse its own plugins. A plugin keeps them in its own
/// environment, which nothing can change safely while threads run; see
/// [`PluginEnv::names_to_remove`] for the programs it starts.
pub const ALL: [&str; 10] = [
    MIN_PORT,
    MAX_PORT,
    PROTOCOL_VERSIONS,
    MULTIPLEX_GRPC,
    CLIENT_CERT,
    UNIX_SOCKET_GROUP,
    UNIX_SOCKET_DIR,
    OUTBOARD_TRANSPORTS,
    OUTBOARD_OUTPUT_DIR,
    OUTBOARD_LOG_LEVEL,
];
