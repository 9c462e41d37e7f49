//! Where calls go, over connections that do what a test says.

mod processes;

use std::collections::VecDeque;
use std::sync::Mutex as StdMutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::task::noop_waker_ref;
use outboard_core::rpc::{
    Call, CallFailure, CallHead, Code, MessageStream, Metadata, OutMessage, Reply, Untaken,
};
use outboard_core::rt::BoxFuture;

use super::*;
use crate::broker::tests::Still;

/// What becomes of the next call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Answered,
    Cut,
    Untaken,
}

/// A connection whose calls end as it is told, and otherwise answer with its name.
pub(crate) struct Fake {
    name: &'static str,
    next: StdMutex<VecDeque<Next>>,
    retiring: StdMutex<bool>,
    /// How many calls it takes at once, if it says so.
    limit: Option<u32>,
    made: StdMutex<Vec<String>>,
    ended: StdMutex<Vec<String>>,
}

impl Fake {
    pub(crate) fn new(name: &'static str, next: impl IntoIterator<Item = Next>) -> Arc<Self> {
        Self::limited(name, next, None)
    }

    pub(crate) fn limited(
        name: &'static str,
        next: impl IntoIterator<Item = Next>,
        limit: Option<u32>,
    ) -> Arc<Self> {
        Arc::new(Self {
            name,
            next: StdMutex::new(next.into_iter().collect()),
            retiring: StdMutex::new(false),
            limit,
            made: StdMutex::default(),
            ended: StdMutex::default(),
        })
    }

    pub(crate) fn retire(&self) {
        *self.retiring.lock().expect("no panic") = true;
    }

    /// The calls that it took.
    pub(crate) fn made(&self) -> Vec<String> {
        self.made.lock().expect("no panic").clone()
    }

    /// How it was ended.
    fn ended(&self) -> Vec<String> {
        self.ended.lock().expect("no panic").clone()
    }

    fn take(&self, head: &CallHead) -> Next {
        let next = self.next.lock().expect("no panic").pop_front();
        let next = next.unwrap_or_else(|| match self.is_retiring() {
            true => Next::Untaken,
            false => Next::Answered,
        });
        if next != Next::Untaken {
            let mut made = self.made.lock().expect("no panic");
            made.push(head.path.clone().into_owned());
        }
        next
    }
}

impl fmt::Debug for Fake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

pub(crate) fn cut() -> Status {
    Status::connection_lost("cut off")
}

fn not_taken() -> Status {
    Status::connection_lost("not taken")
}

impl Connection for Fake {
    fn unary(
        &self,
        _: CallHead,
        _: OutMessage,
    ) -> BoxFuture<'static, Result<Reply<Bytes>, Status>> {
        unreachable!("a call that may move is tried")
    }

    fn gives_back(&self) -> bool {
        true
    }

    fn try_unary(
        &self,
        head: CallHead,
        message: OutMessage,
    ) -> BoxFuture<'static, Result<Reply<Bytes>, CallFailure<OutMessage>>> {
        let outcome = match self.take(&head) {
            Next::Answered => Ok(Reply::new(Bytes::from_static(self.name.as_bytes()))),
            Next::Cut => Err(CallFailure::Ended(cut())),
            Next::Untaken => {
                let untaken = Untaken::new(not_taken(), head, message);
                Err(CallFailure::Untaken(Box::new(untaken)))
            }
        };
        Box::pin(std::future::ready(outcome))
    }

    fn open(&self, _: CallHead, _: MessageStream) -> Box<dyn Call> {
        unreachable!("a call that may move is tried")
    }

    fn try_open(
        &self,
        head: CallHead,
        message: MessageStream,
    ) -> Result<Box<dyn Call>, Box<Untaken<MessageStream>>> {
        match self.take(&head) {
            Next::Answered | Next::Cut => Ok(Box::new(Answer(self.name, Metadata::new()))),
            Next::Untaken => Err(Box::new(Untaken::new(not_taken(), head, message))),
        }
    }

    fn is_retiring(&self) -> bool {
        *self.retiring.lock().expect("no panic")
    }

    fn max_calls(&self) -> BoxFuture<'static, Option<u32>> {
        Box::pin(std::future::ready(self.limit))
    }

    fn drain(&self) {
        self.ended.lock().expect("no panic").push("drained".into());
    }

    fn abort(&self, status: Status) {
        let mut ended = self.ended.lock().expect("no panic");
        ended.push(status.message().to_owned());
    }

    fn closed(&self) -> BoxFuture<'static, Status> {
        Box::pin(std::future::pending())
    }
}

