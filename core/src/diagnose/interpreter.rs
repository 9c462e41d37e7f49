//! What an executable needs to be run by: a script's interpreter, a program's loader. If that is
//! missing, the system says that there is no such file, and means another than one thinks.

use super::script;

/// The absolute path of the interpreter that the first bytes of a script name after `#!`, or of the
/// loader that an ELF program asks for. `None` if there is none, or it does not stand in the bytes
/// given; [`HEADER_BYTES`](super::HEADER_BYTES) are enough for programs of usual linkers.
#[must_use]
pub fn interpreter(header: &[u8]) -> Option<&[u8]> {
    let path = match header {
        [b'#', b'!', ..] => script::words(header)?.0,
        [0x7f, b'E', b'L', b'F', ..] => loader(header)?,
        _ => return None,
    };
    path.starts_with(b"/").then_some(path)
}

/// The text of the segment of type `PT_INTERP`; System V ABI, chapters 4 and 5.
fn loader(header: &[u8]) -> Option<&[u8]> {
    const PT_INTERP: u64 = 3;

    let wide = match header.get(4)? {
        1 => false,
        2 => true,
        _ => return None,
    };
    let little = *header.get(5)? == 1;
    let number = |at: usize, len: usize| -> Option<u64> {
        let bytes = header.get(at..at.checked_add(len)?)?;
        let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        Some(if little {
            bytes.iter().rev().fold(0, add)
        } else {
            bytes.iter().fold(0, add)
        })
    };
    let word = |at| number(at, if wide { 8 } else { 4 }).and_then(|n| usize::try_from(n).ok());
    let (table, size, count) = if wide { (32, 54, 56) } else { (28, 42, 44) };
    let table = word(table)?;
    let size = usize::try_from(number(size, 2)?).ok()?;
    let (offset, length) = if wide { (8, 32) } else { (4, 16) };
    for index in 0..usize::try_from(number(count, 2)?).ok()? {
        let entry = table.checked_add(index.checked_mul(size)?)?;
        if number(entry, 4)? == PT_INTERP {
            let from = word(entry.checked_add(offset)?)?;
            let to = from.checked_add(word(entry.checked_add(length)?)?)?;
            return header.get(from..to)?.split(|&byte| byte == 0).next();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn scripts_name_theirs_in_the_first_line() {
        let of = |text: &'static str| interpreter(text.as_bytes());
        assert_eq!(of("#!/bin/sh\nexit"), Some(&b"/bin/sh"[..]));
        assert_eq!(
            of("#! /usr/bin/env python3\r\n"),
            Some(&b"/usr/bin/env"[..])
        );
        // The system takes no other white space for the end of the name.
        assert_eq!(of("#!/bin/sh\r\n"), Some(&b"/bin/sh\r"[..]));
        for none in ["#!", "#!\n/bin/sh", "#!sh", "/bin/sh", ""] {
            assert_eq!(of(none), None, "{none:?}");
        }
    }

    #[test]
    fn programs_name_theirs_in_a_segment() {
        for (wide, little) in [(true, true), (true, false), (false, true), (false, false)] {
            let mut header = vec![0; 256];
            header[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', 1 + u8::from(wide), 0]);
            header[5] = if little { 1 } else { 2 };
            let mut put = |at: usize, value: u8, len: usize| {
                header[if little { at } else { at + len - 1 }] = value;
            };
            let long = if wide { 8 } else { 4 };
            let (size, at) = if wide {
                (56, [32, 54, 56])
            } else {
                (32, [28, 42, 44])
            };
            put(at[0], 64, long);
            put(at[1], size, 2);
            put(at[2], 2, 2);
            let entry = 64 + usize::from(size);
            put(64, 6, 4);
            put(entry, 3, 4);
            put(entry + if wide { 8 } else { 4 }, 200, long);
            put(entry + if wide { 32 } else { 16 }, 7, long);
            header[200..207].copy_from_slice(b"/ld.so\0");
            assert_eq!(
                interpreter(&header),
                Some(&b"/ld.so"[..]),
                "{wide} {little}"
            );
            header.truncate(190);
            assert_eq!(interpreter(&header), None);
        }
    }

    proptest! {
        #[test]
        fn any_header_is_read(
            begin in proptest::sample::select(vec![
                &b"#!"[..], b"\x7fELF\x01\x01", b"\x7fELF\x02\x01", b"\x7fELF\x02\x02",
            ]),
            rest in proptest::collection::vec(prop_oneof![Just(0), Just(3), any::<u8>()], 0..200),
        ) {
            let _ = interpreter(&[begin, &rest].concat());
        }
    }
}
