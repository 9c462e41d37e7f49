//! A look at the tokens of a `.proto` before it is parsed.

use std::ops::Range;

/// The depth of braces and brackets that is read. A descriptor may not be nested deeper than 100
/// to be decoded, and a level in the text is one or two there; the parser calls itself once a
/// level.
pub(crate) const DEPTH_LIMIT: usize = 100;

/// What a file has that the parser could not read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Scanned {
    /// The line of the first bracket too deep.
    pub(crate) too_deep: Option<usize>,
    /// Line and value of `edition = "…"`.
    pub(crate) edition: Option<(usize, String)>,
    /// Options of a single extension number, `[…]` in `extensions 4 [declaration = {…}]`, which
    /// change nothing of the code.
    pub(crate) unreadable: Vec<Range<usize>>,
}

pub(crate) fn scan(text: &str) -> Scanned {
    let mut scanned = Scanned::default();
    // The tokens of the present statement.
    let mut statement: Vec<&str> = Vec::new();
    let mut depth = 0_usize;
    // Where the options that are taken away begin, and at which depth.
    let mut taken: Option<(usize, usize)> = None;
    let mut first = true;
    for token in (Tokens { text, at: 0 }) {
        let word = &text[token.clone()];
        match word {
            "{" | "[" => {
                if word == "[" && taken.is_none() && is_single_extension(&statement) {
                    taken = Some((token.start, depth));
                }
                depth += 1;
                if depth > DEPTH_LIMIT && scanned.too_deep.is_none() {
                    scanned.too_deep = Some(line_of(text, token.start));
                }
            }
            "}" | "]" => {
                depth = depth.saturating_sub(1);
                if let Some((start, _)) = taken.take_if(|(_, outer)| *outer == depth) {
                    scanned.unreadable.push(start..token.end);
                }
            }
            _ => {}
        }
        if matches!(word, "{" | "}" | ";") {
            statement.clear();
            first &= word == ";";
        } else {
            statement.push(word);
        }
        if first && let ["edition", "=", value] = statement[..] {
            let value = value.trim_matches(['"', '\'']).to_owned();
            scanned.edition = Some((line_of(text, token.start), value));
        }
        first &= statement.len() < 3;
    }
    scanned
}

/// `extensions 4` and `extensions 1 to 3, 4`, after which the parser expects no options; it does
/// after `1 to 3`.
fn is_single_extension(statement: &[&str]) -> bool {
    let is_number = |word: &&str| word.starts_with(|c: char| c.is_ascii_digit());
    let (Some(&"extensions"), Some(last)) = (statement.first(), statement.last()) else {
        return false;
    };
    is_number(last) && statement[statement.len() - 2] != "to"
}

/// The text with blanks in these places.
pub(crate) fn without(text: &str, places: &[Range<usize>]) -> String {
    let mut rest = String::with_capacity(text.len());
    let mut end = 0;
    for place in places {
        rest.push_str(&text[end..place.start]);
        let blanks = text[place.clone()].bytes();
        rest.extend(blanks.map(|byte| if byte == b'\n' { '\n' } else { ' ' }));
        end = place.end;
    }
    rest.push_str(&text[end..]);
    rest
}

fn line_of(text: &str, at: usize) -> usize {
    1 + text[..at].matches('\n').count()
}

/// Words, strings and single characters, without white space and comments.
struct Tokens<'a> {
    text: &'a str,
    at: usize,
}

impl Iterator for Tokens<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        loop {
            let rest = &self.text[self.at..];
            let start = self.at + (rest.len() - rest.trim_start().len());
            let rest = &self.text[start..];
            let first = rest.chars().next()?;
            let (length, is_comment) = if rest.starts_with("//") {
                (rest.find('\n').unwrap_or(rest.len()), true)
            } else if rest.starts_with("/*") {
                (rest.find("*/").map_or(rest.len(), |end| end + 2), true)
            } else if matches!(first, '"' | '\'') {
                (string_length(rest, first), false)
            } else {
                let is_word = |c: char| c.is_alphanumeric() || c == '_';
                let word = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                (word.max(first.len_utf8()), false)
            };
            self.at = start + length;
            if !is_comment {
                return Some(start..self.at);
            }
        }
    }
}

/// The length of the string that begins here. It ends with its line at the latest.
fn string_length(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, char) in text.char_indices().skip(1) {
        match char {
            '\n' => return at,
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if char == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readable(text: &str) -> String {
        without(text, &scan(text).unreadable)
    }

    #[test]
    fn options_of_a_single_extension_are_blank() {
        let options = "[a = { b: [1] }, /* ] */ c = \"]\"]";
        assert_eq!(
            readable(&format!("extensions 4 {options};\nx")),
            format!("extensions 4 {};\nx", " ".repeat(options.len()))
        );
        assert_eq!(
            readable("extensions 1 to 2, 4\n[a\n= 1];"),
            "extensions 1 to 2, 4\n  \n    ;"
        );
    }

    #[test]
    fn other_options_stay() {
        for text in [
            "extensions 4 to 5 [a = 1];",
            "extensions 4 to max [verification = UNVERIFIED];",
            "int32 extensions = 4 [deprecated = true];",
            "// extensions 4 [a]\nextensions 4;",
            "string s = 1 [default = \"extensions 4 [a]\"];",
        ] {
            assert_eq!(readable(text), text);
        }
    }

    #[test]
    fn an_edition_comes_first() {
        let edition = |text| scan(text).edition;
        let expected = Some((2, "2023".to_owned()));
        assert_eq!(
            edition("// a file\nedition = '2023';\npackage a;"),
            expected
        );
        assert_eq!(edition("option edition = \"2023\";"), None);
        assert_eq!(edition("message A {}\nedition = \"2023\";"), None);
    }

    #[test]
    fn brackets_in_comments_and_strings_do_not_count() {
        let text = format!("// {}\noption a = '{}';", "{".repeat(200), "{".repeat(200));
        assert_eq!(scan(&text), Scanned::default());
        assert_eq!(scan(&"{".repeat(101)).too_deep, Some(1));
        assert_eq!(scan(&"{}".repeat(101)).too_deep, None);
    }
}
