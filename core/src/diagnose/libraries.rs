//! Shared libraries: which ones a program names, and what the system's loaders say when they do not
//! find one.

/// The most bytes that one table of a program is read of: tables of usual linkers have some hundreds.
const MOST_OF_TABLE: u64 = 64 * 1024;

/// The most libraries that are told, and the longest name of one. (A choice.)
const MOST_LIBRARIES: usize = 256;
const LONGEST_NAME: usize = 1024;

/// The names of the shared libraries that an ELF program says it needs (`DT_NEEDED`), in its order.
/// None for one that needs none. `None` if it is no ELF program, or cannot be read.
///
/// The file is asked for by `read`, with an offset and a length of at most 64 KiB; it gives as many
/// of these bytes as there are, or `None` if it cannot.
pub fn needed_libraries(
    mut read: impl FnMut(u64, usize) -> Option<Vec<u8>>,
) -> Option<Vec<String>> {
    Elf::new(read(0, 64)?, &mut read)?.needed(&mut read)
}

const PT_LOAD: u64 = 1;
const PT_DYNAMIC: u64 = 2;
const DT_NULL: u64 = 0;
const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;

/// What System V's ABI, chapters 4 and 5, says of a program's segments.
struct Elf {
    wide: bool,
    little: bool,
    segments: Vec<Segment>,
}

struct Segment {
    kind: u64,
    offset: u64,
    address: u64,
    length: u64,
}

impl Elf {
    fn new(header: Vec<u8>, read: &mut impl FnMut(u64, usize) -> Option<Vec<u8>>) -> Option<Self> {
        let [0x7f, b'E', b'L', b'F', class @ 1..=2, order @ 1..=2, ..] = header[..] else {
            return None;
        };
        let mut elf = Self {
            wide: class == 2,
            little: order == 1,
            segments: Vec::new(),
        };
        let (table, size, count) = if elf.wide { (32, 54, 56) } else { (28, 42, 44) };
        let table = elf.word(&header, table)?;
        let size = elf.number(&header, size, 2)?;
        let count = elf.number(&header, count, 2)?;
        // Of a size that is zero, all would be the same.
        let length = bounded(size.checked_mul(count)?).filter(|_| size > 0)?;
        let table = read(table, length)?;
        let places = if elf.wide { [8, 16, 32] } else { [4, 8, 16] };
        for entry in table.chunks_exact(usize::try_from(size).ok()?) {
            let [offset, address, length] = places.map(|at| elf.word(entry, at));
            elf.segments.push(Segment {
                kind: elf.number(entry, 0, 4)?,
                offset: offset?,
                address: address?,
                length: length?,
            });
        }
        Some(elf)
    }

    fn needed(&self, read: &mut impl FnMut(u64, usize) -> Option<Vec<u8>>) -> Option<Vec<String>> {
        let of_kind = |kind| move |segment: &&Segment| segment.kind == kind;
        let Some(dynamic) = self.segments.iter().find(of_kind(PT_DYNAMIC)) else {
            return Some(Vec::new());
        };
        let table = read(dynamic.offset, bounded(dynamic.length)?)?;
        let word = if self.wide { 8 } else { 4 };
        let (mut names, mut strings) = (Vec::new(), None);
        for entry in table.chunks_exact(2 * word) {
            let (tag, value) = (self.word(entry, 0)?, self.word(entry, word)?);
            match tag {
                DT_NULL => break,
                DT_NEEDED if names.len() < MOST_LIBRARIES => names.push(value),
                DT_STRTAB => strings = Some(value),
                _ => {}
            }
        }
        if names.is_empty() {
            return Some(Vec::new());
        }
        // The strings are told by where they are in memory.
        let strings = strings?;
        let loaded = self.segments.iter().filter(of_kind(PT_LOAD));
        let strings = loaded
            .filter_map(|segment| {
                let within = strings.checked_sub(segment.address)?;
                (within < segment.length).then(|| segment.offset.checked_add(within))?
            })
            .next()?;
        let names = names.into_iter().map(|name| {
            let text = read(strings.checked_add(name)?, LONGEST_NAME)?;
            let text = text.split(|&byte| byte == 0).next()?;
            Some(String::from_utf8_lossy(text).into_owned())
        });
        names.collect()
    }

    fn word(&self, bytes: &[u8], at: usize) -> Option<u64> {
        self.number(bytes, at, if self.wide { 8 } else { 4 })
    }

    fn number(&self, bytes: &[u8], at: usize, len: usize) -> Option<u64> {
        let bytes = bytes.get(at..at.checked_add(len)?)?;
        let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        Some(if self.little {
            bytes.iter().rev().fold(0, add)
        } else {
            bytes.iter().fold(0, add)
        })
    }
}

fn bounded(length: u64) -> Option<usize> {
    usize::try_from(length)
        .ok()
        .filter(|_| length <= MOST_OF_TABLE)
}

/// What a loader says that ends a program before its first instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoaderComplaint {
    /// A library is missing.
    NoLibrary {
        /// Its name, as whoever needs it has it.
        library: String,
    },
    /// A library is there and too old.
    NoVersion {
        /// The library, by its path.
        library: String,
        /// The version of its symbols that it does not have.
        version: String,
    },
}

impl LoaderComplaint {
    /// Reads a line of stderr, as the loaders of glibc, musl, FreeBSD, Android and macOS write it. `None`
    /// if it is none of those.
    #[must_use]
    pub fn detect(line: &str) -> Option<Self> {
        let library = glibc(line).or_else(|| musl(line)).or_else(|| quoted(line));
        if let Some(library) = library.filter(|name| !name.is_empty()) {
            let library = library.to_owned();
            return Some(Self::NoLibrary { library });
        }
        // "PROGRAM: LIBRARY: version `VERSION' not found (required by WHO)", of glibc.
        let (before, after) = line.split_once(": version `")?;
        let (version, rest) = after.split_once('\'')?;
        let library = before.rsplit(": ").next()?;
        rest.starts_with(" not found (required by ")
            .then(|| Self::NoVersion {
                library: library.to_owned(),
                version: version.to_owned(),
            })
    }
}

/// "PROGRAM: error while loading shared libraries: LIBRARY: cannot open shared object file: …"
fn glibc(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("error while loading shared libraries: ")?;
    let (library, why) = rest.split_once(": ")?;
    why.starts_with("cannot open shared object file")
        .then_some(library)
}

/// "Error loading shared library LIBRARY: … (needed by WHO)"
fn musl(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("Error loading shared library ")?;
    rest.split_once(": ").map(|(library, _)| library)
}

/// FreeBSD: "ld-elf.so.1: Shared object "LIBRARY" not found, required by "WHO""; Android: "CANNOT LINK
/// EXECUTABLE "PROGRAM": library "LIBRARY" not found"; macOS: "dyld[1]: Library not loaded: LIBRARY".
fn quoted(line: &str) -> Option<&str> {
    let (before, after) = if line.starts_with("ld-elf") {
        ("Shared object \"", "\" not found")
    } else if line.contains("CANNOT LINK EXECUTABLE ") {
        ("library \"", "\" not found")
    } else if line.starts_with("dyld") {
        return line
            .split_once("Library not loaded: ")
            .map(|(_, library)| library);
    } else {
        return None;
    };
    let (_, rest) = line.split_once(before)?;
    rest.split_once(after).map(|(library, _)| library)
}

#[cfg(test)]
#[path = "libraries_tests.rs"]
mod tests;
