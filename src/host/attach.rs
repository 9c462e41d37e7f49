//! A plugin that runs already: attaching to it, and the record by which another host does.

use std::path::Path;
use std::sync::Arc;

use outboard_core::endpoint::Endpoint;
use outboard_core::handshake::Protocol;
use outboard_core::host::{self as machine, Means, StartError, StartFailure, WhenDropped};
use outboard_core::reattach::{ReattachConfig, Secured};
use outboard_core::rt::{AddressTranslator, SharedRuntime};
use outboard_core::version::IncompatibleVersion;

use super::begin::{drive, share};
use super::driver::DriverParts;
use super::logs::LogPump;
use super::origin::owner;
use super::pipes::Pipes;
use super::process::Running;
use super::security::Secure;
use super::sync::SyncWriters;
use super::{ConfigError, Host, HostError, RunningPlugin};
use crate::sys::private::PrivateDir;

impl Host {
    /// Attaches to a plugin that runs already, in place of launching one: the record says where, as
    /// [`RunningPlugin::reattach_config`] gives it, or a host in Go, or a plugin in debug mode
    /// (`TF_REATTACH_PROVIDERS`, see [`ReattachConfig::map_from_json`]).
    ///
    /// ```no_run
    /// # async fn example(record: &str) -> Result<(), Box<dyn std::error::Error>> {
    /// use outboard::{Handshake, Host, ReattachConfig, Tokio};
    ///
    /// let record = ReattachConfig::from_json(record)?;
    /// let host = Host::new(Handshake::new(1, "BASIC_PLUGIN", "hello")).attach(record);
    /// let plugin = host.start(Tokio::current()).await?;
    /// plugin.ping().await?;
    /// plugin.detach().await; // as dropping it, and waits until the connection is given up
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// There is no handshake: protocol and version are those of the record, which must be among the
    /// host's; see [`ReattachConfig::version_for`] for records without a version.
    ///
    /// What the plugin prints comes over the connection, as far as its first host does not read it, to the
    /// host that attached last. So does the log of a plugin of outboard that is told to outlive its host, once that is
    /// gone; and before all of it what nobody has taken since
    /// ([`Plugin::backlog_limit`](crate::Plugin::backlog_limit)), with a record of what is
    /// missing ([`Missing`](crate::hclog::Missing)). Over net/rpc lines of the log are output on stderr.
    /// Of other plugins no log comes.
    ///
    /// Dropping what comes of it leaves the plugin running. [`shutdown`](RunningPlugin::shutdown) and
    /// [`kill`](RunningPlugin::kill) end it, unless it is served by a test ([`ReattachConfig::test`]): they
    /// let go of it then. Nothing is ever killed but the process that is meant: by number and start, or,
    /// where the record does not tell the start, if it is what listens at the plugin's unix socket. Any other
    /// is asked to end and never killed: it is let go of where that does not suffice, and at once by `kill`
    /// ([`ExitReason::Released`](crate::ExitReason::Released)).
    ///
    /// How it ended only its parent learns ([`Exit::Unknown`](crate::Exit::Unknown)), and a host of
    /// another process learns it by an event where the system has pidfds, else within a second.
    ///
    /// Where its first host and it have made certificates for each other (AutoMTLS), this takes the first
    /// host's [`identity`](Self::identity), which no record has.
    ///
    /// A plugin of outboard takes any number of hosts, also at once, each with a broker of its own. One of
    /// go-plugin has one broker for all: what is served or dialled through it works for its first host, and
    /// for nobody any more once a connection to the plugin has ended.
    ///
    /// A plugin that a [`runner`](Self::runner) of its own has started is found by the same one.
    ///
    /// It excludes a [`command`](Self::command), a [`checksum`](Self::checksum) and
    /// [`multiplex`](Self::multiplex): a plugin that multiplexes takes one connection ever.
    pub fn attach(mut self, record: ReattachConfig) -> Self {
        self.attach = Some(record);
        self
    }

