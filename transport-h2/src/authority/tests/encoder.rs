//! An encoder that does all that HPACK allows, and says what is to come of each field.

use std::collections::VecDeque;

use http::uri::Authority;
use outboard_kit::h2_frames::Frame;
use proptest::prelude::*;

use crate::authority::block::TABLE_SIZE;
use crate::authority::huffman::tests::encode as huffman;
use crate::authority::*;

type Pair = (Vec<u8>, Vec<u8>);

/// Some of the static table (RFC 7541, appendix A): index, name, value.
const STATIC: [(usize, &str, &str); 6] = [
    (1, ":authority", ""),
    (3, ":method", "POST"),
    (4, ":path", "/"),
    (6, ":scheme", "http"),
    (31, "content-type", ""),
    (58, "user-agent", ""),
];

/// How a field is to be written, where it can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Indexed,
    Indexing,
    Without,
    Never,
}

#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) name: Vec<u8>,
    pub(super) value: Vec<u8>,
    pub(super) form: Form,
    /// Whether name and value are Huffman-coded, and whether the name is spelt out in any case.
    pub(super) huffman: (bool, bool),
    pub(super) spelt: bool,
    /// Which of several indexes is used.
    pub(super) choice: usize,
}

/// What the other side has to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    Same(Pair),
    /// An authority instead of this one.
    Instead(Vec<u8>),
}

/// An encoder with the table of the sending side.
pub(super) struct Encoder {
    entries: VecDeque<Pair>,
    most: usize,
}

fn integer(first: u8, prefix: u8, value: usize, out: &mut Vec<u8>) {
    let mask = (1_usize << prefix) - 1;
    if value < mask {
        out.push(first | value as u8);
        return;
    }
    out.push(first | mask as u8);
    let mut rest = value - mask;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn string(text: &[u8], coded: bool, out: &mut Vec<u8>) {
    let (flag, text) = if coded {
        (0x80, huffman(text))
    } else {
        (0, text.to_vec())
    };
    integer(flag, 7, text.len(), out);
    out.extend(text);
}

impl Encoder {
    pub(super) const fn new() -> Self {
        Self {
            entries: VecDeque::new(),
            most: TABLE_SIZE,
        }
    }

    fn shrink(&mut self, to: usize) {
        let size = |pair: &Pair| pair.0.len() + pair.1.len() + 32;
        while self.entries.iter().map(size).sum::<usize>() > to {
            self.entries.pop_back();
        }
    }

    pub(super) fn resize(&mut self, most: usize, out: &mut Vec<u8>) {
        integer(0x20, 5, most, out);
        self.most = most;
        self.shrink(most);
    }

    /// The indexes of the entries for which `wanted` holds.
    fn find(&self, wanted: impl Fn(&[u8], &[u8]) -> bool) -> Vec<usize> {
        let fixed = STATIC
            .iter()
            .filter(|(_, name, value)| wanted(name.as_bytes(), value.as_bytes()))
            .map(|(index, ..)| *index);
        let entries = self.entries.iter().enumerate();
        let own = entries
            .filter(|(_, (name, value))| wanted(name, value))
            .map(|(index, _)| index + 62);
        fixed.chain(own).collect()
    }

    /// Writes a field, and says what is to come of it.
    pub(super) fn encode(&mut self, field: &Field, out: &mut Vec<u8>) -> Option<Expected> {
        let pair = (field.name.clone(), field.value.clone());
        let is_wrong =
            field.name == b":authority" && Authority::try_from(&field.value[..]).is_err();
        let expected = if is_wrong {
            Expected::Instead(field.value.clone())
        } else {
            Expected::Same(pair.clone())
        };
        let same = self.find(|name, value| name == field.name && value == field.value);
        if field.form == Form::Indexed && !same.is_empty() {
            let index = same[field.choice % same.len()];
            integer(0x80, 7, index, out);
            if is_wrong && field.value.is_empty() {
                // Of the static table: left out. Of the other: it had to stay there.
                return (index > 61).then_some(Expected::Same(pair));
            }
            return Some(expected);
        }
        let (first, prefix) = match field.form {
            Form::Indexed | Form::Indexing => (0x40, 6),
            Form::Without => (0, 4),
            Form::Never => (0x10, 4),
        };
        let named = self.find(|name, _| name == field.name);
        if field.spelt || named.is_empty() {
            integer(first, prefix, 0, out);
            string(&field.name, field.huffman.0, out);
        } else {
            integer(first, prefix, named[field.choice % named.len()], out);
        }
        string(&field.value, field.huffman.1, out);
        if prefix == 6 {
            let size = field.name.len() + field.value.len() + 32;
            self.shrink(self.most.saturating_sub(size));
            if size <= self.most {
                self.entries.push_front(pair.clone());
            }
        }
        if is_wrong && field.value.is_empty() {
            return (prefix == 6).then_some(Expected::Same(pair));
        }
        Some(expected)
    }
}

/// One request: how the table is resized before it, its fields, and where the block is cut.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) sizes: Vec<usize>,
    pub(super) fields: Vec<Field>,
    pub(super) cuts: Vec<usize>,
    pub(super) padding: Option<u8>,
    pub(super) priority: bool,
    /// The payload of a frame of this kind follows.
    pub(super) other: Option<(u8, Vec<u8>)>,
}

