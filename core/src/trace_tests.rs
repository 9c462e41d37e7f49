use proptest::prelude::*;

use super::*;

/// Of the standard's examples.
const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn parse(text: &str) -> Result<TraceContext, TraceParentError> {
    TraceContext::parse(text.as_bytes())
}

fn metadata(entries: &[(&'static str, &str)]) -> Metadata {
    let mut metadata = Metadata::new();
    for (name, value) in entries {
        metadata.insert(*name, value).expect("valid");
    }
    metadata
}

#[test]
fn what_the_standard_shows_is_read() {
    let context = parse(VALID).expect("it is valid");
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    assert_eq!(context.trace_id().to_string(), trace);
    assert_eq!(
        context.span_id().to_bytes(),
        [0, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]
    );
    assert!(context.is_sampled() && !context.is_random());
    assert_eq!(context.to_string(), VALID);
    let unsampled = parse(&VALID.replace("-01", "-00")).expect("it is valid");
    assert!(!unsampled.is_sampled());
    assert_eq!(unsampled.clone().sampled(true), context);
    assert_eq!(context.sampled(false), unsampled);
    let random = parse(&VALID.replace("-01", "-03")).expect("it is valid");
    assert!(random.is_sampled() && random.is_random());
    assert_eq!(random.random(false).to_string(), VALID);
}

#[test]
fn flags_that_nobody_knows_are_not_passed_on() {
    let context = parse(&VALID.replace("-01", "-fd")).expect("it is valid");
    assert_eq!(context.to_string(), VALID);
}

#[test]
fn each_part_that_is_wrong_is_named() {
    let replaced = |from: &str, to: &str| parse(&VALID.replacen(from, to, 1));
    for version in ["", "0", "0x-", "00", "00_", "ff-", "FF-", "0G-", "-00"] {
        let found = replaced("00-", version);
        assert_eq!(found, Err(TraceParentError::Version), "{version:?}");
    }
    for (text, found) in [
        (VALID[..54].to_owned(), 54),
        (format!("{VALID}-"), 56),
        (format!("{VALID}-00"), 58),
        (format!("{VALID}0"), 56),
        (VALID.replace("00-4", "cc-4") + "0", 56),
        ("cc-".to_owned(), 3),
    ] {
        assert_eq!(
            parse(&text),
            Err(TraceParentError::Length { found }),
            "{text}"
        );
    }
    let zeros = "0".repeat(32);
    for trace in [
        zeros.as_str(),
        "4bf92f3577b34da6a3ce929d0e0e473G",
        "4BF92f3577b34da6a3ce929d0e0e4736",
    ] {
        let found = replaced("4bf92f3577b34da6a3ce929d0e0e4736", trace);
        assert_eq!(found, Err(TraceParentError::TraceId), "{trace}");
    }
    assert_eq!(replaced("36-", "36_"), Err(TraceParentError::TraceId));
    for span in ["0000000000000000", "00f067aa0ba902bX", "00F067aa0ba902b7"] {
        let found = replaced("00f067aa0ba902b7", span);
        assert_eq!(found, Err(TraceParentError::SpanId), "{span}");
    }
    assert_eq!(replaced("b7-", "b7_"), Err(TraceParentError::SpanId));
    for flags in ["0G", "0A", "  "] {
        let found = parse(&VALID.replace("-01", &format!("-{flags}")));
        assert_eq!(found, Err(TraceParentError::Flags), "{flags}");
    }
}

#[test]
fn later_versions_are_read_as_far_as_they_are_known() {
    for text in [
        VALID.replacen("00", "cc", 1),
        VALID.replacen("00", "01", 1) + "-what-the-future-will-be-like",
        VALID.replacen("00", "fe", 1) + "-",
    ] {
        let context = parse(&text).expect("a later version");
        assert_eq!(
            context.to_string(),
            VALID,
            "told in the version that is known"
        );
    }
    let flags = VALID.replacen("00", "01", 1).replace("-01", "-ff");
    assert_eq!(parse(&flags).expect("a later version").to_string(), VALID);
}

#[test]
fn several_parents_are_none() {
    assert_eq!(TraceContext::of(&Metadata::new()), None);
    assert!(TraceContext::of(&metadata(&[("traceparent", VALID)])).is_some());
    let two = metadata(&[("traceparent", VALID), ("traceparent", VALID)]);
    assert_eq!(TraceContext::of(&two), None);
}

#[test]
fn a_state_is_combined_and_one_that_is_none_costs_no_trace() {
    let with = |states: &[&str]| {
        let mut all = metadata(&[("traceparent", VALID)]);
        for state in states {
            all.insert("tracestate", state).expect("valid");
        }
        TraceContext::of(&all)
            .expect("there is a parent")
            .state()
            .clone()
    };
    let combined = with(&[
        "rojo=00f067aa0ba902b7",
        "",
        " congo=t61rcWkgMzE ,,  x@y=1 2",
    ]);
    assert_eq!(
        combined.as_str(),
        "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE,x@y=1 2"
    );
    assert_eq!(combined.get("congo"), Some("t61rcWkgMzE"));
    assert_eq!(with(&["a=1,b=2,a=3"]).as_str(), "a=1,b=2");
    for bad in [
        "a", "a=1,b", "A=1", "_a=1", "=1", "a=", "a=b=c", "a =1", "ä=1",
    ] {
        if let Ok(state) = TraceState::parse([bad]) {
            panic!("{bad:?}: {state:?}");
        }
    }
    assert!(with(&["a=1,B=2"]).is_empty());
    let long = |key: usize, value: usize| format!("{}={}", "k".repeat(key), "v".repeat(value));
    assert!(TraceState::parse([long(256, 256).as_str()]).is_ok());
    assert_eq!(
        TraceState::parse([long(257, 1).as_str()]),
        Err(TraceStateError::Key)
    );
    assert_eq!(
        TraceState::parse([long(1, 257).as_str()]),
        Err(TraceStateError::Value)
    );
    let many = |count: usize| {
        (0..count)
            .map(|i| format!("k{i}=v"))
            .collect::<Vec<_>>()
            .join(",")
    };
    assert_eq!(with(&[&many(32)]).iter().count(), 32);
    assert_eq!(
        TraceState::parse([many(33).as_str()]),
        Err(TraceStateError::Members)
    );
}

#[test]
fn a_member_is_put_first_and_the_last_makes_room() {
    let state = TraceState::parse(["a=1,b=2,c=3"]).expect("valid");
    assert_eq!(state.with("b", "4").expect("valid").as_str(), "b=4,a=1,c=3");
    assert_eq!(state.with("b", ""), Err(TraceStateError::Value));
    assert_eq!(state.with("", "1"), Err(TraceStateError::Key));
    let mut state = TraceState::new();
    for number in 0..40 {
        state = state.with(&format!("k{number}"), "v").expect("valid");
    }
    let keys: Vec<_> = state.iter().map(|(key, _)| key.to_owned()).collect();
    let expected: Vec<_> = (8..40).rev().map(|number| format!("k{number}")).collect();
    assert_eq!(keys, expected);
}

#[test]
fn it_replaces_what_is_there() {
    let mut all = metadata(&[
        ("traceparent", "junk"),
        ("tenant", "acme"),
        ("tracestate", "a=1"),
        ("tracestate", "b=2"),
    ]);
    parse(VALID).expect("valid").put_into(&mut all);
    assert_eq!(all, metadata(&[("tenant", "acme"), ("traceparent", VALID)]));
}

#[test]
fn what_is_passed_on_stays_as_it_is_and_what_is_said_wins() {
    let later = "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff-and-more";
    let caller = metadata(&[
        ("tracestate", "a=1"),
        ("x", "y"),
        ("traceparent", later),
        ("tracestate", "b=2"),
    ]);
    let mut call = metadata(&[("tenant", "acme"), ("tracestate", "of nobody")]);
    pass_on(&caller, &mut call);
    let expected = metadata(&[
        ("tenant", "acme"),
        ("tracestate", "a=1"),
        ("traceparent", later),
        ("tracestate", "b=2"),
    ]);
    assert_eq!(call, expected);
    let mut own = metadata(&[("traceparent", VALID)]);
    pass_on(&caller, &mut own);
    assert_eq!(own, metadata(&[("traceparent", VALID)]));
    let mut nothing = metadata(&[("tracestate", "stays=1")]);
    pass_on(&metadata(&[("tracestate", "a=1")]), &mut nothing);
    assert_eq!(nothing, metadata(&[("tracestate", "stays=1")]));
}

#[test]
fn what_is_passed_on_is_bounded_whatever_the_caller_sends() {
    let passed = |caller: &[(&'static str, &str)]| {
        let mut call = Metadata::new();
        pass_on(&metadata(caller), &mut call);
        call
    };
    let parent = ("traceparent", VALID);
    assert!(passed(&[parent, parent]).is_empty(), "which one is it?");
    let (long, longer) = ("a".repeat(512), "a".repeat(513));
    assert_eq!(passed(&[("traceparent", &long)]).len(), 1);
    assert!(passed(&[("traceparent", &longer)]).is_empty());
    let part = "a".repeat(4095);
    let (a, b) = (("tracestate", part.as_str()), ("tracestate", ""));
    assert_eq!(passed(&[parent, a, a]).len(), 3);
    assert_eq!(passed(&[parent, a, a, b]), metadata(&[parent]));
    let many = vec![b; 9000];
    assert_eq!(
        passed(&[&[parent][..], &many].concat()),
        metadata(&[parent])
    );
}

fn any_context() -> impl Strategy<Value = TraceContext> {
    let members = prop::collection::vec(
        (
            "[a-z0-9][a-z0-9_*/@-]{0,20}",
            "[ -+\\--<>-~]{0,20}[!-+\\--<>-~]",
        ),
        0..40,
    );
    (
        any::<[u8; 16]>(),
        any::<[u8; 8]>(),
        any::<[bool; 2]>(),
        members,
    )
        .prop_filter_map(
            "ids that are none",
            |(trace, span, [sampled, random], members)| {
                let mut state = TraceState::new();
                for (key, value) in members {
                    state = state.with(&key, &value).expect("made to be valid");
                }
                let context = TraceContext::new(TraceId::new(trace)?, SpanId::new(span)?, sampled);
                Some(context.random(random).with_state(state))
            },
        )
}

proptest! {
    #[test]
    fn whatever_is_put_into_metadata_is_read_again(context in any_context()) {
        let mut metadata = Metadata::new();
        context.put_into(&mut metadata);
        prop_assert_eq!(TraceContext::of(&metadata), Some(context));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        if let Ok(context) = TraceContext::parse(&bytes) {
            prop_assert_eq!(TraceContext::parse(context.to_string().as_bytes()), Ok(context));
        }
    }

    #[test]
    fn a_byte_that_changes_is_read_as_it_is_or_refused(at in 0usize..55, byte in any::<u8>()) {
        let mut bytes = VALID.as_bytes().to_vec();
        bytes[at] = byte;
        if let Ok(context) = TraceContext::parse(&bytes) {
            let printed = context.to_string();
            // All but the version and the flags, of which not all are kept.
            prop_assert_eq!(&printed.as_bytes()[3..52], &bytes[3..52]);
        }
    }

    #[test]
    fn any_text_is_a_state_or_refused(text in "\\PC{0,60}", list in "[a-c]=[0-9 ,=]{0,6}") {
        for text in [text, list] {
            if let Ok(state) = TraceState::parse([text.as_str()]) {
                prop_assert_eq!(TraceState::parse([state.as_str()]), Ok(state));
            }
        }
    }
}
