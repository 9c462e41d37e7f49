//! Blocking interfaces: each kind of call, what is around it, and what becomes of threads.
#![cfg(unix)]

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use outboard::blocking::{self, StreamSender, Streaming};
use outboard::{Client as _, Code, Status, context};
use outboard_generator::counter::{
    CounterBlocking, CounterBlockingClient, CounterBlockingServer, CounterClient, Number,
};
use outboard_generator::greeter::{
    GreetReply, GreetRequest, Greeter as _, GreeterBlocking, GreeterBlockingClient,
    GreeterBlockingServer, GreeterClient,
};
use outboard_generator::provider::{
    ProviderBlocking, ProviderBlockingClient, ProviderBlockingServer, Request,
};
use outboard_generator::streamer::{
    Item, Range, StreamerBlocking, StreamerBlockingClient, StreamerBlockingServer,
};
use support::{block_on, channel_to};

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn request(name: &str) -> GreetRequest {
    let name = name.to_owned();
    GreetRequest { name }
}

/// Greets, and does what the names say.
#[derive(Default)]
struct Host {
    /// How many handlers run now, and how many have at once.
    running: Mutex<(usize, usize)>,
    changed: Condvar,
}

impl Host {
    fn change(&self, by: isize) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.0 = running.0.wrapping_add_signed(by);
        running.1 = running.1.max(running.0);
        drop(running);
        self.changed.notify_all();
    }

    fn wait_for(&self, count: usize) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .changed
            .wait_timeout_while(running, PATIENCE, |running| running.1 < count);
        let (_running, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(!timeout.timed_out(), "the others do not come");
    }

    fn most(&self) -> usize {
        self.running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .1
    }
}

impl GreeterBlocking for Host {
    fn greet(&self, request: GreetRequest) -> Result<GreetReply, Status> {
        self.change(1);
        let text = match request.name.as_str() {
            "panic" => panic!("nobody greets a panic"),
            "two" => {
                self.wait_for(2);
                "both".to_owned()
            }
            "thread" => thread::current().name().unwrap_or_default().to_owned(),
            "slow" => {
                thread::sleep(Duration::from_millis(20));
                "at last".to_owned()
            }
            "tenant" => {
                let call = context::current().ok_or_else(|| Status::internal("no call"))?;
                call.insert_header("served-by", "a thread")
                    .map_err(|error| Status::internal(error.to_string()))?;
                let tenant = call.metadata().get("tenant");
                tenant.unwrap_or("nobody").to_owned()
            }
            name => format!("Hello, {name}!"),
        };
        self.change(-1);
        Ok(GreetReply { text })
    }
}

fn greeter(server: GreeterBlockingServer<Host>) -> GreeterBlockingClient {
    GreeterBlockingClient::from_channel(channel_to([Arc::new(server)]))
}

#[test]
fn a_unary_call_looks_like_a_call() {
    let greeter = greeter(GreeterBlockingServer::new(Host::default()));
    let reply = greeter.greet(request("world")).expect("it greets");
    assert_eq!(reply.text, "Hello, world!");
    // Through the trait, as a double would be, and shared.
    fn by_trait(greeter: &impl GreeterBlocking) -> String {
        greeter.greet(request("trait")).expect("it greets").text
    }
    assert_eq!(by_trait(&greeter), "Hello, trait!");
    assert_eq!(by_trait(&Arc::new(Host::default())), "Hello, trait!");
}

#[test]
fn async_and_blocking_sides_mix() {
    let server = GreeterBlockingServer::new(Host::default());
    let channel = channel_to([Arc::new(server)]);
    let greeter = GreeterClient::from_channel(channel);
    let reply = block_on(greeter.greet(request("async"))).expect("it greets");
    assert_eq!(reply.text, "Hello, async!");
}

