use super::*;

const MS: Duration = Duration::from_millis(1);

fn drain(link: &mut Link) -> (Vec<LinkAction>, Vec<LinkEvent>) {
    let actions = std::iter::from_fn(|| link.poll_action()).collect();
    let events = std::iter::from_fn(|| link.poll_event()).collect();
    (actions, events)
}

/// Runs to the next timer, and gives how long that took.
fn wait(link: &mut Link, now: &mut Instant) -> Duration {
    let (at, _) = link.poll_timeout().expect("something is waited for");
    let waited = at - *now;
    *now = at;
    link.handle_timeout(*now);
    assert!(link.poll_timeout().is_none_or(|(at, _)| at > *now));
    waited
}

fn refused() -> LinkInput {
    LinkInput::ConnectFailed(Fault::other("refused"))
}

#[test]
fn a_peer_that_accepts_and_hangs_up_is_asked_so_often_and_no_more() {
    let mut now = Instant::now();
    let config = LinkConfig {
        brief: 3,
        ..LinkConfig::default()
    };
    let mut link = Link::new(config, now);
    let mut connections = 0;
    while !link.is_gone() {
        link.handle(now, LinkInput::Lost);
        if link.poll_timeout().is_some() && link.actions.is_empty() {
            wait(&mut link, &mut now);
        }
        if link.poll_action() == Some(LinkAction::Connect) {
            connections += 1;
            link.handle(now, LinkInput::Connected);
        }
    }
    assert_eq!(connections, 4);
    let (_, events) = drain(&mut link);
    let Some(LinkEvent::GaveUp { fault: Some(fault) }) = events.last() else {
        panic!("{events:?}");
    };
    assert!(fault.to_string().contains("at once"), "{fault}");
    // One that stays up for a while starts this over.
    link.revive(now);
    assert_eq!(link.poll_action(), Some(LinkAction::Connect));
    link.handle(now, LinkInput::Connected);
    now += Duration::from_secs(1);
    link.handle(now, LinkInput::Lost);
    assert_eq!(link.poll_action(), Some(LinkAction::Connect));
}

#[test]
fn the_first_try_comes_at_once_and_calls_go_on() {
    for input in [LinkInput::Lost, LinkInput::Retiring] {
        let mut now = Instant::now();
        let mut link = Link::new(LinkConfig::default(), now);
        now += Duration::from_secs(5);
        link.handle(now, input);
        assert!(!link.is_up());
        let expected = (vec![LinkAction::Connect], vec![LinkEvent::Interrupted]);
        assert_eq!(drain(&mut link), expected);
        // The one that was retiring ends meanwhile.
        link.handle(now, LinkInput::Lost);
        link.handle(now + MS, LinkInput::Connected);
        assert_eq!(link.poll_timeout(), None);
        assert_eq!(drain(&mut link), (vec![], vec![LinkEvent::Restored]));
        assert!(link.is_up());
        assert_eq!(link.poll_timeout(), None);
    }
}

#[test]
fn on_demand_it_is_made_again_once_it_is_wanted() {
    let mut now = Instant::now();
    let config = LinkConfig {
        on_demand: true,
        ..LinkConfig::default()
    };
    let mut link = Link::new(config, now);
    link.handle(now, LinkInput::Wanted);
    assert_eq!(drain(&mut link), (vec![], vec![]), "it is there");
    now += Duration::from_secs(5);
    link.handle(now, LinkInput::Lost);
    assert_eq!(drain(&mut link), (vec![], vec![LinkEvent::Interrupted]));
    assert!(link.is_resting() && !link.is_up());
    assert_eq!(link.poll_timeout(), None, "nobody is in a hurry");
    now += Duration::from_secs(3600);
    link.handle(now, LinkInput::Lost);
    link.handle(now, LinkInput::Connected);
    assert!(link.is_resting(), "news of what is over");
    link.handle(now, LinkInput::Wanted);
    link.handle(now, LinkInput::Wanted);
    assert_eq!(drain(&mut link), (vec![LinkAction::Connect], vec![]));
    let limit = link.poll_timeout().map(|(at, timer)| (at - now, timer));
    let expected = (Duration::from_secs(10), LinkTimer::Unreachable);
    assert_eq!(limit, Some(expected), "from now on");
    link.handle(now, LinkInput::Connected);
    assert_eq!(drain(&mut link), (vec![], vec![LinkEvent::Restored]));
    // One that was up only briefly is paused for, also if it is wanted at once.
    link.handle(now, LinkInput::Lost);
    link.handle(now, LinkInput::Wanted);
    assert_eq!(drain(&mut link), (vec![], vec![LinkEvent::Interrupted]));
    assert!(!wait(&mut link, &mut now).is_zero());
    assert_eq!(drain(&mut link), (vec![LinkAction::Connect], vec![]));
    let gone = Fault::other("gone");
    link.handle(now, LinkInput::Gone(gone.clone()));
    let gave_up = LinkEvent::GaveUp { fault: Some(gone) };
    assert_eq!(drain(&mut link), (vec![], vec![gave_up]));
}

