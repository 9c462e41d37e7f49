//! Reading the header of an executable: which format, which architecture.

use std::fmt;

/// How many bytes of a file [`Executable::detect`] wants to see. The part that matters lies in the
/// first few hundred of any executable a usual linker makes.
pub const HEADER_BYTES: usize = 4096;

/// The format of a program and what it was built for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Executable {
    /// The format.
    pub format: Format,
    /// The architecture as Go names it; several for a universal Mach-O file, `unknown` and a
    /// number for one without a name here.
    pub arch: String,
}

/// A format of executables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// Linux, the BSDs.
    Elf,
    /// macOS.
    MachO,
    /// Windows.
    Pe,
}

impl Format {
    /// The format of this system's own programs.
    pub const OWN: Self = if cfg!(windows) {
        Self::Pe
    } else if cfg!(target_vendor = "apple") {
        Self::MachO
    } else {
        Self::Elf
    };

    /// The systems that have it.
    #[must_use]
    pub const fn systems(self) -> &'static str {
        match self {
            Self::Elf => "Linux, Android and the BSDs",
            Self::MachO => "macOS",
            Self::Pe => "Windows",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Elf => "ELF",
            Self::MachO => "MachO",
            Self::Pe => "PE",
        })
    }
}

impl fmt::Display for Executable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} architecture: {}", self.format, self.arch)
    }
}

impl Executable {
    /// Reads the first bytes of a file. `None` if it is of no known format, such as a script, or
    /// is cut off.
    #[must_use]
    pub fn detect(header: &[u8]) -> Option<Self> {
        let (format, arch) = match header {
            [0x7f, b'E', b'L', b'F', ..] => (Format::Elf, elf(header)?),
            [b'M', b'Z', ..] => (Format::Pe, pe(header)?),
            _ => (Format::MachO, mach_o(header)?),
        };
        Some(Self { format, arch })
    }

    /// Whether it was built for this kind of system and for `arch`, in Go's words: see [`go_arch`].
    /// Systems that run the programs of others as well are not taken into account.
    #[must_use]
    pub fn runs_on(&self, arch: &str) -> bool {
        self.format == Format::OWN && self.arch.split(", ").any(|built_for| built_for == arch)
    }
}

/// What Go calls the architecture that Rust calls `rust_arch` (`std::env::consts::ARCH`), on
/// machines with the byte order of this one.
#[must_use]
pub fn go_arch(rust_arch: &str) -> &str {
    let little = cfg!(target_endian = "little");
    match rust_arch {
        "x86" => "386",
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "loongarch64" => "loong64",
        "mips" if little => "mipsle",
        "mips64" if little => "mips64le",
        "powerpc64" if little => "ppc64le",
        "powerpc64" => "ppc64",
        "wasm32" | "wasm64" => "wasm",
        other => other,
    }
}

#[derive(Clone, Copy)]
enum Endian {
    Little,
    Big,
}

impl Endian {
    fn u16(self, bytes: &[u8], at: usize) -> Option<u16> {
        let bytes = *bytes.get(at..)?.first_chunk()?;
        Some(match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        })
    }

    fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let bytes = *bytes.get(at..)?.first_chunk()?;
        Some(match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        })
    }
}

fn known_or(number: u32, name: Option<&str>) -> String {
    name.map_or_else(|| format!("unknown ({number:#x})"), str::to_owned)
}

/// System V ABI: class at 4, byte order at 5, machine at 18. Numbers from the generic ABI's list
/// of machines.
fn elf(header: &[u8]) -> Option<String> {
    let wide = match header.get(4)? {
        1 => false,
        2 => true,
        _ => return None,
    };
    let endian = match header.get(5)? {
        1 => Endian::Little,
        2 => Endian::Big,
        _ => return None,
    };
    let machine = endian.u16(header, 18)?;
    let name = match (machine, wide, endian) {
        (3, ..) => Some("386"),
        (8, false, Endian::Big) => Some("mips"),
        (8, false, Endian::Little) => Some("mipsle"),
        (8, true, Endian::Big) => Some("mips64"),
        (8, true, Endian::Little) => Some("mips64le"),
        (20, ..) => Some("ppc"),
        (21, _, Endian::Big) => Some("ppc64"),
        (21, _, Endian::Little) => Some("ppc64le"),
        (22, ..) => Some("s390x"),
        (40, ..) => Some("arm"),
        (43, ..) => Some("sparc64"),
        (62, ..) => Some("amd64"),
        (183, ..) => Some("arm64"),
        (243, true, _) => Some("riscv64"),
        (243, false, _) => Some("riscv"),
        (258, ..) => Some("loong64"),
        _ => None,
    };
    Some(known_or(u32::from(machine), name))
}

/// Microsoft's PE format: the offset of the signature at 0x3c, the machine after the signature.
fn pe(header: &[u8]) -> Option<String> {
    let offset = usize::try_from(Endian::Little.u32(header, 0x3c)?).ok()?;
    let signature = header.get(offset..)?;
    let machine = Endian::Little.u16(signature.strip_prefix(b"PE\0\0")?, 0)?;
    let name = match machine {
        0x14c => Some("386"),
        // 0x1c4 is what Windows itself calls its 32-bit ARM programs.
        0x1c0 | 0x1c4 => Some("arm"),
        0x6264 => Some("loong64"),
        0x8664 => Some("amd64"),
        0xaa64 => Some("arm64"),
        _ => None,
    };
    Some(known_or(u32::from(machine), name))
}

