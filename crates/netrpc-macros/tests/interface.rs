//! Interfaces that the macro writes, called over a session in memory: client and server of one trait, and
//! either beside something that is written by hand.

mod stub;

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use outboard_gob::{Gob, Limits};
use outboard_kit::{TestRuntime, pipe, run};
use outboard_netrpc_macros::interface;
use outboard_transport_netrpc::{HostSession, Make, PluginSession, Printed, Provided};

use crate::stub::netrpc::{
    Begun, CallError, Client as _, Error, Instance, Methods, Nothing, Received, Service, Value,
};
use crate::stub::{Dispense, Dispensed, Provide};

const SOON: Duration = Duration::from_secs(20);

#[derive(Clone, Debug, Default, PartialEq, Gob)]
pub(crate) struct Entry {
    key: String,
    value: Vec<u8>,
}

/// An alias is as good, as long as it is called so.
type Result<T, E = Error> = std::result::Result<T, E>;

/// A store of bytes.
///
/// ```go
/// func (s *StoreRPCServer) Put(entry Entry, resp *interface{}) error
/// func (s *StoreRPCServer) Get(key string, resp *[]byte) error
/// func (s *StoreRPCServer) Count(args interface{}, resp *uint64) error
/// func (s *StoreRPCServer) GetID(args interface{}, resp *string) error
/// func (s *StoreRPCServer) Clear(args interface{}, resp *struct{}) error
/// func (s *StoreRPCServer) Fail(args bool, resp *interface{}) error
/// ```
#[interface(crate = "crate::stub")]
pub(crate) trait Store {
    async fn put(&self, entry: Entry) -> Result<()>;

    /// It is documented.
    async fn get(&self, key: String) -> Result<Vec<u8>, Error>;

    fn count(&self) -> impl Future<Output = Result<u64>> + Send;

    #[rpc(rename = "GetID")]
    async fn r#type(&self) -> std::result::Result<String, Own>;

    async fn clear(&self) -> Result<Nothing>;

    async fn fail(&self, panic: bool) -> Result<(), Own>;

    #[cfg(any())]
    async fn never(&self, never: Never) -> Result<Never>;
}

/// An error of the user's.
#[derive(Debug, PartialEq)]
pub(crate) enum Own {
    Said(String),
    Lost(String),
}

impl std::fmt::Display for Own {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Said(text) | Self::Lost(text) => f.write_str(text),
        }
    }
}

impl From<CallError> for Own {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Answered { text, .. } => Self::Said(text),
            other => Self::Lost(other.to_string()),
        }
    }
}

#[derive(Default)]
struct Memory {
    entries: Mutex<Vec<Entry>>,
    calls: AtomicU64,
}

impl Store for Memory {
    async fn put(&self, entry: Entry) -> Result<()> {
        self.entries.lock().expect("no panic").push(entry);
        Ok(())
    }

    async fn get(&self, key: String) -> Result<Vec<u8>> {
        let entries = self.entries.lock().expect("no panic");
        let found = entries.iter().find(|entry| entry.key == key);
        let found = found.ok_or_else(|| Error::new(format!("there is no {key}")))?;
        Ok(found.value.clone())
    }

    async fn count(&self) -> Result<u64> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        Ok(self.entries.lock().expect("no panic").len() as u64)
    }

    async fn r#type(&self) -> Result<String, Own> {
        Ok("memory".to_owned())
    }

    async fn clear(&self) -> Result<Nothing> {
        self.entries.lock().expect("no panic").clear();
        Ok(Nothing {})
    }

    async fn fail(&self, panic: bool) -> Result<(), Own> {
        assert!(!panic, "as it was told");
        Err(Own::Said("it was told to fail".to_owned()))
    }
}

/// A host, with the plugin that provides this. What ends with its owner is kept.
struct Rig {
    host: HostSession,
    _printed: [Printed; 2],
    _plugin: PluginSession,
}

