//! The record by which another host finds a plugin that runs already: what is in it, and its JSON.
//!
//! The JSON is go-plugin's, as Terraform and OpenTofu read it from `TF_REATTACH_PROVIDERS`. What outboard
//! adds is in an object of its own under the key `Outboard`, which readers in Go pass over.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::endpoint::{Endpoint, EndpointError};
use crate::handshake::{Protocol, certificate_of_text, certificate_text};
use crate::text::excerpt;
use crate::version::{self, IncompatibleVersion};

#[cfg(feature = "serde")]
mod with_serde;

/// How much of a bad value an error quotes, in bytes.
const QUOTED: usize = 64;

/// A plugin that runs already, for hosts that did not launch it. go-plugin has the same under this name.
///
/// It holds no secret: no private key, and nothing that would let anybody connect who may not.
///
/// ```
/// use outboard_core::reattach::ReattachConfig;
///
/// let text = r#"{"Protocol":"grpc","ProtocolVersion":6,"Pid":47254,"Test":true,
///     "Addr":{"Network":"unix","String":"/tmp/plugin2908212597"}}"#;
/// let record = ReattachConfig::from_json(text)?;
/// assert_eq!((record.pid, record.version, record.test), (Some(47254), Some(6), true));
/// assert_eq!(ReattachConfig::from_json(&record.to_json())?, record);
/// # Ok::<(), outboard_core::reattach::ReattachError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ReattachConfig {
    /// What it speaks. A record without one means net/rpc, as a handshake line does.
    pub protocol: Protocol,
    /// The version that was negotiated with it; `None` in records of older programs, and in those of
    /// go-plugin's hosts. See [`version_for`](Self::version_for).
    pub version: Option<i64>,
    /// The number of its process, if it has one on this system.
    pub pid: Option<u32>,
    /// What its runner calls it, where it is no process of this system: the name of a container, for one.
    pub id: Option<String>,
    /// Whether it is served inside a test, which ends it: hosts neither ask it to end nor kill it.
    pub test: bool,
    /// Where it listens.
    pub endpoint: Endpoint,
    /// When its process began, as the system tells it: a text to be compared with another one of the same
    /// system and nothing else. With it a number that was given to another process is told from the plugin.
    pub started: Option<String>,
    /// The number of the user to whom its socket belongs.
    pub owner: Option<u32>,
    /// How connections to it are secured; `None` if the record does not say.
    pub secured: Option<Secured>,
    /// The plugin's own certificate, DER, where both sides have made one for each other (AutoMTLS): what
    /// its line had, which is no secret.
    pub certificate: Option<Vec<u8>>,
}

/// How connections to a plugin are secured, as a record says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Secured {
    /// They are not.
    No,
    /// By the certificates that its first host and it have made for each other (AutoMTLS).
    AutoMtls,
    /// By TLS of the application's own.
    Own,
}

impl Secured {
    const ALL: [Self; 3] = [Self::No, Self::AutoMtls, Self::Own];

    const fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::AutoMtls => "auto-mtls",
            Self::Own => "own",
        }
    }
}

impl ReattachConfig {
    /// A plugin of which nothing is known but how to connect to it.
    #[must_use]
    pub fn new(protocol: Protocol, endpoint: Endpoint) -> Self {
        Self {
            protocol,
            version: None,
            pid: None,
            id: None,
            test: false,
            endpoint,
            started: None,
            owner: None,
            secured: None,
            certificate: None,
        }
    }

    /// Which of the versions that a host offers the plugin serves.
    ///
    /// A record without a version, or with 0 where the host offers no version 0 (Go writes what is missing
    /// as 0), stands for the lowest that the host offers: that is what plugins serve which do not
    /// negotiate, and what Terraform assumes.
    ///
    /// # Errors
    /// If the record has a version that the host does not offer, or the host offers none.
    pub fn version_for(&self, offered: &BTreeSet<i64>) -> Result<i64, IncompatibleVersion> {
        let version = match self.version {
            Some(0) if !offered.contains(&0) => None,
            version => version,
        };
        let version = version.or_else(|| offered.first().copied()).unwrap_or(0);
        version::check(version, offered).map(|()| version)
    }

    /// The record as one JSON object, on one line.
    #[must_use]
    pub fn to_json(&self) -> String {
        self.to_value().to_string()
    }

