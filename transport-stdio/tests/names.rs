//! The names of what is provided, between two machines and from bytes cut anywhere.

use std::io::IoSlice;
use std::time::Instant;

use outboard_core::rpc::OutMessage;
use outboard_transport_stdio::wire::frame::{Frame, HEADER_LEN, Header, Kind, MAX_HEAD};
use outboard_transport_stdio::wire::{
    Event, MAX_NAME, MAX_NAMES, Mux, MuxConfig, OutBuf, PeerNames, Preface, Settings, Violation,
    close,
};

fn new() -> Mux {
    Mux::new(MuxConfig::default(), Instant::now())
}

fn sent(mux: &mut Mux) -> Vec<u8> {
    let mut out = OutBuf::default();
    mux.transmit(&mut out);
    let mut slices = [IoSlice::new(&[]); 8];
    let used = out.slices(&mut slices);
    slices.iter().take(used).flat_map(|s| s.to_vec()).collect()
}

fn preface(names: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    let settings = Settings::LEAST;
    Preface { settings, names }.encode(&mut bytes);
    bytes
}

fn encoded(frame: &Frame<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame.encode(&mut bytes);
    bytes
}

fn names(names: &[u8]) -> Vec<u8> {
    encoded(&Frame::Names { names })
}

/// What a side has heard of the other's names once these pieces have come.
fn heard(pieces: &[&[u8]]) -> Result<Option<Vec<String>>, Violation> {
    let mut mux = new();
    for piece in pieces {
        mux.receive(piece)?;
    }
    Ok(match mux.peer_names() {
        PeerNames::Told(names) => Some(names.to_vec()),
        PeerNames::Untold => None,
        PeerNames::NotYet => panic!("all has come"),
    })
}

/// What `bytes` make known, whole and cut anywhere.
fn cut(bytes: &[u8]) -> Result<Option<Vec<String>>, Violation> {
    let whole = heard(&[bytes]);
    for at in 0..bytes.len() {
        let (first, second) = bytes.split_at(at);
        assert_eq!(heard(&[first, second]), whole, "cut at {at}");
    }
    let single: Vec<_> = bytes.chunks(1).collect();
    assert_eq!(heard(&single), whole, "byte by byte");
    whole
}

#[test]
fn names_of_any_text_arrive_as_they_are() {
    let longest = "ü".repeat(MAX_NAME / 2);
    let sets: [&[&str]; 4] = [
        &[],
        &["kv"],
        &["", "a b", "Zähler\n\u{0}", "kv", &longest],
        &["twice", "twice"],
    ];
    for set in sets {
        let mut side = new();
        assert!(side.tell_names(set.iter().copied()));
        let told = cut(&sent(&mut side)).expect("valid");
        assert_eq!(told.expect("they are told"), set);
        assert_eq!(sent(&mut side), b"", "once");
    }
}

#[test]
fn as_many_as_can_be_told_are_told_and_no_more() {
    let many: Vec<_> = (0..=MAX_NAMES).map(|n| n.to_string()).collect();
    // A byte of length each.
    let wide = vec!["x".repeat(MAX_NAME - 6); MAX_HEAD / (MAX_NAME - 5)];
    let one_more = [wide.as_slice(), &[String::new()]].concat();
    assert_eq!(wide.len() * (MAX_NAME - 5), MAX_HEAD);
    let long = ["x".repeat(MAX_NAME), "x".repeat(MAX_NAME + 1)];
    for (set, fits) in [
        (&many[1..], true),
        (&many, false),
        (&wide, true),
        (&one_more, false),
        (&long[..1], true),
        (&long, false),
    ] {
        let mut side = new();
        assert_eq!(side.tell_names(set.iter().map(String::as_str)), fits);
        let told = heard(&[&sent(&mut side)]).expect("valid");
        assert_eq!(told.as_deref(), fits.then_some(set));
    }
}

#[test]
fn a_peer_that_says_nothing_of_names_has_told_none() {
    assert_eq!(cut(&preface(false)), Ok(None));
    // As version 2.0 did.
    let mut older = preface(false);
    older[9] = 0;
    assert_eq!(cut(&older), Ok(None));
    assert_eq!(cut(&sent(&mut new())), Ok(None));
}

#[test]
fn until_they_have_come_nothing_is_known() {
    let bytes = [preface(true), names(b"\x02kv")].concat();
    let mut mux = new();
    for byte in &bytes {
        assert_eq!(mux.peer_names(), PeerNames::NotYet);
        mux.receive(&[*byte]).expect("valid");
    }
    assert_eq!(mux.peer_names(), PeerNames::Told(&["kv".to_owned()]));
    // Nobody is told of them that waits for something else.
    assert_eq!(mux.poll_event(), None);
}