#[test]
fn handlers_have_threads_up_to_the_limit_and_the_rest_waits() {
    let at_once = |limit: Option<usize>, name: &'static str| {
        let host = Arc::new(Host::default());
        let server = GreeterBlockingServer::from_arc(Arc::clone(&host));
        let server = match limit {
            Some(limit) => server.threads(limit),
            None => server,
        };
        let client = GreeterBlockingClient::from_channel(channel_to([Arc::new(server)]));
        let calls = [0; 4].map(|_| {
            let client = client.clone();
            thread::spawn(move || client.greet(request(name)))
        });
        for call in calls {
            call.join().expect("no panic").expect("it greets");
        }
        host.most()
    };
    assert!(at_once(None, "two") >= 2, "neither waits for the other");
    assert_eq!(at_once(Some(1), "slow"), 1, "one after another");
    assert_eq!(at_once(Some(0), "slow"), 1, "there is always one");
    let named = greeter(GreeterBlockingServer::new(Host::default()));
    let thread = named.greet(request("thread")).expect("it greets").text;
    assert_eq!(thread, "outboard-handler");
}

#[test]
fn the_call_is_there_on_the_handlers_thread() {
    let greeter = greeter(GreeterBlockingServer::new(Host::default()));
    let mut metadata = outboard::Metadata::new();
    metadata.insert("tenant", "acme").expect("valid");
    let greeter = greeter.with_metadata(metadata);
    let (reply, around) = blocking::capture(|| greeter.greet(request("tenant")));
    assert_eq!(reply.expect("it greets").text, "acme");
    assert_eq!(around.headers.get("served-by"), Some("a thread"));
    assert!(context::current().is_none());
}

#[test]
fn methods_that_are_left_out_answer_unimplemented() {
    struct Nothing;
    impl ProviderBlocking for Nothing {}
    let client = ProviderBlockingClient::from_channel(channel_to([Arc::new(
        ProviderBlockingServer::new(Nothing),
    )]));
    let status = client.schema(Request::default()).expect_err("left out");
    assert_eq!(status.code(), Code::Unimplemented);
    assert!(
        status.message().contains("method Schema of service"),
        "{status}"
    );
    let mut answers = client
        .download_all(Request::default())
        .expect("the error is in it");
    let status = answers.next().expect("an item").expect_err("left out");
    assert_eq!(status.code(), Code::Unimplemented);
    assert!(answers.next().is_none(), "that was the end");
}

/// Counts, and says what becomes of the calls.
struct Counter {
    events: Mutex<Sender<&'static str>>,
}

impl Counter {
    fn new() -> (Self, Receiver<&'static str>) {
        let (sender, events) = mpsc::channel();
        let events_of = Mutex::new(sender);
        (Self { events: events_of }, events)
    }

    fn tell(&self, event: &'static str) {
        let sender = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        sender.send(event).expect("the test listens");
    }
}

struct TellOnDrop(Sender<&'static str>, &'static str);

impl Drop for TellOnDrop {
    fn drop(&mut self) {
        let _late = self.0.send(self.1);
    }
}

impl CounterBlocking for Counter {
    fn sum(&self, requests: Streaming<Number>) -> Result<Number, Status> {
        let mut value = 0;
        self.tell("sum began");
        for number in requests {
            let number = number.inspect_err(|status| {
                if status.code() == Code::Cancelled && blocking::is_cancelled() {
                    self.tell("sum cancelled");
                }
            })?;
            value += number.value;
        }
        Ok(Number { value })
    }

    fn running(&self, requests: Streaming<Number>) -> Result<Streaming<Number>, Status> {
        let mut value = 0;
        let sender = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let over = TellOnDrop(sender.clone(), "running dropped");
        Ok(Streaming::try_iter(requests.map(move |number| {
            let _over = &over;
            value += number?.value;
            match value {
                i64::MAX => panic!("too much"),
                value => Ok(Number { value }),
            }
        })))
    }
}

