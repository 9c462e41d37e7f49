//! Steps in any order, and the transitions one by one.

use proptest::prelude::*;

use super::*;

/// Whatever can happen to a stream, in the words of the two sides.
#[derive(Clone, Copy, Debug)]
enum Step {
    Finish,
    Heading,
    Opened,
    LastSent,
    Cancel,
    CancelSent,
    Deafen,
    Headers,
    Message,
    End,
}

fn step() -> impl Strategy<Value = Step> {
    prop::sample::select(vec![
        Step::Finish,
        Step::Heading,
        Step::Opened,
        Step::LastSent,
        Step::Cancel,
        Step::CancelSent,
        Step::Deafen,
        Step::Headers,
        Step::Message,
        Step::End,
    ])
}

/// Does a step as the machine would: the peer's last frame is checked like its others, and this
/// side cancels its own calls alone. What the peer's frame is, if it is wrong.
fn apply(state: &mut State, step: Step, is_opener: bool) -> Result<(), Invalid> {
    match step {
        Step::Finish => {
            state.finish();
        }
        Step::Heading => state.heading(),
        Step::Opened => state.opened(),
        Step::LastSent => state.last_sent(),
        Step::Cancel if is_opener => {
            state.cancel();
        }
        Step::CancelSent => {
            state.cancel_sent();
        }
        Step::Cancel | Step::Deafen => state.deafen(),
        Step::Headers => return state.headers_came(),
        Step::Message => return state.message_came(),
        Step::End => {
            state.check_receiving()?;
            state.end_came();
        }
    }
    Ok(())
}

fn new(is_opener: bool, finished: bool) -> State {
    if is_opener {
        State::opener(finished)
    } else {
        State::acceptor()
    }
}

/// How far a half is: it never goes back.
fn progress(state: State) -> (u8, Receiving, bool) {
    let sending = match state.sending {
        Sending::Unopened { finished: false } => 0,
        Sending::Unopened { finished: true } => 1,
        Sending::Heading { finished: false } => 2,
        Sending::Heading { finished: true } => 3,
        Sending::Open => 4,
        Sending::Finishing => 5,
        // Back to `Sent` is the one step between these that is taken both ways.
        Sending::Cancelling(Abandoned::Ended) | Sending::Sent => 7,
        Sending::Cancelling(_) => 6,
        Sending::Cancelled => 8,
    };
    (sending, state.receiving, state.is_deaf())
}

proptest! {
    /// In any order of events: no half goes back, a frame that has no place changes nothing,
    /// `CANCEL` is sent once and never to a peer that has ended after this side did, and what is
    /// over stays over.
    #[test]
    fn every_step_goes_forward(
        is_opener in any::<bool>(),
        finished in any::<bool>(),
        steps in prop::collection::vec(step(), 0..40),
    ) {
        let mut state = new(is_opener, finished);
        let mut cancels = 0;
        for step in steps {
            let before = state;
            let result = apply(&mut state, step, is_opener);
            let (sending, receiving, deaf) = progress(state);
            let (sending_before, receiving_before, deaf_before) = progress(before);
            prop_assert!(sending >= sending_before);
            prop_assert!(receiving >= receiving_before && deaf >= deaf_before);
            if result.is_err() {
                prop_assert_eq!(state, before);
            }
            if matches!(step, Step::CancelSent) && state != before {
                cancels += 1;
                prop_assert!(!matches!(before.sending, Sending::Sent));
            }
            if before.is_over() {
                prop_assert!(state.is_over());
            }
            prop_assert!(!(state.takes_messages() && state.is_finishing()));
            prop_assert!(!(state.is_sent() && state.is_opening()));
            if !is_opener {
                prop_assert!(!state.is_opening());
                prop_assert!(!matches!(state.sending, Sending::Cancelling(_) | Sending::Cancelled));
            }
        }
        prop_assert!(cancels <= 1);
    }

    /// From wherever a stream is, it comes to its end if both sides do what they owe.
    #[test]
    fn every_stream_can_end(
        is_opener in any::<bool>(),
        finished in any::<bool>(),
        gives_up in any::<bool>(),
        steps in prop::collection::vec(step(), 0..40),
    ) {
        let mut state = new(is_opener, finished);
        for step in steps {
            let _ = apply(&mut state, step, is_opener);
        }
        // This side: cancels, or sends what it has to.
        if is_opener && gives_up {
            state.cancel();
        }
        state.opened();
        state.finish();
        state.last_sent();
        state.cancel_sent();
        prop_assert!(state.is_sent());
        // The peer: ends, unless it has or was never told of the call.
        if state.check_receiving().is_ok() {
            state.end_came();
        }
        prop_assert!(state.is_over());
    }
}

#[test]
fn frames_without_a_place_are_told_apart() {
    let mut state = State::opener(true);
    assert_eq!(state.message_came(), Err(Invalid::NotOpen));
    state.heading();
    assert_eq!(state.headers_came(), Err(Invalid::NotOpen));
    state.opened();
    assert_eq!(state.headers_came(), Ok(()));
    assert_eq!(state.headers_came(), Err(Invalid::LateHeaders));
    assert_eq!(state.message_came(), Ok(()));
    assert_eq!(state.message_came(), Ok(()));
    assert_eq!(state.headers_came(), Err(Invalid::LateHeaders));
    state.end_came();
    assert_eq!(state.headers_came(), Err(Invalid::AfterEnd));
    assert_eq!(state.message_came(), Err(Invalid::AfterEnd));
}

#[test]
fn a_call_that_was_given_up_tells_whom_it_must() {
    // Nobody has heard of it.
    let mut state = State::opener(false);
    assert_eq!(state.cancel(), Notice::None);
    assert!(state.is_over());
    // Parts of its head have left: the peer drops them and says nothing.
    let mut state = State::opener(false);
    state.heading();
    assert_eq!(state.cancel(), Notice::Due);
    assert_eq!(state.message_came(), Err(Invalid::NotOpen));
    assert!(state.cancel_sent() && state.is_over());
    // Messages may have left: `CANCEL` is their end, whether or not the peer has ended.
    for peer_ended in [false, true] {
        let mut state = State::opener(false);
        state.opened();
        if peer_ended {
            state.end_came();
        }
        assert_eq!(state.cancel(), Notice::Due);
        assert_eq!(state.cancel(), Notice::None, "once");
        assert!(state.cancel_sent() && !state.cancel_sent());
        assert_eq!(state.is_over(), peer_ended);
    }
    // All has left: the peer is told while it works on the answer, and only then.
    let mut state = State::opener(true);
    state.opened();
    state.last_sent();
    assert_eq!(state.cancel(), Notice::Due);
    state.end_came();
    assert!(!state.cancel_sent() && state.is_over());
    assert_eq!(state.cancel(), Notice::None);
}
