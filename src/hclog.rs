//! Records of a plugin's log, in the format of go-plugin's plugins: what
//! [`Host::on_log`](crate::Host::on_log) is told.
//!
//! A host that attaches to a plugin is told in one of them what it does not get of what was said before:
//!
//! ```no_run
//! # async fn example(record: &str) -> Result<(), Box<dyn std::error::Error>> {
//! use outboard::hclog::Missing;
//! use outboard::{Handshake, Host, ReattachConfig, Tokio};
//!
//! let record = ReattachConfig::from_json(record)?;
//! let host = Host::new(Handshake::new(1, "BASIC_PLUGIN", "hello")).attach(record);
//! let host = host.sync_stdout(std::io::stdout).on_log(|record| {
//!     if let Some(missing) = Missing::of(record) {
//!         eprintln!("{} lines of the log are lost", missing.log.lines);
//!     }
//! });
//! let plugin = host.start(Tokio::current()).await?;
//! # plugin.detach().await;
//! # Ok(())
//! # }
//! ```

/// The variable from which the providers of Terraform and OpenTofu read their level, for
/// [`Host::log_level_variables`](crate::Host::log_level_variables). Source: terraform-plugin-go,
/// `internal/logging/environment_variables.go`.
pub const TF_LOG_PROVIDER: &str = "TF_LOG_PROVIDER";
/// That of Steampipe's plugins. Source: steampipe-plugin-sdk, `logging`.
pub const STEAMPIPE_LOG_LEVEL: &str = "STEAMPIPE_LOG_LEVEL";
/// That of Vault, which some of its plugins read, too.
pub const VAULT_LOG_LEVEL: &str = "VAULT_LOG_LEVEL";

pub use outboard_core::backlog::{Lost, Missing};
pub use outboard_core::hclog::{Kind, Level, Record, Timestamp, UnixTime};
