//! The key-value store that `kv` and `negotiated` are about: one trait, and the ways to it over gRPC and over
//! Go's net/rpc.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::io::{self, Write as _};

use outboard::Status;
use outboard::netrpc::{Error, Value, interface};

// The trait `Kv`, its client and its server over gRPC.
outboard::include_proto!("kv/proto");

/// The store over net/rpc, with go-plugin's own shapes: `KvRpcClient` and `KvRpcServer`.
#[interface]
pub trait KvRpc {
    /// Takes a map of `key`, a string, and `value`, which is bytes.
    async fn put(&self, entry: BTreeMap<String, Value>) -> Result<(), Error>;

    /// The value of a key.
    async fn get(&self, key: String) -> Result<Vec<u8>, Error>;
}

/// Whoever knows the store by its trait does not see over what it is called.
impl Kv for KvRpcClient {
    async fn put(&self, request: PutRequest) -> Result<Empty, Status> {
        let entry = BTreeMap::from([
            ("key".to_owned(), Value::String(request.key)),
            ("value".to_owned(), Value::Bytes(request.value)),
        ]);
        KvRpc::put(self, entry).await.map_err(unknown)?;
        Ok(Empty {})
    }

    async fn get(&self, request: GetRequest) -> Result<GetResponse, Status> {
        let value = KvRpc::get(self, request.key).await.map_err(unknown)?;
        Ok(GetResponse { value })
    }
}

/// Does what a host was told on its command line. It works with whatever implements the interface: a plugin here,
/// a local struct in a test.
///
/// # Errors
/// Those of the store, and one that says how to call the host.
pub async fn run(kv: &impl Kv, args: &[&str]) -> Result<(), Box<dyn StdError>> {
    match *args {
        ["put", key, value] => {
            kv.put(PutRequest {
                key: key.into(),
                value: value.into(),
            })
            .await?;
        }
        ["get", key] => {
            let reply = kv.get(GetRequest { key: key.into() }).await?;
            io::stdout().write_all(&reply.value)?;
            println!();
        }
        _ => return Err("usage: put KEY VALUE | get KEY".into()),
    }
    Ok(())
}

/// Any store, to be served over net/rpc.
pub struct OverNetRpc<K>(pub K);

impl<K: Kv> KvRpc for OverNetRpc<K> {
    async fn put(&self, mut entry: BTreeMap<String, Value>) -> Result<(), Error> {
        let (key, value) = match (entry.remove("key"), entry.remove("value")) {
            (Some(Value::String(key)), Some(Value::Bytes(value))) => (key, value),
            (key, value) => {
                return Err(Error::new(format!(
                    "expected a string as key and bytes as value, found {key:?} and {value:?}"
                )));
            }
        };
        let request = PutRequest { key, value };
        self.0.put(request).await.map_err(text)?;
        Ok(())
    }

    async fn get(&self, key: String) -> Result<Vec<u8>, Error> {
        let answer = self.0.get(GetRequest { key }).await;
        Ok(answer.map_err(text)?.value)
    }
}

/// Errors have no code over net/rpc.
fn text(status: Status) -> Error {
    Error::new(status.message())
}

/// The status that go-plugin's example gives for any error of the system.
fn unknown(error: impl ToString) -> Status {
    Status::unknown(error.to_string())
}

/// A store in files named `kv_KEY` in the working directory.
#[derive(Debug)]
pub struct Files {
    /// Is put behind each value that is written.
    pub written: String,
    /// Is put behind each value that is read.
    pub read: String,
}

impl Kv for Files {
    async fn get(&self, request: GetRequest) -> Result<GetResponse, Status> {
        let value: io::Result<Vec<u8>> = std::fs::read(file(&request.key)?);
        let mut value = value.map_err(unknown)?;
        value.extend_from_slice(self.read.as_bytes());
        Ok(GetResponse { value })
    }

    async fn put(&self, request: PutRequest) -> Result<Empty, Status> {
        let mut value = request.value;
        value.extend_from_slice(self.written.as_bytes());
        std::fs::write(file(&request.key)?, value).map_err(unknown)?;
        Ok(Empty {})
    }
}

/// The file of a key. The host names keys, so they must not name places.
fn file(key: &str) -> Result<String, Status> {
    if key.contains(['/', '\\', '\0']) {
        return Err(Status::invalid_argument(format!(
            "a key is no path: {key:?}"
        )));
    }
    Ok(format!("kv_{key}"))
}
