//! What tells that nothing of a plugin that was started runs any more.

use std::sync::Arc;

use outboard_core::told::{Teller, Told};

/// What the driver of a start has until nothing of its plugin runs any more.
#[derive(Clone)]
pub(super) struct Lease(#[expect(dead_code, reason = "its drop tells")] Arc<Teller<()>>);

impl Lease {
    /// With it comes what resolves once the last clone is gone.
    pub(super) fn new() -> (Self, Told<()>) {
        let teller = Teller::new();
        let over = teller.told();
        (Self(Arc::new(teller)), over)
    }
}
