//! What comes in place of a preface, or of the names behind one.

use super::*;

/// A preface whose setting `id` is `value`.
fn setting(id: u16, value: u32) -> Vec<u8> {
    let mut bytes = preface();
    let at = PREFACE_LEN + 6 * (usize::from(id) - 1) + 2;
    bytes
        .get_mut(at..at + 4)
        .expect("in the list")
        .copy_from_slice(&value.to_le_bytes());
    bytes
}

/// A preface with this length of settings.
fn settings_len(len: u16) -> Vec<u8> {
    let [l0, l1] = len.to_le_bytes();
    let mut bytes = preface();
    bytes.truncate(PREFACE_LEN - 2);
    bytes.extend([l0, l1]);
    bytes
}

/// In place of a preface.
pub(super) fn prefaces() -> Vec<Case> {
    use Violation as V;
    let version = |number| {
        let mut bytes = preface();
        if let Some(major) = bytes.get_mut(8) {
            *major = number;
        }
        bytes
    };
    let names = |announced: bool, frame: &[u8]| {
        let (mut bytes, settings) = (Vec::new(), Settings::LEAST);
        let names = announced;
        Preface { settings, names }.encode(&mut bytes);
        bytes.extend_from_slice(frame);
        bytes
    };
    let ping = bytes(&[Frame::Ping { content: [0; 8] }]);
    let too_many = bytes(&[Frame::Names {
        names: &[0; MAX_NAMES + 1],
    }]);
    vec![
        (
            "another frame where names are due",
            names(true, &ping),
            |v| *v == V::NoNames { kind: 0x20 },
        ),
        (
            "names out of nowhere",
            names(false, &bytes(&[Frame::Names { names: b"" }])),
            |v| *v == V::NamesNotAnnounced,
        ),
        ("too many names", names(true, &too_many), |v| {
            *v == V::TooManyNames { most: MAX_NAMES }
        }),
        (
            "rubbish",
            b"hello".to_vec(),
            |v| matches!(v, V::BadMagic { found } if found == b"hello"),
        ),
        ("an older version", version(1), |v| {
            *v == V::Version { major: 1 }
        }),
        ("a newer version", version(3), |v| {
            *v == V::Version { major: 3 }
        }),
        ("half a setting", settings_len(33), |v| {
            *v == V::BadSettings { len: 33 }
        }),
        ("too many settings", settings_len(606), |v| {
            *v == V::BadSettings { len: 606 }
        }),
        ("too short a frame", setting(1, 16_383), |v| {
            matches!(v, V::BadSetting { id: 1, .. })
        }),
        ("too long a frame", setting(1, 1 << 24), |v| {
            matches!(v, V::BadSetting { id: 1, .. })
        }),
        ("a window of a stream too small", setting(2, 65_535), |v| {
            matches!(v, V::BadSetting { id: 2, .. })
        }),
        (
            "a window for half a frame",
            setting(1, 65_536),
            |v| matches!(v, V::BadSetting { id: 2, least, .. } if *least == 2 * (65_536 + 64)),
        ),
        (
            "a connection smaller than a stream",
            setting(2, 65_537),
            |v| {
                matches!(
                    v,
                    V::BadSetting {
                        id: 3,
                        least: 65_537,
                        ..
                    }
                )
            },
        ),
        ("too few streams", setting(4, 15), |v| {
            matches!(v, V::BadSetting { id: 4, .. })
        }),
        ("too many streams", setting(4, 65_537), |v| {
            matches!(v, V::BadSetting { id: 4, .. })
        }),
        ("too long a message", setting(5, 1 << 31), |v| {
            matches!(v, V::BadSetting { id: 5, .. })
        }),
        ("too long a head", setting(6, 1 << 24), |v| {
            matches!(v, V::BadSetting { id: 6, .. })
        }),
    ]
}
