//! How much may go with a call beside its messages, on every transport alike.
//!
//! The sender keeps the limits, so that what is too much concerns one call. A receiver has bounds
//! of its own, no lower than these.

use std::borrow::Cow;
use std::fmt;

use super::{Metadata, Status};

/// The longest text of a [`Status`] that travels whole, in bytes: 1 MiB. A longer one is
/// [cut](cut_status_message) by its sender.
pub const MAX_STATUS_MESSAGE: usize = 1 << 20;

/// The most metadata of one call and direction, in bytes as [`Metadata::size`] counts: 1 MiB. The
/// details of a status count as an entry of its metadata.
pub const MAX_METADATA_SIZE: usize = 1 << 20;

/// The most entries of one call and direction.
pub const MAX_METADATA_ENTRIES: usize = 4096;

/// The longest name of an entry, in bytes.
pub const MAX_METADATA_NAME: usize = 255;

/// What an entry counts beside its name and value, in bytes. Source: RFC 9113, section 6.5.2.
pub const METADATA_ENTRY_OVERHEAD: usize = 32;

/// Metadata that is over a limit. Its call fails with
/// [`Code::ResourceExhausted`](super::Code::ResourceExhausted), and no other.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetadataTooLarge {
    /// Too many bytes.
    #[error(
        "metadata of {size} bytes is over the limit of {MAX_METADATA_SIZE} bytes a call; send more \
         than that in messages"
    )]
    Size {
        /// The size as [`Metadata::size`] counts.
        size: usize,
    },
    /// Too many entries.
    #[error("metadata of {entries} entries is over the limit of {MAX_METADATA_ENTRIES} a call")]
    Entries {
        /// How many there are.
        entries: usize,
    },
    /// A name that is too long.
    #[error(
        "a metadata name of {length} bytes, {beginning:?} at its beginning, is over the limit of \
         {MAX_METADATA_NAME} bytes"
    )]
    Name {
        /// The length of the name in bytes.
        length: usize,
        /// The first characters of the name.
        beginning: String,
    },
}

impl From<MetadataTooLarge> for Status {
    fn from(error: MetadataTooLarge) -> Self {
        Self::resource_exhausted(error.to_string())
    }
}

/// Checks metadata before it is sent.
///
/// # Errors
/// [`MetadataTooLarge`]
pub fn check_metadata(metadata: &Metadata) -> Result<(), MetadataTooLarge> {
    if metadata.is_empty() {
        return Ok(());
    }
    let entries = metadata.len();
    if entries > MAX_METADATA_ENTRIES {
        return Err(MetadataTooLarge::Entries { entries });
    }
    let size = metadata.size();
    if size > MAX_METADATA_SIZE {
        return Err(MetadataTooLarge::Size { size });
    }
    let long = metadata
        .iter()
        .map(|(name, _)| name)
        .find(|name| name.len() > MAX_METADATA_NAME);
    match long {
        None => Ok(()),
        Some(name) => Err(MetadataTooLarge::Name {
            length: name.len(),
            beginning: name.chars().take(32).collect(),
        }),
    }
}

/// A status text that is at most [`MAX_STATUS_MESSAGE`] long: the text itself, or its beginning, cut
/// between two characters, and a note of how many bytes are missing.
#[must_use]
pub fn cut_status_message(text: &str) -> Cow<'_, str> {
    if text.len() <= MAX_STATUS_MESSAGE {
        return Cow::Borrowed(text);
    }
    let note = |missing: usize| format!("… [{missing} of {} bytes left out]", text.len());
    // No more can be missing than there is, and no number is longer than that one.
    let mut end = MAX_STATUS_MESSAGE - note(text.len()).len();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Cow::Owned(format!("{}{}", &text[..end], note(text.len() - end)))
}

