//! A service whose methods may be left out.

mod support;

use std::sync::Arc;

use outboard::codegen::Service as _;
use outboard::{Client as _, Code, Status, Streaming};
use outboard_generator::provider::{Answer, Provider, ProviderClient, ProviderServer, Request};
use support::{block_on, channel_to};

/// Two methods of forty.
struct Small;

impl Provider for Small {
    async fn schema(&self, request: Request) -> Result<Answer, Status> {
        let text = format!("schema of {}", request.name);
        Ok(Answer { text })
    }

    async fn download(&self, request: Request) -> Result<Streaming<Answer>, Status> {
        let text = request.name;
        Ok(Streaming::once(Answer { text }))
    }
}

#[track_caller]
fn check(status: &Status, method: &str) {
    assert_eq!(status.code(), Code::Unimplemented);
    let expected = format!("method {method} of service provider.Provider is not implemented");
    assert!(status.message().starts_with(&expected), "{status}");
}

/// The same for a client and for the implementation itself, shared or not.
async fn use_it(provider: &impl Provider) {
    let name = || "a".to_owned();
    let request = || Request { name: name() };
    let schema = provider.schema(request()).await.expect("implemented");
    assert_eq!(schema.text, "schema of a");
    let mut answers = provider.download(request()).await.expect("implemented");
    assert_eq!(answers.message().await, Ok(Some(Answer { text: name() })));

    let left_out = provider.optional17(request()).await;
    check(&left_out.expect_err("left out"), "Optional17");
    let left_out = provider.upload(Streaming::once(request())).await;
    check(&left_out.expect_err("left out"), "Upload");
    // Over a connection the status is an item of the stream.
    let first = match provider.download_all(request()).await {
        Ok(mut answers) => answers.message().await.map(|_| ()),
        Err(status) => Err(status),
    };
    check(&first.expect_err("left out"), "DownloadAll");
    let first = match provider.talk(Streaming::once(request())).await {
        Ok(mut answers) => answers.message().await.map(|_| ()),
        Err(status) => Err(status),
    };
    check(&first.expect_err("left out"), "Talk");
}

#[test]
fn methods_that_are_left_out_answer_unimplemented() {
    let server = Arc::new(ProviderServer::new(Small));
    assert_eq!(server.descriptor().methods.len(), 40);
    let client = ProviderClient::from_channel(channel_to([server]));
    block_on(use_it(&client));
    block_on(use_it(&Small));
    block_on(use_it(&Arc::new(Small)));
}
