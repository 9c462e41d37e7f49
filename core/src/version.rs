//! Choosing the application protocol version, on both sides, as pure functions.
//!
//! Versions are go-plugin's `int`: any `i64`, and 0 is as legal as any other number. The host
//! offers a list in `PLUGIN_PROTOCOL_VERSIONS`; the plugin answers with one number in its
//! handshake line; the host checks that number. A plugin never fails on a mismatch: it serves its
//! lowest version and leaves the complaint to the host.

use std::collections::{BTreeMap, BTreeSet};

use crate::text::excerpt;

/// How much of an invalid list item is kept for the note about it: enough to recognise it.
const MAX_ITEM: usize = 64;

/// How many invalid items are kept for the note. The environment is bounded by the system, but a
/// note of a thousand items helps nobody.
const MAX_INVALID: usize = 16;

/// What a host offers, as a plugin reads it from `PLUGIN_PROTOCOL_VERSIONS`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offered {
    versions: BTreeSet<i64>,
    invalid: Vec<String>,
}

impl Offered {
    /// Reads the variable's value; `None` is a host that did not set it.
    ///
    /// Items are split at commas and not trimmed, so `" 3"` is invalid, as in go-plugin. Invalid
    /// items are skipped and kept as [`invalid`](Self::invalid).
    #[must_use]
    pub fn parse(value: Option<&str>) -> Self {
        let mut offered = Self::default();
        let Some(value) = value.filter(|value| !value.is_empty()) else {
            return offered;
        };
        for item in value.split(',') {
            match item.parse() {
                Ok(version) => {
                    offered.versions.insert(version);
                }
                Err(_) if offered.invalid.len() < MAX_INVALID => {
                    offered.invalid.push(excerpt(item.as_bytes(), MAX_ITEM));
                }
                Err(_) => {}
            }
        }
        offered
    }

    /// The valid versions, in ascending order.
    #[must_use]
    pub fn versions(&self) -> &BTreeSet<i64> {
        &self.versions
    }

    /// The items that are not integers, shortened, at most 16 of them.
    #[must_use]
    pub fn invalid(&self) -> &[String] {
        &self.invalid
    }

    /// Whether the host named no version at all: go-plugin's hosts from before versioned plugin
    /// sets, and hosts without any plugin set.
    #[must_use]
    pub fn is_legacy(&self) -> bool {
        self.versions.is_empty() && self.invalid.is_empty()
    }
}

impl FromIterator<i64> for Offered {
    fn from_iter<T: IntoIterator<Item = i64>>(versions: T) -> Self {
        Self {
            versions: versions.into_iter().collect(),
            invalid: Vec::new(),
        }
    }
}

/// The version a plugin serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Choice {
    /// The number for the handshake line.
    pub version: i64,
    /// Whether the host offered it. If not, the plugin serves it all the same (a host of before
    /// version lists may take it) and the host decides.
    pub offered: bool,
}

/// The plugin's side: the highest version both sides have, else the plugin's lowest.
///
/// `unversioned` is the handshake's own version, announced by a plugin without any plugin set.
#[must_use]
pub fn choose(own: impl IntoIterator<Item = i64>, offered: &Offered, unversioned: i64) -> Choice {
    let own: BTreeSet<i64> = own.into_iter().collect();
    if let Some(&version) = own.intersection(&offered.versions).last() {
        return Choice {
            version,
            offered: true,
        };
    }
    let version = own.first().copied().unwrap_or(unversioned);
    Choice {
        version,
        offered: offered.versions.contains(&version),
    }
}

/// The host's side: whether the announced version is one of those it offered.
///
/// # Errors
/// [`IncompatibleVersion`] names both sides' versions.
pub fn check(announced: i64, offered: &BTreeSet<i64>) -> Result<(), IncompatibleVersion> {
    if offered.contains(&announced) {
        return Ok(());
    }
    Err(IncompatibleVersion {
        plugin: announced,
        host: offered.iter().copied().collect(),
    })
}

/// Files a host's unversioned plugin set under `version`: an entry that is there already stays.
pub fn file_unversioned_host<S>(sets: &mut BTreeMap<i64, S>, version: i64, set: S) {
    sets.entry(version).or_insert(set);
}

/// Files a plugin's unversioned plugin set under `version`: it replaces an entry that is there.
pub fn file_unversioned_plugin<S>(sets: &mut BTreeMap<i64, S>, version: i64, set: S) {
    sets.insert(version, set);
}

/// The plugin announced a version the host did not offer.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "incompatible version of the plugin's interfaces: the plugin speaks version {plugin}, this \
     program speaks {}; {}",
    list(host), advice(*plugin, host)
)]
#[non_exhaustive]
pub struct IncompatibleVersion {
    /// What the plugin announced.
    pub plugin: i64,
    /// What the host offered, ascending.
    pub host: Vec<i64>,
}

impl IncompatibleVersion {
    /// What the plugin announced, and what the host offered, ascending.
    #[must_use]
    pub const fn new(plugin: i64, host: Vec<i64>) -> Self {
        Self { plugin, host }
    }
}