    /// Reads one JSON object. Keys that it does not know count for nothing.
    ///
    /// # Errors
    /// [`ReattachError`] says which key is wrong, and what was expected there.
    pub fn from_json(text: &str) -> Result<Self, ReattachError> {
        Self::from_value(&parse(text)?)
    }

    /// Several records by name, as `TF_REATTACH_PROVIDERS` has them by the addresses of providers: one
    /// JSON object on one line.
    pub fn map_to_json<N: Into<String>>(records: impl IntoIterator<Item = (N, Self)>) -> String {
        let records = records.into_iter();
        let map: Map<String, Value> = records
            .map(|(name, record)| (name.into(), record.to_value()))
            .collect();
        Value::Object(map).to_string()
    }

    /// Reads what [`map_to_json`](Self::map_to_json) and Terraform's SDK write.
    ///
    /// # Errors
    /// [`ReattachError`] says which record is wrong, and in what.
    pub fn map_from_json(text: &str) -> Result<BTreeMap<String, Self>, ReattachError> {
        let value = parse(text)?;
        let map = object("the whole", &value)?;
        let records = map.iter().map(|(name, value)| {
            let record = Self::from_value(value).map_err(|error| ReattachError::Of {
                name: excerpt(name.as_bytes(), QUOTED),
                error: Box::new(error),
            });
            Ok((name.clone(), record?))
        });
        records.collect()
    }

    fn to_value(&self) -> Value {
        let mut address = Map::new();
        address.insert("Network".to_owned(), self.endpoint.network().into());
        address.insert("String".to_owned(), self.endpoint.address().into());
        let mut own = Map::new();
        if let Some(started) = &self.started {
            own.insert("Started".to_owned(), started.clone().into());
        }
        if let Some(id) = &self.id {
            own.insert("Id".to_owned(), id.clone().into());
        }
        if let Some(owner) = self.owner {
            own.insert("Owner".to_owned(), owner.into());
        }
        if let Some(secured) = self.secured {
            own.insert("Secured".to_owned(), secured.name().into());
        }
        if let Some(der) = &self.certificate {
            own.insert("Certificate".to_owned(), certificate_text(der).into());
        }
        let mut record = Map::new();
        record.insert("Protocol".to_owned(), self.protocol.name().into());
        // Go's readers take what is missing for 0.
        if let Some(version) = self.version {
            record.insert("ProtocolVersion".to_owned(), version.into());
        }
        record.insert("Pid".to_owned(), self.pid.unwrap_or(0).into());
        record.insert("Test".to_owned(), self.test.into());
        record.insert("Addr".to_owned(), address.into());
        if !own.is_empty() {
            record.insert("Outboard".to_owned(), own.into());
        }
        record.into()
    }

    fn from_value(value: &Value) -> Result<Self, ReattachError> {
        let record = object("the record", value)?;
        let protocol = match text(record, "Protocol", "Protocol")? {
            None | Some("") => Protocol::NetRpc,
            Some(name) => match name.parse() {
                Ok(protocol @ (Protocol::NetRpc | Protocol::Grpc)) => protocol,
                Ok(Protocol::Stdio) | Err(_) => {
                    return Err(unexpected("Protocol", "\"grpc\" or \"netrpc\"", name));
                }
            },
        };
        let address = present(record, "Addr", "Addr", "an object with Network and String")?;
        let address = object("Addr", address)?;
        let part = |key, what, expected| match text(address, key, what)? {
            Some(text) => Ok(text),
            None => Err(ReattachError::Missing { what, expected }),
        };
        let network = part("Network", "Addr.Network", "\"unix\" or \"tcp\"")?;
        let place = part("String", "Addr.String", "a path, or HOST:PORT")?;
        let mut read = Self::new(protocol, Endpoint::parse(network, place)?);
        read.version = number(record, "ProtocolVersion", "ProtocolVersion")?;
        read.pid = number(record, "Pid", "Pid")?.filter(|pid| *pid != 0);
        read.test = match known(record, "Test") {
            None => false,
            Some(Value::Bool(test)) => *test,
            Some(other) => return Err(unexpected("Test", "true or false", other.clone())),
        };
        if let Some(own) = known(record, "Outboard") {
            let own = object("Outboard", own)?;
            read.started = text(own, "Started", "Outboard.Started")?.map(str::to_owned);
            read.id = text(own, "Id", "Outboard.Id")?.map(str::to_owned);
            read.owner = number(own, "Owner", "Outboard.Owner")?;
            if let Some(name) = text(own, "Secured", "Outboard.Secured")? {
                let secured = Secured::ALL
                    .into_iter()
                    .find(|secured| secured.name() == name);
                let expected = "\"no\", \"auto-mtls\" or \"own\"";
                let secured = secured.ok_or_else(|| unexpected("Outboard.Secured", expected, name));
                read.secured = Some(secured?);
            }
            if let Some(found) = text(own, "Certificate", "Outboard.Certificate")? {
                let der = certificate_of_text(found).ok_or_else(|| {
                    let expected = "a certificate, DER in base64 without padding";
                    unexpected("Outboard.Certificate", expected, found)
                });
                read.certificate = Some(der?);
            }
        }
        Ok(read)
    }
}

