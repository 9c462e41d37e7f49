//! The four kinds of call: from a generated client through a connection to a generated server.

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use futures_util::StreamExt as _;
use outboard::{Client as _, Code, Status, Streaming};
use outboard_generator::counter::{Counter, CounterClient, CounterServer, Number};
use outboard_generator::kv::{Empty, GetRequest, GetResponse, Kv, KvClient, KvServer, PutRequest};
use outboard_generator::streamer::{Item, Range, Streamer, StreamerClient, StreamerServer};
use support::{block_on, channel_to};

/// A real implementation.
#[derive(Default)]
struct MapKv(Mutex<BTreeMap<String, Vec<u8>>>);

impl Kv for MapKv {
    async fn get(&self, request: GetRequest) -> Result<GetResponse, Status> {
        let map = self.0.lock().expect("no panics");
        let value = map.get(&request.key).cloned();
        let value = value.ok_or_else(|| Status::not_found(request.key))?;
        Ok(GetResponse { value })
    }

    async fn put(&self, request: PutRequest) -> Result<Empty, Status> {
        let PutRequest { key, value } = request;
        self.0.lock().expect("no panics").insert(key, value);
        Ok(Empty {})
    }
}

/// A test double.
struct AlwaysTheSame;

impl Kv for AlwaysTheSame {
    async fn get(&self, _request: GetRequest) -> Result<GetResponse, Status> {
        let value = b"same".to_vec();
        Ok(GetResponse { value })
    }

    async fn put(&self, _request: PutRequest) -> Result<Empty, Status> {
        Err(Status::permission_denied("read only"))
    }
}

/// Code of a host: it does not know what it talks to.
async fn copy(kv: &impl Kv, from: &str, to: &str) -> Result<Vec<u8>, Status> {
    let key = from.to_owned();
    let GetResponse { value } = kv.get(GetRequest { key }).await?;
    let key = to.to_owned();
    kv.put(PutRequest { key, value }).await?;
    let key = to.to_owned();
    Ok(kv.get(GetRequest { key }).await?.value)
}

fn filled() -> MapKv {
    let map = BTreeMap::from([("a".to_owned(), b"1".to_vec())]);
    MapKv(Mutex::new(map))
}

#[test]
fn a_local_struct_a_client_and_a_double_are_interchangeable() {
    block_on(async {
        assert_eq!(copy(&filled(), "a", "b").await, Ok(b"1".to_vec()));
        assert_eq!(copy(&Arc::new(filled()), "a", "b").await, Ok(b"1".to_vec()));

        let shared = Arc::new(filled());
        let server = KvServer::from_arc(Arc::clone(&shared));
        let client = KvClient::new(channel_to([Arc::new(server)]));
        assert_eq!(copy(&client, "a", "b").await, Ok(b"1".to_vec()));
        assert!(shared.0.lock().expect("no panics").contains_key("b"));

        // A client is an implementation too, so it can be served.
        let proxy = KvServer::new(client);
        let proxied = KvClient::from_channel(channel_to([Arc::new(proxy)]));
        assert_eq!(copy(&proxied, "b", "c").await, Ok(b"1".to_vec()));

        let denied = copy(&AlwaysTheSame, "a", "b").await;
        assert_eq!(
            denied.expect_err("read only").code(),
            Code::PermissionDenied
        );
    });
}

#[test]
fn the_status_of_a_handler_reaches_the_caller() {
    let client = KvClient::new(channel_to([Arc::new(KvServer::new(filled()))]));
    let key = "nö".to_owned();
    let status = block_on(client.get(GetRequest { key })).expect_err("not there");
    assert_eq!((status.code(), status.message()), (Code::NotFound, "nö"));
}

#[test]
fn a_service_that_is_not_there_is_unimplemented() {
    let client = CounterClient::new(channel_to([Arc::new(KvServer::new(filled()))]));
    let sum = block_on(client.sum(Streaming::iter([])));
    assert_eq!(sum.expect_err("no counter").code(), Code::Unimplemented);
}

struct Adder;

impl Counter for Adder {
    async fn sum(&self, mut requests: Streaming<Number>) -> Result<Number, Status> {
        let mut sum = Number::default();
        while let Some(number) = requests.message().await? {
            let next = sum.value.checked_add(number.value);
            sum.value = next.ok_or_else(|| Status::out_of_range("too large"))?;
        }
        Ok(sum)
    }

    async fn running(&self, requests: Streaming<Number>) -> Result<Streaming<Number>, Status> {
        let sums = requests.scan(0, |sum, number| {
            let number = number.map(|number| {
                *sum += number.value;
                Number { value: *sum }
            });
            std::future::ready(Some(number))
        });
        Ok(Streaming::try_from_stream(sums))
    }
}

fn numbers(values: impl IntoIterator<Item = i64>) -> Streaming<Number> {
    let values: Vec<_> = values.into_iter().map(|value| Number { value }).collect();
    Streaming::iter(values)
}

async fn sums(counter: &impl Counter) {
    let sum = counter.sum(numbers([1, 2, 3])).await;
    assert_eq!(sum, Ok(Number { value: 6 }));
    assert_eq!(counter.sum(numbers([])).await, Ok(Number { value: 0 }));
    let status = counter.sum(numbers([i64::MAX, 1])).await;
    assert_eq!(status.expect_err("too large").code(), Code::OutOfRange);

    // In lock-step: each sum is there before the next number is sent.
    let (mut sender, requests) = Streaming::channel(0);
    let mut running = counter.running(requests).await.expect("starts");
    for (value, sum) in [(5, 5), (-2, 3), (10, 13)] {
        sender.send(Number { value }).await.expect("still read");
        let message = running.message().await.expect("no error");
        assert_eq!(message, Some(Number { value: sum }));
    }
    drop(sender);
    assert_eq!(running.message().await, Ok(None));
}

#[test]
fn streams_to_the_server_and_both_ways() {
    let client = CounterClient::new(channel_to([Arc::new(CounterServer::new(Adder))]));
    block_on(async {
        sums(&Adder).await;
        sums(&client).await;
    });
}

struct Counting;

impl Streamer for Counting {
    async fn count(&self, range: Range) -> Result<Streaming<Item>, Status> {
        if range.from > range.to {
            return Err(Status::invalid_argument("from is after to"));
        }
        let items = (range.from..range.to).map(|value| Item { value });
        Ok(Streaming::iter(items))
    }

    async fn reset(&self, (): ()) -> Result<(), Status> {
        Ok(())
    }
}

#[test]
fn streams_to_the_client() {
    let client = StreamerClient::new(channel_to([Arc::new(StreamerServer::new(Counting))]));
    block_on(async {
        let items = client.count(Range { from: 3, to: 6 }).await.expect("valid");
        let items: Vec<_> = items
            .map(|item| item.expect("no error").value)
            .collect()
            .await;
        assert_eq!(items, [3, 4, 5]);

        // A client does not wait for the answer, so the error comes as the first item.
        let mut items = client
            .count(Range { from: 1, to: 0 })
            .await
            .expect("started");
        let status = items.message().await.expect_err("bad range");
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(items.message().await, Ok(None));

        assert_eq!(client.reset(()).await, Ok(()));
    });
}
