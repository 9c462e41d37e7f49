//! Calls of methods that the `.proto` marks as idempotent say so, and no others.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use outboard::codegen::{Call, CallHead, Channel, MessageStream, OutMessage, Reply};
use outboard::rt::BoxFuture;
use outboard::transport::Connection;
use outboard::{Client as _, Status};
use outboard_core::rpc::ended_call;
use outboard_generator::marked::{Marked as _, MarkedClient, Thing};

mod support;

/// Takes no call, but note of each.
#[derive(Debug, Default)]
struct Noted(Mutex<Vec<(String, bool)>>);

impl Noted {
    fn note(&self, head: &CallHead) -> Status {
        let call = (head.path.to_string(), head.idempotent);
        self.0.lock().expect("no panics").push(call);
        Status::unavailable("nobody is there")
    }
}

impl Connection for Noted {
    fn unary(
        &self,
        head: CallHead,
        _: OutMessage,
    ) -> BoxFuture<'static, Result<Reply<Bytes>, Status>> {
        Box::pin(std::future::ready(Err(self.note(&head))))
    }

    fn open(&self, head: CallHead, _: MessageStream) -> Box<dyn Call> {
        ended_call(self.note(&head))
    }

    fn drain(&self) {}

    fn abort(&self, _: Status) {}

    fn closed(&self) -> BoxFuture<'static, Status> {
        Box::pin(std::future::pending())
    }
}

#[test]
fn what_is_marked_is_told_to_the_connection() {
    let noted = Arc::new(Noted::default());
    let client = MarkedClient::from_channel(Channel::new(noted.clone()));
    support::block_on(async {
        let unary = [
            client.look(Thing {}).await,
            client.set(Thing {}).await,
            client.add(Thing {}).await,
            client.add2(Thing {}).await,
        ];
        assert!(unary.iter().all(Result::is_err));
        let mut watched = client.watch(Thing {}).await.expect("it has begun");
        watched.message().await.expect_err("nobody is there");
    });
    let noted = noted.0.lock().expect("no panics");
    let noted: Vec<(&str, bool)> = noted
        .iter()
        .map(|(path, marked)| (path.as_str(), *marked))
        .collect();
    let expected = [
        ("/marked.Marked/Look", true),
        ("/marked.Marked/Set", true),
        ("/marked.Marked/Add", false),
        ("/marked.Marked/Add2", false),
        // Streams are not kept to be sent once more.
        ("/marked.Marked/Watch", false),
    ];
    assert_eq!(noted, expected);
}
