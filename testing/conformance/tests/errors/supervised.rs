//! Samples of the error of a supervised plugin that is not up.

use std::collections::BTreeMap;
use std::time::Instant;

use outboard::supervisor::{NotUp, Supervision};
use outboard_core::supervisor::{Supervisor, SupervisorInput};

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
}
