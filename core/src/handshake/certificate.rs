//! The sixth field: one DER certificate in unpadded base64.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// A sixth field up to this long is no certificate. Old plugins put there the base64 of a small
/// JSON object (48 characters), which go-plugin skips by this very length.
const LONGEST_IGNORED: usize = 50;

/// Go's `base64.RawStdEncoding`: no padding either way, and unused bits in the last character are
/// not looked at.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

/// Why a sixth field is not a certificate.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// Not unpadded standard base64.
    #[error("it is not unpadded standard base64: {cause}")]
    Base64 {
        /// What the decoder found.
        cause: String,
    },
    /// The decoded bytes do not have the outline of an X.509 certificate.
    #[error("the decoded {length} bytes are not one DER certificate")]
    NotACertificate {
        /// How many bytes were decoded.
        length: usize,
    },
}

/// What the field holds: `None` if it is too short to be looked at.
pub(super) fn read(field: &[u8]) -> Result<Option<Vec<u8>>, CertificateError> {
    if field.len() <= LONGEST_IGNORED {
        return Ok(None);
    }
    let der = BASE64
        .decode(field)
        .map_err(|cause| CertificateError::Base64 {
            cause: cause.to_string(),
        })?;
    if !has_certificate_outline(&der) {
        return Err(CertificateError::NotACertificate { length: der.len() });
    }
    Ok(Some(der))
}

/// The same of a text that has nothing else.
pub(crate) fn certificate_of_text(text: &str) -> Option<Vec<u8>> {
    read(text.as_bytes()).ok().flatten()
}

pub(crate) fn print(der: &[u8]) -> String {
    BASE64.encode(der)
}

/// Whether `der` is one SEQUENCE of a SEQUENCE (what is certified), a SEQUENCE (the algorithm) and
/// a BIT STRING (the signature), with nothing left over (RFC 5280, section 4.1). Judging what is
/// inside is the TLS library's work.
fn has_certificate_outline(der: &[u8]) -> bool {
    const SEQUENCE: u8 = 0x30;
    const BIT_STRING: u8 = 0x03;

    let outline = || {
        let (body, rest) = element(SEQUENCE, der)?;
        if !rest.is_empty() {
            return None;
        }
        let (_, body) = element(SEQUENCE, body)?;
        let (_, body) = element(SEQUENCE, body)?;
        let (_, rest) = element(BIT_STRING, body)?;
        rest.is_empty().then_some(())
    };
    outline().is_some()
}

/// Splits off one DER element with this tag: its content, and what follows it.
fn element(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&found, bytes) = bytes.split_first()?;
    let (&first, bytes) = bytes.split_first()?;
    if found != tag {
        return None;
    }
    // Up to 127 the length stands for itself; above, the low bits count the length's bytes. Four
    // bytes are far more than a line may hold.
    let (length, bytes) = match usize::from(first) {
        short @ 0..=0x7f => (short, bytes),
        long @ 0x81..=0x84 => {
            let (digits, bytes) = bytes.split_at_checked(long - 0x80)?;
            let length = digits
                .iter()
                .fold(0u64, |length, &digit| length << 8 | u64::from(digit));
            (usize::try_from(length).ok()?, bytes)
        }
        _ => return None,
    };
    bytes.split_at_checked(length)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Bytes with the outline of a certificate, `payload` bytes long inside.
    pub(in super::super) fn outline(payload: usize) -> Vec<u8> {
        fn der(tag: u8, content: &[u8]) -> Vec<u8> {
            let length = u16::try_from(content.len()).expect("small");
            let [high, low] = length.to_be_bytes();
            [&[tag, 0x82, high, low], content].concat()
        }
        let parts = [
            der(0x30, &vec![7; payload]),
            der(0x30, &[6, 1, 42]),
            der(0x03, &[0, 1, 2, 3]),
        ];
        der(0x30, &parts.concat())
    }

    #[test]
    fn fields_up_to_fifty_characters_are_not_looked_at() {
        assert_eq!(read(b""), Ok(None));
        assert_eq!(read(&[b'!'; 50]), Ok(None));
        assert!(read(&[b'!'; 51]).is_err());
    }

    #[test]
    fn a_certificate_comes_back_as_it_went_in() {
        for payload in [30, 31, 32, 600] {
            let der = outline(payload);
            let field = print(&der);
            assert!(!field.contains('='));
            assert_eq!(read(field.as_bytes()), Ok(Some(der)));
        }
    }

    #[test]
    fn padding_is_an_error() {
        let der = outline(30);
        let field = print(&der);
        let padded = format!("{field}{}", "=".repeat((4 - field.len() % 4) % 4));
        assert_ne!(padded, field, "the sample must need padding");
        assert!(matches!(
            read(padded.as_bytes()),
            Err(CertificateError::Base64 { .. })
        ));
    }

    #[test]
    fn other_bytes_are_not_a_certificate() {
        let mut longer = outline(40);
        longer.push(0);
        let shorter = &outline(40)[..50];
        let text = vec![b'x'; 60];
        for bytes in [&longer[..], shorter, &text] {
            assert_eq!(
                read(print(bytes).as_bytes()),
                Err(CertificateError::NotACertificate {
                    length: bytes.len()
                })
            );
        }
        assert!(!has_certificate_outline(&[
            0x30, 0x84, 0xff, 0xff, 0xff, 0xff
        ]));
        assert!(!has_certificate_outline(&[0x30, 0x80]));
        assert!(!has_certificate_outline(&[]));
    }
}