impl Rig {
    fn new(provided: stub::Provided) -> Self {
        let runtime = TestRuntime::shared();
        let (near, far) = pipe(4096);
        let stub::Provided(make) = provided;
        let provided = Provided {
            plugins: [("it".to_owned(), make)].into(),
            ..Provided::default()
        };
        let plugin = PluginSession::begin(&runtime, Box::new(far), provided);
        let begun = HostSession::begin(&runtime, Box::new(near), Limits::default());
        let (host, printed) = begun.expect("a session");
        Self {
            host,
            _printed: printed,
            _plugin: plugin,
        }
    }

    async fn instance(&self) -> Instance {
        let dispensed = self.host.dispense("it", SOON).await;
        dispensed.expect("it is provided").with_timeout(SOON)
    }

    async fn client<C: Dispense>(&self) -> C {
        let dispensed = C::from_dispensed(Dispensed::Instance(self.instance().await));
        dispensed.expect("it is of net/rpc")
    }
}

fn memory() -> Rig {
    Rig::new(StoreServer::new(Memory::default()).into_provided())
}

fn by_hand(service: impl Service) -> Rig {
    let service: Arc<dyn Service> = Arc::new(service);
    let make: Make = Arc::new(move |_| Ok(Arc::clone(&service)));
    Rig::new(stub::Provided(make))
}

fn entry() -> Entry {
    Entry {
        key: "a".to_owned(),
        value: vec![1, 2, 3],
    }
}

/// That the trait is what users write bounds with.
async fn filled(store: &impl Store) -> Result<u64> {
    store.put(entry()).await?;
    store.count().await
}

