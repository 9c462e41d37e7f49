//! The limit on header lists that peers are told, apart from the one that `h2` keeps.
//!
//! `h2` derives how many CONTINUATION frames it takes from its limits on header lists and frames, as
//! if every peer filled its frames. Most send 16 KiB a frame whatever is allowed, so a list of a
//! tenth of the limit would end the connection. The limit that `h2` keeps is therefore large enough
//! for small frames, and the one that is announced, which peers keep by failing the call alone, is
//! the user's. `h2` offers no way to say the two apart, so the announcement is put right on its way
//! out.

/// The client's connection preface (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_HEAD: usize = 9;
const SETTINGS: u8 = 4;
const MAX_HEADER_LIST_SIZE: u16 = 6;

/// The payload of frames that peers send however large they may be: HTTP/2's least limit.
const USUAL_FRAME: u64 = 16_384;

/// Replaces the limit in the SETTINGS frame that these first bytes of a connection begin with. True
/// if it is there in full.
pub(crate) fn announce_header_list(bytes: &mut [u8], limit: u32) -> bool {
    let start = if bytes.starts_with(PREFACE) {
        PREFACE.len()
    } else {
        0
    };
    let Some([a, b, c, SETTINGS, ..]) = bytes.get(start..start + FRAME_HEAD) else {
        return false;
    };
    let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
    let payload = start + FRAME_HEAD;
    let Some(payload) = bytes.get_mut(payload..payload + length) else {
        return false;
    };
    for entry in payload.chunks_exact_mut(6) {
        if let [high, low, value @ ..] = entry
            && u16::from_be_bytes([*high, *low]) == MAX_HEADER_LIST_SIZE
        {
            value.copy_from_slice(&limit.to_be_bytes());
        }
    }
    true
}

/// The limit for `h2` with which a header list of `announced` bytes may come in frames of 16 KiB
/// although `frame` bytes are allowed. `h2` takes one and a quarter times the frames that its limit
/// needs at the allowed size.
pub(crate) fn kept_header_list(announced: u32, frame: u32) -> u32 {
    let needed = u64::from(announced).div_ceil(USUAL_FRAME) + 2;
    let counted = (needed * 4).div_ceil(5) + 1;
    let limit = counted * u64::from(frame);
    u32::try_from(limit).unwrap_or(u32::MAX).max(announced)
}

#[cfg(test)]
mod tests {
    use outboard_kit::h2_frames::Frame;

    use super::*;

    fn settings(entries: &[(u16, u32)]) -> Vec<u8> {
        Frame::settings(entries).encode()
    }

    #[test]
    fn only_the_limit_changes() {
        let before = settings(&[(2, 0), (5, 6), (6, 77)]);
        let after = settings(&[(2, 0), (5, 6), (6, 5)]);
        for preface in [&b""[..], PREFACE] {
            let rest = &[0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0, 1][..];
            let mut bytes = [preface, &before, rest].concat();
            assert!(announce_header_list(&mut bytes, 5));
            assert_eq!(bytes, [preface, &after, rest].concat());
        }
    }

    #[test]
    fn a_part_of_the_frame_stays_as_it_is() {
        let whole = [PREFACE, &settings(&[(6, 77)])].concat();
        for end in 0..whole.len() {
            let mut part = whole[..end].to_vec();
            assert!(!announce_header_list(&mut part, 5), "{end}");
            assert_eq!(part, whole[..end]);
        }
    }

    #[test]
    fn what_is_announced_fits_the_frames_that_are_taken() {
        for announced in [0, 1, 16_384, 5 << 20, 16 << 20] {
            for frame in [16_384, 65_536, 256 << 10, 16_777_215] {
                let kept = kept_header_list(announced, frame);
                assert!(kept >= announced);
                if kept == u32::MAX {
                    continue;
                }
                // As h2 0.4.20 counts.
                let least = (kept / frame).max(1);
                let taken = u64::from((least + (least >> 2)).max(5));
                let needed = u64::from(announced).div_ceil(16_384) + 1;
                assert!(taken >= needed, "{announced} {frame}: {taken} < {needed}");
            }
        }
    }
}
