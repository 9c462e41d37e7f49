//! Unusual `.proto` files: names that get in each other's way, messages from other packages,
//! no package, services without methods.

mod support;

use std::sync::Arc;

use futures_util::StreamExt as _;
use outboard::codegen::{MethodKind, Prost, Service as _, prost_types};
use outboard::{CallOptions, Client as _, Code, Status, Streaming};
use outboard_generator::odd_cases::odd::common::Shared;
use outboard_generator::odd_cases::odd::everything::inner::{Color, Deeper};
use outboard_generator::odd_cases::odd::everything::{Choice, Inner};
use outboard_generator::odd_cases::odd::{
    self, ClashService, ClashServiceClient, ClashServiceServer, Everything, Names, NamesClient,
    NamesServer, Nothing, NothingClient, NothingServer, OnlyStreams, OnlyStreamsClient,
    OnlyStreamsServer,
};
use outboard_generator::odd_cases::{Bare, BareClient, BareServer, Plain};
use outboard_generator::streamer::StreamerClient;
use prost::Message as _;
use prost_types::{Duration, FileDescriptorSet, Timestamp};
use support::{block_on, channel_to};

/// Gives back the number it gets.
struct Back;

macro_rules! back {
    ($($name:ident($from:ident) -> $to:ident;)*) => {
        $(async fn $name(&self, request: odd::$from) -> Result<odd::$to, Status> {
            let value = request.value;
            Ok(odd::$to { value })
        })*
    };
}

impl Names for Back {
    back! {
        new(Result) -> Option;
        clone_(Send) -> Sync;
        r#type(Vec) -> Box;
        self_(Arc) -> Future;
        channel_(Status) -> Streaming;
        with_options_(Channel) -> String;
        from_channel_(T) -> Self_;
        get_url(Self_) -> T;
    }

    async fn into_(&self, r: Streaming<odd::Result>) -> Result<Streaming<odd::Result>, Status> {
        Ok(r)
    }

    async fn drop(&self, mut requests: Streaming<odd::T>) -> Result<odd::T, Status> {
        Ok(requests.message().await?.unwrap_or_default())
    }

    async fn default(&self, request: odd::T) -> Result<Streaming<odd::T>, Status> {
        Ok(Streaming::once(request))
    }

    async fn r#async(&self, request: Timestamp) -> Result<Duration, Status> {
        Ok(Duration {
            seconds: request.seconds,
            nanos: request.nanos,
        })
    }
}

