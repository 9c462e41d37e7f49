//! The paths of the peer's calls.

use std::collections::BTreeSet;
use std::sync::Arc;

/// How many paths are kept, each of [`MAX_PATH`](super::frame::MAX_PATH) bytes at most. Programs have
/// tens of methods.
const MOST: usize = 256;

/// The paths that have come, so that the calls of a method share the memory of its name. Once there are
/// as many as are kept, further ones get memory of their own.
#[derive(Debug, Default)]
pub(super) struct Paths {
    known: BTreeSet<Arc<str>>,
    /// The one that came last, which most often comes again.
    last: Option<Arc<str>>,
}

impl Paths {
    /// The one that came last.
    pub(super) fn last(&self) -> Option<Arc<str>> {
        self.last.clone()
    }

    pub(super) fn get(&mut self, path: &str) -> Arc<str> {
        if let Some(last) = self.last.as_ref().filter(|last| ***last == *path) {
            return Arc::clone(last);
        }
        let path = match self.known.get(path) {
            Some(known) => Arc::clone(known),
            None => {
                let path: Arc<str> = path.into();
                if self.known.len() < MOST {
                    self.known.insert(Arc::clone(&path));
                }
                path
            }
        };
        self.last = Some(Arc::clone(&path));
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_kept_once_and_others_in_bounds() {
        let mut paths = Paths::default();
        let first = paths.get("/a");
        for number in 0..10 * MOST {
            let path = format!("/b/{number}");
            assert_eq!(&*paths.get(&path), path);
        }
        assert!(Arc::ptr_eq(&first, &paths.get("/a")));
        assert!(Arc::ptr_eq(&first, &paths.get("/a")));
        assert_eq!(&*paths.get("/b"), "/b");
        assert_eq!(paths.known.len(), MOST);
    }
}
