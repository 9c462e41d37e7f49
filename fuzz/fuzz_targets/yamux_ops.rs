//! Two yamux machines joined by queues of bytes, under any operations and at any times: what is written
//! arrives in order or there is a clear end, nobody who waits is forgotten, and nothing is kept.
#![no_main]

#[path = "../../crates/yamux/tests/support/model.rs"]
#[allow(unreachable_pub, clippy::unwrap_used)]
mod model;

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use model::{Model, Op};

impl Arbitrary<'_> for Op {
    fn arbitrary(input: &mut Unstructured<'_>) -> arbitrary::Result<Self> {
        Ok(match input.int_in_range(0..=8)? {
            0 => Self::Open,
            1 => Self::Accept,
            2 => Self::Write {
                at: input.arbitrary()?,
                len: input.int_in_range(0..=600_000)?,
                straight: input.arbitrary()?,
            },
            3 => Self::Read {
                at: input.arbitrary()?,
                len: input.int_in_range(0..=90_000)?,
            },
            4 => Self::Finish(input.arbitrary()?),
            5 => Self::Release(input.arbitrary()?),
            6 => Self::Transmit(input.arbitrary()?),
            7 => Self::Deliver(input.arbitrary()?),
            _ => Self::Wait(input.arbitrary()?),
        })
    }
}

fuzz_target!(|ops: Vec<(bool, Op)>| {
    let mut model = Model::new();
    // A few hundred are enough to move megabytes.
    for (second, op) in ops.into_iter().take(300) {
        model.step(second, op);
    }
    model.rest();
});
