//! The machines under any sequence of inputs, verbs and times.

#[path = "support/ops/mod.rs"]
mod ops;

use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_host_never_panics_and_always_ends(seed: u8, list in vec(any::<ops::Op>(), 0..60)) {
        ops::host(seed, &list);
    }

    #[test]
    fn a_plugin_never_panics_and_always_ends(seed: u8, list in vec(any::<ops::Op>(), 0..60)) {
        ops::plugin(seed, &list);
    }

    #[test]
    fn a_broker_never_panics_and_ends_every_dial(seed: u8, list in vec(any::<ops::Op>(), 0..60)) {
        ops::broker(seed, &list);
    }

    #[test]
    fn a_supervisor_never_panics_and_ends_in_order(seed: u8, list in vec(any::<ops::Op>(), 0..80)) {
        ops::supervisor(seed, &list);
    }
}
