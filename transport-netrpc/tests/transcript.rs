//! What go-plugin's own host and plugin said to each other over its basic example, stream by stream: either
//! side of it can be ours. (The frames that carried it are in the transcript of `outboard-yamux`.)

mod support;

use std::sync::Arc;

use futures_util::{AsyncReadExt as _, AsyncWriteExt as _};
use outboard_core::rt::BoxByteStream;
use outboard_gob::{Decoder, Limits, Value};
use outboard_kit::{TestRuntime, run};
use outboard_transport_netrpc::wire::{Nothing, Response};
use outboard_transport_netrpc::{HostSession, Make, Methods, PluginSession, Provided, Service};

use outboard_yamux::SessionError;

use self::support::{accept, hex, raw_host, raw_plugin};

/// Longer than anything here takes.
const SOON: std::time::Duration = std::time::Duration::from_secs(20);

/// The host's half of the control stream: dispense, quit.
const DISPENSE: &str = "2e 7f 03 01 01 07 52 65 71 75 65 73 74 01 ff 80 00 01 02 01 0d 53 65 72 76 69 63 65 \
    4d 65 74 68 6f 64 01 0c 00 01 03 53 65 71 01 06 00 00 00 17 ff 80 01 12 44 69 73 70 65 6e 73 65 72 2e \
    44 69 73 70 65 6e 73 65 00 0a 0c 00 07 67 72 65 65 74 65 72";
const QUIT: &str = "13 ff 80 01 0c 43 6f 6e 74 72 6f 6c 2e 51 75 69 74 01 01 00 03 02 00 01";

/// The plugin's half.
const DISPENSED: &str = "3a ff 81 03 01 01 08 52 65 73 70 6f 6e 73 65 01 ff 82 00 01 03 01 0d 53 65 72 76 69 \
    63 65 4d 65 74 68 6f 64 01 0c 00 01 03 53 65 71 01 06 00 01 05 45 72 72 6f 72 01 0c 00 00 00 17 ff 82 \
    01 12 44 69 73 70 65 6e 73 65 72 2e 44 69 73 70 65 6e 73 65 00 03 06 00 01";
const QUITTING: &str = "13 ff 82 01 0c 43 6f 6e 74 72 6f 6c 2e 51 75 69 74 01 01 00 0a ff 83 03 01 02 ff 84 \
    00 00 00 03 ff 84 00";

/// The stream of the instance.
const ID: &str = "01 00 00 00";
const GREET: &str = "2e 7f 03 01 01 07 52 65 71 75 65 73 74 01 ff 80 00 01 02 01 0d 53 65 72 76 69 63 65 4d \
    65 74 68 6f 64 01 0c 00 01 03 53 65 71 01 06 00 00 00 11 ff 80 01 0c 50 6c 75 67 69 6e 2e 47 72 65 65 \
    74 00 03 10 00 00";
const GREETED: &str = "3a ff 81 03 01 01 08 52 65 73 70 6f 6e 73 65 01 ff 82 00 01 03 01 0d 53 65 72 76 69 63 \
    65 4d 65 74 68 6f 64 01 0c 00 01 03 53 65 71 01 06 00 01 05 45 72 72 6f 72 01 0c 00 00 00 11 ff 82 01 \
    0c 50 6c 75 67 69 6e 2e 47 72 65 65 74 00 09 0c 00 06 48 65 6c 6c 6f 21";

/// Reads what this says, and no other bytes.
async fn expect(io: &mut BoxByteStream, bytes: &str) {
    let expected = hex(bytes);
    let mut found = vec![0; expected.len()];
    io.read_exact(&mut found).await.expect("as many bytes");
    assert_eq!(found, expected);
}

async fn expect_end(io: &mut BoxByteStream) {
    assert_eq!(io.read(&mut [0]).await.expect("an end in order"), 0);
}

async fn say(io: &mut BoxByteStream, bytes: &str) {
    io.write_all(&hex(bytes)).await.expect("writes");
    io.flush().await.expect("flushes");
}

