//! Where a file is mounted, from the list of mounts that Linux gives a process.

/// A mount of Linux.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mount {
    /// Where it is mounted, in bytes.
    pub point: Vec<u8>,
    /// Whether nothing on it may be executed: the option `noexec`.
    pub noexec: bool,
}

impl Mount {
    /// The mount that holds `path`, which is absolute and without links, in the text of
    /// `/proc/self/mountinfo`. `None` if it is not in there.
    #[must_use]
    pub fn of(path: &[u8], mountinfo: &[u8]) -> Option<Self> {
        let mounts = mountinfo.split(|&byte| byte == b'\n').filter_map(read);
        // Of several at one place the last one lies over the others.
        mounts
            .filter(|mount| holds(&mount.point, path))
            .reduce(|best, mount| {
                if mount.point.len() >= best.point.len() {
                    mount
                } else {
                    best
                }
            })
    }
}

/// The fifth field is the mount point, the sixth has its options; proc_pid_mountinfo(5).
fn read(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|&byte| byte == b' ').skip(4);
    let (point, options) = (fields.next()?, fields.next()?);
    let mut options = options.split(|&byte| byte == b',');
    Some(Mount {
        point: unescaped(point),
        noexec: options.any(|option| option == b"noexec"),
    })
}

/// Blanks, tabs, line ends and backslashes are written as three octal digits behind a backslash.
fn unescaped(mut field: &[u8]) -> Vec<u8> {
    let digit = |byte: u8| matches!(byte, b'0'..=b'7').then(|| u32::from(byte - b'0'));
    let mut bytes = Vec::new();
    while let [first, rest @ ..] = field {
        if let (b'\\', [a, b, c, rest @ ..]) = (first, rest)
            && let (Some(a), Some(b), Some(c)) = (digit(*a), digit(*b), digit(*c))
            && let Ok(byte) = u8::try_from(a << 6 | b << 3 | c)
        {
            bytes.push(byte);
            field = rest;
        } else {
            bytes.push(*first);
            field = rest;
        }
    }
    bytes
}

fn holds(point: &[u8], path: &[u8]) -> bool {
    match path.strip_prefix(point) {
        Some([] | [b'/', ..]) => true,
        Some(_) => point == b"/",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIST: &[u8] = b"24 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
        broken\n\
        31 24 0:27 / /mnt/a rw,nosuid,noexec - tmpfs none rw\n\
        32 24 0:28 / /mnt/with\\040blank rw,noexec - tmpfs none rw\n\
        33 31 0:29 / /mnt/a/b rw - tmpfs none rw\n\
        34 24 0:30 / /over rw,noexec - tmpfs none rw\n\
        35 34 0:31 / /over rw - tmpfs none rw,noexec\n";

    #[test]
    fn the_innermost_mount_holds_a_file() {
        for (path, point, noexec) in [
            ("/bin/sh", "/", false),
            ("/mnt/a/plugin", "/mnt/a", true),
            ("/mnt/a", "/mnt/a", true),
            ("/mnt/ab/plugin", "/", false),
            ("/mnt/a/b/plugin", "/mnt/a/b", false),
            ("/mnt/with blank/plugin", "/mnt/with blank", true),
            ("/over/plugin", "/over", false),
        ] {
            let mount = Mount::of(path.as_bytes(), LIST).expect("there is a root");
            let found = (String::from_utf8(mount.point), mount.noexec);
            assert_eq!(found, (Ok(point.to_owned()), noexec), "{path}");
        }
        assert_eq!(Mount::of(b"/bin/sh", b""), None);
        assert_eq!(Mount::of(b"relative", LIST), None);
    }

    proptest! {
        #[test]
        fn any_list_is_read(list: Vec<u8>, path: Vec<u8>) {
            let _ = Mount::of(&path, &list);
        }

        #[test]
        fn any_name_is_found_as_it_is_written(name in "[ -~\n\t]{1,20}") {
            let mut escaped = String::new();
            for byte in name.bytes() {
                match byte {
                    b' ' | b'\t' | b'\n' | b'\\' => escaped.push_str(&format!("\\{byte:03o}")),
                    _ => escaped.push(char::from(byte)),
                }
            }
            prop_assert_eq!(unescaped(escaped.as_bytes()), name.as_bytes());
        }
    }
}
