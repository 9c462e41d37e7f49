//! A stable connection around those of processes that come one after another.

use super::*;

/// The connection of a process, whose own inside is this one.
fn process(inside: &Arc<Fake>) -> Arc<Stable> {
    stable(inside)
}

fn of_processes(patience: Duration) -> Arc<Stable> {
    let runtime = Arc::new(Still::default()) as SharedRuntime;
    Stable::of_processes(&runtime, patience)
}

fn admit(stable: &Stable, process: &Arc<Stable>) {
    stable.replace(Arc::clone(process) as Arc<dyn Connection>);
}

#[test]
fn what_an_ended_process_has_not_begun_with_moves_to_the_next() {
    let stable = of_processes(Duration::MAX);
    let mut early = unary(&stable, "/0");
    assert_eq!(now(&mut early), None, "there is no process yet");
    let inside = Fake::new("one", [Next::Answered, Next::Cut]);
    let one = process(&inside);
    admit(&stable, &one);
    assert_eq!(now(&mut early), Some(Ok("one".into())));
    // In flight when it ends.
    assert_eq!(now(&mut unary(&stable, "/1")), Some(Err(cut())));
    // Its connection is lost, and nobody knows yet that the process has ended.
    one.interrupt();
    let mut waiting = unary(&stable, "/2");
    assert_eq!(now(&mut waiting), None);
    one.settle_with(Status::connection_lost("it has ended"));
    assert_eq!(now(&mut waiting), None, "for the next process");
    let mut late = unary(&stable, "/3");
    let mut streaming = open(&stable, "/4");
    assert!(now(&mut late).is_none() && message(&mut streaming).is_none());
    let next = Fake::new("two", []);
    admit(&stable, &process(&next));
    assert_eq!(now(&mut waiting), Some(Ok("two".into())));
    assert_eq!(now(&mut late), Some(Ok("two".into())));
    assert_eq!(
        message(&mut streaming),
        Some(Ok(Bytes::from_static(b"two")))
    );
    assert_eq!(inside.made(), ["/0", "/1"]);
    assert_eq!(next.made(), ["/4", "/2", "/3"]);
}

#[test]
fn what_is_replaced_is_left_alone() {
    let stable = of_processes(Duration::MAX);
    let inside = Fake::new("it", []);
    // Its process has it, too.
    let one = process(&inside);
    admit(&stable, &one);
    stable.hold();
    assert_eq!(now(&mut unary(&stable, "/1")), None);
    admit(&stable, &process(&Fake::new("next", [])));
    assert_eq!(inside.ended(), Vec::<String>::new());
    drop(one);
}

#[test]
fn what_is_replaced_is_held_by_its_calls_alone() {
    let stable = of_processes(Duration::MAX);
    let inside = Fake::new("one", []);
    let seen = Arc::downgrade(&inside);
    stable.replace(inside);
    let mut first = unary(&stable, "/1");
    let second = unary(&stable, "/2");
    stable.replace(Fake::new("two", []));
    assert_eq!(now(&mut unary(&stable, "/3")), Some(Ok("two".into())));
    assert!(seen.upgrade().is_some(), "two calls have it");
    assert_eq!(now(&mut first), Some(Ok("one".into())));
    assert!(seen.upgrade().is_some(), "one has it");
    drop(second);
    assert!(seen.upgrade().is_none());
}

#[test]
fn a_call_waits_no_longer_than_all_do_and_is_told_so() {
    let stable = of_processes(Duration::ZERO);
    for number in 0..2 {
        let status = match number {
            0 => now(&mut unary(&stable, "/1")).map(Result::unwrap_err),
            _ => message(&mut open(&stable, "/2")).map(Result::unwrap_err),
        };
        let status = status.expect("it is late");
        assert_eq!(status.code(), Code::Unavailable);
        assert!(status.is_unsent() && status.is_connection_lost());
        assert!(status.message().contains("Supervision::waiting"));
    }
    let mut head = CallHead::new("/1");
    head.timeout = Some(Duration::ZERO);
    let mut call = stable.unary(head, OutMessage::default());
    let late = now(&mut call).expect("it is late").expect_err("it fails");
    assert_eq!(late.code(), Code::DeadlineExceeded, "its own limit");
    // One that does not wait has no limit.
    admit(&stable, &process(&Fake::new("it", [])));
    assert_eq!(now(&mut unary(&stable, "/3")), Some(Ok("it".into())));
}

#[test]
fn calls_that_fail_for_now_wait_again_once_they_are_held() {
    let stable = of_processes(Duration::MAX);
    stable.fail(cut());
    assert_eq!(now(&mut unary(&stable, "/1")), Some(Err(cut().unsent())));
    stable.hold();
    let mut call = unary(&stable, "/2");
    assert_eq!(now(&mut call), None);
    admit(&stable, &process(&Fake::new("it", [])));
    assert_eq!(now(&mut call), Some(Ok("it".into())));
}

#[test]
fn it_is_held_only_where_nobody_uses_it() {
    let stable = of_processes(Duration::MAX);
    assert!(!stable.hold_if(|| true), "it is held");
    admit(&stable, &process(&Fake::new("it", [])));
    assert!(!stable.hold_if(|| false));
    assert_eq!(now(&mut unary(&stable, "/1")), Some(Ok("it".into())));
    assert!(stable.hold_if(|| true));
    assert_eq!(now(&mut unary(&stable, "/2")), None);
}

#[test]
fn a_streaming_call_that_finds_a_lost_connection_waits_for_what_comes_of_that() {
    let stable = of_processes(Duration::MAX);
    let inside = Fake::new("one", []);
    let one = process(&inside);
    admit(&stable, &one);
    one.interrupt();
    // The connection comes back.
    let mut call = open(&stable, "/1");
    assert_eq!(message(&mut call), None);
    one.replace(Fake::new("again", []));
    assert_eq!(message(&mut call), Some(Ok(Bytes::from_static(b"again"))));
    // The process has ended.
    one.interrupt();
    let mut polled = open(&stable, "/2");
    assert_eq!(message(&mut polled), None);
    let mut not_polled = open(&stable, "/3");
    one.settle_with(Status::connection_lost("it has ended"));
    assert_eq!(message(&mut polled), None, "for the next process");
    let next = Fake::new("two", []);
    admit(&stable, &process(&next));
    let two = Some(Ok(Bytes::from_static(b"two")));
    assert_eq!(message(&mut polled), two);
    assert_eq!(next.made(), ["/2", "/3"], "also what nobody polls");
    assert_eq!(message(&mut not_polled), two);
    // There is no other.
    let last = process(&Fake::new("last", []));
    admit(&stable, &last);
    last.interrupt();
    let mut late = open(&stable, "/4");
    stable.fail(cut());
    assert_eq!(message(&mut late), None, "its connection may come back");
    last.settle_with(Status::connection_lost("it has ended"));
    assert_eq!(message(&mut late), Some(Err(cut().unsent())));
}

#[test]
fn a_streaming_call_that_has_waited_holds_its_process_until_its_end() {
    let stable = of_processes(Duration::MAX);
    let one = process(&Fake::new("one", []));
    let seen = Arc::downgrade(&one);
    admit(&stable, &one);
    one.interrupt();
    let call = open(&stable, "/1");
    one.replace(Fake::new("again", []));
    drop(one);
    stable.replace(Fake::new("two", []));
    assert!(seen.upgrade().is_some(), "a call has it");
    drop(call);
    assert!(seen.upgrade().is_none());
}
