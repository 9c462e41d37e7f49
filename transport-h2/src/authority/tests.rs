//! What the filter makes of the requests of a peer whose encoder does all that HPACK allows, read
//! by a decoder that knows nothing of it.

use std::collections::VecDeque;

use http::uri::Authority;
use proptest::prelude::*;

use super::block::TABLE_SIZE;
use super::huffman::tests::encode as huffman;
use super::*;

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
enum Form {
    Indexed,
    Indexing,
    Without,
    Never,
}

#[derive(Clone, Debug)]
struct Field {
    name: Vec<u8>,
    value: Vec<u8>,
    form: Form,
    /// Whether name and value are Huffman-coded, and whether the name is spelt out in any case.
    huffman: (bool, bool),
    spelt: bool,
    /// Which of several indexes is used.
    choice: usize,
}

/// What the other side has to read.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Expected {
    Same(Pair),
    /// An authority instead of this one.
    Instead(Vec<u8>),
}

/// An encoder with the table of the sending side.
struct Encoder {
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
    const fn new() -> Self {
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

    fn resize(&mut self, most: usize, out: &mut Vec<u8>) {
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
    fn encode(&mut self, field: &Field, out: &mut Vec<u8>) -> Option<Expected> {
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
struct Request {
    sizes: Vec<usize>,
    fields: Vec<Field>,
    cuts: Vec<usize>,
    padding: Option<u8>,
    priority: bool,
    /// The payload of a frame of this kind follows.
    other: Option<(u8, Vec<u8>)>,
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

fn request() -> impl Strategy<Value = Request> {
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

fn put_frame(kind: u8, flags: u8, payload: &[u8], out: &mut Vec<u8>) {
    let length = u32::try_from(payload.len()).expect("small").to_be_bytes();
    out.extend(&length[1..]);
    out.extend([kind, flags, 0, 0, 0, 1]);
    out.extend(payload);
}

/// The frames of a header block that is cut at these places.
fn put_block(block: &[u8], request: &Request, out: &mut Vec<u8>) {
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

/// Passes bytes through the filter as the stream gives them: cut at these places.
fn pass(filter: &mut Filter, bytes: &[u8], cuts: &[usize]) -> Vec<u8> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.sort_unstable();
    cuts.push(bytes.len());
    let (mut out, mut from) = (Vec::new(), 0);
    let drain = |filter: &mut Filter, out: &mut Vec<u8>| {
        let mut target = [0; 7];
        loop {
            match filter.take(&mut target) {
                0 => break,
                count => out.extend(&target[..count]),
            }
        }
    };
    for to in cuts {
        let mut rest = &bytes[from..to];
        from = to;
        while !rest.is_empty() {
            if let Some(missing) = filter.missing() {
                let count = missing.min(rest.len());
                filter.fill(missing, |space| {
                    space[..count].copy_from_slice(&rest[..count]);
                    (count, ())
                });
                rest = &rest[count..];
            } else {
                let mut chunk = rest.to_vec();
                let count = filter.pass(&mut chunk);
                out.extend(&chunk[..count]);
                rest = &[];
            }
            drain(filter, &mut out);
        }
    }
    filter.end();
    drain(filter, &mut out);
    out
}

fn filter() -> Filter {
    Filter::new(16 << 20)
}

/// The frames of what came out: kind, flags and payload.
fn frames(mut bytes: &[u8]) -> Vec<(u8, u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let head = Head::parse(bytes).expect("whole frames");
        let (payload, rest) = bytes[HEAD..].split_at(head.length);
        let fragment = match head.kind {
            HEADERS | CONTINUATION => head.fragment(payload).expect("well made"),
            _ => 0..payload.len(),
        };
        frames.push((head.kind, head.flags, payload[fragment].to_vec()));
        bytes = rest;
    }
    frames
}

/// Whether a decoder that knows nothing of the filter reads what it has to.
fn check(requests: &[Request], cuts: &[usize]) {
    let mut encoder = Encoder::new();
    let mut input = vec![b'P'; PREFACE];
    let (mut expected, mut others) = (Vec::new(), Vec::new());
    for request in requests {
        let mut block = Vec::new();
        for size in &request.sizes {
            encoder.resize(*size, &mut block);
        }
        // The decoder wants a field after a change of the table's size.
        let last = Field {
            name: b"te".to_vec(),
            value: b"trailers".to_vec(),
            form: Form::Without,
            huffman: (false, true),
            spelt: true,
            choice: 0,
        };
        let fields = request.fields.iter().chain([&last]);
        let fields: Vec<_> = fields
            .filter_map(|field| encoder.encode(field, &mut block))
            .collect();
        expected.push(fields);
        put_block(&block, request, &mut input);
        if let Some((kind, payload)) = &request.other {
            put_frame(*kind, 0, payload, &mut input);
            others.push((*kind, 0, payload.clone()));
        }
    }
    let output = pass(&mut filter(), &input, cuts);
    assert_eq!(
        output,
        pass(&mut filter(), &input, &[]),
        "however it is cut"
    );
    assert!(output.len() <= input.len());
    assert_eq!(output[..PREFACE], input[..PREFACE]);
    let again = pass(&mut filter(), &output, &[]);
    assert_eq!(output, again, "nothing is left to do");

    let mut decoder = loona_hpack::Decoder::new();
    let (mut blocks, mut block) = (Vec::new(), Vec::new());
    let mut rest = Vec::new();
    for (kind, flags, payload) in frames(&output[PREFACE..]) {
        if !matches!(kind, HEADERS | CONTINUATION) {
            rest.push((kind, flags, payload));
            continue;
        }
        block.extend(payload);
        if flags & END_HEADERS != 0 {
            let fields = decoder.decode(&block).expect("a valid block");
            blocks.push(fields);
            block.clear();
        }
    }
    assert_eq!(rest, others, "all other frames");
    assert_eq!(blocks.len(), expected.len());
    for (fields, expected) in blocks.iter().zip(&expected) {
        assert_eq!(fields.len(), expected.len(), "{fields:?} {expected:?}");
        for (field, expected) in fields.iter().zip(expected) {
            let (name, value) = field;
            match expected {
                Expected::Same(pair) => assert_eq!(field, pair),
                Expected::Instead(wrong) => {
                    assert_eq!(name, b":authority");
                    assert!(value.len() <= wrong.len());
                    Authority::try_from(&value[..]).expect("a valid authority");
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn headers_stay_the_same_but_for_invalid_authorities(
        requests in proptest::collection::vec(request(), 1..12),
        cuts in proptest::collection::vec(any::<usize>(), 0..12),
    ) {
        check(&requests, &cuts);
    }

    #[test]
    fn nonsense_passes_however_it_is_cut(
        start in any::<bool>(),
        bytes in proptest::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(4), Just(9), any::<u8>()], 0..400),
        cuts in proptest::collection::vec(any::<usize>(), 0..12),
    ) {
        let mut input = vec![0; if start { PREFACE } else { 0 }];
        input.extend(bytes);
        let output = pass(&mut filter(), &input, &cuts);
        prop_assert_eq!(&output, &pass(&mut filter(), &input, &[]));
        prop_assert!(output.len() <= input.len());
    }
}

#[test]
fn frames_without_headers_are_never_copied() {
    let mut input = vec![0; PREFACE];
    put_frame(4, 0, &[], &mut input);
    put_frame(0, 0, &[1; 100_000], &mut input);
    let mut filter = filter();
    assert_eq!(filter.pass(&mut input.clone()), input.len());
    // A frame whose head is cut off: the rest of the head alone is held back.
    put_frame(0, 0, &[2; 1000], &mut input);
    let tail = &input[input.len() - 1009..];
    assert_eq!(filter.pass(&mut tail[..4].to_vec()), 0);
    assert_eq!(filter.missing(), Some(5));
    filter.fill(5, |space| {
        space.copy_from_slice(&tail[4..9]);
        (5, ())
    });
    assert_eq!(filter.take(&mut [0; 100]), 9);
    assert_eq!(filter.missing(), None);
    assert_eq!(filter.pass(&mut tail[9..].to_vec()), 1000);
}

#[test]
fn what_is_held_back_is_bounded() {
    let mut filter = Filter::new(1 << 20);
    assert_eq!(filter.pass(&mut [0; PREFACE]), PREFACE);
    // A block without an end, in frames of all lengths; the claim of a length takes no memory.
    let (mut given, mut passed) = (0, 0);
    let mut head = Vec::new();
    put_frame(HEADERS, 0, &[], &mut head);
    let mut next = head.clone();
    while !filter.off {
        if let Some(missing) = filter.missing() {
            let chunk = std::mem::take(&mut next);
            let count = missing.min(chunk.len());
            filter.fill(missing, |space| {
                space[..count].copy_from_slice(&chunk[..count]);
                (count, ())
            });
            given += count;
            next = chunk[count..].to_vec();
        } else {
            given += next.len();
            passed += filter.pass(&mut std::mem::take(&mut next));
        }
        assert!(filter.held.capacity() <= 4 << 20);
        if next.is_empty() {
            put_frame(CONTINUATION, 0, &[0x20; 16_000], &mut next);
        }
    }
    let mut target = vec![0; 2 << 20];
    passed += filter.take(&mut target);
    assert_eq!(passed, given, "nothing is lost");
    assert!(given <= (1 << 20) + BEYOND + STEP);
    assert!(filter.ready.capacity() <= KEPT);
}

#[test]
fn a_shorter_entry_leaves_the_peers_indexes_right() {
    // The peer's table has room for two entries of 60 octets; the filter's, where the first is
    // shorter, for more. Both find the same at every index that the peer can use.
    let field = |name: &str, value: &str, form| Field {
        name: name.into(),
        value: value.into(),
        form,
        huffman: (true, true),
        spelt: false,
        choice: usize::MAX,
    };
    let wrong = "%2Ftmp%2Fplugin1234%2Fwith%2Fa%2Flong%2Fpath%2Fthat%2Ffills%2Fthe%2Ftable";
    let mut requests = Vec::new();
    for round in 0..20 {
        requests.push(Request {
            sizes: if round == 0 { vec![150] } else { Vec::new() },
            fields: vec![
                field(":authority", wrong, Form::Indexed),
                field("grpc-timeout", &format!("{round}S"), Form::Indexing),
                field("grpc-timeout", &format!("{round}S"), Form::Indexed),
            ],
            cuts: vec![round],
            padding: None,
            priority: false,
            other: None,
        });
    }
    check(&requests, &[]);
}

/// The table is that of the decoder behind the filter: with the sizes of what comes out.
#[test]
fn the_table_is_that_of_what_comes_out() {
    use super::block::rewrite;

    let mut table = Table::new();
    let newest = |table: &mut Table| rewrite(&[0xbe], table);
    assert_eq!(newest(&mut table), Err(Malformed), "nothing is there yet");
    // A table of 60 octets, and a field of 142, of which 51 come out.
    let mut block = vec![0x3f, 60 - 31, 0x41, 100];
    block.extend([b'%'; 100]);
    let shorter = rewrite(&block, &mut table).expect("well made");
    let shorter = shorter.expect("it was replaced");
    assert_eq!(shorter, b"\x3f\x1d\x41\x09localhost");
    assert_eq!(newest(&mut table), Ok(None), "it has room");
    // Room for less: it goes.
    assert_eq!(rewrite(&[0x3f, 50 - 31], &mut table), Ok(None));
    assert_eq!(newest(&mut table), Err(Malformed));
    // More than was ever allowed.
    assert_eq!(
        rewrite(b"\x3f\xe2\x1f", &mut table),
        Err(Malformed),
        "4,097"
    );
    assert_eq!(rewrite(b"\x3f\xe1\x1f", &mut table), Ok(None), "4,096");
}
