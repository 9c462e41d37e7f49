//! One header block: finding the literal `:authority` fields, and replacing those that are none.

use std::collections::VecDeque;

use http::uri::Authority;

use super::huffman;

/// What stands for an authority that is none, or the beginning of it where that is shorter.
const INSTEAD: &[u8] = b"localhost";

const NAME: &[u8] = b":authority";

/// The size of the peer's table may not pass this, as no other is announced (RFC 9113, section
/// 6.5.2, SETTINGS_HEADER_TABLE_SIZE).
pub(super) const TABLE_SIZE: usize = 4096;

/// What a table counts for an entry beside its octets (RFC 7541, section 4.1).
const ENTRY: usize = 32;

/// The lengths of the names in the static table, from index 1 (RFC 7541, appendix A).
#[rustfmt::skip]
const STATIC_NAMES: [u8; 61] = [
    10, 7, 7, 5, 5, 7, 7, 7, 7, 7, 7, 7, 7, 7, 14, 15, 15, 13, 6, 27, 3, 5, 13, 13, 19, 16, 16, 14,
    16, 13, 12, 6, 4, 4, 6, 7, 4, 4, 8, 17, 13, 8, 19, 13, 4, 8, 12, 18, 19, 5, 7, 7, 11, 6, 10, 25,
    17, 10, 4, 3, 16,
];

/// This is no header block, or one that refers to what is not there. Whoever reads it next finds
/// out more.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Puts valid authorities into a block. `None` if it stays as it is.
///
/// The result is never longer. An empty authority has nothing that could stand for it; its field is
/// left out, unless it is to be put into the table, where something has to be: then it stays.
pub(super) fn rewrite(block: &[u8], table: &mut Table) -> Result<Option<Vec<u8>>, Malformed> {
    let mut input = Input { block, at: 0 };
    let mut output = Output::default();
    while let Some(first) = block.get(input.at) {
        let start = input.at;
        match first {
            0x80.. => {
                let name = table.name(input.integer(7)?)?;
                // The one entry of the static table that is an authority, and empty.
                if name == Name::AUTHORITY && block[start] == 0x81 {
                    output.replace(block, start..input.at, &[]);
                }
            }
            0x20..0x40 => table.resize(input.integer(5)?)?,
            0x00..0x20 | 0x40..0x80 => {
                let indexed = *first >= 0x40;
                let name = match input.integer(if indexed { 6 } else { 4 })? {
                    0 => input.string()?.name()?,
                    index => table.name(index)?,
                };
                let value_at = input.at;
                let value = input.string()?;
                let mut length = None;
                if name.is_authority {
                    let octets = value.octets()?;
                    length = Some(octets.len());
                    if Authority::try_from(&octets[..]).is_err() {
                        if octets.is_empty() {
                            if !indexed {
                                output.replace(block, start..input.at, &[]);
                            }
                        } else {
                            let most = octets.len().min(value.encoded.len());
                            let instead = &INSTEAD[..most.min(INSTEAD.len())];
                            length = Some(instead.len());
                            let head = [instead.len() as u8];
                            output.replace(block, value_at..input.at, &head);
                            output.add(instead);
                        }
                    }
                }
                if indexed {
                    let length = length.map_or_else(|| value.decoded_length(), Ok)?;
                    table.insert(name, length);
                }
            }
        }
    }
    Ok(output.finish(block))
}

/// What is made of a block; nothing is copied until something has to change.
#[derive(Default)]
struct Output {
    bytes: Vec<u8>,
    /// How much of the block is in `bytes` or left out.
    done: usize,
    changed: bool,
}

impl Output {
    fn replace(&mut self, block: &[u8], old: std::ops::Range<usize>, new: &[u8]) {
        self.changed = true;
        self.add(&block[self.done..old.start]);
        self.add(new);
        self.done = old.end;
    }

    fn add(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn finish(mut self, block: &[u8]) -> Option<Vec<u8>> {
        if !self.changed {
            return None;
        }
        self.add(&block[self.done..]);
        Some(self.bytes)
    }
}

struct Input<'a> {
    block: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    fn octet(&mut self) -> Result<u8, Malformed> {
        let octet = self.block.get(self.at).ok_or(Malformed)?;
        self.at += 1;
        Ok(*octet)
    }

