//! The types of Rust that gob has words for.

mod lists;
mod maps;
mod numbers;
mod pointers;
mod text;

pub use self::numbers::Complex;
pub use self::text::ByteString;