impl StreamerBlocking for Counter {
    fn count(&self, range: Range) -> Result<Streaming<Item>, Status> {
        if range.from > range.to {
            return Err(Status::invalid_argument("backwards"));
        }
        let items = (range.from..range.to).map(|value| Item { value });
        Ok(Streaming::iter(items))
    }

    fn reset(&self, (): ()) -> Result<(), Status> {
        Ok(())
    }
}

fn counter() -> (CounterBlockingClient, Receiver<&'static str>) {
    let (counter, events) = Counter::new();
    let server = CounterBlockingServer::new(counter);
    (
        CounterBlockingClient::from_channel(channel_to([Arc::new(server)])),
        events,
    )
}

fn numbers(values: impl IntoIterator<Item = i64, IntoIter: Send + 'static>) -> Streaming<Number> {
    Streaming::iter(values.into_iter().map(|value| Number { value }))
}

#[test]
fn streams_are_iterators() {
    let (counter, _events) = counter();
    assert_eq!(counter.sum(numbers(1..=100)).expect("a sum").value, 5050);
    assert_eq!(counter.sum(numbers([])).expect("a sum").value, 0);
    let sums = counter.running(numbers([1, 2, 3])).expect("it began");
    let sums: Result<Vec<i64>, Status> = sums.map(|sum| Ok(sum?.value)).collect();
    assert_eq!(sums, Ok(vec![1, 3, 6]));

    let (server, _events) = Counter::new();
    let server = StreamerBlockingServer::new(server);
    let streamer = StreamerBlockingClient::from_channel(channel_to([Arc::new(server)]));
    let items = streamer.count(Range { from: 2, to: 5 }).expect("it began");
    let items: Result<Vec<u32>, Status> = items.map(|item| Ok(item?.value)).collect();
    assert_eq!(items, Ok(vec![2, 3, 4]));
    let mut none = streamer.count(Range { from: 2, to: 1 }).expect("it began");
    let status = none.next().expect("an error").expect_err("backwards");
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(streamer.reset(()), Ok(()));
}

#[test]
fn a_sender_answers_one_by_one() {
    let (counter, _events) = counter();
    let (mut sender, requests) = Streaming::channel(1);
    let mut sums = counter.running(requests).expect("it began");
    for value in 1..=100 {
        sender.send(Number { value }).expect("it is read");
        let sum = sums.next().expect("an answer").expect("a sum");
        assert_eq!(sum.value, value * (value + 1) / 2);
    }
    drop(sender);
    assert!(sums.next().is_none());
}

#[test]
fn requests_that_fail_or_panic_end_their_call() {
    let (counter, _events) = counter();
    let failing = Streaming::try_iter([Ok(Number { value: 1 }), Err(Status::aborted("enough"))]);
    let status = counter.sum(failing).expect_err("the requests failed");
    assert_eq!(status.code(), Code::Aborted);
    let panicking = numbers((0..).inspect(|value| assert!(*value < 3, "no four")));
    let status = counter.sum(panicking).expect_err("the requests panicked");
    assert_eq!(status.code(), Code::Internal);
    assert!(status.message().contains("stream of requests"), "{status}");
    assert!(status.message().contains("no four"), "{status}");
}

#[test]
fn answers_that_panic_end_their_call() {
    let (counter, _events) = counter();
    let mut sums = counter
        .running(numbers([1, i64::MAX - 1]))
        .expect("it began");
    assert_eq!(sums.next(), Some(Ok(Number { value: 1 })));
    let status = sums.next().expect("an item").expect_err("it panicked");
    assert_eq!(status.code(), Code::Internal);
    let text = "the handler of /counter.Counter/Running panicked: too much";
    assert_eq!(status.message(), text);
}

