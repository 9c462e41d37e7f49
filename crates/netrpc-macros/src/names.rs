//! The names that Go has for Rust's.

/// Whether a method of this name is one that net/rpc calls.
pub(crate) fn is_exported(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(char::is_uppercase)
        && chars.all(|char| char.is_alphanumeric() || char == '_')
}

/// `greet_person` as `GreetPerson`.
pub(crate) fn exported(name: &str) -> String {
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
            ("greet", "Greet"),
            ("get_id", "GetId"),
            ("_private", "Private"),
            ("a1_b2", "A1B2"),
            ("über", "Über"),
        ] {
            assert_eq!(exported(rust), go);
            assert!(is_exported(go));
        }
        for name in ["", "get", "1D", "_", "A-B", "A.B"] {
            assert!(!is_exported(name), "{name}");
        }
    }
}
