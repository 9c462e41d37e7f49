use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;

use futures_channel::oneshot;
use futures_io::AsyncRead as _;
use futures_util::io::Cursor;
use outboard_core::admission::{Admission, Allowed, Credentials};
use outboard_core::endpoint::Endpoint;
use outboard_core::rt::Listener;

use super::*;
use crate::broker::tests::Still;

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// How many are taken in a turn.
const IN_A_ROW: u32 = 16;

/// Gives these, then connections without end.
struct Scripted {
    first: VecDeque<io::Result<()>>,
    asked: Arc<AtomicUsize>,
    /// Who makes the first of them.
    peers: VecDeque<Credentials>,
}

impl Listener for Scripted {
    fn local(&self) -> &Endpoint {
        unreachable!("nobody asks")
    }

    fn poll_accept(&mut self, _: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let next = self.first.pop_front().unwrap_or(Ok(()));
        let peer = self.peers.pop_front();
        let accepted = || Accepted::new(Box::new(Cursor::new(Vec::new())));
        Poll::Ready(next.map(|()| accepted().by(peer)))
    }
}

fn acceptor(first: Vec<io::Result<()>>) -> (Acceptor, Arc<AtomicUsize>) {
    of(first, None)
}

fn of(
    first: Vec<io::Result<()>>,
    prepare: Option<Arc<dyn Prepare>>,
) -> (Acceptor, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let listener = Scripted {
        first: first.into(),
        asked: Arc::clone(&asked),
        peers: VecDeque::new(),
    };
    let runtime: SharedRuntime = Arc::new(Still::default());
    let acceptor = Acceptor::new(
        &runtime,
        "a test",
        Opened::private(Box::new(listener)),
        prepare,
    );
    (acceptor, asked)
}

#[test]
fn connections_without_end_let_others_have_their_turn() {
    let (mut acceptor, _) = acceptor(Vec::new());
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut cx = Context::from_waker(&waker);
    for turn in 1..=3 {
        let mut taken = 0;
        while acceptor.poll(&mut cx).is_ready() {
            taken += 1;
            assert!(taken <= IN_A_ROW, "it holds the thread");
        }
        assert_eq!(taken, IN_A_ROW);
        assert_eq!(
            wakes.0.load(Ordering::Relaxed),
            turn,
            "it goes on by itself"
        );
    }
}

/// By these, then by nobody knows whom.
fn made_by(peers: Vec<Credentials>, admission: Option<Admission>) -> Acceptor {
    let listener = Scripted {
        first: VecDeque::new(),
        asked: Arc::default(),
        peers: peers.into(),
    };
    let mut opened = Opened::private(Box::new(listener));
    opened.admission = admission;
    let runtime: SharedRuntime = Arc::new(Still::default());
    Acceptor::new(&runtime, "a test", opened, None)
}

#[test]
fn strangers_are_hung_up_on_and_others_come_through() {
    let own = rustix::process::geteuid().as_raw();
    let peer = |user| Credentials::new(user, 4_000_000);
    let stranger = || peer(own + 4_000_000);
    let peers = || vec![stranger(), peer(own), stranger(), stranger(), peer(0)];
    let mut cx = Context::from_waker(Waker::noop());
    let mut acceptor = made_by(peers(), Some(Admission::new(Allowed::default())));
    for strangers in [1, 3] {
        assert!(acceptor.poll(&mut cx).is_ready());
        assert_eq!(acceptor.strangers, strangers);
    }
    assert!(acceptor.machine.takes_more(), "it goes on at once");
    let mut allowed = Allowed::default();
    allowed.users.insert(own + 4_000_000);
    for admission in [Some(Admission::new(allowed)), None] {
        let mut acceptor = made_by(peers(), admission);
        assert!(acceptor.poll(&mut cx).is_ready());
        assert_eq!(acceptor.strangers, 0);
    }
}

#[test]
fn a_connection_without_a_descriptor_is_closed() {
    let full = || Err(io::Error::from_raw_os_error(libc::EMFILE));
    let (mut acceptor, asked) = acceptor(vec![full(), Ok(()), full(), Ok(()), Ok(())]);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(acceptor.poll(&mut cx).is_ready());
    assert_eq!((acceptor.hung_up, asked.load(Ordering::Relaxed)), (2, 5));
    assert!(acceptor.machine.takes_more());
}

#[test]
fn refusals_without_end_let_others_have_their_turn_too() {
    let full = || Err(io::Error::from_raw_os_error(libc::ENFILE));
    let pairs = (0..200).flat_map(|_| [full(), Ok(())]).collect();
    let (mut acceptor, _) = acceptor(pairs);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(acceptor.poll(&mut cx).is_pending());
    assert_eq!(acceptor.hung_up, u64::from(IN_A_ROW));
}

#[test]
fn it_pauses_when_it_cannot_even_refuse_but_not_for_one_that_is_gone() {
    let full = || Err(io::Error::from_raw_os_error(libc::EMFILE));
    let gone = || Err(io::ErrorKind::ConnectionAborted.into());
    let (mut acceptor, asked) = acceptor(vec![gone(), gone(), full(), full()]);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(acceptor.poll(&mut cx).is_pending());
    assert!(!acceptor.machine.takes_more());
    assert_eq!((acceptor.hung_up, asked.load(Ordering::Relaxed)), (0, 4));
}

