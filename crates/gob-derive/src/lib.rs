//! `#[derive(Gob)]` of [`outboard-gob`](https://docs.rs/outboard-gob), where it is described with the
//! types that it is for.

mod expand;
mod options;

use proc_macro::TokenStream;

/// Makes a struct one that gob sends and receives.
///
/// Fields are called as Go would call them: `first_name` is `FirstName`. A struct without fields is Go's
/// empty struct. A tuple struct of one field is that field to gob, as a type is in Go that has a name.
///
/// | Attribute | On | What it does |
/// | --- | --- | --- |
/// | `#[gob(rename = "ID")]` | a field | the name in Go, which begins with a capital letter |
/// | `#[gob(skip)]` | a field | it is neither sent nor received, and begins as `Default::default()` |
/// | `#[gob(name = "Person")]` | the struct | the name that goes with the definition, unless it is that of the struct; `""` for none. Go shows it in messages and nothing else |
/// | `#[gob(crate = "path")]` | the struct | where `outboard_gob` is, if it comes through another crate |
#[proc_macro_derive(Gob, attributes(gob))]
pub fn derive(input: TokenStream) -> TokenStream {
    let input = syn::parse_macro_input!(input as syn::DeriveInput);
    expand::expand(&input)
        .unwrap_or_else(|error| error.into_compile_error())
        .into()
}
