//! Samples of the errors of supervised plugins: one that is not up, and one that is not replaced.

use std::collections::BTreeMap;
use std::time::Instant;

use outboard::supervisor::{NotUp, Supervision, Swap, SwapError, SwapRefusal};
use outboard_core::supervisor::{Supervisor, SupervisorAction, SupervisorInput};

use super::samples::{Sample, put};

pub(super) fn samples(all: &mut BTreeMap<&'static str, Vec<Sample>>) {
    let failed = |lasting| {
        let mut machine = Supervisor::new(Supervision::new().budget(0, Default::default()), 1);
        let now = Instant::now();
        machine.handle(now, SupervisorInput::Placed { generation: 1 });
        machine.handle(
            now,
            SupervisorInput::StartFailed {
                generation: 1,
                text: "plugin greeter: no luck".into(),
                lasting,
            },
        );
        NotUp::new("greeter", machine.state())
    };
    let [looping, over] = [false, true].map(failed);
    assert!(
        looping.to_string().contains("Supervised::start"),
        "{looping}"
    );
    assert!(over.to_string().contains("did not start"), "{over}");
    put(all, "NotUp", [looping, over]);
    put(all, "SwapError", swaps());
}

/// A swap that fails beside a plugin that is being started itself, one that is refused, and one that nobody
/// answers.
fn swaps() -> [SwapError; 3] {
    let mut machine = Supervisor::new(Supervision::new(), 1);
    let now = Instant::now();
    machine
        .swap(now, Swap::beside())
        .expect("nothing is in the way");
    machine.handle(now, SupervisorInput::Placed { generation: 2 });
    machine.handle(
        now,
        SupervisorInput::StartFailed {
            generation: 2,
            text: "plugin greeter: no luck".into(),
            lasting: false,
        },
    );
    let failure = std::iter::from_fn(|| machine.poll_action()).find_map(|action| match action {
        SupervisorAction::SwapOver { outcome, .. } => outcome.err(),
        _ => None,
    });
    let failed = SwapError::failed("greeter", failure.expect("it failed"));
    let text = failed.to_string();
    assert!(
        text.contains("the new program did not start: plugin greeter: no luck"),
        "{text}"
    );
    let refused = SwapError::refused("greeter", SwapRefusal::Swapping);
    [failed, refused, SwapError::runtime_gone("greeter")]
}