    pub(super) async fn take_over(
        mut self,
        record: ReattachConfig,
        runtime: SharedRuntime,
    ) -> Result<RunningPlugin, HostError> {
        if self.command.is_some() {
            return Err(ConfigError::TwoWaysToStart.into());
        }
        if self.multiplex {
            return Err(ConfigError::MultiplexAndAttach.into());
        }
        if self.checksum.is_some() {
            return Err(ConfigError::ChecksumAndAttach.into());
        }
        let group = self.group()?;
        let level = self.log_level.level();
        let (_, expectation) = self.contract(false)?;
        let name = self.name.take().unwrap_or_else(|| name_of(&record));
        let failed = |error| HostError::Attach {
            name: name.clone(),
            error: Box::new(error),
        };
        let version = self.agree(&record).map_err(failed)?;
        let secure = self.security.attached(&record)?.map_err(failed)?;
        check_owner(&record).map_err(failed)?;
        let Found {
            process,
            means,
            addresses,
        } = self.find(&runtime, &record).await.map_err(failed)?;
        // A record has the host's word for where it is.
        let endpoint = match &addresses {
            None => Ok(record.endpoint.clone()),
            Some(addresses) => addresses.host_to_plugin(&record.endpoint),
        };
        let endpoint = endpoint.map_err(|error| failed(AttachError::Runner(error.into())))?;
        let sync = SyncWriters::new(self.sync_stdout.as_ref(), self.sync_stderr.as_ref());
        let mut config = self.machine(expectation);
        config.when_dropped = WhenDropped::Release;
        config.means = means;
        // For what its broker serves: the plugin's own are where its first host wanted them.
        let made = (record.protocol == Protocol::Grpc).then(|| self.make_private_dir(&name, false));
        let (dir, swept) = made.transpose()?.unzip();
        let dir = dir.flatten().map(PrivateDir::of_the_host_alone);
        if let Some(dir) = &dir {
            self.socket_dir = Some(dir.path().to_owned());
        }
        let sink = self.log_sink.as_ref().map(|make| make());
        let logs = LogPump::new(name.clone(), self.log, sink, self.on_log, self.log_rate);
        // For what this host says of it.
        let own = LogPump::new(name.clone(), false, None, None, self.log_rate);
        let shared = share(
            name.clone(),
            self.settings,
            self.socket_dir,
            self.socket_group,
            sync,
        );
        shared.set_printed_ended();
        shared.set_logs(logs);
        shared.set_process(process.names());
        let id = process.id().map(str::to_owned);
        let protocol = record.protocol;
        let parts = DriverParts {
            runtime: Arc::clone(&runtime),
            machine: machine::Host::attach(config, runtime.now(), id, endpoint, protocol),
            program: None,
            process,
            attached: Some((version, record)),
            addresses,
            pipes: Pipes::new(None, own),
            dir,
            transports: self.transports,
            secure,
            shared,
            lease: self.lease,
        };
        let driven = drive(parts, group).await;
        if let Some(swept) = swept {
            let _done = swept.await;
        }
        match driven? {
            Ok(plugin) => {
                if let Some(level) = level {
                    plugin.told_log_level(&runtime, level).await;
                }
                Ok(plugin)
            }
            Err(error) => Err(not_attached(name, error)),
        }
    }

    /// The process of the record, by the host's runner or by its number.
    async fn find(
        &self,
        runtime: &SharedRuntime,
        record: &ReattachConfig,
    ) -> Result<Found, AttachError> {
        let Some(attaching) = self.runner.attach(runtime, record) else {
            return find(runtime, record).map(|(process, means)| Found {
                process,
                means,
                addresses: None,
            });
        };
        let process = attaching.await;
        let process = process.map_err(|error| AttachError::Runner(error.into()))?;
        Ok(Found {
            process: Running::attached(process.child),
            means: means(record, true),
            addresses: process.addresses,
        })
    }

    /// Whether this host can use what the record describes; the version that both have.
    fn agree(&self, record: &ReattachConfig) -> Result<i64, AttachError> {
        let mut spoken = self.transports.iter().map(|t| t.protocol());
        if !spoken.any(|protocol| protocol == record.protocol) {
            return Err(AttachError::OtherProtocol {
                protocol: record.protocol,
            });
        }
        let versions = self.settings.plugins.keys().copied().collect();
        record.version_for(&versions).map_err(AttachError::Version)
    }
}

/// A process to attach to.
struct Found {
    process: Running,
    /// By which it may be ended.
    means: Means,
    /// How its addresses are translated, if it sees others than the host does.
    addresses: Option<Arc<dyn AddressTranslator>>,
}

/// What people call a plugin of which nothing else is known.
fn name_of(record: &ReattachConfig) -> String {
    let file = record.endpoint.socket_file().and_then(Path::file_name);
    match file {
        Some(file) => file.to_string_lossy().into_owned(),
        None => record.endpoint.to_string(),
    }
}

fn check_owner(record: &ReattachConfig) -> Result<(), AttachError> {
    match (record.owner, owner(&record.endpoint)) {
        (Some(expected), Some(found)) if expected != found => Err(AttachError::OtherOwner {
            endpoint: record.endpoint.clone(),
            expected,
            found,
        }),
        _ => Ok(()),
    }
}

/// The process of the record, watched, and by which means it may be ended.
#[cfg(unix)]
fn find(runtime: &SharedRuntime, record: &ReattachConfig) -> Result<(Running, Means), AttachError> {
    use outboard_unix::{Attached, Missing};

    let Some(pid) = record.pid else {
        return Ok((Running::default(), means(record, false)));
    };
    let began = record.started.as_deref();
    let process = Attached::find(runtime, pid, began).map_err(|missing| match missing {
        Missing::Taken { started } => AttachError::AnotherProcess {
            pid,
            expected: began.unwrap_or_default().to_owned(),
            found: started,
        },
        _ => AttachError::NoProcess { pid },
    })?;
    // Only a process that is not known by its start is looked at so: it costs it a connection.
    let file = record.endpoint.socket_file();
    let listens = |file| outboard_unix::listener_pid(file) == Some(pid);
    let listens = began.is_none() && !record.test && file.is_some_and(listens);
    let process = process.trusted(listens);
    let means = means(record, process.may_be_killed());
    Ok((Running::attached(Box::new(process)), means))
}

