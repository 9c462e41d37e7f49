//! Plugins that outlive their host, as the environment has it.

use std::error::Error;

use outboard::Plugin;
use outboard_conformance::orders::obey;

/// The plugin with `INTEROP_OUTLIVE` and `INTEROP_ORDERS`: how many bytes it keeps of what nobody takes, if it
/// outlives its host, and the pipe through which it is told what to say.
///
/// # Errors
/// If the number is none.
pub fn of_environment(mut plugin: Plugin) -> Result<Plugin, Box<dyn Error>> {
    if let Ok(bytes) = std::env::var("INTEROP_OUTLIVE") {
        plugin = plugin.outlive_host(true).backlog_limit(bytes.parse()?);
    }
    if let Some(path) = std::env::var_os("INTEROP_ORDERS") {
        obey(path.into());
    }
    Ok(plugin)
}
