//! What stands in `#[gob(...)]`, and the names that Go has for Rust's.

use syn::ext::IdentExt as _;
use syn::{Attribute, Field, LitStr, Path, Result};

/// Of a struct.
pub(crate) struct Container {
    pub(crate) name: Option<String>,
    pub(crate) krate: Path,
}

impl Container {
    pub(crate) fn parse(attributes: &[Attribute]) -> Result<Self> {
        let mut options = Self {
            name: None,
            krate: syn::parse_quote!(::outboard_gob),
        };
        for attribute in attributes.iter().filter(|it| it.path().is_ident("gob")) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("name") {
                    options.name = Some(meta.value()?.parse::<LitStr>()?.value());
                } else if meta.path.is_ident("crate") {
                    options.krate = meta.value()?.parse::<LitStr>()?.parse()?;
                } else {
                    return Err(meta.error("of a struct, gob knows `name` and `crate`"));
                }
                Ok(())
            })?;
        }
        Ok(options)
    }
}

/// The name of a field in Go. None if it is skipped.
pub(crate) fn field_name(field: &Field) -> Result<Option<String>> {
    let (mut renamed, mut is_skipped) = (None, false);
    for attribute in field.attrs.iter().filter(|it| it.path().is_ident("gob")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("rename") {
                let name: LitStr = meta.value()?.parse()?;
                if !is_exported(&name.value()) {
                    let text =
                        "Go sends fields whose names begin with a capital letter, and no others";
                    return Err(syn::Error::new(name.span(), text));
                }
                renamed = Some(name.value());
            } else if meta.path.is_ident("skip") {
                is_skipped = true;
            } else {
                return Err(meta.error("of a field, gob knows `rename` and `skip`"));
            }
            Ok(())
        })?;
    }
    if is_skipped {
        return Ok(None);
    }
    if let Some(renamed) = renamed {
        return Ok(Some(renamed));
    }
    let Some(ident) = &field.ident else {
        return Ok(None);
    };
    let name = exported(&ident.unraw().to_string());
    if !is_exported(&name) {
        let text =
            format!("`{name}` does not begin with a capital letter, as Go's names must: rename it");
        return Err(syn::Error::new(ident.span(), text));
    }
    Ok(Some(name))
}

fn is_exported(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(char::is_uppercase)
        && chars.all(|char| char.is_alphanumeric() || char == '_')
}

/// `first_name` as `FirstName`.
fn exported(name: &str) -> String {
    name.split('_')
        .flat_map(|word| {
            let mut chars = word.chars();
            let first = chars.next();
            first.into_iter().flat_map(char::to_uppercase).chain(chars)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_go_writes_them() {
        for (rust, go) in [
            ("service_method", "ServiceMethod"),
            ("seq", "Seq"),
            ("_private", "Private"),
            ("a1_b2", "A1B2"),
            ("ähre", "Ähre"),
        ] {
            assert_eq!(exported(rust), go);
            assert!(is_exported(go));
        }
        for name in ["", "id", "1D", "_", "A-B"] {
            assert!(!is_exported(name), "{name}");
        }
    }
}
