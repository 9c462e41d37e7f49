//! How many streams a server lets be open at once, as the SETTINGS say that it begins with.
//!
//! `h2` tells the number, but not whether it is the server's already or still what this side assumes.

const FRAME_HEAD: usize = 9;
const ENTRY: usize = 6;
const SETTINGS: u8 = 4;
const MAX_CONCURRENT_STREAMS: u16 = 3;

/// Reads the first frame that comes from a server, which is its SETTINGS (RFC 9113, section 3.4).
#[derive(Debug, Default)]
pub(crate) struct Greeting {
    /// The head of the frame, or an entry, as far as it has come.
    part: [u8; FRAME_HEAD],
    filled: usize,
    /// How much of the entries is missing, once the head is there.
    left: Option<usize>,
    max_streams: Option<u32>,
}

/// What it said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Greeted {
    /// `None`: as many as there are.
    pub(crate) max_streams: Option<u32>,
}

impl Greeting {
    /// Takes what comes next. Gives the answer once the frame is there in full; nothing is to be
    /// pushed after that.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) -> Option<Greeted> {
        loop {
            let wanted = match self.left {
                None => FRAME_HEAD,
                Some(0) => {
                    let max_streams = self.max_streams;
                    return Some(Greeted { max_streams });
                }
                // A length that is no multiple of six is for `h2` to refuse.
                Some(left) => left.min(ENTRY),
            };
            let taken = bytes.len().min(wanted - self.filled);
            self.part[self.filled..self.filled + taken].copy_from_slice(&bytes[..taken]);
            self.filled += taken;
            bytes = &bytes[taken..];
            if self.filled < wanted {
                return None;
            }
            self.filled = 0;
            match self.left {
                None => {
                    let [a, b, c, kind, ..] = self.part;
                    let length = u32::from_be_bytes([0, a, b, c]) as usize;
                    // What begins with something else ends soon: `h2` sees to that.
                    self.left = Some(if kind == SETTINGS { length } else { 0 });
                }
                Some(left) => {
                    let [a, b, value @ ..] = self.part;
                    let [c, d, e, f, ..] = value;
                    // The last one counts (section 6.5.3).
                    if wanted == ENTRY && u16::from_be_bytes([a, b]) == MAX_CONCURRENT_STREAMS {
                        self.max_streams = Some(u32::from_be_bytes([c, d, e, f]));
                    }
                    self.left = Some(left - wanted);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use outboard_kit::h2_frames::Frame;

    use super::*;

    fn frame(kind: u8, entries: &[(u16, u32)]) -> Vec<u8> {
        let settings = Frame::settings(entries);
        Frame { kind, ..settings }.encode()
    }

    #[test]
    fn the_number_is_found_however_the_bytes_come() {
        let says = |max_streams| Some(Greeted { max_streams });
        let cases = [
            (frame(SETTINGS, &[]), says(None)),
            (frame(SETTINGS, &[(4, 3), (3, 2), (5, 99)]), says(Some(2))),
            (frame(SETTINGS, &[(3, 2), (3, 0)]), says(Some(0))),
            (frame(SETTINGS, &[(3, u32::MAX)]), says(Some(u32::MAX))),
            (frame(8, &[(3, 2)]), says(None)),
        ];
        for (bytes, expected) in cases {
            let whole = [&bytes[..], b"and what follows"].concat();
            assert_eq!(Greeting::default().push(&whole), expected);
            for size in 1..bytes.len() {
                let mut greeting = Greeting::default();
                let found = whole.chunks(size).find_map(|piece| greeting.push(piece));
                assert_eq!(found, expected, "{size} bytes at a time");
            }
        }
    }

    #[test]
    fn it_is_told_with_the_last_byte() {
        let bytes = frame(SETTINGS, &[(3, 1), (4, 1)]);
        let mut greeting = Greeting::default();
        let (last, rest) = bytes.split_last().expect("some");
        assert_eq!(greeting.push(rest), None);
        let greeted = greeting.push(&[*last]).expect("it is there in full");
        assert_eq!(greeted.max_streams, Some(1));
    }

    #[test]
    fn a_length_that_is_wrong_is_left_to_h2() {
        let mut bytes = frame(SETTINGS, &[(3, 1)]);
        bytes[2] = 8;
        bytes.extend([3, 0]);
        let greeted = Greeting::default().push(&bytes).expect("a whole frame");
        assert_eq!(greeted.max_streams, Some(1));
    }
}
