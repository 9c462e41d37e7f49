//! The types that a stream has defined so far, on the side that reads.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::def::{Def, WireId};
use crate::error::{Error, ErrorKind};
use crate::limits::{Limit, Limits};
use crate::recent::Recent;
use crate::wire::Reader;

/// Types by their numbers. Values that were decoded dynamically share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Defs(Vec<(WireId, Arc<Def>)>);

impl Defs {
    #[inline]
    pub(crate) fn get(&self, id: WireId) -> Option<&Arc<Def>> {
        let at = self.0.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        Some(&self.0[at].1)
    }

    /// Whether there was none of this number.
    pub(crate) fn insert(&mut self, id: WireId, def: Arc<Def>) -> bool {
        match self.0.binary_search_by_key(&id, |(id, _)| *id) {
            Ok(_) => false,
            Err(at) => {
                self.0.insert(at, (id, def));
                true
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

#[derive(Debug, Default)]
pub(crate) struct Table {
    defs: Arc<Defs>,
    /// Bytes of definitions so far.
    bytes: usize,
    plain: HashMap<WireId, Verdict>,
    recent: Recent<WireId, bool>,
}

/// What the parts of a type are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    /// All known, and no interface.
    Plain,
    /// Not all known, and no interface so far.
    Unknown,
    /// An interface is among them.
    Interface,
}

impl Table {
    #[inline]
    pub(crate) fn get(&self, id: WireId) -> Option<&Arc<Def>> {
        self.defs.get(id)
    }

    /// The definition, or the error that there is none.
    #[inline]
    pub(crate) fn def(&self, id: WireId) -> Result<&Arc<Def>, Error> {
        self.defs.get(id).ok_or_else(|| id.undefined())
    }

    pub(crate) fn defs(&self) -> &Arc<Defs> {
        &self.defs
    }

    #[inline]
    pub(crate) fn is_struct(&self, id: WireId) -> bool {
        !id.is_basic() && matches!(self.get(id).map(|def| &**def), Some(Def::Struct { .. }))
    }

    /// Reads the definition of the type of this number.
    pub(crate) fn define(
        &mut self,
        id: i64,
        reader: &mut Reader<'_>,
        limits: &Limits,
    ) -> Result<(), Error> {
        let twice = || Error::new(ErrorKind::DefinedTwice { id });
        let number = WireId::new(id)?;
        if number.0 < WireId::FIRST || self.get(number).is_some() {
            return Err(twice());
        }
        if self.defs.len() >= limits.types {
            let found = self.defs.len() as u64 + 1;
            return Err(Error::too_much(Limit::Types, limits.types, found));
        }
        let begins = reader.at();
        let def = Def::read(reader, limits)?;
        let bytes = self.bytes + reader.at() - begins;
        if bytes > limits.definitions {
            let found = bytes as u64;
            return Err(Error::too_much(
                Limit::Definitions,
                limits.definitions,
                found,
            ));
        }
        self.bytes = bytes;
        Arc::make_mut(&mut self.defs).insert(number, Arc::new(def));
        self.plain.retain(|_, verdict| *verdict != Verdict::Unknown);
        self.recent.clear();
        Ok(())
    }

    /// Whether values of the type can hold no interface, so that they end with their message. Not while
    /// parts of it are unknown.
    pub(crate) fn is_plain(&mut self, id: WireId) -> bool {
        if id.is_basic() {
            return id != WireId::INTERFACE;
        }
        if let Some(is_plain) = self.recent.get(id) {
            return is_plain;
        }
        let is_plain = self.verdict(id) == Verdict::Plain;
        self.recent.put(id, is_plain);
        is_plain
    }

    fn verdict(&mut self, id: WireId) -> Verdict {
        if let Some(verdict) = self.plain.get(&id) {
            return *verdict;
        }
        let (mut seen, mut next) = (HashSet::from([id]), vec![id]);
        let mut verdict = Verdict::Plain;
        while let Some(id) = next.pop() {
            let Some(def) = self.defs.get(id) else {
                verdict = verdict.max(Verdict::Unknown);
                continue;
            };
            def.parts(|part| {
                if part == WireId::INTERFACE {
                    verdict = Verdict::Interface;
                } else if !part.is_basic() && seen.insert(part) {
                    next.push(part);
                }
            });
        }
        self.plain.insert(id, verdict);
        verdict
    }
}
