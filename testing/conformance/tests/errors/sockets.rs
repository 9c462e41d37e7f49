//! Samples of what is told of sockets and who connects to them.

use std::collections::BTreeMap;

use outboard_core::admission::{Admission, Allowed, Credentials};

use crate::samples::{Sample, put};

pub(super) fn sockets(all: &mut BTreeMap<&'static str, Vec<Sample>>) {
    let admission = Admission::new(Allowed::default()).given_to(Some(77));
    let mut peer = Credentials::new(54_321, 54_321);
    peer.groups = Some(Vec::new());
    let stranger = admission.check(1000, &peer).expect_err("a stranger");
    put(all, "Stranger", [stranger]);
}