/// Calls every method, each in the usual way of writing it.
async fn use_names(names: &impl Names) -> Result<(), Status> {
    let value = 7;
    assert_eq!(names.new(odd::Result { value }).await?.value, 7);
    assert_eq!(names.clone_(odd::Send { value }).await?.value, 7);
    assert_eq!(names.r#type(odd::Vec { value }).await?.value, 7);
    assert_eq!(names.self_(odd::Arc { value }).await?.value, 7);
    assert_eq!(names.channel_(odd::Status { value }).await?.value, 7);
    assert_eq!(names.with_options_(odd::Channel { value }).await?.value, 7);
    assert_eq!(names.from_channel_(odd::T { value }).await?.value, 7);
    assert_eq!(names.get_url(odd::Self_ { value }).await?.value, 7);
    let requests = Streaming::iter([odd::Result { value }, odd::Result { value: 8 }]);
    let values = names.into_(requests).await?.map(|r| r.map(|r| r.value));
    assert_eq!(values.collect::<Vec<_>>().await, [Ok(7), Ok(8)]);
    assert_eq!(
        names.drop(Streaming::once(odd::T { value })).await?.value,
        7
    );
    let answer = names.default(odd::T { value }).await?.message().await?;
    assert_eq!(answer, Some(odd::T { value }));
    let (seconds, nanos) = (1, 2);
    let duration = names.r#async(Timestamp { seconds, nanos }).await?;
    assert_eq!(duration, Duration { seconds, nanos });
    Ok(())
}

#[test]
fn methods_with_odd_names_can_be_called_as_usual() {
    let client = NamesClient::new(channel_to([Arc::new(NamesServer::new(Back))]));
    // The client's own methods are still there.
    let client = client.clone().with_options(CallOptions::new());
    let client = NamesClient::from_channel(client.channel().clone());
    block_on(async {
        use_names(&Back).await.expect("answers");
        use_names(&client).await.expect("answers");
        let value = 1;
        let answer = client.new(odd::Result { value }).await.expect("answers");
        assert_eq!(answer.value, 1);
    });
}

#[test]
fn names_on_the_wire_are_those_of_the_proto() {
    let methods = NamesClient::SERVICE.methods;
    let paths: Vec<_> = methods.iter().map(|method| method.path).collect();
    assert_eq!(&paths[..2], ["/odd.Names/new", "/odd.Names/clone"]);
    assert_eq!(paths[7], "/odd.Names/GetURL");
    assert_eq!(methods[8].kind, MethodKind::Bidirectional);
    assert_eq!(methods[9].kind, MethodKind::ClientStreaming);
    assert_eq!(methods[10].kind, MethodKind::ServerStreaming);
    assert_eq!(methods[11].kind, MethodKind::Unary);
    assert_eq!(ClashServiceClient::SERVICE.name, "odd.Clash");
    assert_eq!(BareClient::SERVICE.methods[0].path, "/Bare/Twice");
}

impl OnlyStreams for Back {
    async fn shares(&self, shared: Streaming<Shared>) -> Result<Streaming<Deeper>, Status> {
        let deeper = shared.map(|shared| {
            shared.map(|shared| Deeper {
                r#type: shared.text,
            })
        });
        Ok(Streaming::try_from_stream(deeper))
    }

    async fn empties(&self, requests: Streaming<()>) -> Result<String, Status> {
        let count = requests.filter(|r| std::future::ready(r.is_ok())).count();
        Ok(count.await.to_string())
    }
}

#[test]
fn messages_may_be_of_other_packages_nested_and_well_known() {
    let server = Arc::new(OnlyStreamsServer::new(Back));
    let client = OnlyStreamsClient::new(channel_to([server]));
    block_on(async {
        let text = "t".to_owned();
        let shares = client.shares(Streaming::once(Shared { text })).await;
        let deeper = shares.expect("starts").message().await.expect("no error");
        assert_eq!(deeper.expect("one").r#type, "t");
        let empties = Streaming::iter([(), (), ()]);
        assert_eq!(client.empties(empties).await.as_deref(), Ok("3"));
    });
}

#[test]
fn every_kind_of_field_survives() {
    let inner = Inner {
        color: Color::Blue.into(),
        deeper: None,
    };
    let everything = Everything {
        by_name: [("a".to_owned(), inner.clone())].into(),
        raw: bytes::Bytes::from_static(b"raw"),
        maybe: Some(0),
        at: Some(Timestamp::default()),
        wrapped: Some("w".to_owned()),
        again: Some(Box::default()),
        choice: Some(Choice::Nested(inner)),
        ..Everything::default()
    };
    let bytes = everything.encode_to_vec();
    assert_eq!(Everything::decode(&bytes[..]), Ok(everything));
}

impl Bare for Back {
    async fn twice(&self, plain: Plain) -> Result<Plain, Status> {
        let number = plain.number * 2;
        Ok(Plain { number })
    }
}

impl Nothing for Back {}

impl ClashService for Back {
    async fn same(&self, message: odd::ClashClient) -> Result<odd::ClashClient, Status> {
        Ok(message)
    }
}

#[test]
fn no_package_no_methods_and_a_new_name() {
    let channel = channel_to([
        Arc::new(BareServer::new(Back)),
        Arc::new(NothingServer::new(Back)),
        Arc::new(ClashServiceServer::new(Back)),
    ]);
    let bare = BareClient::new(channel.clone());
    assert_eq!(
        block_on(bare.twice(Plain { number: 21 })),
        Ok(Plain { number: 42 })
    );
    let clash = ClashServiceClient::new(channel);
    let message = odd::ClashClient { value: 3 };
    assert_eq!(block_on(clash.same(message)), Ok(message));
    assert!(NothingClient::SERVICE.methods.is_empty());
}

#[test]
fn descriptors_hold_the_files_of_the_package_and_their_imports() {
    let names = |set: &[u8]| {
        let set = FileDescriptorSet::decode(set).expect("a set");
        let names = set.file.iter().map(|file| file.name().to_owned());
        names.collect::<Vec<_>>()
    };
    // Imports come first, and nothing of the other packages is there.
    let streamer = names(StreamerClient::SERVICE.file_descriptor_set);
    assert_eq!(streamer, ["google/protobuf/empty.proto", "streamer.proto"]);
    let odd = names(NamesServer::new(Back).descriptor().file_descriptor_set);
    assert_eq!(odd.last().map(String::as_str), Some("odd.proto"));
    assert!(odd.contains(&"common/types.proto".to_owned()));
    assert_eq!(
        names(BareClient::SERVICE.file_descriptor_set),
        ["none.proto"]
    );
}

#[test]
fn a_method_asked_for_as_another_kind_is_unimplemented() {
    let server = BareServer::new(Back);
    let context = || outboard::codegen::CallContext::new("/Bare/Twice");
    let no_such = server.unary(1, context(), bytes::Bytes::new());
    let status = block_on(no_such).expect_err("one method only");
    assert_eq!(status.code(), Code::Unimplemented);
    let requests = support::requests(Streaming::<Plain>::iter([]).into_messages(Prost));
    let status = block_on(server.streaming(0, context(), requests)).expect_err("unary");
    assert_eq!(status.code(), Code::Unimplemented);
    assert!(status.message().contains("Unary"), "{status}");
}
