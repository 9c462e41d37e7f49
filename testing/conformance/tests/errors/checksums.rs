//! Samples of the errors of programs that are not what their checksum says.

use std::collections::BTreeMap;
use std::path::PathBuf;

use outboard::HostError;
use outboard_core::checksum::{ChecksumError, ChecksumList, Execute, FileDigest, Mismatch};

use super::samples::{Sample, fault, put, text};

fn mismatch(expected: &[u8]) -> Mismatch {
    let (expected, actual) = (FileDigest::from(expected), FileDigest::from([1, 2, 3, 4]));
    let of_nothing = FileDigest::from([5, 6, 7, 8]);
    Mismatch::check(&expected, actual, &of_nothing).expect_err("they differ")
}

pub(super) fn samples(all: &mut BTreeMap<&'static str, Vec<Sample>>) {
    let digest = ["xy", "123"].map(|text| text.parse::<FileDigest>().expect_err("no digest"));
    put(all, "FileDigestError", digest);
    let list = |text| ChecksumList::parse(text).expect_err("no list");
    let texts = ["nonsense", "xy  a", "00  a\n01  a\n"];
    put(all, "ChecksumListError", texts.map(list));
    let none = ChecksumList::default().digest("a").cloned();
    put(all, "ChecksumListError", none.err());
    let path = || PathBuf::from("/opt/plugin");
    let with = |mismatch| ChecksumError::Mismatch {
        path: path(),
        mismatch,
    };
    let errors = || {
        vec![
            ChecksumError::Empty { path: path() },
            ChecksumError::Unreadable {
                path: path(),
                expected: FileDigest::from([1, 2]),
                fault: fault(),
            },
            ChecksumError::NotAllRead {
                path: path(),
                read: 1,
                size: 2,
            },
            ChecksumError::TooLarge {
                path: path(),
                size: 2,
                limit: 1,
            },
            ChecksumError::NoCopy {
                path: path(),
                fault: fault(),
            },
            ChecksumError::CannotExecute {
                path: path(),
                execute: Execute::OpenFile,
            },
            with(mismatch(&[9, 9, 9, 9])),
            with(mismatch(&[5, 6, 7, 8])),
            with(mismatch(&[1, 2])),
            with(mismatch(b"01020304")),
        ]
    };
    put(all, "ChecksumError", errors());
    let host = errors().into_iter().map(|error| HostError::Checksum {
        name: text("greeter"),
        error: Box::new(error),
    });
    put(all, "HostError", host);
}