/// A streaming call that answers with a name without end.
struct Answer(&'static str, Metadata);

impl Call for Answer {
    fn poll_headers(&mut self, _: &mut Context<'_>) -> Poll<Result<&Metadata, Status>> {
        Poll::Ready(Ok(&self.1))
    }

    fn poll_message(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        Poll::Ready(Some(Ok(Bytes::from_static(self.0.as_bytes()))))
    }

    fn trailers(&self) -> Option<&Metadata> {
        None
    }
}

fn stable(inside: &Arc<Fake>) -> Arc<Stable> {
    let runtime = Arc::new(Still::default()) as SharedRuntime;
    Stable::new(&runtime, Arc::clone(inside) as Arc<dyn Connection>)
}

fn replace(stable: &Stable, inside: &Arc<Fake>) {
    stable.replace(Arc::clone(inside) as Arc<dyn Connection>);
}

fn unary(stable: &Stable, path: &'static str) -> BoxFuture<'static, Result<String, Status>> {
    let call = stable.unary(CallHead::new(path), OutMessage::default());
    Box::pin(call.map(|reply| Ok(String::from_utf8_lossy(&reply?.message).into_owned())))
}

fn open(stable: &Stable, path: &'static str) -> Box<dyn Call> {
    stable.open(
        CallHead::new(path),
        Box::pin(futures_util::stream::pending()),
    )
}

pub(crate) fn now<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Option<T> {
    future.now_or_never()
}

fn message(call: &mut Box<dyn Call>) -> Option<Result<Bytes, Status>> {
    match call.poll_message(&mut Context::from_waker(noop_waker_ref())) {
        Poll::Ready(Some(message)) => Some(message),
        Poll::Ready(None) | Poll::Pending => None,
    }
}

#[test]
fn calls_wait_for_the_next_connection_and_none_is_made_twice() {
    let first = Fake::new("first", [Next::Answered, Next::Cut]);
    let stable = stable(&first);
    assert_eq!(now(&mut unary(&stable, "/1")), Some(Ok("first".into())));
    // The peer had begun with it: nobody knows how far it came.
    assert_eq!(now(&mut unary(&stable, "/2")), Some(Err(cut())));
    stable.interrupt();
    let mut waiting: Vec<_> = ["/3", "/4"].map(|path| unary(&stable, path)).into();
    assert!(waiting.iter_mut().all(|call| now(call).is_none()));
    let mut streaming = open(&stable, "/5");
    assert_eq!(message(&mut streaming), None);
    let second = Fake::new("second", []);
    replace(&stable, &second);
    // Streaming calls are made whether anybody polls them or not.
    assert_eq!(second.made(), ["/5"]);
    for call in &mut waiting {
        assert_eq!(now(call), Some(Ok("second".into())));
    }
    assert_eq!(
        message(&mut streaming),
        Some(Ok(Bytes::from_static(b"second")))
    );
    assert_eq!(first.made(), ["/1", "/2"]);
    assert_eq!(second.made(), ["/5", "/3", "/4"]);
    assert_eq!(first.ended(), ["drained"], "it goes on with what it has");
}

#[test]
fn calls_that_a_retiring_connection_does_not_take_move_to_the_next() {
    let first = Fake::new("first", []);
    let stable = stable(&first);
    first.retire();
    // Nobody has told the connection's owner yet.
    let mut call = unary(&stable, "/1");
    assert_eq!(now(&mut call), None);
    let mut streaming = open(&stable, "/2");
    assert_eq!(message(&mut streaming), None);
    let second = Fake::new("second", []);
    replace(&stable, &second);
    assert_eq!(now(&mut call), Some(Ok("second".into())));
    assert_eq!(
        message(&mut streaming),
        Some(Ok(Bytes::from_static(b"second")))
    );
    assert!(first.made().is_empty());
    // The next may retire before all that waited have been made.
    second.retire();
    let mut late = [open(&stable, "/3"), open(&stable, "/4")];
    let third = Fake::new("third", [Next::Answered]);
    third.retire();
    replace(&stable, &third);
    assert_eq!(
        message(&mut late[0]),
        Some(Ok(Bytes::from_static(b"third")))
    );
    assert_eq!(message(&mut late[1]), None);
    let fourth = Fake::new("fourth", []);
    replace(&stable, &fourth);
    assert_eq!(
        message(&mut late[1]),
        Some(Ok(Bytes::from_static(b"fourth")))
    );
}

#[test]
fn a_refused_call_is_tried_again_a_few_times_and_no_more() {
    let fake = Fake::new("it", [Next::Untaken, Next::Untaken]);
    let stable = stable(&fake);
    assert_eq!(now(&mut unary(&stable, "/1")), Some(Ok("it".into())));
    fake.next
        .lock()
        .expect("no panic")
        .extend([Next::Untaken; 9]);
    assert_eq!(
        now(&mut unary(&stable, "/2")),
        Some(Err(not_taken().unsent()))
    );
    assert_eq!(
        message(&mut open(&stable, "/3")),
        Some(Err(not_taken().unsent()))
    );
    assert_eq!(
        fake.next.lock().expect("no panic").len(),
        1,
        "four tries each"
    );
}

#[test]
fn what_waits_fails_once_no_connection_is_expected_and_one_that_comes_is_taken() {
    let first = Fake::new("first", []);
    let stable = stable(&first);
    stable.interrupt();
    let mut calls = [unary(&stable, "/1"), unary(&stable, "/2")];
    assert!(now(&mut calls[0]).is_none());
    let mut streaming = open(&stable, "/3");
    stable.fail(cut());
    assert!(!stable.comes_back());
    for call in &mut calls {
        assert_eq!(now(call), Some(Err(cut().unsent())));
    }
    assert_eq!(message(&mut streaming), Some(Err(cut().unsent())));
    assert_eq!(message(&mut streaming), None, "told once");
    assert_eq!(now(&mut stable.closed()), None, "it may come back");
    let second = Fake::new("second", []);
    replace(&stable, &second);
    assert_eq!(now(&mut unary(&stable, "/4")), Some(Ok("second".into())));
}

#[test]
fn the_last_connection_says_itself_what_it_does_not_take() {
    let fake = Fake::new("it", []);
    let stable = stable(&fake);
    stable.settle();
    assert_eq!(now(&mut unary(&stable, "/1")), Some(Ok("it".into())));
    fake.retire();
    assert_eq!(
        now(&mut unary(&stable, "/2")),
        Some(Err(not_taken().unsent()))
    );
    assert_eq!(
        message(&mut open(&stable, "/3")),
        Some(Err(not_taken().unsent()))
    );
    assert!(!stable.comes_back());
    replace(&stable, &Fake::new("too late", []));
    assert_eq!(
        now(&mut unary(&stable, "/4")),
        Some(Err(not_taken().unsent()))
    );
}

#[test]
fn limits_hold_while_a_call_waits() {
    let stable = stable(&Fake::new("it", []));
    stable.interrupt();
    let mut head = CallHead::new("/1");
    head.timeout = Some(Duration::ZERO);
    let mut call = stable.unary(head.clone(), OutMessage::default());
    let late = now(&mut call).expect("it is late").expect_err("it fails");
    assert_eq!(late.code(), Code::DeadlineExceeded);
    let mut call = stable.open(head, Box::pin(futures_util::stream::pending()));
    let late = message(&mut call)
        .expect("it is late")
        .expect_err("it fails");
    assert_eq!(late.code(), Code::DeadlineExceeded);
}

#[test]
fn dropping_the_last_handle_closes_all_and_fails_what_waits() {
    let (first, second) = (Fake::new("first", []), Fake::new("second", []));
    let stable = stable(&first);
    replace(&stable, &second);
    let closed = stable.closed();
    stable.interrupt();
    let mut call = unary(&stable, "/1");
    assert_eq!(now(&mut call), None);
    drop(stable);
    let status = now(&mut call).expect("it has ended").expect_err("it fails");
    assert!(status.is_connection_lost(), "{status}");
    let closed = closed.now_or_never();
    assert_eq!(closed.map(Status::unsent), Some(status.clone()));
    for fake in [first, second] {
        assert_eq!(fake.ended(), ["drained", status.message()], "{fake:?}");
    }
}

#[test]
fn an_abort_says_why_after_a_drain() {
    let fake = Fake::new("it", []);
    let stable = stable(&fake);
    stable.interrupt();
    stable.drain();
    let drained = now(&mut unary(&stable, "/1"))
        .expect("at once")
        .expect_err("it fails");
    assert_eq!(drained, closed_here().unsent());
    stable.abort(cut());
    assert_eq!(now(&mut unary(&stable, "/2")), Some(Err(cut().unsent())));
    stable.abort(Status::internal("a second time"));
    assert_eq!(now(&mut unary(&stable, "/3")), Some(Err(cut().unsent())));
    assert_eq!(fake.ended(), ["drained", "cut off"]);
}

#[test]
fn how_many_calls_are_taken_is_asked_of_a_connection_that_lives() {
    let stable = stable(&Fake::limited("first", [], Some(2)));
    assert_eq!(now(&mut stable.max_calls()), Some(Some(2)));
    stable.interrupt();
    let mut asked = stable.max_calls();
    assert_eq!(now(&mut asked), None);
    // It ends before it could say.
    let ended = Fake::new("ended", []);
    ended.retire();
    replace(&stable, &ended);
    assert_eq!(now(&mut asked), None);
    replace(&stable, &Fake::limited("next", [], Some(1)));
    assert_eq!(now(&mut asked), Some(Some(1)));
    replace(&stable, &Fake::new("unlimited", []));
    assert_eq!(now(&mut stable.max_calls()), Some(None));
    stable.interrupt();
    let mut asked = stable.max_calls();
    stable.fail(Status::connection_lost("given up"));
    assert_eq!(now(&mut asked), Some(None));
}

#[test]
fn whoever_makes_the_next_connection_learns_that_somebody_waits_for_it() {
    type Wait = fn(&Arc<Stable>) -> Box<dyn std::any::Any>;
    let waits: [Wait; 2] = [
        |stable| {
            let mut call = unary(stable, "/1");
            assert_eq!(now(&mut call), None);
            Box::new(call)
        },
        |stable| Box::new(open(stable, "/2")),
    ];
    for wait in waits {
        let first = Fake::new("first", []);
        let stable = stable(&first);
        let (waker, woken) = counting_waker();
        let cx = Context::from_waker(&waker);
        let waiting = open(&stable, "/0");
        assert!(stable.poll_wanted(&cx).is_pending(), "it is there");
        stable.interrupt();
        assert!(stable.poll_wanted(&cx).is_pending(), "nobody calls");
        drop(waiting);
        assert_eq!(woken.load(Ordering::Relaxed), 0);
        let waiting = wait(&stable);
        assert_eq!(woken.load(Ordering::Relaxed), 1);
        assert!(stable.poll_wanted(&cx).is_ready());
        drop(waiting);
        assert!(stable.poll_wanted(&cx).is_pending(), "no more");
    }
}

fn counting_waker() -> (Waker, Arc<AtomicUsize>) {
    struct Counting(Arc<AtomicUsize>);
    impl std::task::Wake for Counting {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let count = Arc::new(AtomicUsize::new(0));
    (Arc::new(Counting(Arc::clone(&count))).into(), count)
}