#[test]
fn client_and_server_of_a_trait_understand_one_another() {
    run(async {
        let rig = memory();
        let client: StoreClient = rig.client().await;
        assert_eq!(filled(&client).await.expect("it is there"), 1);
        assert_eq!(
            client.get("a".to_owned()).await.expect("it is there"),
            [1, 2, 3]
        );
        assert_eq!(client.r#type().await, Ok("memory".to_owned()));
        assert_eq!(client.clear().await.expect("it is there"), Nothing {});
        assert_eq!(client.clone().count().await.expect("it is there"), 0);
        assert!(format!("{client:?}").contains("StoreClient"));
    });
}

#[test]
fn calls_have_the_names_and_types_that_go_has() {
    run(async {
        let rig = memory();
        let instance = rig.instance().await;
        let nil: Value = instance.call("Plugin.Put", &entry()).await.expect("put");
        assert!(nil.is_nil(), "{nil:?}");
        let value: Vec<u8> = instance.call("Plugin.Get", "a").await.expect("get");
        assert_eq!(value, [1, 2, 3]);
        let id: String = instance
            .call("Plugin.GetID", &Value::Nil)
            .await
            .expect("type");
        assert_eq!(id, "memory");
        let _: Nothing = instance
            .call("Plugin.Clear", &Value::Nil)
            .await
            .expect("clear");
        for unknown in ["Plugin.Type", "Plugin.put", "Plugin.Never"] {
            let error = instance.call::<_, Value>(unknown, &Value::Nil).await;
            let error = error.expect_err("there is none").to_string();
            assert!(error.contains("can't find method"), "{error}");
        }
    });
}

/// Keeps what comes, and fails: methods, what Go calls the types of their arguments, and those.
struct Recorder(Arc<Mutex<Vec<(String, String, Value)>>>);

impl Service for Recorder {
    fn begin(&self, method: &str, argument: &mut Received<'_>) -> Begun {
        let value = argument.to_value().expect("it is well-formed");
        let seen = (method.to_owned(), argument.shape().to_string(), value);
        self.0.lock().expect("no panic").push(seen);
        let told = Err("as it was told".to_owned());
        Begun::Running(Box::pin(std::future::ready(told)))
    }
}

#[test]
fn clients_send_what_go_takes() {
    run(async {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let rig = by_hand(Recorder(Arc::clone(&seen)));
        let client: StoreClient = rig.client().await;
        let told = |result: Result<(), Error>| {
            let error = result.expect_err("it was told").to_string();
            assert_eq!(error, "as it was told");
        };
        told(client.put(entry()).await);
        told(client.get("a".to_owned()).await.map(drop));
        told(client.count().await.map(drop));
        told(client.clear().await.map(drop));
        assert_eq!(
            client.r#type().await,
            Err(Own::Said("as it was told".to_owned()))
        );
        let seen = std::mem::take(&mut *seen.lock().expect("no panic"));
        let names: Vec<_> = seen.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!(names, ["Put", "Get", "Count", "Clear", "GetID"]);
        let shapes: Vec<_> = seen.iter().map(|(_, shape, _)| shape.as_str()).collect();
        assert_eq!(shapes[0], "Entry = struct { Key string; Value []byte }");
        assert_eq!(shapes[1], "string");
        assert_eq!(shapes[2..], ["interface"; 3]);
        let put: Entry = seen[0].2.to().expect("it is an entry");
        assert_eq!(put, entry());
        assert_eq!(seen[1].2, Value::String("a".to_owned()));
        for (name, _, argument) in &seen[2..] {
            assert!(argument.is_nil(), "{name}: {argument:?}");
        }
    });
}

#[test]
fn whatever_stands_for_no_argument_and_no_reply_is_taken() {
    run(async {
        let rig = memory();
        let instance = rig.instance().await;
        let count: u64 = instance
            .call("Plugin.Count", &Nothing {})
            .await
            .expect("struct{}");
        assert_eq!(count, 0);
        let count: u64 = instance
            .call("Plugin.Count", "text")
            .await
            .expect("a string");
        assert_eq!(count, 0);
        let count: u64 = instance
            .call("Plugin.Count", &entry())
            .await
            .expect("a struct");
        assert_eq!(count, 0);

        for reply in ["nil", "struct{}", "bool", "Entry"] {
            let methods = match reply {
                "nil" => {
                    Methods::new().with("Put", |_: Entry| async { Ok::<_, String>(Value::Nil) })
                }
                "struct{}" => {
                    Methods::new().with("Put", |_: Entry| async { Ok::<_, String>(Nothing {}) })
                }
                "bool" => Methods::new().with("Put", |_: Entry| async { Ok::<_, String>(true) }),
                _ => Methods::new().with("Put", |entry: Entry| async { Ok::<_, String>(entry) }),
            };
            let rig = by_hand(methods);
            let client: StoreClient = rig.client().await;
            client.put(entry()).await.expect(reply);
        }
    });
}

#[test]
fn what_goes_wrong_is_an_error_of_its_call() {
    run(async {
        let rig = memory();
        let client: StoreClient = rig.client().await;
        // The text alone, at both ends.
        let error = client.get("b".to_owned()).await.expect_err("there is none");
        assert!(
            matches!(&error, Error::Text(text) if text == "there is no b"),
            "{error:?}"
        );
        let failed = client.fail(false).await;
        assert_eq!(failed, Err(Own::Said("it was told to fail".to_owned())));
        let Err(Own::Said(text)) = client.fail(true).await else {
            panic!("it was told to panic");
        };
        assert!(text.contains("as it was told"), "{text}");
        // An argument of another shape.
        let instance = client.instance();
        let error = instance.call::<_, Value>("Plugin.Put", "text").await;
        let error = error.expect_err("it is no entry").to_string();
        assert!(
            error.contains("Plugin.Put") && error.contains("string"),
            "{error}"
        );
        // A reply of another.
        let error = instance.call::<_, Entry>("Plugin.Count", &Value::Nil).await;
        assert!(matches!(error, Err(CallError::Reply { .. })), "{error:?}");
        assert_eq!(filled(&client).await.expect("it goes on"), 1);
    });
}

#[test]
fn a_method_that_the_other_side_has_not_is_an_error_of_the_users_kind() {
    run(async {
        let rig =
            by_hand(Methods::new().with("Count", |_: Value| async { Ok::<_, String>("many") }));
        let client: StoreClient = rig.client().await;
        let Err(Own::Said(text)) = client.r#type().await else {
            panic!("there is none");
        };
        assert_eq!(text, "rpc: can't find method Plugin.GetID");
        let error = client.count().await.expect_err("it is no number");
        assert!(
            matches!(error, Error::Call(CallError::Reply { .. })),
            "{error:?}"
        );
    });
}

