//! The names that prost-build makes of those in a `.proto`.
//!
//! prost-build does not say in advance what it will call things, so its rules are here a second
//! time. A test compares them with what it writes.

use heck::{ToSnakeCase as _, ToUpperCamelCase as _};

/// Words that are names only with `r#` before them, of all editions of Rust.
const KEYWORDS: [&str; 47] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "do", "dyn",
    "else", "enum", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop",
    "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return", "static",
    "struct", "trait", "true", "try", "type", "typeof", "unsafe", "unsized", "use", "virtual",
    "where", "while", "yield",
];

/// Words that no `r#` makes a name.
const NEVER: [&str; 6] = ["_", "super", "self", "Self", "extern", "crate"];

fn sanitized(name: String) -> String {
    if KEYWORDS.contains(&name.as_str()) {
        format!("r#{name}")
    } else if NEVER.contains(&name.as_str()) {
        format!("{name}_")
    } else if name.starts_with(char::is_numeric) {
        format!("_{name}")
    } else {
        name
    }
}

/// The name of a field, method or module.
pub(crate) fn snake(name: &str) -> String {
    sanitized(name.to_snake_case())
}

/// The name of a type or variant.
pub(crate) fn camel(name: &str) -> String {
    sanitized(name.to_upper_camel_case())
}

/// The name of a value of the enum: without the enum's own name before it.
pub(crate) fn variant(enum_name: &str, value: &str) -> String {
    let value = camel(value);
    let rest = value.strip_prefix(&camel(enum_name));
    match rest {
        Some(rest) if rest.starts_with(char::is_uppercase) => sanitized(rest.to_owned()),
        _ => sanitized(value),
    }
}

/// Whether a `.proto` may call something so.
pub(crate) fn is_proto_name(name: &str) -> bool {
    let mut chars = name.chars();
    let first = chars.next();
    first.is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Whether Rust code may call something so.
pub(crate) fn is_rust_name(name: &str) -> bool {
    let (bare, raw) = match name.strip_prefix("r#") {
        Some(bare) => (bare, true),
        None => (name, false),
    };
    is_proto_name(bare) && !NEVER.contains(&bare) && (raw || !KEYWORDS.contains(&bare))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_prost_build() {
        let snakes = [
            ("GetURL", "get_url"),
            ("get_foo", "get_foo"),
            ("call_", "call"),
            ("type", "r#type"),
            ("self", "self_"),
            ("_1", "_1"),
        ];
        for (name, expected) in snakes {
            assert_eq!(snake(name), expected);
            // The one place where prost-build shows this.
            let module = prost_build::Module::from_protobuf_package_name(name);
            assert_eq!(module.parts().collect::<Vec<_>>(), [expected]);
        }
        assert_eq!(camel("HTTPServer"), "HttpServer");
        assert_eq!(camel("self"), "Self_");
        assert_eq!(variant("E", "E_SELF"), "Self_");
        assert_eq!(variant("Color", "COLOR_RED"), "Red");
        assert_eq!(variant("Color", "COLORED"), "Colored");
        assert_eq!(variant("Foo", "FOO_1"), "Foo1");
    }

    #[test]
    fn what_rust_takes_as_a_name() {
        for name in ["a", "_a", "r#type", "Kv2", "union", "r#union"] {
            assert!(is_rust_name(name), "{name}");
        }
        for name in [
            "", "_", "self", "type", "r#self", "r#a-b", "2a", "a b", "a::b",
        ] {
            assert!(!is_rust_name(name), "{name}");
        }
    }
}