#[cfg(not(unix))]
fn find(_: &SharedRuntime, record: &ReattachConfig) -> Result<(Running, Means), AttachError> {
    // Nothing here tells the end of a stranger's process: its connection does.
    Ok((Running::default(), means(record, false)))
}

fn means(record: &ReattachConfig, may_be_killed: bool) -> Means {
    match (record.test, may_be_killed) {
        (true, _) => Means::None,
        (false, true) => Means::All,
        (false, false) => Means::Asking,
    }
}

/// That nobody listens is the same as that there is no plugin, as go-plugin has it.
fn not_attached(name: String, error: StartError) -> HostError {
    use std::io::ErrorKind::{ConnectionRefused, NotFound};

    match error.failure {
        StartFailure::Connect { ref fault, .. }
            if matches!(fault.kind, NotFound | ConnectionRefused) =>
        {
            let fault = fault.clone();
            let error = Box::new(AttachError::NobodyListens(fault));
            HostError::Attach { name, error }
        }
        _ => HostError::Start {
            name,
            error: Box::new(error),
        },
    }
}

/// Why a host cannot attach to what a record describes. Nothing was done to any process.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// There is no process of this number: the plugin has ended.
    #[error("there is no process {pid} any more: the plugin has ended, and its record is stale")]
    NoProcess {
        /// The number in the record.
        pid: u32,
    },
    /// Another process has the number by now.
    #[error(
        "process {pid} is not the plugin of the record, but one that began later or elsewhere (at \
         {found}, the plugin at {expected}): the plugin has ended, and its record is stale"
    )]
    AnotherProcess {
        /// The number in the record.
        pid: u32,
        /// When the plugin began, as the record has it.
        expected: String,
        /// When the process began that has the number.
        found: String,
    },
    /// The host's runner has no such process.
    #[error(
        "the host's runner cannot attach to the plugin of the record: {0}; it may have ended, and its record \
         be stale"
    )]
    Runner(outboard_core::fault::Fault),
    /// Nobody listens where the record says.
    #[error("nobody listens where the plugin is to be: {0}; it has ended, and its record is stale")]
    NobodyListens(outboard_core::fault::Fault),
    /// The socket belongs to another user than the record says.
    #[error(
        "the socket at {endpoint} belongs to user {found}, while the plugin's belonged to user \
         {expected}: somebody else may have put it there"
    )]
    OtherOwner {
        /// Where it is.
        endpoint: Endpoint,
        /// The number of the user in the record.
        expected: u32,
        /// The number of the user to whom it belongs.
        found: u32,
    },
    /// The plugin speaks a protocol that the host was not given.
    #[error(
        "the plugin speaks {protocol}, which this host does not: choose that transport \
         (Host::transport)"
    )]
    OtherProtocol {
        /// The protocol in the record.
        protocol: Protocol,
    },
    /// The plugin serves a version that the host does not offer.
    #[error(transparent)]
    Version(IncompatibleVersion),
    /// The plugin and its first host have certificates of their own, which this host has not.
    #[error(
        "connections to the plugin are secured by the certificates that its first host and it have made \
         for each other (AutoMTLS), and this host has not the first one's: give both the same identity \
         (Host::identity)"
    )]
    NoIdentity,
    /// The record does not say which certificate the plugin has.
    #[error(
        "the record does not have the plugin's certificate, so that a stranger could not be told from it: \
         expected Outboard.Certificate, as RunningPlugin::reattach_config writes it where host and plugin \
         have certificates for each other (AutoMTLS)"
    )]
    NoCertificate,
}

outboard_core::debug_as_text!(AttachError);

impl super::security::Wanted {
    /// What is done with connections to the plugin of this record.
    fn attached(
        &self,
        record: &ReattachConfig,
    ) -> Result<Result<Secure, AttachError>, ConfigError> {
        #[cfg(feature = "tls")]
        {
            if let Some(own) = &self.own {
                if self.auto_mtls {
                    return Err(ConfigError::TwoKindsOfTls);
                }
                if !own.can_connect() {
                    let error = outboard_tls::TlsError::NoClientConfig;
                    let cause = crate::text::chain(&error);
                    return Err(ConfigError::Tls { cause });
                }
                return Ok(Ok(Secure::Own(own.clone())));
            }
            if self.auto_mtls || record.secured == Some(Secured::AutoMtls) {
                return Ok(match &self.identity {
                    Some(_) if record.certificate.is_none() => Err(AttachError::NoCertificate),
                    Some(identity) => Ok(Secure::AutoMtls(Arc::new(identity.clone()))),
                    None => Err(AttachError::NoIdentity),
                });
            }
        }
        Ok(match record.secured {
            Some(Secured::AutoMtls) => Err(AttachError::NoIdentity),
            _ => Ok(Secure::Clear),
        })
    }
}
