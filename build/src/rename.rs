//! `rename_item`: other Rust names for what is in a `.proto`.
//!
//! prost-build cannot give a thing a name of its own, so it gets descriptors in which the thing is
//! called something that appears nowhere else, which is replaced in what it writes.

use std::collections::{BTreeMap, BTreeSet};

use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto};

use crate::names;

/// What is renamed, by full name in the `.proto` without a dot before it. The full name of an
/// enum's value has the enum's name in it, as in prost's paths.
#[derive(Clone, Debug, Default)]
pub(crate) struct Renames {
    given: BTreeMap<String, String>,
    /// For values of enums that are renamed: the enum's own name would no longer be taken away
    /// from theirs.
    values: BTreeMap<String, String>,
}

/// A name that stands in for another in the descriptors.
struct StandIn {
    /// The full name in the descriptors before.
    full: String,
    stand_in: String,
    replacement: Replacement,
}

enum Replacement {
    Type { name: String },
    Value { name: String, proto: String },
    Member { name: String },
}

pub(crate) fn join(scope: &str, name: &str) -> String {
    if scope.is_empty() {
        name.to_owned()
    } else {
        format!("{scope}.{name}")
    }
}

impl Renames {
    pub(crate) fn insert(&mut self, full: String, name: String) {
        let full = full.trim_start_matches('.').to_owned();
        self.given.insert(full, name);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &String)> {
        self.given.iter()
    }

    fn get(&self, full: &str) -> Option<&String> {
        self.given.get(full).or_else(|| self.values.get(full))
    }

    pub(crate) fn is_renamed(&self, full: &str) -> bool {
        self.get(full).is_some()
    }

    /// The name of a message or enum.
    pub(crate) fn type_name(&self, full: &str, proto: &str) -> String {
        self.get(full)
            .map_or_else(|| names::camel(proto), Clone::clone)
    }

    /// The name of the module with what a message contains.
    pub(crate) fn module_name(&self, full: &str, proto: &str) -> String {
        names::snake(self.get(full).map_or(proto, String::as_str))
    }

    /// The name of a field or of a oneof's field.
    pub(crate) fn field_name(&self, full: &str, proto: &str) -> String {
        self.get(full)
            .map_or_else(|| names::snake(proto), Clone::clone)
    }

    /// The name of a field of a oneof, or of its type.
    pub(crate) fn variant_name(&self, full: &str, proto: &str) -> String {
        names::camel(self.get(full).map_or(proto, String::as_str))
    }

    /// The name of an enum's value.
    pub(crate) fn value_name(&self, full: &str, enum_proto: &str, proto: &str) -> String {
        let renamed = self.get(full).cloned();
        renamed.unwrap_or_else(|| names::variant(enum_proto, proto))
    }

    /// Puts stand-ins into the descriptors.
    pub(crate) fn apply(&mut self, files: &mut [FileDescriptorProto]) -> StandIns {
        if self.given.is_empty() {
            return StandIns::default();
        }
        let mut stand_ins = StandIns::default();
        for file in &mut *files {
            let scope = file.package().to_owned();
            for message in &mut file.message_type {
                self.message(message, &scope, &mut stand_ins);
            }
            for descriptor in &mut file.enum_type {
                self.enumeration(descriptor, &scope, &mut stand_ins);
            }
        }
        for file in files {
            for message in &mut file.message_type {
                stand_ins.refer(message);
            }
            for method in file.service.iter_mut().flat_map(|s| &mut s.method) {
                stand_ins.refer_to(&mut method.input_type);
                stand_ins.refer_to(&mut method.output_type);
            }
        }
        stand_ins
    }

    fn message(&mut self, message: &mut DescriptorProto, scope: &str, out: &mut StandIns) {
        let full = join(scope, message.name());
        for nested in &mut message.nested_type {
            self.message(nested, &full, out);
        }
        for descriptor in &mut message.enum_type {
            self.enumeration(descriptor, &full, out);
        }
        let fields = message.field.iter_mut().map(|field| &mut field.name);
        let oneofs = message.oneof_decl.iter_mut().map(|oneof| &mut oneof.name);
        for proto in fields.chain(oneofs) {
            let full = join(&full, proto.as_deref().unwrap_or_default());
            if let Some(name) = self.get(&full).cloned() {
                *proto = Some(out.add(full, Replacement::Member { name }));
            }
        }
        if let Some(name) = self.get(&full).cloned() {
            message.name = Some(out.add(full, Replacement::Type { name }));
        }
    }