#[test]
fn names_go_before_whatever_else_is_to_be_sent() {
    let mut side = new();
    assert!(side.tell_names(["kv"]));
    side.call("/a.B/C", OutMessage::copy_from(b"ask"))
        .expect("opens");
    side.go_away("bye");
    side.close(close::ABORTED, "enough");
    let bytes = sent(&mut side);
    let mut mux = new();
    mux.receive(&bytes).expect("valid");
    assert_eq!(mux.peer_names(), PeerNames::Told(&["kv".to_owned()]));
    let expected = Event::Closed(close::ABORTED, "enough".to_owned());
    assert_eq!(mux.poll_event(), Some(expected));
}

#[test]
fn who_does_not_know_names_can_skip_them() {
    let mut side = new();
    assert!(side.tell_names(["kv"]));
    let bytes = sent(&mut side);
    let ((_, len), kind) = (
        Preface::decode(&bytes).expect("valid").expect("whole"),
        Kind::Names as u8,
    );
    let header = bytes[len..].first_chunk::<HEADER_LEN>().expect("a frame");
    let header = Header::decode(*header);
    assert_eq!((header.kind, header.flags, header.stream), (kind, 0, 0));
    assert_ne!(kind & 0x80, 0, "the bit of what can be skipped");
    assert_eq!(bytes.len(), len + HEADER_LEN + header.len as usize);
}

#[test]
fn names_come_first_once_and_only_if_announced() {
    let kind = Kind::Names as u8;
    let kv = names(b"\x02kv");
    let ping = encoded(&Frame::Ping { content: [0; 8] });
    let skippable = [0, 0, 0, 0xf0, 0, 0, 0, 0].to_vec();
    let (announced, silent) = (preface(true), preface(false));
    let many = names(&[0; MAX_NAMES + 1]);
    let long = vec![0; MAX_HEAD + 1];
    let with =
        |flags: u8, stream: u8| [&[3, 0, 0, kind, stream, 0, 0, flags][..], b"\x02kv"].concat();
    let too_large = Violation::FrameTooLarge {
        kind,
        len: 16_001,
        most: 16_000,
    };
    let cases = [
        (
            vec![&announced, &ping],
            Violation::NoNames { kind: ping[3] },
        ),
        (
            vec![&announced, &skippable],
            Violation::NoNames { kind: 0xf0 },
        ),
        (vec![&announced, &kv, &kv], Violation::NamesNotAnnounced),
        (vec![&silent, &kv], Violation::NamesNotAnnounced),
        (vec![&silent, &ping, &kv], Violation::NamesNotAnnounced),
        (
            vec![&announced, &many],
            Violation::TooManyNames { most: MAX_NAMES },
        ),
        (vec![&announced, &names(&long)], too_large),
        (
            vec![&announced, &names(b"\x03kv")],
            Violation::Truncated { kind, missing: 1 },
        ),
        (
            vec![&announced, &names(b"\x02kv\xff")],
            Violation::Truncated { kind, missing: 255 },
        ),
        (
            vec![&announced, &names(b"\x01\xff")],
            Violation::NotText { kind },
        ),
        (
            vec![&announced, &with(1, 0)],
            Violation::BadFlags { kind, flags: 1 },
        ),
        (
            vec![&announced, &with(0, 1)],
            Violation::WrongStream { kind, stream: 1 },
        ),
    ]
    .map(|(frames, violation)| {
        let bytes: Vec<u8> = frames.into_iter().flatten().copied().collect();
        (bytes, violation)
    });
    for (bytes, violation) in cases {
        assert_eq!(heard(&[&bytes]), Err(violation.clone()));
        if bytes.len() < 2_000 {
            assert_eq!(cut(&bytes), Err(violation));
        }
    }
}

#[test]
fn a_length_that_is_too_large_is_refused_before_its_bytes_come() {
    let kind = Kind::Names as u8;
    let header = Header {
        len: 0x00ff_ffff,
        kind,
        stream: 0,
        flags: 0,
    };
    let mut mux = new();
    mux.receive(&preface(true)).expect("valid");
    let refused = mux.receive(&header.encode());
    let (len, most) = (header.len, 16_000);
    assert_eq!(refused, Err(Violation::FrameTooLarge { kind, len, most }));
}

#[test]
fn the_setting_is_0_or_1() {
    for (value, expected) in [
        (0u32, Ok(false)),
        (1, Ok(true)),
        (2, Err(2)),
        (1 << 31, Err(1 << 31)),
    ] {
        let mut bytes = preface(true);
        let at = bytes.len() - 4;
        bytes[at..].copy_from_slice(&value.to_le_bytes());
        let decoded = Preface::decode(&bytes).map(|preface| preface.expect("whole").0.names);
        let expected = expected.map_err(|value| Violation::BadSetting {
            id: 7,
            value,
            least: 0,
            most: 1,
        });
        assert_eq!(decoded, expected);
    }
    // The last counts.
    let mut bytes = preface(true);
    bytes.extend_from_slice(&[7, 0, 0, 0, 0, 0]);
    bytes[10] += 6;
    let decoded = Preface::decode(&bytes).expect("valid");
    assert!(!decoded.expect("whole").0.names);
}
