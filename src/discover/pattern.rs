//! Patterns of file names. No IO.

/// Whether a name fits: `*` stands for any characters, `?` for one. What begins with a dot is hidden from
/// patterns that do not. It takes no more steps than the product of both lengths.
pub(super) fn fits(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut seen) = (0, 0);
    // The last star, and how far the name was when it began to stand for what follows.
    let mut star = None;
    while seen < name.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(&one) if one == '?' || one == name[seen] => {
                at += 1;
                seen += 1;
            }
            _ => {
                let Some((before, stood_for)) = star else {
                    return false;
                };
                // It stands for one more.
                star = Some((before, stood_for + 1));
                (at, seen) = (before + 1, stood_for + 1);
            }
        }
    }
    pattern[at..].iter().all(|&rest| rest == '*')
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn stars_and_question_marks_stand_for_others() {
        for (pattern, name) in [
            ("*", "anything"),
            ("acme-*", "acme-"),
            ("acme-*", "acme-tool"),
            ("*-plugin", "kv-plugin"),
            ("a*b*c", "aXbYbZc"),
            ("v?", "v1"),
            ("?", "ü"),
            (".*", ".hidden"),
            ("", ""),
            ("**x", "x"),
        ] {
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("*", ".hidden"),
            ("acme-*", "other-tool"),
            ("*-plugin", "kv-plugin.bak"),
            ("v?", "v"),
            ("v?", "v12"),
            ("a*b", "abc"),
            ("", "x"),
        ] {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn many_stars_take_no_time() {
        let pattern = "a*".repeat(50) + "b";
        assert!(!fits(&pattern, &"a".repeat(5000)));
    }
}