/// Why a text is no record of a running plugin.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReattachError {
    /// It is no JSON at all.
    #[error(
        "the record of a running plugin is no JSON ({message}): expected an object such as \
         {{\"Protocol\":\"grpc\",\"Pid\":1,\"Addr\":{{\"Network\":\"unix\",\"String\":\"/tmp/plugin1\"}}}}"
    )]
    NotJson {
        /// What the parser says.
        message: String,
    },
    /// A key is missing that each record has.
    #[error("the record of a running plugin has no {what}: expected {expected}")]
    Missing {
        /// The key, with those around it.
        what: &'static str,
        /// What should be there.
        expected: &'static str,
    },
    /// Something else stands where a certain kind of value should.
    #[error("in the record of a running plugin, {what} is {found}: expected {expected}")]
    Unexpected {
        /// The key, with those around it.
        what: &'static str,
        /// What should be there.
        expected: &'static str,
        /// What is there, shortened.
        found: String,
    },
    /// The address cannot be one.
    #[error("in the record of a running plugin, Addr cannot be used")]
    Address(#[from] EndpointError),
    /// One of several records is wrong.
    #[error("of {name:?}: {error}")]
    Of {
        /// The name of that record, shortened.
        name: String,
        /// What is wrong with it.
        error: Box<Self>,
    },
}

fn parse(text: &str) -> Result<Value, ReattachError> {
    serde_json::from_str(text).map_err(|error| ReattachError::NotJson {
        message: error.to_string(),
    })
}

fn unexpected(
    what: &'static str,
    expected: &'static str,
    found: impl Into<Value>,
) -> ReattachError {
    ReattachError::Unexpected {
        what,
        expected,
        found: excerpt(found.into().to_string().as_bytes(), QUOTED),
    }
}

fn object<'a>(
    what: &'static str,
    value: &'a Value,
) -> Result<&'a Map<String, Value>, ReattachError> {
    let object = value.as_object();
    object.ok_or_else(|| unexpected(what, "an object", value.clone()))
}

/// What stands under `key`. As in Go, null is as good as nothing.
fn known<'a>(object: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    object.get(key).filter(|value| !value.is_null())
}

fn present<'a>(
    object: &'a Map<String, Value>,
    key: &str,
    what: &'static str,
    expected: &'static str,
) -> Result<&'a Value, ReattachError> {
    known(object, key).ok_or(ReattachError::Missing { what, expected })
}

fn text<'a>(
    object: &'a Map<String, Value>,
    key: &str,
    what: &'static str,
) -> Result<Option<&'a str>, ReattachError> {
    match known(object, key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(unexpected(what, "a text", other.clone())),
    }
}

/// A whole number that fits.
fn number<N: TryFrom<i64>>(
    object: &Map<String, Value>,
    key: &str,
    what: &'static str,
) -> Result<Option<N>, ReattachError> {
    let Some(value) = known(object, key) else {
        return Ok(None);
    };
    let number = value.as_i64().and_then(|number| N::try_from(number).ok());
    let number = number.ok_or_else(|| unexpected(what, "a whole number", value.clone()));
    number.map(Some)
}

#[cfg(test)]
#[path = "reattach_tests.rs"]
mod tests;
