//! Any values of the host's variables: reading them never fails but for the cookie, and what a host
//! merges out of them is what its plugin reads.
#![no_main]

use std::ffi::OsString;

use libfuzzer_sys::fuzz_target;
use outboard_core::env::{ALL, HostEnv, PluginEnv};
use outboard_core::handshake::{Handshake, Protocol};
use outboard_core::version::{check, choose};

const HANDSHAKE: Handshake = Handshake::new(1, "COOKIE", "value");

fuzz_target!(
    |input: (Vec<String>, Vec<(String, String)>, Vec<i64>, bool)| {
        let (values, command, own, skip) = input;
        let lookup = |name: &str| {
            let index = ALL.iter().position(|known| *known == name)?;
            values.get(index).map(OsString::from)
        };
        let plugin = PluginEnv::read_without_cookie(lookup);
        if let Ok(ports) = plugin.ports() {
            assert!(ports.iter().next().is_some());
        }
        let _ = plugin.multiplexing_active(Protocol::Grpc);
        let _ = plugin.invalid_note();
        let choice = choose(own.iter().copied(), plugin.offered(), 7);
        assert_eq!(
            check(choice.version, plugin.offered().versions()).is_ok(),
            choice.offered
        );

        let inherited = ALL
            .iter()
            .filter_map(|name| Some((name.into(), lookup(name)?)));
        let command = command
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()));
        let merged = HostEnv::new(HANDSHAKE)
            .versions(own.iter().copied())
            .merge(command, inherited, skip);
        let seen = PluginEnv::read(&HANDSHAKE, |name| {
            let found = merged.iter().find(|(key, _)| key == name);
            found.map(|(_, value)| value.clone())
        })
        .expect("the host set the cookie");
        assert_eq!(seen.offered(), &own.into_iter().collect());
    }
);