fn field() -> impl Strategy<Value = Field> {
    let name = prop_oneof![
        4 => Just(":authority"),
        1 => Just(":path"),
        1 => Just("content-type"),
        1 => Just("grpc-timeout"),
        1 => Just("x-a-name-that-takes-some-room-in-a-table"),
    ];
    let value = prop_oneof![
        2 => Just(Vec::new()),
        2 => Just(b"localhost:1234".to_vec()),
        4 => Just(b"%2Ftmp%2Fplugin1234".to_vec()),
        2 => Just(b"/tmp/plugin1234".to_vec()),
        1 => Just(b"!".to_vec()),
        2 => proptest::collection::vec(any::<u8>(), 0..40),
        1 => proptest::collection::vec(Just(b'%'), 300..5000),
        // Coded, these take more room than plain.
        1 => proptest::collection::vec(240_u8..=255, 1..9),
    ];
    let form = prop_oneof![
        3 => Just(Form::Indexed),
        3 => Just(Form::Indexing),
        1 => Just(Form::Without),
        1 => Just(Form::Never),
    ];
    (
        name,
        value,
        form,
        any::<(bool, bool)>(),
        any::<bool>(),
        any::<usize>(),
    )
        .prop_map(|(name, value, form, huffman, spelt, choice)| Field {
            name: name.as_bytes().to_vec(),
            value,
            form,
            huffman,
            spelt,
            choice,
        })
}

pub(super) fn request() -> impl Strategy<Value = Request> {
    let size = prop_oneof![Just(0), Just(42), 0..300_usize, Just(4096)];
    let other = (
        proptest::sample::select(vec![0_u8, 2, 3, 4, 6, 8, 0xfa]),
        proptest::collection::vec(any::<u8>(), 0..200),
    );
    (
        prop_oneof![4 => Just(Vec::new()), 1 => proptest::collection::vec(size, 1..3)],
        proptest::collection::vec(field(), 0..6),
        proptest::collection::vec(any::<usize>(), 0..4),
        proptest::option::of(any::<u8>()),
        any::<bool>(),
        proptest::option::of(other),
    )
        .prop_map(|(sizes, fields, cuts, padding, priority, other)| Request {
            sizes,
            fields,
            cuts,
            padding,
            priority,
            other,
        })
}

pub(super) fn put_frame(kind: u8, flags: u8, payload: &[u8], out: &mut Vec<u8>) {
    out.extend(Frame::new(kind, flags, 1, payload).encode());
}

/// The frames of a header block that is cut at these places.
pub(super) fn put_block(block: &[u8], request: &Request, out: &mut Vec<u8>) {
    let mut cuts: Vec<usize> = request
        .cuts
        .iter()
        .map(|cut| cut % (block.len() + 1))
        .collect();
    cuts.sort_unstable();
    cuts.push(block.len());
    let mut from = 0;
    for (index, to) in cuts.iter().enumerate() {
        let end = if index + 1 == cuts.len() {
            END_HEADERS
        } else {
            0
        };
        let part = &block[from..*to];
        from = *to;
        if index > 0 {
            put_frame(CONTINUATION, end, part, out);
            continue;
        }
        let mut flags = end;
        let mut payload = Vec::new();
        if let Some(padding) = request.padding {
            flags |= PADDED;
            payload.push(padding);
        }
        if request.priority {
            flags |= PRIORITY;
            payload.extend([0, 0, 0, 0, 16]);
        }
        payload.extend(part);
        payload.extend(std::iter::repeat_n(0, request.padding.unwrap_or(0).into()));
        put_frame(HEADERS, flags, &payload, out);
    }
}
