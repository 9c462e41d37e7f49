//! What the filter makes of the requests of a peer whose encoder does all that HPACK allows, read
//! by a decoder that knows nothing of it.

mod encoder;

use http::uri::Authority;
use proptest::prelude::*;

use self::encoder::{Encoder, Expected, Field, Form, Request, put_block, put_frame, request};
use super::*;

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
