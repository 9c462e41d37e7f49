//! Names of users and groups, from the system's own files.

/// The name of a user or group in the text of `/etc/passwd` or `/etc/group`, whose lines begin with
/// name, password and number alike. `None` if it is not in there: other directories, which may be
/// across a network, are not asked for the sake of a note.
#[must_use]
pub fn name_of(database: &[u8], number: u32) -> Option<String> {
    let wanted = number.to_string();
    database.split(|&byte| byte == b'\n').find_map(|line| {
        let mut fields = line.split(|&byte| byte == b':');
        let (name, _password, id) = (fields.next()?, fields.next()?, fields.next()?);
        let name = std::str::from_utf8(name).ok()?;
        (id == wanted.as_bytes() && !name.is_empty()).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn users_and_groups_are_found_by_number() {
        let passwd = b"root:x:0:0:root:/root:/bin/sh\n\n# a remark\nbroken\nann:x:1000:100::/:\n";
        assert_eq!(name_of(passwd, 0).as_deref(), Some("root"));
        assert_eq!(name_of(passwd, 1000).as_deref(), Some("ann"));
        assert_eq!(name_of(passwd, 100), None);
        assert_eq!(name_of(b"staff:x:7:ann,bob\n", 7).as_deref(), Some("staff"));
        // An entry that refers to a network's directory.
        assert_eq!(name_of(b"+::::::\n", 0), None);
    }

    proptest! {
        #[test]
        fn any_file_is_read(bytes: Vec<u8>, number: u32) {
            let _ = name_of(&bytes, number);
        }
    }
}
