//! Method names by number, so that a name travels once per connection.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::frame::UNNUMBERED;
use super::violation::Violation;

/// The names this side has numbered.
#[derive(Debug, Default)]
pub(super) struct NamesOut {
    numbers: BTreeMap<Cow<'static, str>, u16>,
}

impl NamesOut {
    /// The number of `path`, and whether the name must be sent with it.
    #[allow(clippy::ptr_arg)] // A name is kept as it is, which is free for constants.
    pub(super) fn number(&mut self, path: &Cow<'static, str>, most: u32) -> (u16, bool) {
        if let Some(&number) = self.numbers.get(path.as_ref()) {
            return (number, false);
        }
        match u16::try_from(self.numbers.len()) {
            Ok(next) if u32::from(next) < most && next != UNNUMBERED => {
                self.numbers.insert(path.clone(), next);
                (next, true)
            }
            _ => (UNNUMBERED, true),
        }
    }
}

/// The names the peer has numbered.
#[derive(Debug, Default)]
pub(super) struct NamesIn {
    names: Vec<Arc<str>>,
}

impl NamesIn {
    /// The path of a call with this number and name.
    pub(super) fn resolve(
        &mut self,
        method: u16,
        path: Option<&str>,
        most: u32,
    ) -> Result<Arc<str>, Violation> {
        let known = self.names.len();
        let Some(path) = path else {
            return self
                .names
                .get(usize::from(method))
                .cloned()
                .ok_or(Violation::UnknownMethod { method, known });
        };
        let path: Arc<str> = path.into();
        if method != UNNUMBERED {
            if usize::from(method) != known || u32::from(method) >= most {
                return Err(Violation::BadMethodNumber {
                    method,
                    next: known,
                    most,
                });
            }
            self.names.push(Arc::clone(&path));
        }
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_travels_once_until_the_table_is_full() {
        let (mut out, mut inn) = (NamesOut::default(), NamesIn::default());
        for (path, expected) in [
            ("/a", (0, true)),
            ("/b", (1, true)),
            ("/a", (0, false)),
            ("/c", (UNNUMBERED, true)),
            ("/b", (1, false)),
            ("/c", (UNNUMBERED, true)),
        ] {
            let (number, named) = out.number(&path.into(), 2);
            assert_eq!((number, named), expected);
            let got = inn
                .resolve(number, named.then_some(path), 2)
                .expect("valid");
            assert_eq!(&*got, path);
        }
    }

    #[test]
    fn numbers_out_of_turn_are_violations() {
        let mut inn = NamesIn::default();
        assert!(matches!(
            inn.resolve(0, None, 2),
            Err(Violation::UnknownMethod { .. })
        ));
        assert!(matches!(
            inn.resolve(1, Some("/x"), 2),
            Err(Violation::BadMethodNumber { .. })
        ));
        inn.resolve(0, Some("/x"), 2).expect("in turn");
        assert!(inn.resolve(0, Some("/y"), 2).is_err(), "renamed");
        inn.resolve(1, Some("/y"), 2).expect("in turn");
        assert!(inn.resolve(2, Some("/z"), 2).is_err(), "table full");
    }
}