#[test]
fn dropping_a_stream_ends_what_its_handler_waits_for() {
    let (counter, events) = counter();
    let (mut sender, requests): (StreamSender<Number>, _) = Streaming::channel(1);
    let mut sums = counter.running(requests).expect("it began");
    sender.send(Number { value: 1 }).expect("it is read");
    assert_eq!(sums.next(), Some(Ok(Number { value: 1 })));
    drop(sums);
    // The requests are still open: it is not their end that it was told of.
    assert_eq!(events.recv_timeout(PATIENCE), Ok("running dropped"));
    drop(sender);
}

#[test]
fn a_call_given_up_cancels_its_handler() {
    let (counter, events) = Counter::new();
    let server = CounterBlockingServer::new(counter);
    let client = CounterClient::from_channel(channel_to([Arc::new(server)]));
    let (_sender, requests) = outboard::Streaming::channel(1);
    {
        use outboard_generator::counter::Counter as _;
        let call = client.sum(requests);
        let mut call = std::pin::pin!(call);
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(call.as_mut().poll(&mut cx).is_pending());
        assert_eq!(events.recv_timeout(PATIENCE), Ok("sum began"));
        assert!(call.as_mut().poll(&mut cx).is_pending());
    }
    assert_eq!(events.recv_timeout(PATIENCE), Ok("sum cancelled"));
}

#[test]
fn calls_that_come_and_go_while_none_is_answered_leave_nothing() {
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    struct Stuck(Mutex<Receiver<()>>);
    impl GreeterBlocking for Stuck {
        fn greet(&self, request: GreetRequest) -> Result<GreetReply, Status> {
            if request.name == "stuck" {
                let release = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                let _released = release.recv_timeout(PATIENCE);
            }
            Ok(GreetReply { text: request.name })
        }
    }
    let (release, released) = mpsc::channel();
    let server = GreeterBlockingServer::new(Stuck(Mutex::new(released))).threads(1);
    let channel = channel_to([Arc::new(server)]);
    let stuck = GreeterBlockingClient::from_channel(channel.clone());
    let first = thread::spawn(move || stuck.greet(request("stuck")));
    let client = GreeterClient::from_channel(channel);
    let waiting = Arc::new(AtomicUsize::new(0));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    for _ in 0..1000 {
        waiting.fetch_add(1, Ordering::SeqCst);
        let counted = Counted(Arc::clone(&waiting));
        let call = async {
            let _counted = counted;
            client.greet(request("later")).await
        };
        // The one that is stuck may not have come yet: then this one is answered.
        let _pending = std::pin::pin!(call).poll(&mut cx);
    }
    assert_eq!(waiting.load(Ordering::SeqCst), 0);
    release.send(()).expect("it waits");
    first.join().expect("no panic").expect("released");
    let last = block_on(client.greet(request("last"))).expect("it goes on");
    assert_eq!(last.text, "last");
}

#[test]
fn threads_go_with_their_server() {
    fn handlers() -> usize {
        let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten();
        let names =
            tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
        // The system cuts names.
        names
            .filter(|name| name.starts_with("outboard-stay"))
            .count()
    }
    struct Named;
    impl GreeterBlocking for Named {
        fn greet(&self, request: GreetRequest) -> Result<GreetReply, Status> {
            // So that threads of other tests are not counted.
            std::fs::write("/proc/thread-self/comm", "outboard-stays")
                .map_err(|error| Status::unknown(error.to_string()))?;
            Ok(GreetReply { text: request.name })
        }
    }
    if !cfg!(target_os = "linux") {
        return;
    }
    let server = GreeterBlockingServer::new(Named);
    let client = GreeterBlockingClient::from_channel(channel_to([Arc::new(server)]));
    client.greet(request("once")).expect("it greets");
    assert!(handlers() > 0, "it waits for more work");
    drop(client);
    let began = Instant::now();
    while handlers() > 0 {
        // Well below the time after which it would end by itself.
        assert!(
            began.elapsed() < Duration::from_secs(8),
            "it is still there"
        );
        thread::sleep(Duration::from_millis(5));
    }
}