#[test]
fn what_is_served_can_be_shared() {
    run(async {
        let shared = Arc::new(Memory::default());
        let server = StoreServer::from_arc(Arc::clone(&shared));
        let rig = Rig::new(server.clone().into_provided());
        let (one, other): (StoreClient, StoreClient) = (rig.client().await, rig.client().await);
        one.put(entry()).await.expect("it is there");
        assert_eq!(other.count().await.expect("it is there"), 1);
        assert_eq!(shared.calls.load(Ordering::Relaxed), 1);
        assert_eq!(server.inner().count().await.expect("it is here"), 1);
        assert_eq!(format!("{server:?}"), "StoreServer");
    });
}

#[test]
fn clients_have_the_timeouts_of_their_instance() {
    run(async {
        let rig = by_hand(Methods::new().with("Get", |_: String| async {
            std::future::pending::<Result<Vec<u8>, String>>().await
        }));
        let client: StoreClient = rig.client().await;
        let client = client.with_timeout(Duration::from_millis(1));
        let error = client
            .get("a".to_owned())
            .await
            .expect_err("nobody answers");
        assert!(
            matches!(error, Error::Call(CallError::TimedOut { .. })),
            "{error:?}"
        );
    });
}

#[test]
fn what_is_of_another_protocol_is_no_client() {
    assert!(StoreClient::from_dispensed(Dispensed::Channel).is_err());
}

/// Types that come through a macro of the user's stand in groups.
macro_rules! doubling {
    ($vis:vis $name:ident, $number:ty, $nothing:ty) => {
        #[interface(crate = "crate::stub")]
        $vis trait $name {
            async fn double(&self, number: $number) -> Result<$number>;
            async fn forget(&self) -> Result<$nothing>;
        }
    };
}

doubling!(pub(crate) Doubling, Option<i64>, ());

struct Doubler;

impl Doubling for Doubler {
    async fn double(&self, number: Option<i64>) -> Result<Option<i64>> {
        Ok(number.map(|number| number * 2))
    }

    async fn forget(&self) -> Result<()> {
        Ok(())
    }
}

#[test]
fn traits_may_come_from_other_macros() {
    run(async {
        let rig = Rig::new(DoublingServer::new(Doubler).into_provided());
        let client: DoublingClient = rig.client().await;
        assert_eq!(
            client.double(Some(21)).await.expect("it is there"),
            Some(42)
        );
        client.forget().await.expect("it is there");
        let nil = client
            .instance()
            .call::<_, Value>("Plugin.Forget", &1)
            .await;
        assert!(nil.expect("it is there").is_nil());
    });
}

/// What the macro writes means nothing by its own names, and all by absolute ones.
mod names_of_the_users {
    use outboard_gob::Gob;
    use outboard_netrpc_macros::interface;

    use crate::stub::netrpc::Error;

    #[allow(dead_code)]
    #[derive(Gob)]
    pub(crate) struct T {
        x: i64,
    }

    #[allow(dead_code)]
    mod others {
        pub(crate) struct Send;
        pub(crate) struct Sync;
        pub(crate) struct Future;
        pub(crate) struct Option;
        pub(crate) struct Box;
        pub(crate) struct Arc;
        pub(crate) struct String;
        pub(crate) trait Into {}
        pub(crate) trait ToString {}
    }
    #[allow(unused_imports)]
    use self::others::*;

    #[interface(crate = "crate::stub")]
    #[allow(dead_code)]
    pub(crate) trait Names: std::marker::Sync + std::fmt::Debug {
        async fn clone(&self) -> Result<T, Error>;
        async fn instance(&self, method: T) -> Result<(), Error>;
        async fn into(&self, _: T) -> Result<(), Error>;
        async fn to_string(&self) -> Result<(), Error>;
        async fn call(&self) -> Result<(), Error>;
        async fn begin(&self) -> Result<(), Error>;
    }
}
