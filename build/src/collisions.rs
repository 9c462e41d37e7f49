//! Looks for things that would have the same Rust name, before code is generated.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
    ServiceDescriptorProto,
};

use crate::Error;
use crate::names::{camel, is_proto_name, snake};
use crate::rename::join;
use crate::service::{HIDDEN, Settings, blocking_name};

/// Something with a name in the `.proto`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Item {
    /// Such as `message acme.Kv`.
    what: String,
    /// The setting that gives it another name.
    fix: Option<String>,
}

impl Item {
    fn new(kind: &str, full: &str) -> Self {
        Self {
            what: format!("{kind} {full}"),
            fix: Some(format!("rename_item({full:?}, \"...\")")),
        }
    }

    fn of_service(what: String, service: &str) -> Self {
        let fix = Some(format!("rename_service({service:?}, \"...\")"));
        Self { what, fix }
    }
}

/// The names in one place, such as a module or a struct.
#[derive(Default)]
struct Names(BTreeMap<String, Item>);

impl Names {
    fn add(&mut self, place: &str, name: String, item: Item) -> Result<(), Error> {
        if name.is_empty() {
            return Err(no_name(&item));
        }
        match self.0.entry(name) {
            Entry::Vacant(free) => {
                free.insert(item);
                Ok(())
            }
            // Packages share modules.
            Entry::Occupied(taken) if *taken.get() == item => Ok(()),
            Entry::Occupied(taken) => Err(Error::NameTaken {
                place: place.to_owned(),
                name: taken.key().clone(),
                items: [taken.get().what.clone(), item.what],
                fix: item.fix.or_else(|| taken.get().fix.clone()),
            }),
        }
    }
}

fn no_name(item: &Item) -> Error {
    Error::NoName {
        item: item.what.clone(),
        reason: "Rust's way of writing it leaves nothing".to_owned(),
        fix: item.fix.clone(),
    }
}

/// Refuses what would not compile because two things have one name, or one has none.
pub(crate) fn check(files: &[FileDescriptorProto], settings: &Settings) -> Result<(), Error> {
    let mut check = Check {
        settings,
        modules: BTreeMap::new(),
        is_proto2: false,
    };
    let own = |file: &&FileDescriptorProto| !settings.is_external(file.package());
    for file in files.iter().filter(own) {
        check.packages(file.package())?;
    }
    for file in files {
        check.is_proto2 = matches!(file.syntax(), "" | "proto2");
        let module: Vec<String> = package_parts(file.package()).map(snake).collect();
        for message in &file.message_type {
            check.message(&module, file.package(), message)?;
        }
        for descriptor in &file.enum_type {
            check.enumeration(&module, file.package(), descriptor)?;
        }
        for service in &file.service {
            check.service(&module, file.package(), service)?;
        }
    }
    Ok(())
}

fn package_parts(package: &str) -> impl Iterator<Item = &str> {
    package.split('.').filter(|part| !part.is_empty())
}

struct Check<'a> {
    settings: &'a Settings,
    /// Types, traits and modules by the path of their module.
    modules: BTreeMap<Vec<String>, Names>,
    is_proto2: bool,
}

