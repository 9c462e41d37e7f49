//! Unix groups by name.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::ptr;

/// The numeric id of a group given as decimal number or name, in go-plugin's order: number first.
///
/// # Errors
/// `NotFound` if there is no such group, otherwise the system's error.
pub(crate) fn resolve(group: &str) -> io::Result<u32> {
    match group.parse() {
        Ok(number) => Ok(number),
        Err(_) => lookup(group),
    }
}

fn lookup(name: &str) -> io::Result<u32> {
    let name = CString::new(name)?;
    // A guess that fits all but huge groups; doubled below while the system asks for more.
    let mut buffer = vec![0; 4096];
    loop {
        let mut entry = MaybeUninit::<libc::group>::uninit();
        let mut found = ptr::null_mut();
        // SAFETY: all pointers are valid for the call, the buffer's length is given, and the
        // results are read only if the function says that it filled them in.
        let error = unsafe {
            libc::getgrnam_r(
                name.as_ptr(),
                entry.as_mut_ptr(),
                buffer.as_mut_ptr(),
                buffer.len(),
                &raw mut found,
            )
        };
        match error {
            0 if found.is_null() => {
                return Err(io::Error::new(
                    io::ErrorKind::NotFound,
                    format!("there is no group named {}", name.to_string_lossy()),
                ));
            }
            // SAFETY: success with a non-null result means that the entry is filled in.
            0 => return Ok(unsafe { entry.assume_init() }.gr_gid),
            // 1 MiB is far past any real entry: a system that asks for more is broken.
            libc::ERANGE if buffer.len() < 1 << 20 => buffer.resize(buffer.len() * 2, 0),
            error => return Err(io::Error::from_raw_os_error(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_resolve() {
        assert_eq!(resolve("12345").expect("a number"), 12345);
        assert_eq!(
            resolve("no-such-group-here").map_err(|e| e.kind()),
            Err(io::ErrorKind::NotFound)
        );
        // Group 0 is named root on Linux and wheel on the BSDs.
        let zero = if cfg!(target_os = "linux") {
            "root"
        } else {
            "wheel"
        };
        assert_eq!(resolve(zero).expect("exists"), 0);
    }
}