#[test]
fn pauses_double_until_the_limit_ends_it_with_the_last_fault() {
    let mut now = Instant::now();
    let begin = now;
    let mut link = Link::new(LinkConfig::default(), now);
    link.handle(now, LinkInput::Lost);
    let mut pauses = Vec::new();
    while !link.is_gone() {
        let (actions, _) = drain(&mut link);
        assert_eq!(actions, [LinkAction::Connect]);
        link.handle(now, refused());
        pauses.push(wait(&mut link, &mut now));
    }
    let expected = [10, 20, 40, 80, 160, 320, 640, 1000].map(|ms| ms * MS);
    assert_eq!(pauses[..8], expected);
    assert!(pauses[8..pauses.len() - 1].iter().all(|p| *p == 1000 * MS));
    assert_eq!(now - begin, Duration::from_secs(10));
    let fault = Some(Fault::other("refused"));
    assert_eq!(
        drain(&mut link),
        (vec![], vec![LinkEvent::GaveUp { fault }])
    );
    assert_eq!(link.poll_timeout(), None);
    link.handle(now, LinkInput::Connected);
    assert!(link.is_gone(), "an answer that comes too late");
}

#[test]
fn an_attempt_without_an_answer_is_abandoned() {
    let mut now = Instant::now();
    let mut link = Link::new(LinkConfig::default(), now);
    link.handle(now, LinkInput::Lost);
    drain(&mut link);
    assert_eq!(wait(&mut link, &mut now), Duration::from_secs(10));
    let gave_up = LinkEvent::GaveUp { fault: None };
    assert_eq!(drain(&mut link), (vec![LinkAction::Abandon], vec![gave_up]));
}

#[test]
fn a_peer_that_hangs_up_again_and_again_is_not_asked_in_a_loop() {
    let mut now = Instant::now();
    let begin = now;
    let mut link = Link::new(LinkConfig::default(), now);
    let mut tries = 0;
    while now - begin < Duration::from_secs(60) {
        link.handle(now, LinkInput::Lost);
        if link
            .poll_timeout()
            .is_some_and(|(_, kind)| kind == LinkTimer::Reconnect)
        {
            wait(&mut link, &mut now);
        }
        assert_eq!(drain(&mut link).0, [LinkAction::Connect]);
        tries += 1;
        link.handle(now, LinkInput::Connected);
    }
    assert!(tries < 70, "{tries} in a minute");
    assert!(!link.is_gone(), "it was reached each time");
    // Once one has held, the next loss is answered at once.
    now += Duration::from_secs(1);
    link.handle(now, LinkInput::Lost);
    drain(&mut link);
    assert_eq!(
        link.poll_timeout().map(|(_, kind)| kind),
        Some(LinkTimer::Unreachable)
    );
}

#[test]
fn without_a_limit_of_time_it_is_given_up_at_once() {
    let now = Instant::now();
    let within = Duration::ZERO;
    let mut link = Link::new(
        LinkConfig {
            within,
            ..LinkConfig::default()
        },
        now,
    );
    link.handle(now, LinkInput::Lost);
    let gave_up = LinkEvent::GaveUp { fault: None };
    assert_eq!(
        drain(&mut link),
        (vec![], vec![LinkEvent::Interrupted, gave_up])
    );
    link.revive(now);
    assert_eq!(drain(&mut link), (vec![], vec![]));
}

#[test]
fn what_is_gone_for_good_is_given_up_at_once() {
    let mut now = Instant::now();
    let mut link = Link::new(LinkConfig::default(), now);
    link.handle(now, LinkInput::Lost);
    drain(&mut link);
    now += MS;
    let fault = Fault::other("its file is gone");
    link.handle(now, LinkInput::Gone(fault.clone()));
    let gave_up = LinkEvent::GaveUp { fault: Some(fault) };
    assert_eq!(drain(&mut link), (vec![], vec![gave_up]));
    assert_eq!((link.is_gone(), link.poll_timeout()), (true, None));
    // Too late, or never asked for.
    link.handle(now, LinkInput::Connected);
    assert_eq!(drain(&mut link), (vec![], vec![]));
    let mut up = Link::new(LinkConfig::default(), now);
    up.handle(now, LinkInput::Gone(Fault::other("who?")));
    assert!(up.is_up());
}

#[test]
fn what_was_given_up_can_be_tried_once_more() {
    let mut now = Instant::now();
    let mut link = Link::new(LinkConfig::default(), now);
    link.revive(now);
    assert_eq!(drain(&mut link), (vec![], vec![]), "it is up");
    link.handle(now, LinkInput::Lost);
    wait(&mut link, &mut now);
    assert!(link.is_gone());
    drain(&mut link);
    link.revive(now);
    assert_eq!(drain(&mut link).0, [LinkAction::Connect]);
    link.handle(now, LinkInput::Connected);
    assert!(link.is_up());
}