fn list(versions: &[i64]) -> String {
    match versions {
        [] => "none (no interfaces were registered)".to_owned(),
        versions => versions
            .iter()
            .map(i64::to_string)
            .collect::<Vec<_>>()
            .join(", "),
    }
}

fn advice(plugin: i64, host: &[i64]) -> &'static str {
    match (host.first(), host.last()) {
        (Some(&lowest), _) if plugin < lowest => "install a newer version of the plugin",
        (_, Some(&highest)) if plugin > highest => {
            "install a newer version of this program, or an older one of the plugin"
        }
        (Some(_), Some(_)) => "install a version of the plugin made for this program",
        (None, _) | (_, None) => "register the plugin's interfaces in the host",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chosen(own: &[i64], variable: Option<&str>) -> i64 {
        choose(own.iter().copied(), &Offered::parse(variable), 7).version
    }

    #[test]
    fn highest_common_version_wins_in_any_order() {
        assert_eq!(chosen(&[1, 2, 3], Some("2,1")), 2);
        assert_eq!(chosen(&[3, 1, 2], Some("1,3,2,9")), 3);
        assert_eq!(chosen(&[2], Some("+02")), 2);
    }

    #[test]
    fn nothing_in_common_means_the_lowest() {
        assert_eq!(chosen(&[2, 3], Some("9")), 2);
        assert_eq!(chosen(&[2, 3], None), 2);
        assert_eq!(chosen(&[2, 3], Some("")), 2);
        assert_eq!(chosen(&[2, 3], Some("abc")), 2);
        let choice = choose([2, 3], &Offered::parse(Some("9")), 0);
        assert!(!choice.offered);
    }

    #[test]
    fn no_plugin_set_announces_the_handshakes_version() {
        assert_eq!(chosen(&[], Some("1")), 7);
        assert!(choose([], &Offered::parse(Some("7")), 7).offered);
    }

    #[test]
    fn zero_and_negative_are_versions() {
        assert_eq!(chosen(&[0, 1], Some("0")), 0);
        assert_eq!(chosen(&[-1, 1], Some("-1")), -1);
    }

    #[test]
    fn invalid_items_are_skipped_and_noted() {
        let offered = Offered::parse(Some("1, 3,abc,,2"));
        assert_eq!(offered.versions(), &BTreeSet::from([1, 2]));
        assert_eq!(offered.invalid(), [" 3", "abc", ""]);
        assert!(!offered.is_legacy());
    }

    #[test]
    fn a_host_without_list_is_a_legacy_host() {
        assert!(Offered::parse(None).is_legacy());
        assert!(Offered::parse(Some("")).is_legacy());
        assert!(!Offered::parse(Some("x")).is_legacy());
    }

    #[test]
    fn hostile_lists_stay_small() {
        let offered = Offered::parse(Some(&"x,".repeat(100_000)));
        assert_eq!(offered.invalid().len(), MAX_INVALID);
        let offered = Offered::parse(Some(&"x".repeat(100_000)));
        assert!(offered.invalid()[0].len() < 200);
    }

    #[test]
    fn the_host_refuses_what_it_did_not_offer() {
        let host = BTreeSet::from([2, 3]);
        assert_eq!(check(3, &host), Ok(()));
        let error = check(1, &host).expect_err("not offered");
        let text = error.to_string();
        assert!(
            text.contains("version 1") && text.contains("2, 3"),
            "{text}"
        );
        assert!(text.contains("newer version of the plugin"), "{text}");
        assert!(check(0, &BTreeSet::new()).is_err());
    }

    #[test]
    fn unversioned_sets_are_filed_differently_on_each_side() {
        let mut host = BTreeMap::from([(1, "explicit")]);
        file_unversioned_host(&mut host, 1, "unversioned");
        assert_eq!(host[&1], "explicit");
        file_unversioned_host(&mut host, 0, "unversioned");
        assert_eq!(host[&0], "unversioned");
        let mut plugin = BTreeMap::from([(1, "explicit")]);
        file_unversioned_plugin(&mut plugin, 1, "unversioned");
        assert_eq!(plugin[&1], "unversioned");
    }

    proptest! {
        #[test]
        fn the_choice_is_always_one_of_ours_and_the_best(
            own in proptest::collection::btree_set(-5i64..10, 1..6),
            host in proptest::collection::btree_set(-5i64..10, 0..6),
        ) {
            let offered: Offered = host.iter().copied().collect();
            let choice = choose(own.iter().copied(), &offered, 99);
            prop_assert!(own.contains(&choice.version));
            let best = own.intersection(&host).max().copied();
            let lowest = *own.first().expect("not empty");
            prop_assert_eq!(choice.version, best.unwrap_or(lowest));
            prop_assert_eq!(check(choice.version, &host).is_ok(), best.is_some());
            prop_assert_eq!(choice.offered, best.is_some());
        }

        #[test]
        fn any_list_is_read(list in ".*") {
            let _ = Offered::parse(Some(&list));
        }
    }
}
