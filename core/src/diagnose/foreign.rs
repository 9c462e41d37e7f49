//! What a program speaks that is no plugin of go-plugin's kind, by the first line that it prints.

use std::fmt;

/// A protocol by which programs talk over their stdout, and which is not go-plugin's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Foreign {
    /// JSON-RPC, an object a line: the Model Context Protocol, for one.
    JsonRpc,
    /// Messages behind headers, as language servers and debug adapters have them.
    LanguageServer,
    /// HTTP.
    Http,
}

impl Foreign {
    /// Reads the first line of a program's stdout. `None` if it tells nothing.
    #[must_use]
    pub fn detect(line: &str) -> Option<Self> {
        let line = line.trim();
        let begins = |word: &str| {
            let start = line.get(..word.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(word))
        };
        if begins("content-length:") || begins("content-type:") {
            Some(Self::LanguageServer)
        } else if line.starts_with("HTTP/1.") {
            Some(Self::Http)
        } else if line.starts_with('{') && line.contains("\"jsonrpc\"") {
            Some(Self::JsonRpc)
        } else {
            None
        }
    }
}

/// Its name.
impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::JsonRpc => "JSON-RPC",
            Self::LanguageServer => "the protocol of language servers",
            Self::Http => "HTTP",
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn first_lines_tell_what_is_spoken() {
        for (line, protocol) in [
            ("Content-Length: 119\r", Some(Foreign::LanguageServer)),
            ("content-length:2", Some(Foreign::LanguageServer)),
            ("HTTP/1.1 400 Bad Request", Some(Foreign::Http)),
            (
                "{\"jsonrpc\":\"2.0\",\"method\":\"hello\"}",
                Some(Foreign::JsonRpc),
            ),
            ("{\"level\":\"info\"}", None),
            ("1|1|unix|/p|grpc", None),
            ("listening on http://localhost", None),
            ("", None),
        ] {
            assert_eq!(Foreign::detect(line), protocol, "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_line_is_read(line in "(?i)(content-length:|\\{|HTTP/1.)?.{0,30}") {
            let _ = Foreign::detect(&line);
        }
    }
}
