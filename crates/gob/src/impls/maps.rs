//! Maps.

use std::any::TypeId;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::hash::{BuildHasher, Hash};

use crate::decode::{Decode, Input};
use crate::def::WireId;
use crate::describe::{Describe, Types};
use crate::encode::{Encode, Output};
use crate::error::Error;
use crate::plan::{Plan, Planner};

/// What an entry takes beside key and value, and for what a table leaves free.
const ENTRY: usize = 16;

fn encode<'m, K: Encode + Debug + 'm, V: Encode + 'm>(
    len: usize,
    entries: impl Iterator<Item = (&'m K, &'m V)>,
    out: &mut Output<'_>,
) -> Result<(), Error> {
    out.begin()?;
    out.uint(len as u64);
    for (key, value) in entries {
        key.encode(out).map_err(|error| error.at_key(key))?;
        value.encode(out).map_err(|error| error.at_key(key))?;
    }
    out.end();
    Ok(())
}

fn plan<K: Decode, V: Decode>(
    wire: WireId,
    planner: &mut Planner<'_>,
    expected: fn() -> Cow<'static, str>,
) -> Result<Plan, Error> {
    let Some((key, elem)) = planner.map(wire) else {
        return Err(planner.mismatch(expected(), wire));
    };
    let key = K::plan(key, planner).map_err(|error| error.in_elements())?;
    let elem = V::plan(elem, planner).map_err(|error| error.in_elements())?;
    Ok(planner.pair(key, elem))
}

fn decode<K: Decode + Debug, V: Decode>(
    plan: Plan,
    input: &mut Input<'_>,
    mut insert: impl FnMut(K, V),
) -> Result<(), Error> {
    input.begin()?;
    let count = input.elements()?;
    let (of_keys, of_values) = input.known.plans.pair(plan);
    let entry = size_of::<K>() + K::HEAP + size_of::<V>() + V::HEAP;
    for _ in 0..count {
        input.charge(2, entry + ENTRY)?;
        let mut key = K::zero();
        key.decode(of_keys, input)
            .map_err(|error| error.in_elements())?;
        let mut value = V::zero();
        value
            .decode(of_values, input)
            .map_err(|error| error.at_key(&key))?;
        insert(key, value);
    }
    input.end();
    Ok(())
}

macro_rules! map {
    ($type:ty, [$($generics:tt)*], [$($key:tt)*], [$($hasher:tt)*]) => {
        impl<K: Describe + 'static, V: Describe + 'static, $($generics)*> Describe for $type {
            fn key() -> TypeId {
                TypeId::of::<BTreeMap<K, V>>()
            }

            fn describe(types: &mut Types) -> WireId {
                let key = K::describe(types);
                let elem = V::describe(types);
                types.map(key, elem)
            }

            fn go_name() -> Cow<'static, str> {
                Cow::Owned(format!("map[{}]{}", K::go_name(), V::go_name()))
            }
        }

        impl<K: Encode + Debug + 'static, V: Encode + 'static, $($generics)*> Encode for $type {
            /// An empty one is taken for Go's nil. Behind a pointer it is an empty one.
            #[inline]
            fn is_left_out(&self) -> bool {
                self.is_empty()
            }

            fn is_left_out_behind_pointer(&self) -> bool {
                false
            }

            fn encode(&self, out: &mut Output<'_>) -> Result<(), Error> {
                encode(self.len(), self.iter(), out)
            }
        }

        impl<K: Decode + Debug + $($key)*, V: Decode, $($hasher)*> Decode for $type {
            fn zero() -> Self {
                Self::default()
            }

            fn plan(wire: WireId, planner: &mut Planner<'_>) -> Result<Plan, Error> {
                plan::<K, V>(wire, planner, Self::go_name)
            }

            /// As in Go, entries are added to those that are there.
            fn decode(&mut self, plan: Plan, input: &mut Input<'_>) -> Result<(), Error> {
                decode(plan, input, |key, value| drop(self.insert(key, value)))
            }
        }
    };
}

map!(BTreeMap<K, V>, [], [Ord], []);
map!(HashMap<K, V, S>, [S], [Hash + Eq], [S: BuildHasher + Default + 'static]);
