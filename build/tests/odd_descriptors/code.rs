//! Whether no name of the generated code stands for two things.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The names in one module or the like: each may be there once.
#[track_caller]
fn add(names: &mut BTreeSet<String>, name: &impl ToString) {
    let name = name.to_string();
    assert!(names.insert(name.clone()), "{name} is there twice");
}

fn check_items(modules: &mut BTreeMap<String, BTreeSet<String>>, path: &str, items: &[syn::Item]) {
    for item in items {
        let names = modules.entry(path.to_owned()).or_default();
        match item {
            syn::Item::Struct(item) => {
                add(names, &item.ident);
                let mut fields = BTreeSet::new();
                let idents = item.fields.iter().filter_map(|field| field.ident.as_ref());
                idents.for_each(|ident| add(&mut fields, ident));
            }
            syn::Item::Enum(item) => {
                add(names, &item.ident);
                let mut variants = BTreeSet::new();
                item.variants
                    .iter()
                    .for_each(|variant| add(&mut variants, &variant.ident));
            }
            syn::Item::Trait(item) => {
                add(names, &item.ident);
                let mut methods = BTreeSet::new();
                for item in &item.items {
                    let syn::TraitItem::Fn(method) = item else {
                        continue;
                    };
                    add(&mut methods, &method.sig.ident);
                }
            }
            syn::Item::Mod(item) => {
                add(names, &item.ident);
                let path = format!("{path}.{}", item.ident);
                let (_, items) = item.content.as_ref().expect("inline");
                check_items(modules, &path, items);
            }
            _ => {}
        }
    }
}

/// Checks the code; the include file names the modules of packages.
pub(crate) fn check_code(directory: &Path) {
    let mut modules = BTreeMap::new();
    let mut packages = BTreeSet::new();
    for entry in fs::read_dir(directory).expect("readable") {
        let name = entry
            .expect("readable")
            .file_name()
            .into_string()
            .expect("UTF-8");
        let Some(stem) = name.strip_suffix(".rs") else {
            continue;
        };
        let text = fs::read_to_string(directory.join(&name)).expect("readable");
        let code = syn::parse_file(&text).unwrap_or_else(|error| panic!("{error} in {text}"));
        let path = if stem == "_" { "" } else { stem };
        let path = path.split('.').filter(|part| !part.is_empty());
        let path: String = path.map(|part| format!(".{part}")).collect();
        packages.extend(
            path.match_indices('.')
                .skip(1)
                .map(|(at, _)| path[..at].to_owned()),
        );
        packages.insert(path.clone());
        check_items(&mut modules, &path, &code.items);
    }
    for package in packages {
        if let Some((parent, name)) = package.rsplit_once('.') {
            add(modules.entry(parent.to_owned()).or_default(), &name);
        }
    }
}