    fn enumeration(
        &mut self,
        descriptor: &mut EnumDescriptorProto,
        scope: &str,
        out: &mut StandIns,
    ) {
        let full = join(scope, descriptor.name());
        let renamed = self.get(&full).cloned();
        let enum_name = descriptor.name().to_owned();
        for value in &mut descriptor.value {
            let proto = value.name().to_owned();
            let full = join(&full, &proto);
            if renamed.is_some() && !self.is_renamed(&full) {
                let name = names::variant(&enum_name, &proto);
                self.values.insert(full.clone(), name);
            }
            if let Some(name) = self.get(&full).cloned() {
                value.name = Some(out.add(full, Replacement::Value { name, proto }));
            }
        }
        if let Some(name) = renamed {
            descriptor.name = Some(out.add(full, Replacement::Type { name }));
        }
    }
}

/// The names that stand in for others.
#[derive(Default)]
pub(crate) struct StandIns {
    all: Vec<StandIn>,
    /// Stand-ins by full name.
    by_name: BTreeMap<String, String>,
}

impl StandIns {
    fn add(&mut self, full: String, replacement: Replacement) -> String {
        // One word to everything that changes case, all of one length so that none begins
        // another.
        let mut number = self.all.len();
        let mut stand_in = String::from("Outboardstandin");
        for _ in 0..5 {
            stand_in.push(char::from(b'a' + u8::try_from(number % 26).unwrap_or(0)));
            number /= 26;
        }
        self.by_name.insert(full.clone(), stand_in.clone());
        self.all.push(StandIn {
            full,
            stand_in: stand_in.clone(),
            replacement,
        });
        stand_in
    }

    fn refer(&self, message: &mut DescriptorProto) {
        for nested in &mut message.nested_type {
            self.refer(nested);
        }
        for field in &mut message.field {
            let enum_name = field.type_name().trim_start_matches('.').to_owned();
            if let Some(value) = &field.default_value
                && let Some(stand_in) = self.by_name.get(&join(&enum_name, value))
            {
                field.default_value = Some(stand_in.clone());
            }
            self.refer_to(&mut field.type_name);
        }
    }

    fn refer_to(&self, name: &mut Option<String>) {
        let Some(name) = name else { return };
        *name = self.path(name);
    }

    /// A full name, with or without a dot before it, as the descriptors have it now.
    fn path(&self, name: &str) -> String {
        let bare = name.trim_start_matches('.');
        let mut before = String::new();
        let mut now: Vec<&str> = Vec::new();
        for segment in bare.split('.') {
            before = join(&before, segment);
            now.push(self.by_name.get(&before).map_or(segment, String::as_str));
        }
        format!("{}{}", &name[..name.len() - bare.len()], now.join("."))
    }

    /// The paths by which prost-build knows what another option means by this one: itself, and
    /// those it gets from renamed items. Settings name items as the `.proto` does.
    pub(crate) fn paths(&self, path: &str) -> BTreeSet<String> {
        let mut paths = BTreeSet::from([path.to_owned()]);
        if path.starts_with('.') {
            paths.insert(self.path(path));
            return paths;
        }
        // A path without a dot is the end of full names, or their end but for members.
        let segments: Vec<&str> = path.split('.').collect();
        for item in &self.all {
            for length in 1..=segments.len() {
                let head = segments[..length].join(".");
                let is_end = item.full == head || item.full.ends_with(&format!(".{head}"));
                if is_end {
                    let full = std::iter::once(item.full.as_str());
                    let full: Vec<&str> = full.chain(segments[length..].iter().copied()).collect();
                    paths.insert(self.path(&format!(".{}", full.join("."))));
                }
            }
        }
        paths
    }

    /// Puts the new names in.
    pub(crate) fn replace(&self, mut text: String) -> String {
        for item in &self.all {
            let camel = &item.stand_in;
            if !text.contains(camel.as_str()) && !text.contains(&camel.to_lowercase()) {
                continue;
            }
            let (as_type, as_member) = match &item.replacement {
                Replacement::Type { name } => (name.clone(), names::snake(name)),
                Replacement::Value { name, proto } => {
                    // The text that stands for the value is that of the `.proto`; in a default
                    // it is the variant.
                    text = text
                        .replace(
                            &format!("default = \"{camel}\""),
                            &format!("default = \"{name}\""),
                        )
                        .replace(&format!("\"{camel}\""), &format!("{proto:?}"));
                    (name.clone(), name.clone())
                }
                Replacement::Member { name } => (names::camel(name), name.clone()),
            };
            text = text
                .replace(camel.as_str(), &as_type)
                .replace(&camel.to_lowercase(), &as_member);
        }
        text
    }
}
