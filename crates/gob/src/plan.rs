//! How values of a type on the wire become values of a Rust type: compared once for each pair of them in
//! a stream, and kept.

use std::any::TypeId;
use std::borrow::Cow;
use std::collections::HashMap;

use crate::def::{Def, WireId};
use crate::error::{Error, ErrorKind};
use crate::limits::{Limit, Limits};
use crate::marshal::Marshal;
use crate::recent::Recent;
use crate::shape::Shape;
use crate::table::Table;

/// What a type needs to know for decoding its values: nothing, for most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan(u32);

impl Plan {
    /// Of types that need nothing.
    pub const NONE: Self = Self(u32::MAX);
}

/// What is done with a field that comes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// Which field of the Rust type it is; [`SKIPPED`] if none.
    pub(crate) local: u32,
    pub(crate) plan: Plan,
    pub(crate) wire: WireId,
}

pub(crate) const SKIPPED: u32 = u32::MAX;

#[derive(Debug)]
enum Node {
    Steps(Box<[Step]>),
    Pair(Plan, Plan),
}

#[derive(Debug, Default)]
pub(crate) struct Plans {
    nodes: Vec<Node>,
    known: HashMap<(TypeId, WireId), Plan>,
    /// Of the types that were asked for.
    pub(crate) recent: Recent<(TypeId, WireId), Plan>,
}

impl Plans {
    #[inline]
    pub(crate) fn known(&self, key: TypeId, wire: WireId) -> Option<Plan> {
        self.known.get(&(key, wire)).copied()
    }

    pub(crate) fn remember(&mut self, key: TypeId, wire: WireId, plan: Plan) {
        self.known.insert((key, wire), plan);
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Forgets what was compiled on the way to an error.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.nodes.truncate(len);
        self.recent.clear();
        self.known
            .retain(|_, plan| *plan == Plan::NONE || (plan.0 as usize) < len);
    }

    #[inline]
    pub(crate) fn steps(&self, plan: Plan) -> &[Step] {
        match self.nodes.get(plan.0 as usize) {
            Some(Node::Steps(steps)) => steps,
            _ => &[],
        }
    }

    /// Whether the plan is that of a struct with fields, none of which the Rust type has.
    pub(crate) fn has_nothing_in_common(&self, plan: Plan) -> bool {
        let steps = self.steps(plan);
        !steps.is_empty() && steps.iter().all(|step| step.local == SKIPPED)
    }

    pub(crate) fn pair(&self, plan: Plan) -> (Plan, Plan) {
        match self.nodes.get(plan.0 as usize) {
            Some(Node::Pair(first, second)) => (*first, *second),
            _ => (Plan::NONE, Plan::NONE),
        }
    }
}

/// Compares types. Given to [`Decode::plan`](crate::Decode::plan).
#[derive(Debug)]
pub struct Planner<'a> {
    pub(crate) table: &'a Table,
    pub(crate) plans: &'a mut Plans,
    pub(crate) limits: &'a Limits,
    pub(crate) depth: usize,
}

/// What plans a field: [`Decode::plan`](crate::Decode::plan) of its type.
pub type PlanField = fn(WireId, &mut Planner<'_>) -> Result<Plan, Error>;

impl Planner<'_> {
    /// The error that values of the type on the wire cannot become those of the Rust type.
    #[cold]
    #[must_use]
    pub fn mismatch(&self, expected: Cow<'static, str>, wire: WireId) -> Error {
        Error::new(ErrorKind::Mismatch {
            expected: expected.into_owned(),
            sent: Shape::new(self.table.defs(), wire).brief(),
        })
    }

    /// For types whose values are of the one type on the wire.
    #[inline]
    pub(crate) fn exactly(
        &self,
        wanted: WireId,
        wire: WireId,
        expected: fn() -> Cow<'static, str>,
    ) -> Result<Plan, Error> {
        if wire == wanted {
            Ok(Plan::NONE)
        } else {
            Err(self.mismatch(expected(), wire))
        }
    }

    /// The element of a slice, and no other type.
    pub(crate) fn slice(&self, wire: WireId) -> Option<WireId> {
        match &**self.table.get(wire)? {
            Def::Slice { elem } => Some(*elem),
            _ => None,
        }
    }

    /// The element of an array of so many elements, and no other type.
    pub(crate) fn array(&self, wire: WireId, wanted: usize) -> Option<WireId> {
        match &**self.table.get(wire)? {
            Def::Array { elem, len } if *len == wanted as u64 => Some(*elem),
            _ => None,
        }
    }

    /// The key and value of a map, and no other type.
    pub(crate) fn map(&self, wire: WireId) -> Option<(WireId, WireId)> {
        match &**self.table.get(wire)? {
            Def::Map { key, elem } => Some((*key, *elem)),
            _ => None,
        }
    }

    /// For types that write themselves: those that were sent by the same means.
    ///
    /// # Errors
    /// For others.
    pub fn marshal<T: Marshal>(&self, wire: WireId) -> Result<Plan, Error> {
        match self.table.get(wire).map(|def| &**def) {
            Some(Def::Marshal { kind, .. }) if *kind == T::KIND => Ok(Plan::NONE),
            _ => Err(self.mismatch(Cow::Borrowed(T::NAME), wire)),
        }
    }

    pub(crate) fn pair(&mut self, first: Plan, second: Plan) -> Plan {
        self.push(Node::Pair(first, second))
    }

    fn push(&mut self, node: Node) -> Plan {
        let plan = Plan(self.plans.nodes.len() as u32);
        self.plans.nodes.push(node);
        plan
    }

    /// For structs: fields meet by their names. It may hold itself.
    ///
    /// # Errors
    /// If it is no struct that was sent, or if a field is of a type that does not go together with the
    /// one of the same name.
    pub fn structure(
        &mut self,
        key: TypeId,
        expected: fn() -> Cow<'static, str>,
        wire: WireId,
        fields: &[(&'static str, PlanField)],
    ) -> Result<Plan, Error> {
        if let Some(plan) = self.plans.known(key, wire) {
            return Ok(plan);
        }
        let table = self.table;
        let Some(Def::Struct { fields: sent, .. }) = table.get(wire).map(|def| &**def) else {
            return Err(self.mismatch(expected(), wire));
        };
        let allowed = self.limits.depth;
        if self.depth >= allowed {
            return Err(Error::too_much(Limit::Depth, allowed, allowed as u64 + 1));
        }
        self.depth += 1;
        let plan = self.push(Node::Steps(Box::new([])));
        self.plans.remember(key, wire, plan);
        let mut steps = Vec::with_capacity(sent.len());
        for field in sent {
            let found = fields.iter().position(|(name, _)| **name == *field.name);
            let mut step = Step {
                local: SKIPPED,
                plan: Plan::NONE,
                wire: field.id,
            };
            if let Some(local) = found {
                let (name, compare) = fields[local];
                step.plan = compare(field.id, self).map_err(|error| error.in_field(name))?;
                step.local = local as u32;
            }
            steps.push(step);
        }
        self.plans.nodes[plan.0 as usize] = Node::Steps(steps.into_boxed_slice());
        self.depth -= 1;
        Ok(plan)
    }
}