    /// RFC 7541, section 5.1. As `h2`, it takes no more than four octets after the first.
    fn integer(&mut self, prefix: u8) -> Result<usize, Malformed> {
        let mask = (1_u8 << prefix) - 1;
        let mut value = usize::from(self.octet()? & mask);
        if value < usize::from(mask) {
            return Ok(value);
        }
        for shift in [0, 7, 14, 21] {
            let octet = self.octet()?;
            value += usize::from(octet & 0x7f) << shift;
            if octet < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    /// RFC 7541, section 5.2.
    fn string(&mut self) -> Result<Text<'a>, Malformed> {
        let is_huffman = *self.block.get(self.at).ok_or(Malformed)? >= 0x80;
        let length = self.integer(7)?;
        let rest = &self.block[self.at..];
        let encoded = rest.get(..length).ok_or(Malformed)?;
        self.at += length;
        Ok(Text {
            is_huffman,
            encoded,
        })
    }
}

struct Text<'a> {
    is_huffman: bool,
    encoded: &'a [u8],
}

impl Text<'_> {
    fn octets(&self) -> Result<Vec<u8>, Malformed> {
        if !self.is_huffman {
            return Ok(self.encoded.to_vec());
        }
        let mut octets = Vec::new();
        let valid = huffman::decode(self.encoded, |octet| octets.push(octet));
        valid.then_some(octets).ok_or(Malformed)
    }

    fn decoded_length(&self) -> Result<usize, Malformed> {
        if !self.is_huffman {
            return Ok(self.encoded.len());
        }
        let mut length = 0;
        let valid = huffman::decode(self.encoded, |_| length += 1);
        valid.then_some(length).ok_or(Malformed)
    }

    fn name(&self) -> Result<Name, Malformed> {
        if !self.is_huffman {
            return Ok(Name {
                is_authority: self.encoded == NAME,
                length: self.encoded.len(),
            });
        }
        let (mut length, mut same) = (0, true);
        let valid = huffman::decode(self.encoded, |octet| {
            same &= NAME.get(length) == Some(&octet);
            length += 1;
        });
        let is_authority = same && length == NAME.len();
        let name = Name {
            is_authority,
            length,
        };
        valid.then_some(name).ok_or(Malformed)
    }
}

/// What has to be known of a field's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Name {
    is_authority: bool,
    length: usize,
}

impl Name {
    const AUTHORITY: Self = Self {
        is_authority: true,
        length: NAME.len(),
    };
}

/// The dynamic table of the decoder that reads what comes out of here, as far as names and sizes go
/// (RFC 7541, section 4).
///
/// The peer's encoder has a table of its own, made by the same insertions, in which a replaced
/// entry has its first value and so is no smaller. Entries leave a table from the oldest on, when
/// their sizes sum up to too much. So whatever is in the peer's table is in this one, too, and at
/// the same index, as entries are counted from the newest; this one may have older ones beyond. An
/// entry that is too large for the peer's table empties it; here the replaced one may find room,
/// and then is older than all that the peer's table gets afterwards.
#[derive(Debug)]
pub(super) struct Table {
    /// From the newest on, with their sizes.
    entries: VecDeque<(Name, usize)>,
    size: usize,
    most: usize,
}

impl Table {
    pub(super) const fn new() -> Self {
        Self {
            entries: VecDeque::new(),
            size: 0,
            most: TABLE_SIZE,
        }
    }

    fn name(&self, index: usize) -> Result<Name, Malformed> {
        let index = index.checked_sub(1).ok_or(Malformed)?;
        if let Some(length) = STATIC_NAMES.get(index) {
            return Ok(Name {
                is_authority: index == 0,
                length: usize::from(*length),
            });
        }
        let entry = self.entries.get(index - STATIC_NAMES.len());
        entry.map(|(name, _)| *name).ok_or(Malformed)
    }

    fn insert(&mut self, name: Name, value: usize) {
        let size = name.length + value + ENTRY;
        self.shrink(self.most.saturating_sub(size));
        if size <= self.most {
            self.entries.push_front((name, size));
            self.size += size;
        }
    }

    fn resize(&mut self, most: usize) -> Result<(), Malformed> {
        if most > TABLE_SIZE {
            return Err(Malformed);
        }
        self.most = most;
        self.shrink(most);
        Ok(())
    }

    fn shrink(&mut self, to: usize) {
        while self.size > to
            && let Some((_, size)) = self.entries.pop_back()
        {
            self.size -= size;
        }
    }
}
