//! Calls that wait until they are let go, by name.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use outboard_core::told::{Teller, Told};

#[derive(Default)]
struct Hold {
    begun: Teller<()>,
    let_go: Teller<()>,
}

static HOLDS: Mutex<BTreeMap<String, Arc<Hold>>> = Mutex::new(BTreeMap::new());

fn of(name: &str) -> Arc<Hold> {
    let mut holds = HOLDS.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(holds.entry(name.to_owned()).or_default())
}

/// Waits to be let go.
pub(super) fn wait(name: &str) -> Told<()> {
    let hold = of(name);
    hold.begun.tell(());
    hold.let_go.told()
}

/// Waits until somebody waits.
pub(super) fn begun(name: &str) -> Told<()> {
    of(name).begun.told()
}

/// Those who wait under this name go on.
pub(super) fn let_go(name: &str) {
    of(name).let_go.tell(());
}