/// Apple's `mach-o/loader.h` and `mach-o/fat.h`.
fn mach_o(header: &[u8]) -> Option<String> {
    /// The most architectures believed in: a Java class file begins with the same four bytes, and
    /// has a version of 45 or more where the count stands.
    const MOST: u32 = 30;

    let big = Endian::Big;
    let record = match big.u32(header, 0)? {
        0xfeed_face | 0xfeed_facf => return Some(mach_o_cpu(big.u32(header, 4)?)),
        0xcefa_edfe | 0xcffa_edfe => return Some(mach_o_cpu(Endian::Little.u32(header, 4)?)),
        0xcafe_babe => 20,
        0xcafe_babf => 32,
        _ => return None,
    };
    let count = big.u32(header, 4)?;
    if count == 0 || count > MOST {
        return None;
    }
    let cpus: Option<Vec<String>> = (0..usize::try_from(count).ok()?)
        .map(|index| big.u32(header, 8 + index * record).map(mach_o_cpu))
        .collect();
    Some(cpus?.join(", "))
}

fn mach_o_cpu(cpu: u32) -> String {
    let name = match cpu {
        7 => Some("386"),
        0x0100_0007 => Some("amd64"),
        12 => Some("arm"),
        0x0100_000c => Some("arm64"),
        18 => Some("ppc"),
        0x0100_0012 => Some("ppc64"),
        _ => None,
    };
    known_or(cpu, name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(header: &[u8]) -> Option<String> {
        Executable::detect(header).map(|executable| executable.to_string())
    }

    fn elf_header(class: u8, data: u8, machine: u16) -> Vec<u8> {
        let mut header = vec![0x7f, b'E', b'L', b'F', class, data, 1];
        header.resize(18, 0);
        header.extend(match data {
            2 => machine.to_be_bytes(),
            _ => machine.to_le_bytes(),
        });
        header
    }

    fn pe_header(machine: u16) -> Vec<u8> {
        let mut header = b"MZ".to_vec();
        header.resize(0x3c, 0);
        header.extend(0x80_u32.to_le_bytes());
        header.resize(0x80, 0);
        header.extend(b"PE\0\0");
        header.extend(machine.to_le_bytes());
        header
    }

    #[test]
    fn elf_machines_have_their_go_name() {
        for (class, data, machine, name) in [
            (2, 1, 62, "amd64"),
            (1, 1, 3, "386"),
            (2, 1, 183, "arm64"),
            (1, 1, 40, "arm"),
            (2, 2, 22, "s390x"),
            (2, 1, 21, "ppc64le"),
            (2, 2, 21, "ppc64"),
            (1, 1, 8, "mipsle"),
            (2, 1, 243, "riscv64"),
            (2, 1, 258, "loong64"),
            (2, 1, 0x1234, "unknown (0x1234)"),
        ] {
            let header = elf_header(class, data, machine);
            assert_eq!(shown(&header), Some(format!("ELF architecture: {name}")));
        }
        assert_eq!(shown(&elf_header(3, 1, 62)), None);
        assert_eq!(shown(&elf_header(2, 1, 62)[..19]), None);
    }

    #[test]
    fn pe_machines_have_their_go_name() {
        for (machine, name) in [
            (0x14c, "386"),
            (0x1c0, "arm"),
            (0x6264, "loong64"),
            (0x8664, "amd64"),
            (0xaa64, "arm64"),
            (0x200, "unknown (0x200)"),
        ] {
            let header = pe_header(machine);
            assert_eq!(shown(&header), Some(format!("PE architecture: {name}")));
        }
        let mut bad = pe_header(0x8664);
        bad[0x3c] = 0xff;
        assert_eq!(shown(&bad), None);
        assert_eq!(shown(b"MZ"), None);
    }

    #[test]
    fn mach_o_cpus_have_their_go_name() {
        let arm64 = b"\xcf\xfa\xed\xfe\x0c\0\0\x01";
        assert_eq!(shown(arm64).as_deref(), Some("MachO architecture: arm64"));
        let ppc = b"\xfe\xed\xfa\xce\0\0\0\x12";
        assert_eq!(shown(ppc).as_deref(), Some("MachO architecture: ppc"));

        let mut universal = b"\xca\xfe\xba\xbe\0\0\0\x02".to_vec();
        for cpu in [0x0100_0007_u32, 0x0100_000c] {
            universal.extend(cpu.to_be_bytes());
            universal.extend([0; 16]);
        }
        assert_eq!(
            shown(&universal).as_deref(),
            Some("MachO architecture: amd64, arm64")
        );
        let mut java_class = b"\xca\xfe\xba\xbe\0\0\0\x34".to_vec();
        java_class.resize(HEADER_BYTES, 7);
        assert_eq!(shown(&java_class), None);
    }

    #[test]
    fn scripts_have_no_architecture() {
        assert_eq!(shown(b"#!/bin/sh\necho hello\n"), None);
        assert_eq!(shown(b""), None);
    }

    #[test]
    fn rust_and_go_names() {
        assert_eq!(go_arch("x86_64"), "amd64");
        assert_eq!(go_arch("aarch64"), "arm64");
        assert_eq!(go_arch("riscv64"), "riscv64");
        assert_eq!(go_arch("x86"), "386");
    }

    proptest! {
        #[test]
        fn any_header_is_read(
            magic in proptest::sample::select(vec![
                &b""[..], b"\x7fELF", b"MZ", b"\xca\xfe\xba\xbe\0\0\0",
                b"\xca\xfe\xba\xbf\0\0\0", b"\xcf\xfa\xed\xfe",
            ]),
            rest: Vec<u8>,
        ) {
            let _ = Executable::detect(&[magic, &rest].concat());
        }
    }
}