/// The status as it may travel: with a text of at most [`MAX_STATUS_MESSAGE`], and without details
/// or metadata that are over the limit, which its text then says. An error must not get lost
/// because something that goes with it is too much.
#[must_use]
pub fn bounded_status(status: &Status) -> Cow<'_, Status> {
    let mut notes = String::new();
    let mut note = |text: fmt::Arguments<'_>| {
        if !notes.is_empty() {
            notes.push(' ');
        }
        // Writing to a String cannot fail.
        let _ = fmt::write(&mut notes, text);
    };
    let details = match status.details().len() {
        0 => 0,
        length => length + METADATA_ENTRY_OVERHEAD,
    };
    let keeps_details = details <= MAX_METADATA_SIZE;
    if !keeps_details {
        let length = status.details().len();
        note(format_args!(
            "[details of {length} bytes left out: the limit is {MAX_METADATA_SIZE} bytes]"
        ));
    }
    let metadata = status.metadata();
    let room = MAX_METADATA_SIZE - if keeps_details { details } else { 0 };
    let checked = check_metadata(metadata).and_then(|()| match metadata.size() {
        size if size > room => Err(MetadataTooLarge::Size {
            size: size + details,
        }),
        _ => Ok(()),
    });
    if let Err(error) = &checked {
        note(format_args!("[metadata left out: {error}]"));
    }
    let text = status.message();
    if notes.is_empty() && text.len() <= MAX_STATUS_MESSAGE {
        return Cow::Borrowed(status);
    }
    let text = match (text, notes.as_str()) {
        (_, "") => cut_status_message(text).into_owned(),
        ("", _) => notes,
        // The notes come first, so that a cut does not take them.
        _ => cut_status_message(&format!("{notes} {text}")).into_owned(),
    };
    let mut bounded = Status::new(status.code(), text);
    if keeps_details {
        bounded = bounded.with_details(status.details_bytes());
    }
    if checked.is_ok() {
        bounded = bounded.with_metadata(metadata.clone());
    }
    Cow::Owned(bounded)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rpc::Code;

    fn of_size(size: usize) -> Metadata {
        let mut metadata = Metadata::new();
        let value = vec![7; size - METADATA_ENTRY_OVERHEAD - "k-bin".len()];
        metadata.insert_bin("k-bin", value).expect("valid");
        assert_eq!(metadata.size(), size);
        metadata
    }

    #[test]
    fn a_text_is_cut_between_characters_and_says_so() {
        let fits = "\u{1f608}".repeat(MAX_STATUS_MESSAGE / 4);
        assert_eq!(cut_status_message(&fits), fits);
        // One byte further, no character ends where the first cut would be.
        for lead in ["", "a", "ab", "abc"] {
            let text = format!("{lead}{fits}xyz!");
            let cut = cut_status_message(&text);
            assert!(cut.len() <= MAX_STATUS_MESSAGE, "{}", cut.len());
            let (kept, note) = cut.rsplit_once('…').expect("a note");
            assert!(text.starts_with(kept));
            assert!(kept.len() > MAX_STATUS_MESSAGE - 64, "{}", kept.len());
            let missing = text.len() - kept.len();
            assert_eq!(
                note,
                format!(" [{missing} of {} bytes left out]", text.len())
            );
        }
    }

    #[test]
    fn each_limit_of_metadata_is_exact() {
        assert_eq!(check_metadata(&of_size(MAX_METADATA_SIZE)), Ok(()));
        let size = MAX_METADATA_SIZE + 1;
        let error = check_metadata(&of_size(size)).expect_err("too large");
        assert_eq!(error, MetadataTooLarge::Size { size });
        assert_eq!(Status::from(error).code(), Code::ResourceExhausted);

        let mut metadata = Metadata::new();
        for _ in 0..MAX_METADATA_ENTRIES {
            metadata.insert("k", "").expect("valid");
        }
        assert_eq!(check_metadata(&metadata), Ok(()));
        metadata.insert("k", "").expect("valid");
        let entries = MAX_METADATA_ENTRIES + 1;
        let error = check_metadata(&metadata);
        assert_eq!(error, Err(MetadataTooLarge::Entries { entries }));

        let mut metadata = Metadata::new();
        let name = "n".repeat(MAX_METADATA_NAME);
        metadata.insert(name.clone(), "").expect("valid");
        assert_eq!(check_metadata(&metadata), Ok(()));
        metadata.insert(name + "n", "").expect("valid");
        let error = check_metadata(&metadata).expect_err("too long");
        assert!(matches!(error, MetadataTooLarge::Name { length: 256, .. }));
    }

    #[test]
    fn a_status_within_the_limits_stays_as_it_is() {
        let status = Status::not_found("a".repeat(MAX_STATUS_MESSAGE))
            .with_details(vec![1; 1000])
            .with_metadata(of_size(MAX_METADATA_SIZE - 1000 - METADATA_ENTRY_OVERHEAD));
        assert!(matches!(bounded_status(&status), Cow::Borrowed(_)));
    }

    #[test]
    fn what_is_too_much_for_a_status_is_left_out_and_named() {
        let status = Status::not_found("gone")
            .with_details(vec![1; MAX_METADATA_SIZE])
            .with_metadata(of_size(100));
        let bounded = bounded_status(&status);
        assert_eq!(bounded.code(), Code::NotFound);
        assert!(bounded.details().is_empty());
        assert_eq!(bounded.metadata(), status.metadata());
        assert_eq!(
            bounded.message(),
            "[details of 1048576 bytes left out: the limit is 1048576 bytes] gone"
        );

        // Each fits, both together do not.
        let status = Status::not_found("a".repeat(MAX_STATUS_MESSAGE))
            .with_details(vec![1; MAX_METADATA_SIZE - 100])
            .with_metadata(of_size(100));
        let bounded = bounded_status(&status);
        assert_eq!(bounded.details(), status.details());
        assert!(bounded.metadata().is_empty());
        assert!(bounded.message().starts_with("[metadata left out: "));
        assert!(bounded.message().len() <= MAX_STATUS_MESSAGE);
        assert!(bounded.message().ends_with(" bytes left out]"));
        assert!(matches!(bounded_status(&bounded), Cow::Borrowed(_)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn any_long_text_is_cut_within_the_limit(unit in "\\PC{1,9}", more in 0usize..10) {
            let text = unit.repeat(MAX_STATUS_MESSAGE / unit.len() + more);
            let cut = cut_status_message(&text);
            prop_assert!(cut.len() <= MAX_STATUS_MESSAGE);
            prop_assert_eq!(matches!(cut, Cow::Borrowed(_)), text.len() <= MAX_STATUS_MESSAGE);
        }
    }
}
