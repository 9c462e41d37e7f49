//! Any bytes as a `traceparent` and as a `tracestate`, and what is read of them written again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use outboard_core::rpc::Metadata;
use outboard_core::trace::{MAX_STATE_MEMBERS, TRACEPARENT, TRACESTATE, TraceContext, TraceState, pass_on};

fuzz_target!(|input: (Vec<u8>, Vec<String>)| {
    let (parent, states) = input;
    let parsed = TraceContext::parse(&parent);
    if let Ok(context) = &parsed {
        let again = TraceContext::parse(context.to_string().as_bytes());
        assert_eq!(again.as_ref(), Ok(context));
        // Nothing but the version, the flags and what follows them is read otherwise than it is written.
        assert_eq!(&parent[3..52], &context.to_string().as_bytes()[3..52]);
    }
    let mut metadata = Metadata::new();
    if let Ok(parent) = std::str::from_utf8(&parent) {
        let _ = metadata.insert(TRACEPARENT, parent);
    }
    for state in &states {
        let _ = metadata.insert(TRACESTATE, state);
        if let Ok(state) = TraceState::parse([state.as_str()]) {
            assert!(state.iter().count() <= MAX_STATE_MEMBERS);
            assert_eq!(TraceState::parse([state.as_str()]), Ok(state.clone()));
            let with = state.with("own", "1").expect("valid");
            assert_eq!(with.iter().next(), Some(("own", "1")));
            assert!(with.iter().count() <= MAX_STATE_MEMBERS);
        }
    }
    let mut call = Metadata::new();
    pass_on(&metadata, &mut call);
    assert!(call.size() <= metadata.size());
    if let Some(context) = TraceContext::of(&metadata) {
        assert_eq!(TraceContext::of(&call).as_ref(), Some(&context));
        context.put_into(&mut call);
        assert_eq!(TraceContext::of(&call), Some(context));
    }
});
