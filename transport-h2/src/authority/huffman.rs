//! HPACK's Huffman code (RFC 7541, appendix B), decoding only.

/// How many bits the code of each octet has. The code is canonical: codes of one length are
/// consecutive numbers in the order of their octets, and shorter ones come first, so the lengths
/// say all.
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5,
    5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6,
    6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22,
    23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22,
    21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20,
    22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19,
    21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22,
    22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

const LONGEST: usize = 30;

/// The codes of one length: the first of them, how many there are, and where their octets begin in
/// [`Codes::octets`].
#[derive(Clone, Copy)]
struct Level {
    first: u32,
    count: u32,
    octets: usize,
}

struct Codes {
    levels: [Level; LONGEST + 1],
    /// By length of the code, then by value.
    octets: [u8; 256],
}

static CODES: Codes = codes();

const fn codes() -> Codes {
    let none = Level {
        first: 0,
        count: 0,
        octets: 0,
    };
    let mut codes = Codes {
        levels: [none; LONGEST + 1],
        octets: [0; 256],
    };
    let (mut length, mut next, mut filled) = (1, 0, 0);
    while length <= LONGEST {
        codes.levels[length].first = next;
        codes.levels[length].octets = filled;
        let mut octet = 0;
        while octet < 256 {
            if LENGTHS[octet] as usize == length {
                codes.octets[filled] = octet as u8;
                filled += 1;
                codes.levels[length].count += 1;
            }
            octet += 1;
        }
        next = (next + codes.levels[length].count) << 1;
        length += 1;
    }
    codes
}

/// Gives each decoded octet to `each`. False if this is no string in this code: some of it was
/// given then.
pub(super) fn decode(bytes: &[u8], mut each: impl FnMut(u8)) -> bool {
    // The bits of a code so far, and how many they are.
    let (mut code, mut length) = (0_u32, 0_usize);
    for byte in bytes {
        for bit in (0..8).rev() {
            code = code << 1 | u32::from(byte >> bit & 1);
            length += 1;
            let level = CODES.levels[length];
            if let Some(index) = code.checked_sub(level.first)
                && index < level.count
            {
                each(CODES.octets[level.octets + index as usize]);
                (code, length) = (0, 0);
            } else if length == LONGEST {
                // The one code that is left stands for the end of the string and must not occur.
                return false;
            }
        }
    }
    // What fills the last octet is the beginning of that code, and less than an octet.
    length < 8 && code == (1 << length) - 1
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The same code the other way, for tests.
    pub(crate) fn encode(octets: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let (mut bits, mut count) = (0_u64, 0);
        let mut put = |code: u32, length: usize, bytes: &mut Vec<u8>| {
            bits = bits << length | u64::from(code);
            count += length;
            while count >= 8 {
                count -= 8;
                bytes.push((bits >> count) as u8);
            }
            bits &= (1 << count) - 1;
            count
        };
        let mut left = 0;
        for octet in octets {
            let length = usize::from(LENGTHS[usize::from(*octet)]);
            let level = CODES.levels[length];
            let peers = &CODES.octets[level.octets..level.octets + level.count as usize];
            let index = peers.iter().position(|peer| peer == octet);
            let index = u32::try_from(index.expect("each octet has a code")).expect("small");
            left = put(level.first + index, length, &mut bytes);
        }
        if left > 0 {
            put((1 << (8 - left)) - 1, 8 - left, &mut bytes);
        }
        bytes
    }

    fn decoded(bytes: &[u8]) -> Option<Vec<u8>> {
        let mut octets = Vec::new();
        decode(bytes, |octet| octets.push(octet)).then_some(octets)
    }

    #[test]
    fn examples_of_the_specification() {
        // RFC 7541, appendix C.4.1 and C.6.1.
        let example = b"\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff";
        assert_eq!(decoded(example).as_deref(), Some(&b"www.example.com"[..]));
        assert_eq!(encode(b"www.example.com"), example);
        assert_eq!(decoded(b"\x64\x02").as_deref(), Some(&b"302"[..]));
        assert_eq!(decoded(b"").as_deref(), Some(&b""[..]));
    }

    #[test]
    fn every_octet_goes_there_and_back() {
        let all: Vec<u8> = (0..=u8::MAX).collect();
        assert_eq!(decoded(&encode(&all)), Some(all.clone()));
        for octet in all {
            assert_eq!(decoded(&encode(&[octet; 3])), Some(vec![octet; 3]));
        }
    }

    #[test]
    fn what_is_no_string_in_this_code() {
        for bytes in [
            // The end of the string spelt out.
            &b"\xff\xff\xff\xff"[..],
            // An octet and more of filling.
            b"\x64\x02\xff",
            // Filled with zeros: the first bits of other codes.
            b"\x00",
        ] {
            assert_eq!(decoded(bytes), None, "{bytes:?}");
        }
    }
}