impl Check<'_> {
    fn packages(&mut self, package: &str) -> Result<(), Error> {
        let mut path = Vec::new();
        let mut full = String::new();
        for part in package_parts(package) {
            full = join(&full, part);
            proto_name("package", &full, part)?;
            let name = snake(part);
            let item = Item {
                // Packages that differ in case alone are one module, which works.
                what: format!("package {}", join(&path.join("."), &name)),
                fix: None,
            };
            self.declare(&path, name.clone(), item)?;
            path.push(name);
        }
        Ok(())
    }

    fn declare(&mut self, module: &[String], name: String, item: Item) -> Result<(), Error> {
        let place = match module {
            [] => "the root module".to_owned(),
            parts => format!("module {}", parts.join("::")),
        };
        let names = self.modules.entry(module.to_vec()).or_default();
        names.add(&place, name, item)
    }

    fn message(
        &mut self,
        module: &[String],
        scope: &str,
        message: &DescriptorProto,
    ) -> Result<(), Error> {
        let renames = &self.settings.items;
        let full = join(scope, message.name());
        if self.settings.is_external(&full) {
            return Ok(());
        }
        proto_name("message", &full, message.name())?;
        let item = Item::new("message", &full);
        self.declare(module, renames.type_name(&full, message.name()), item)?;

        let is_entry =
            |nested: &DescriptorProto| nested.options.as_ref().is_some_and(|o| o.map_entry());
        let nested: Vec<_> = message
            .nested_type
            .iter()
            .filter(|nested| !is_entry(nested))
            .collect();
        let entries: Vec<_> = message
            .nested_type
            .iter()
            .filter(|nested| is_entry(nested))
            .collect();
        let members = |index: usize| {
            let index = i32::try_from(index).ok();
            let fields = message.field.iter();
            fields.filter(move |field| {
                !field.proto3_optional() && field.oneof_index == index && index.is_some()
            })
        };
        let oneofs = message.oneof_decl.iter().enumerate();
        let oneofs: Vec<_> = oneofs
            .filter(|(index, _)| members(*index).next().is_some())
            .collect();

        let mut inner = module.to_vec();
        let module_name = renames.module_name(&full, message.name());
        inner.push(module_name.clone());
        if !(nested.is_empty() && message.enum_type.is_empty() && oneofs.is_empty()) {
            let item = Item {
                what: format!("message {full}, for what it contains,"),
                ..Item::new("message", &full)
            };
            self.declare(module, module_name, item)?;
        }
        for nested in &nested {
            self.message(&inner, &full, nested)?;
        }
        for descriptor in &message.enum_type {
            self.enumeration(&inner, &full, descriptor)?;
        }

        let mut fields = Names::default();
        let mut methods = Names::default();
        let place = format!("the struct of message {full}");
        let plain =
            |field: &&FieldDescriptorProto| field.oneof_index.is_none() || field.proto3_optional();
        for field in message.field.iter().filter(plain) {
            let field_full = join(&full, field.name());
            proto_name("field", &field_full, field.name())?;
            let name = renames.field_name(&field_full, field.name());
            let item = Item::new("field", &field_full);
            fields.add(&place, name.clone(), item.clone())?;
            let entry = entries.iter().find(|entry| {
                field.type_name().trim_start_matches('.') == join(&full, entry.name())
            });
            for method in self.accessors(field, entry.copied(), &name, &item)? {
                let item = Item {
                    what: format!("an accessor of {}", item.what),
                    ..item.clone()
                };
                methods.add(&place, method, item)?;
            }
        }
        for (index, oneof) in oneofs {
            let oneof_full = join(&full, oneof.name());
            proto_name("oneof", &oneof_full, oneof.name())?;
            let item = Item::new("oneof", &oneof_full);
            fields.add(
                &place,
                renames.field_name(&oneof_full, oneof.name()),
                item.clone(),
            )?;
            let mut name = renames.variant_name(&oneof_full, oneof.name());
            if !renames.is_renamed(&oneof_full)
                && self.has_type_of_name(message, &full, oneof.name())
            {
                // prost-build's own way out.
                name.push_str("OneOf");
            }
            self.declare(&inner, name, item)?;
            let mut variants = Names::default();
            let place = format!("the enum of oneof {oneof_full}");
            for field in members(index) {
                let field_full = join(&full, field.name());
                proto_name("field", &field_full, field.name())?;
                let name = renames.variant_name(&field_full, field.name());
                variants.add(&place, name, Item::new("field", &field_full))?;
            }
        }
        Ok(())
    }

    /// Whether prost-build sees that a type in the message is called as the oneof's would be.
    fn has_type_of_name(&self, message: &DescriptorProto, full: &str, oneof: &str) -> bool {
        let nested = message.nested_type.iter().map(DescriptorProto::name);
        let enums = message.enum_type.iter().map(EnumDescriptorProto::name);
        nested.chain(enums).any(|name| {
            !self.settings.items.is_renamed(&join(full, name)) && camel(name) == camel(oneof)
        })
    }

    /// The methods that prost derives for a field.
    fn accessors(
        &self,
        field: &FieldDescriptorProto,
        entry: Option<&DescriptorProto>,
        name: &str,
        item: &Item,
    ) -> Result<Vec<String>, Error> {
        let bare = name.strip_prefix("r#").unwrap_or(name);
        if let Some(entry) = entry {
            let has_enums = entry.field.iter().any(|field| field.r#type() == Type::Enum);
            if !has_enums {
                return Ok(Vec::new());
            }
            if bare != name {
                return Err(Error::NoName {
                    item: item.what.clone(),
                    reason: format!(
                        "prost cannot write accessors for a map of enums that is called {bare}, a \
                         word of Rust"
                    ),
                    fix: item.fix.clone(),
                });
            }
            return Ok(vec![format!("get_{bare}"), format!("insert_{bare}")]);
        }
        let is_optional = field.label() == Label::Optional
            && (self.is_proto2 || field.proto3_optional())
            && !matches!(field.r#type(), Type::Message | Type::Group);
        let is_enum = field.r#type() == Type::Enum;
        let mut methods = Vec::new();
        if is_enum || is_optional {
            methods.push(bare.to_owned());
        }
        if is_enum {
            let verb = if field.label() == Label::Repeated {
                "push"
            } else {
                "set"
            };
            methods.push(format!("{verb}_{bare}"));
        }
        Ok(methods)
    }

    fn enumeration(
        &mut self,
        module: &[String],
        scope: &str,
        descriptor: &EnumDescriptorProto,
    ) -> Result<(), Error> {
        let renames = &self.settings.items;
        let full = join(scope, descriptor.name());
        if self.settings.is_external(&full) {
            return Ok(());
        }
        proto_name("enum", &full, descriptor.name())?;
        let name = renames.type_name(&full, descriptor.name());
        self.declare(module, name, Item::new("enum", &full))?;
        let mut variants = Names::default();
        let mut numbers = BTreeSet::new();
        // Further names of one number are left out.
        let values = descriptor.value.iter();
        for value in values.filter(|value| numbers.insert(value.number())) {
            let value_full = join(&full, value.name());
            proto_name("value", &value_full, value.name())?;
            let name = renames.value_name(&value_full, descriptor.name(), value.name());
            let place = format!("enum {full}");
            variants.add(&place, name, Item::new("value", &value_full))?;
        }
        Ok(())
    }

    fn service(
        &mut self,
        module: &[String],
        scope: &str,
        service: &ServiceDescriptorProto,
    ) -> Result<(), Error> {
        let full = join(scope, service.name());
        if self.settings.is_external(&full) {
            return Ok(());
        }
        proto_name("service", &full, service.name())?;
        let name = self.settings.trait_name(&full, service.name());
        if name.is_empty() {
            return Err(no_name(&Item::of_service(format!("service {full}"), &full)));
        }
        let blocking = self.settings.blocking.then(|| blocking_name(&name));
        for (flavour, name) in [("", Some(name)), ("blocking ", blocking)] {
            let Some(name) = name else { continue };
            let of = |kind: &'static str, suffix: &str| (kind, format!("{name}{suffix}"));
            let client = self.settings.clients.then(|| of("client", "Client"));
            let server = self.settings.servers.then(|| of("server", "Server"));
            for (kind, name) in [Some(of("trait", "")), client, server]
                .into_iter()
                .flatten()
            {
                let what = format!("the {flavour}{kind} of service {full}");
                self.declare(module, name, Item::of_service(what, &full))?;
            }
        }
        let mut methods = Names::default();
        for method in &service.method {
            let method_full = join(&full, method.name());
            proto_name("method", &method_full, method.name())?;
            let item = Item {
                what: format!("method {method_full}"),
                fix: Some(format!("rename_method({method_full:?}, \"...\")")),
            };
            let renamed = self.settings.methods.get(&method_full);
            if let Some(name) = renamed.filter(|name| HIDDEN.contains(&name.as_str())) {
                return Err(Error::NoName {
                    item: item.what,
                    reason: format!("every client has a method {name} already"),
                    fix: item.fix,
                });
            }
            let name = self
                .settings
                .method_name(&method_full, &snake(method.name()));
            // The underscore of hidden names hides what is missing.
            methods.add(&format!("the trait of service {full}"), name, item)?;
        }
        Ok(())
    }
}

/// Descriptors of other compilers are not to be trusted with names.
fn proto_name(kind: &str, full: &str, name: &str) -> Result<(), Error> {
    if is_proto_name(name) {
        return Ok(());
    }
    Err(Error::DescriptorSet {
        reason: format!("{kind} {full:?}: {name:?} is no name that a .proto could have"),
    })
}