/// Prepares each stream when the test says so.
#[derive(Debug, Default)]
struct ByHand(Mutex<Vec<Answer>>);

type Answer = oneshot::Sender<io::Result<u8>>;

impl ByHand {
    /// Those that are being prepared, the oldest first.
    fn begun(&self) -> Vec<Answer> {
        std::mem::take(&mut *self.0.lock().expect("no panic"))
    }
}

impl Prepare for ByHand {
    fn prepare(&self, io: BoxByteStream) -> BoxFuture<'static, io::Result<BoxByteStream>> {
        let (answer, answered) = oneshot::channel();
        self.0.lock().expect("no panic").push(answer);
        Box::pin(async move {
            let byte = answered.await.expect("the test answers")?;
            drop(io);
            Ok(Box::new(Cursor::new(vec![byte])) as BoxByteStream)
        })
    }
}

/// As many as connect, each prepared by hand, and at most two at once.
fn by_hand(config: impl FnOnce(&mut AcceptorConfig)) -> (Acceptor, Arc<AtomicUsize>, Arc<ByHand>) {
    let hand = Arc::new(ByHand::default());
    let prepare = Arc::clone(&hand) as Arc<dyn Prepare>;
    let (mut acceptor, asked) = of(Vec::new(), Some(prepare));
    let mut settings = AcceptorConfig::default();
    settings.max_preparing = 2;
    settings.prepare_timeout = Duration::MAX;
    config(&mut settings);
    acceptor.machine = machine::Acceptor::new(settings);
    (acceptor, asked, hand)
}

/// The byte by which the test knows a stream that is ready.
fn next(acceptor: &mut Acceptor) -> Option<u8> {
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(mut io) = acceptor.poll(&mut cx) else {
        return None;
    };
    let mut byte = [0];
    let read = Pin::new(&mut io).poll_read(&mut cx, &mut byte);
    assert!(matches!(read, Poll::Ready(Ok(1))), "{read:?}");
    Some(byte[0])
}

#[test]
fn a_slow_preparation_holds_up_no_other() {
    let (mut acceptor, _, hand) = by_hand(|_| ());
    assert_eq!(next(&mut acceptor), None);
    let mut begun = hand.begun();
    assert_eq!(begun.len(), 2);
    let quick = begun.pop().expect("two");
    quick.send(Ok(b'q')).expect("waited for");
    assert_eq!(next(&mut acceptor), Some(b'q'));
    let slow = begun.pop().expect("one");
    slow.send(Ok(b's')).expect("waited for");
    assert_eq!(next(&mut acceptor), Some(b's'));
}

#[test]
fn none_is_accepted_while_all_places_are_taken() {
    let (mut acceptor, asked, hand) = by_hand(|_| ());
    for _ in 0..10 {
        assert_eq!(next(&mut acceptor), None);
    }
    assert_eq!(asked.load(Ordering::Relaxed), 2, "the others wait outside");
    let mut begun = hand.begun();
    begun.pop().expect("two").send(Ok(1)).expect("waited for");
    assert_eq!(next(&mut acceptor), Some(1));
    assert_eq!(next(&mut acceptor), None);
    assert_eq!(asked.load(Ordering::Relaxed), 3);
    assert_eq!(hand.begun().len(), 1);
}

#[test]
fn one_that_cannot_be_prepared_costs_only_itself() {
    let (mut acceptor, _, hand) = by_hand(|_| ());
    assert_eq!(next(&mut acceptor), None);
    let mut begun = hand.begun();
    let good = begun.pop().expect("two");
    let bad = begun.pop().expect("one");
    bad.send(Err(io::ErrorKind::InvalidData.into()))
        .expect("waited for");
    assert_eq!(next(&mut acceptor), None);
    assert_eq!(acceptor.unprepared, 1);
    let later = hand.begun();
    assert_eq!(later.len(), 1, "its place is taken again");
    good.send(Ok(7)).expect("waited for");
    assert_eq!(next(&mut acceptor), Some(7));
}

#[test]
fn one_that_is_never_ready_is_closed_when_its_time_is_over() {
    let (mut acceptor, _, hand) = by_hand(|settings| settings.prepare_timeout = Duration::ZERO);
    let mut never = Vec::new();
    // Their time is over at the next look, and others take their places until the turn is.
    assert_eq!(next(&mut acceptor), None);
    never.extend(hand.begun());
    assert!(never.len() > 2, "{}", never.len());
    assert!(never[0].is_canceled(), "it is still waited for");
    assert!(acceptor.unprepared >= 1);
    assert!(acceptor.given_up.len() <= 2 && acceptor.preparing.len() <= 2);
}

#[test]
fn what_is_being_prepared_goes_with_the_listener() {
    let (mut acceptor, _, hand) = by_hand(|_| ());
    assert_eq!(next(&mut acceptor), None);
    drop(acceptor);
    assert!(hand.begun().iter().all(oneshot::Sender::is_canceled));
}
