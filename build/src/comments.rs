//! Makes the comments of a `.proto` fit for rustdoc.

use std::borrow::Cow;

use prost_types::source_code_info::Location;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto};

// Field numbers of google/protobuf/descriptor.proto, which paths in the source information
// consist of.
const FILE_MESSAGE: i32 = 4;
const FILE_ENUM: i32 = 5;
const FILE_SERVICE: i32 = 6;
const MESSAGE_FIELD: i32 = 2;
const MESSAGE_NESTED: i32 = 3;
const MESSAGE_ENUM: i32 = 4;
const MESSAGE_ONEOF: i32 = 8;
const ENUM_VALUE: i32 = 2;
const SERVICE_METHOD: i32 = 2;

/// Gives everything without a comment one, so that the generated code passes `missing_docs`, and
/// keeps rustdoc from taking parts of comments for code to run.
pub(crate) fn prepare(file: &mut FileDescriptorProto) {
    let mut defaults = Vec::new();
    let package = file.package().to_owned();
    let mut path = vec![FILE_MESSAGE];
    messages(&mut defaults, &mut path, &package, &file.message_type);
    path[0] = FILE_ENUM;
    enums(&mut defaults, &path, &package, &file.enum_type);
    for (index, service) in numbered(&file.service) {
        let name = qualified(&package, service.name());
        defaults.push((vec![FILE_SERVICE, index], format!("Service `{name}`.")));
        for (method, descriptor) in numbered(&service.method) {
            let path = vec![FILE_SERVICE, index, SERVICE_METHOD, method];
            defaults.push((path, format!("Method `{}`.", descriptor.name())));
        }
    }

    let info = file.source_code_info.get_or_insert_default();
    for location in &mut info.location {
        tame(&mut location.leading_comments);
        tame(&mut location.trailing_comments);
    }
    for (path, text) in defaults {
        let text = Some(format!(" {text}\n"));
        match info.location.iter_mut().find(|at| at.path == path) {
            Some(at) if at.leading_comments.is_none() && at.trailing_comments.is_none() => {
                at.leading_comments = text;
            }
            Some(_) => {}
            None => info.location.push(Location {
                path,
                leading_comments: text,
                ..Location::default()
            }),
        }
    }
}

type Defaults = Vec<(Vec<i32>, String)>;

fn messages(
    defaults: &mut Defaults,
    path: &mut Vec<i32>,
    scope: &str,
    messages: &[DescriptorProto],
) {
    for (index, message) in numbered(messages) {
        let name = qualified(scope, message.name());
        path.push(index);
        defaults.push((path.clone(), format!("Message `{name}`.")));
        for (index, field) in numbered(&message.field) {
            let text = format!("Field `{}` = {}.", field.name(), field.number());
            defaults.push((join(path, MESSAGE_FIELD, index), text));
        }
        for (index, oneof) in numbered(&message.oneof_decl) {
            let text = format!("One of the fields of `{}`.", oneof.name());
            defaults.push((join(path, MESSAGE_ONEOF, index), text));
        }
        path.push(MESSAGE_NESTED);
        self::messages(defaults, path, &name, &message.nested_type);
        path.pop();
        path.push(MESSAGE_ENUM);
        enums(defaults, path, &name, &message.enum_type);
        path.pop();
        path.pop();
    }
}

fn enums(defaults: &mut Defaults, path: &[i32], scope: &str, enums: &[EnumDescriptorProto]) {
    for (index, descriptor) in numbered(enums) {
        let path = [path, &[index]].concat();
        let name = qualified(scope, descriptor.name());
        for (index, value) in numbered(&descriptor.value) {
            let text = format!("Value `{}` = {}.", value.name(), value.number());
            defaults.push((join(&path, ENUM_VALUE, index), text));
        }
        defaults.push((path, format!("Enum `{name}`.")));
    }
}

fn join(path: &[i32], field: i32, index: i32) -> Vec<i32> {
    [path, &[field, index]].concat()
}

