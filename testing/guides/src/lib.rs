//! The guides in `docs/`, as their tests read them: the blocks of code, and what is to be done with each.
//!
//! Every block of a guide is one of these, and anything else is an error:
//!
//! - A file: its first line is a comment with its path in the reader's package, `// src/lib.rs` or
//!   `# Cargo.toml`. With `, continued` behind the path it is put at the end of that file.
//! - Commands: `sh`. They succeed, or, with `sh fails`, do not.
//! - What the commands before it print: `text`. Each line is found in the output, in any order, since a plugin's
//!   log and its prints come each on their own way; `…` stands for anything.

use std::fmt;
use std::path::{Path, PathBuf};

/// The directory of this repository.
#[must_use]
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    here.canonicalize().expect("the repository")
}

/// A block of code in a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block<'a> {
    /// The document's name, and the line on which the block begins.
    pub place: Place<'a>,
    /// What is to be done with it.
    pub step: Step<'a>,
}

/// A line of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The name of the document.
    pub document: &'a str,
    /// Its number, from 1.
    pub line: usize,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.document, self.line)
    }
}

/// What a reader does with a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// Writes a file of the package.
    Write {
        /// Its path in the package.
        path: &'a str,
        /// Whether it is put at the end of the file.
        continued: bool,
        /// The whole block, as a reader copies it.
        text: &'a str,
    },
    /// Runs commands.
    Run {
        /// For a shell.
        script: &'a str,
        /// Whether they succeed.
        succeeds: bool,
    },
    /// Sees this among what the commands before it printed.
    See {
        /// The lines.
        text: &'a str,
    },
}

/// The blocks of a document.
///
/// # Panics
/// With the place of a block that is none of the kinds above.
#[must_use]
pub fn blocks<'a>(document: &'a str, text: &'a str) -> Vec<Block<'a>> {
    let mut blocks = Vec::new();
    let mut line = 0;
    let mut rest = text;
    while let Some((head, behind)) = rest.split_once('\n') {
        line += 1;
        rest = behind;
        let Some(info) = head.strip_prefix("```") else {
            continue;
        };
        let place = Place { document, line };
        let end = rest.find("\n```\n").map(|end| end + 1);
        let end = end.unwrap_or_else(|| panic!("{place}: a block without an end"));
        let body = &rest[..end];
        line += body.lines().count() + 1;
        rest = &rest[end + "```\n".len()..];
        let step = step(info, body).unwrap_or_else(|| panic!("{place}: what is this block for?"));
        blocks.push(Block { place, step });
    }
    blocks
}

fn step<'a>(info: &str, text: &'a str) -> Option<Step<'a>> {
    match info {
        "sh" | "sh fails" => {
            return Some(Step::Run {
                script: text,
                succeeds: info == "sh",
            });
        }
        "text" => return Some(Step::See { text }),
        _ => {}
    }
    let (first, _) = text.split_once('\n')?;
    let comment = ["// ", "# "]
        .iter()
        .find_map(|mark| first.strip_prefix(mark))?;
    let (path, continued) = match comment.strip_suffix(", continued") {
        Some(path) => (path, true),
        None => (comment, false),
    };
    let is_path = !path.contains(char::is_whitespace) && path.contains('.');
    is_path.then_some(Step::Write {
        path,
        continued,
        text,
    })
}

/// The first line of what is to be seen that is not in the output, if there is one. No line of the output
/// counts twice.
#[must_use]
pub fn missing<'a>(seen: &'a str, output: &str) -> Option<&'a str> {
    let mut printed: Vec<_> = output.lines().collect();
    seen.lines().find(|line| {
        let at = printed.iter().position(|printed| is_like(line, printed));
        at.map(|at| printed.swap_remove(at)).is_none()
    })
}

/// Whether a printed line is the one that is shown, in which `…` stands for anything.
fn is_like(shown: &str, printed: &str) -> bool {
    let mut parts = shown.trim_end().split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = printed.trim_end().strip_prefix(first) else {
        return false;
    };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_told_apart() {
        let text = "Words.\n\n```rust\n// src/lib.rs\nfn a() {}\n```\n\n```rust\n// src/lib.rs, continued\nfn b() {}\n\
                    ```\n\n```sh fails\nfalse\n```\n\n```text\nno\n```\n";
        let found = blocks("guide.md", text);
        let lines: Vec<_> = found.iter().map(|block| block.place.line).collect();
        assert_eq!(lines, [3, 8, 13, 17]);
        let steps: Vec<_> = found.into_iter().map(|block| block.step).collect();
        let path = "src/lib.rs";
        let expected = [
            Step::Write {
                path,
                continued: false,
                text: "// src/lib.rs\nfn a() {}\n",
            },
            Step::Write {
                path,
                continued: true,
                text: "// src/lib.rs, continued\nfn b() {}\n",
            },
            Step::Run {
                script: "false\n",
                succeeds: false,
            },
            Step::See { text: "no\n" },
        ];
        assert_eq!(steps, expected);
    }

    #[test]
    fn what_nobody_would_try_is_refused() {
        for block in [
            "```rust\nfn a() {}\n```\n",
            "```rust\n// No path.\n```\n",
            "```\nx\n```\n",
        ] {
            let outcome = std::panic::catch_unwind(|| blocks("guide.md", block).len());
            assert!(outcome.is_err(), "{block}");
        }
    }

    #[test]
    fn what_is_shown_is_found() {
        let output = "one\ntwo 17 and 18\nthree\n";
        for seen in [
            "one\n",
            "three\none\n",
            "two … and …\n",
            "…\nthree\n",
            "t…8\n",
        ] {
            assert_eq!(missing(seen, output), None, "{seen}");
        }
        for (seen, first) in [
            ("one\none\n", "one"),
            ("on\n", "on"),
            ("two … or …\n", "two … or …"),
        ] {
            assert_eq!(missing(seen, output), Some(first), "{seen}");
        }
    }
}
