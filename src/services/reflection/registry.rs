//! Looks things up in the descriptors that services carry.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use outboard_core::rpc::ServiceDescriptor;
use prost::Message as _;

use super::descriptor::{EncodedFiles, Extension, FileNames, Group, MessageNames};

/// Everything the descriptors of a server declare, by name.
#[derive(Debug, Default)]
pub(super) struct Registry {
    files: BTreeMap<String, File>,
    /// The file that declares each fully qualified name.
    symbols: BTreeMap<String, String>,
    messages: BTreeSet<String>,
    /// The files of extensions, by the message they extend and their number.
    extensions: BTreeMap<String, BTreeMap<i32, String>>,
}

#[derive(Debug)]
struct File {
    /// The descriptor as it came, so that options which this crate does not know survive.
    encoded: Bytes,
    imports: Vec<String>,
}

impl Registry {
    /// The descriptors of these services. Those that cannot be decoded, possible only in
    /// descriptors written by hand, are left out.
    pub(super) fn new(services: &[&'static ServiceDescriptor]) -> Self {
        let mut registry = Self::default();
        for service in services {
            let set = Bytes::from_static(service.file_descriptor_set);
            let set = EncodedFiles::decode(set).unwrap_or_default();
            for encoded in set.file {
                if let Ok(file) = FileNames::decode(encoded.clone()) {
                    registry.add(file, encoded);
                }
            }
        }
        registry
    }

    /// The file of this name, as its name.
    pub(super) fn file(&self, name: &str) -> Option<&str> {
        self.files.get_key_value(name).map(|(name, _)| &**name)
    }

    /// The name of the file that declares `symbol`.
    pub(super) fn file_of_symbol(&self, symbol: &str) -> Option<&str> {
        self.symbols.get(symbol).map(String::as_str)
    }

    /// The name of the file that declares this extension of a message.
    pub(super) fn file_of_extension(&self, message: &str, number: i32) -> Option<&str> {
        let file = self.extensions.get(message)?.get(&number)?;
        Some(file)
    }

    /// The numbers of the extensions of a message, ascending; `None` if there is no such message.
    pub(super) fn extensions_of(&self, message: &str) -> Option<Vec<i32>> {
        match self.extensions.get(message) {
            Some(extensions) => Some(extensions.keys().copied().collect()),
            None => self.messages.contains(message).then(Vec::new),
        }
    }

    /// The encoded file and then everything it imports, but for imports in `sent`; adds all to
    /// `sent`.
    pub(super) fn with_imports(&self, file: &str, sent: &mut BTreeSet<String>) -> Vec<Bytes> {
        let mut encoded = Vec::new();
        let mut queue = VecDeque::from([file]);
        while let Some(name) = queue.pop_front() {
            let new = sent.insert(name.to_owned());
            let Some(file) = self.files.get(name) else {
                continue;
            };
            if new || encoded.is_empty() {
                encoded.push(file.encoded.clone());
                queue.extend(file.imports.iter().map(String::as_str));
            }
        }
        encoded
    }

    /// Services of one package carry the same files, of which the first counts.
    fn add(&mut self, file: FileNames, encoded: Bytes) {
        let name = &*file.name;
        if self.files.contains_key(name) {
            return;
        }
        let entry = File {
            encoded,
            imports: file.dependency.clone(),
        };
        self.files.insert(name.to_owned(), entry);
        let mut adder = Adder {
            registry: self,
            file: name,
        };
        let package = &*file.package;
        adder.messages(package, &file.messages);
        adder.enums(package, &file.enums);
        adder.extensions(package, &file.extensions);
        for service in &file.services {
            let scope = adder.symbol(package, &service.name);
            for method in &service.members {
                adder.symbol(&scope, &method.name);
            }
        }
    }
}

/// Adds what a file declares.
struct Adder<'a> {
    registry: &'a mut Registry,
    file: &'a str,
}

impl Adder<'_> {
    fn symbol(&mut self, scope: &str, name: &str) -> String {
        let symbol = match scope {
            "" => name.to_owned(),
            scope => format!("{scope}.{name}"),
        };
        let file = self.file.to_owned();
        self.registry.symbols.insert(symbol.clone(), file);
        symbol
    }

    fn messages(&mut self, scope: &str, messages: &[MessageNames]) {
        for message in messages {
            let scope = self.symbol(scope, &message.name);
            self.registry.messages.insert(scope.clone());
            for field in &message.fields {
                self.symbol(&scope, &field.name);
            }
            for oneof in &message.oneofs {
                self.symbol(&scope, &oneof.name);
            }
            self.messages(&scope, &message.nested);
            self.enums(&scope, &message.enums);
            self.extensions(&scope, &message.extensions);
        }
    }

    fn enums(&mut self, scope: &str, groups: &[Group]) {
        for group in groups {
            self.symbol(scope, &group.name);
            // As in C++, values are siblings of their enum.
            for value in &group.members {
                self.symbol(scope, &value.name);
            }
        }
    }

    fn extensions(&mut self, scope: &str, extensions: &[Extension]) {
        for extension in extensions {
            self.symbol(scope, &extension.name);
            // Compiled descriptors name types with a dot in front.
            let of = extension.extendee.trim_start_matches('.').to_owned();
            let of = self.registry.extensions.entry(of).or_default();
            of.insert(extension.number, self.file.to_owned());
        }
    }
}
