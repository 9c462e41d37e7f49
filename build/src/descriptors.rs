//! The descriptors that a service carries for server reflection.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;
use prost_types::FileDescriptorProto;

use crate::set::{EncodedSet, without_source_info};

/// The name of the file with the descriptors of `package`, beside the generated code.
pub(crate) fn file_name(package: &str) -> String {
    let package = if package.is_empty() { "_" } else { package };
    format!("{package}.descriptors.bin")
}

/// For each package with services, an encoded `FileDescriptorSet` of its files and everything
/// they import. Imported files come before those that import them. Comments are left out.
///
/// Those in `encoded`, by name, are taken as they are: prost would drop options of theirs.
pub(crate) fn by_package(
    files: &[FileDescriptorProto],
    encoded: &BTreeMap<String, Vec<u8>>,
) -> BTreeMap<String, Vec<u8>> {
    let by_name: BTreeMap<&str, &FileDescriptorProto> =
        files.iter().map(|file| (file.name(), file)).collect();
    let packages: BTreeSet<&str> = files
        .iter()
        .filter(|file| !file.service.is_empty())
        .map(FileDescriptorProto::package)
        .collect();
    packages
        .into_iter()
        .map(|package| {
            let mut done = BTreeSet::new();
            let mut set = EncodedSet::default();
            for file in files.iter().filter(|file| file.package() == package) {
                add(file.name(), &by_name, encoded, &mut done, &mut set);
            }
            (package.to_owned(), set.encode_to_vec())
        })
        .collect()
}

fn add<'a>(
    name: &'a str,
    by_name: &BTreeMap<&'a str, &'a FileDescriptorProto>,
    encoded: &BTreeMap<String, Vec<u8>>,
    done: &mut BTreeSet<&'a str>,
    set: &mut EncodedSet,
) {
    // The compiler has refused missing imports and circles.
    let Some(file) = by_name.get(name) else {
        return;
    };
    if !done.insert(name) {
        return;
    }
    for import in &file.dependency {
        add(import, by_name, encoded, done, set);
    }
    let bytes = match encoded.get(name) {
        Some(bytes) => without_source_info(bytes),
        None => {
            let mut file = FileDescriptorProto::clone(file);
            file.source_code_info = None;
            file.encode_to_vec()
        }
    };
    set.file.push(bytes);
}
