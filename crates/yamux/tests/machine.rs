//! Two machines under any operations, interleaved and cut in any way.

#[path = "support/model.rs"]
#[allow(unreachable_pub, reason = "the fuzz targets use it as well")]
mod model;

use proptest::prelude::*;

use self::model::{Model, Op};

fn op() -> impl Strategy<Value = (bool, Op)> {
    let len = || prop_oneof![4 => 0..300u32, 2 => 0..70_000u32, 1 => 200_000..600_000u32];
    let op = prop_oneof![
        3 => Just(Op::Open),
        3 => Just(Op::Accept),
        8 => (any::<u8>(), len(), prop_oneof![Just(0), any::<u16>()])
            .prop_map(|(at, len, straight)| Op::Write { at, len, straight }),
        8 => (any::<u8>(), len()).prop_map(|(at, len)| Op::Read { at, len }),
        1 => any::<u8>().prop_map(Op::Finish),
        1 => any::<u8>().prop_map(Op::Release),
        6 => prop_oneof![0..40u16, any::<u16>()].prop_map(Op::Transmit),
        6 => prop_oneof![0..40u16, any::<u16>()].prop_map(Op::Deliver),
    ];
    (any::<bool>(), op)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Every byte arrives in order, or there is a clear end; and once both sides write and read on,
    /// nobody waits for ever and nothing is kept.
    #[test]
    fn all_arrives_or_ends(ops in prop::collection::vec(op(), 0..150)) {
        let mut model = Model::new();
        for (second, op) in ops {
            model.step(second, op);
        }
        model.rest();
    }

    /// The same when time passes, which may end a session.
    #[test]
    fn time_ends_it_clearly(
        ops in prop::collection::vec((op(), prop::option::weighted(0.1, any::<u16>())), 0..100),
    ) {
        let mut model = Model::new();
        for ((second, op), wait) in ops {
            model.step(second, op);
            if let Some(millis) = wait {
                model.step(second, Op::Wait(millis));
            }
        }
        model.rest();
    }
}

/// Both sides write much more than their windows on every stream before either reads.
#[test]
fn two_that_write_at_once_do_not_lock_up() {
    for streams in [1, 4, 8] {
        let mut model = Model::new();
        for second in [false, true] {
            for _ in 0..streams / 2 + streams % 2 {
                model.step(second, Op::Open);
                model.step(second, Op::Transmit(u16::MAX));
                model.step(second, Op::Deliver(u16::MAX));
                model.step(!second, Op::Accept);
                model.step(!second, Op::Transmit(u16::MAX));
                model.step(!second, Op::Deliver(u16::MAX));
            }
        }
        for _ in 0..40 {
            for second in [false, true] {
                for at in 0..streams {
                    let len = 100_000;
                    model.step(
                        second,
                        Op::Write {
                            at,
                            len,
                            straight: 1_000,
                        },
                    );
                }
                model.step(second, Op::Transmit(u16::MAX));
                model.step(second, Op::Deliver(u16::MAX));
            }
        }
        model.rest();
    }
}