#[test]
fn our_host_says_what_go_plugins_host_says() {
    run(async {
        let runtime = TestRuntime::shared();
        let (near, (opener, mut incoming)) = raw_plugin(&runtime);
        let of_host = Arc::clone(&runtime);
        let host = async {
            let begun = HostSession::begin(&of_host, near, Limits::default());
            let (host, _printed) = begun.expect("a session");
            let client = host
                .dispense("greeter", SOON)
                .await
                .expect("it is dispensed");
            let greeting: Result<String, _> = client.call("Plugin.Greet", &Value::Nil).await;
            assert_eq!(greeting.expect("a greeting"), "Hello!");
            host.quit(std::time::Duration::from_secs(5))
                .await
                .expect("an answer");
            drop(host);
        };
        let plugin = async {
            let mut control = accept(&mut incoming).await;
            let mut outputs = [accept(&mut incoming).await, accept(&mut incoming).await];
            expect(&mut control, DISPENSE).await;
            say(&mut control, DISPENSED).await;
            let mut instance = accept(&mut incoming).await;
            expect(&mut instance, ID).await;
            say(&mut instance, ID).await;
            expect(&mut instance, GREET).await;
            say(&mut instance, GREETED).await;
            expect(&mut control, QUIT).await;
            say(&mut control, QUITTING).await;
            // Then it ends the three in order, and closes the connection without a go-away.
            expect_end(&mut control).await;
            for output in &mut outputs {
                expect_end(output).await;
            }
            let ended = opener.closed().await;
            assert!(matches!(ended, SessionError::Closed { .. }), "{ended}");
        };
        futures_util::future::join(host, plugin).await;
    });
}

#[test]
fn our_plugin_understands_go_plugins_host_and_answers_alike() {
    run(async {
        let runtime = TestRuntime::shared();
        let (far, (opener, incoming)) = raw_host(&runtime);
        let make: Make = Arc::new(|_| {
            let greet = |_: Value| async { Ok::<_, String>("Hello!".to_owned()) };
            Ok(Arc::new(Methods::new().with("Greet", greet)) as Arc<dyn Service>)
        });
        let provided = Provided {
            plugins: [("greeter".to_owned(), make)].into(),
            quit: Arc::new(|| Box::pin(std::future::ready(()))),
            output: Arc::new(drop),
            limits: Limits::default(),
        };
        let plugin = PluginSession::begin(&runtime, far, provided);
        runtime.spawn(Box::pin(async move {
            let _ended = plugin.ended().await;
        }));
        let mut streams = Vec::new();
        for _ in 0..3 {
            streams.push(Box::new(opener.open().await.expect("opens")) as BoxByteStream);
        }
        let control = &mut streams[0];
        say(control, DISPENSE).await;
        let mut answers = Decoder::new();
        let (header, id): (Response, u32) = answer(control, &mut answers).await;
        assert_eq!(header, heard("Dispenser.Dispense", 0));
        assert_eq!(id, 1);
        let mut instance: BoxByteStream = Box::new(opener.open().await.expect("opens"));
        say(&mut instance, ID).await;
        expect(&mut instance, ID).await;
        say(&mut instance, GREET).await;
        let (header, text): (Response, String) = answer(&mut instance, &mut Decoder::new()).await;
        assert_eq!(
            (header, text.as_str()),
            (heard("Plugin.Greet", 0), "Hello!")
        );
        say(control, QUIT).await;
        let (header, Nothing {}) = answer(control, &mut answers).await;
        assert_eq!(header, heard("Control.Quit", 1));
        drop((opener, incoming));
    });
}

fn heard(method: &str, seq: u64) -> Response {
    Response {
        service_method: method.to_owned(),
        seq,
        error: String::new(),
    }
}

/// A header and what follows it. The numbers of types are each side's own, so the bytes are not compared.
async fn answer<T: outboard_gob::Decode>(
    io: &mut BoxByteStream,
    decoder: &mut Decoder,
) -> (Response, T) {
    let mut header = None;
    let mut byte = [0];
    loop {
        io.read_exact(&mut byte).await.expect("a byte");
        let mut chunk = &byte[..];
        let Some(mut received) = decoder.next(&mut chunk).expect("gob") else {
            continue;
        };
        match header.take() {
            None => header = Some(received.decode().expect("a header")),
            Some(header) => return (header, received.decode().expect("what was asked for")),
        }
    }
}
