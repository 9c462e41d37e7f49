//! Samples of what is told of sockets and who connects to them.

use std::collections::BTreeMap;

use outboard::UnfitListener;
use outboard_core::activation::ActivationError;
use outboard_core::admission::{Admission, Allowed, Credentials};

use outboard_core::endpoint::Endpoint;

use crate::samples::{Sample, put};

pub(super) fn sockets(all: &mut BTreeMap<&'static str, Vec<Sample>>) {
    let admission = Admission::new(Allowed::default()).given_to(Some(77));
    let mut peer = Credentials::new(54_321, 54_321);
    peer.groups = Some(Vec::new());
    let stranger = admission.check(1000, &peer).expect_err("a stranger");
    put(all, "Stranger", [stranger]);
    let unfit = [
        UnfitListener::NotAStream,
        UnfitListener::NotListening,
        UnfitListener::NoAddress,
        UnfitListener::Endpoint(Endpoint::unix("").expect_err("no path")),
        UnfitListener::System(std::io::Error::other("no luck today")),
    ];
    put(all, "UnfitListener", unfit);
    let activation = [
        ActivationError::NotANumber {
            variable: "LISTEN_FDS",
            found: "x".to_owned(),
        },
        ActivationError::Count { count: -1 },
        ActivationError::Names { names: 2, count: 1 },
        ActivationError::NotOpen { descriptor: 3 },
    ];
    put(all, "ActivationError", activation);
}
