//! Plugins that are given what they listen on.

use std::path::{Path, PathBuf};

use outboard::{Endpoint, Host};
use outboard_conformance::proto::Probe as _;

use crate::broker::{borrow, lend, relay};
use crate::calls::payload;
use crate::harness::{Harness, Rig};

/// Uses a plugin in both directions, and tells where it listens.
async fn used(rig: &Rig) -> Endpoint {
    assert_eq!(rig.probe.echo(payload("x")).await, Ok(payload("x")));
    let lent = lend(rig);
    let there = rig.probe.relay(relay(lent.id(), "there")).await;
    assert_eq!(there, Ok(payload("there")));
    let (_, here) = borrow(rig).await;
    assert_eq!(here.echo(payload("here")).await, Ok(payload("here")));
    let record = rig.plugin.reattach_config().expect("it listens");
    record.endpoint
}

fn path(h: &Harness) -> PathBuf {
    h.dir().join("given")
}

fn given(h: &Harness, options: &[&str], at: &Path) -> Host {
    let at = at.to_str().expect("text");
    h.host(options.iter().copied().chain([at]))
}

pub async fn a_listener_of_the_programs_own_is_served(h: Harness) {
    let rig = h.start_host(given(&h, &["--listen-on"], &path(&h))).await;
    assert_eq!(used(&rig).await, Endpoint::Unix(path(&h)));
    rig.shutdown().await;
}

pub async fn a_listener_on_all_addresses_is_reached_on_this_machines(h: Harness) {
    let all = Path::new("0.0.0.0:0");
    let rig = h.start_host(given(&h, &["--listen-on-tcp"], all)).await;
    let Endpoint::Tcp(address) = used(&rig).await else {
        panic!("it was given a TCP socket");
    };
    assert!(address.starts_with("127.0.0.1:"), "{address}");
    rig.shutdown().await;
}

pub async fn a_socket_that_it_was_started_with_is_served(h: Harness) {
    let host = given(&h, &["--activated-at"], &path(&h));
    let rig = h.start_host(host).await;
    assert_eq!(used(&rig).await, Endpoint::Unix(path(&h)));
    rig.shutdown().await;
}

pub async fn a_listener_that_does_not_do_is_told(h: Harness) {
    let host = h.host(["--listen-on-nothing"]);
    let error = h.start_error(host).await.to_string();
    assert!(error.contains("it does not listen"), "{error}");
}

pub async fn a_listener_that_nothing_speaks_over_is_told(h: Harness) {
    let host = given(&h, &["--listen-on"], &path(&h));
    let error = h.start_error(host).await.to_string();
    assert!(error.contains("is of no use"), "{error}");
    std::fs::remove_file(path(&h)).expect("it stays");
}