fn qualified(scope: &str, name: &str) -> String {
    if scope.is_empty() {
        name.to_owned()
    } else {
        format!("{scope}.{name}")
    }
}

/// Paths count in `i32`.
fn numbered<T>(items: &[T]) -> impl Iterator<Item = (i32, &T)> {
    (0..).zip(items)
}

/// Indented text and fences without a language are Rust code to rustdoc, which it would compile
/// as doc tests, and placeholders in angle brackets are HTML. In a `.proto` they are neither.
fn tame(comment: &mut Option<String>) {
    let Some(text) = comment else { return };
    let mut fenced = false;
    let mut tamed = String::with_capacity(text.len());
    for line in text.lines() {
        let line = &*visible(line);
        let trimmed = line.trim_start();
        if trimmed.starts_with("```") {
            fenced = !fenced;
            tamed.push(' ');
            tamed.push_str(if fenced { "```text" } else { "```" });
        } else if !fenced && line.len() - trimmed.len() > 3 {
            // prost-build adds a space that rustdoc takes away again; four more make a block of
            // code, three do not.
            tamed.push_str("   ");
            escape_tags(trimmed, &mut tamed);
        } else if fenced {
            tamed.push_str(line);
        } else {
            escape_tags(line, &mut tamed);
        }
        tamed.push('\n');
    }
    if fenced {
        tamed.push_str(" ```\n");
    }
    *text = tamed;
}

/// The line with its control characters escaped: rustc refuses carriage returns in comments, and
/// characters that change the direction of text (its lint `text_direction_codepoint_in_literal`).
fn visible(line: &str) -> Cow<'_, str> {
    let is_unseen = |c: char| {
        c != '\t' && c.is_control()
            || matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
    };
    if !line.contains(is_unseen) {
        return Cow::Borrowed(line);
    }
    let escaped = line.chars().fold(String::new(), |mut escaped, c| {
        if is_unseen(c) {
            escaped.extend(c.escape_unicode());
        } else {
            escaped.push(c);
        }
        escaped
    });
    Cow::Owned(escaped)
}

/// `<key>` is an unclosed HTML tag to rustdoc. Within backticks it is text already.
fn escape_tags(line: &str, out: &mut String) {
    let mut code = false;
    let mut last = ' ';
    for char in line.chars() {
        match char {
            '`' => code = !code,
            '<' if !code && last != '\\' => out.push('\\'),
            _ => {}
        }
        out.push(char);
        last = char;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tamed(text: &str) -> String {
        let mut comment = Some(text.to_owned());
        tame(&mut comment);
        comment.expect("still there")
    }

    #[test]
    fn indented_text_is_no_code() {
        assert_eq!(tamed(" Usage:\n\n      get(x)\n"), " Usage:\n\n   get(x)\n");
        assert_eq!(tamed("   - item\n"), "   - item\n");
    }

    #[test]
    fn placeholders_are_no_html() {
        assert_eq!(
            tamed(" h-<key>, `<raw>`, \\<kept>\n ```\n <x>\n ```\n"),
            " h-\\<key>, `<raw>`, \\<kept>\n ```text\n <x>\n ```\n"
        );
    }

    #[test]
    fn what_cannot_be_seen_is_escaped() {
        assert_eq!(
            tamed(" a\u{202E}b\u{2066}\u{200B}\tc\rd\r\n"),
            " a\\u{202e}b\\u{2066}\u{200B}\tc\\u{d}d\n"
        );
        // All that rustc's lint knows, which this crate is compiled with.
        for c in "\u{202A}\u{202B}\u{202C}\u{202D}\u{202E}\u{2066}\u{2067}\u{2068}\u{2069}".chars()
        {
            assert!(!tamed(&format!(" {c}")).contains(c), "{c:?}");
        }
    }

    #[test]
    fn fences_are_text_and_end() {
        assert_eq!(
            tamed(" ```\n      x\n ```\n end\n"),
            " ```text\n      x\n ```\n end\n"
        );
        assert_eq!(tamed(" ```go\n x\n"), " ```text\n x\n ```\n");
    }
}
