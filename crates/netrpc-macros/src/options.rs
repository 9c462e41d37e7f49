//! What stands in `#[interface(...)]` and in `#[rpc(...)]`.

use proc_macro2::TokenStream;
use syn::ext::IdentExt as _;
use syn::parse::Parser as _;
use syn::{Attribute, Error, Ident, LitStr, Path, Result};

use crate::names::{exported, is_exported};

/// Where outboard is.
pub(crate) fn crate_path(arguments: TokenStream) -> Result<Path> {
    let mut krate = syn::parse_quote!(::outboard);
    let parser = syn::meta::parser(|meta| {
        if !meta.path.is_ident("crate") {
            return Err(meta.error("`interface` knows `crate`, and nothing else"));
        }
        krate = meta.value()?.parse::<LitStr>()?.parse()?;
        Ok(())
    });
    parser.parse2(arguments)?;
    Ok(krate)
}

/// The name of a method in Go. Takes its `#[rpc]` out of the attributes.
pub(crate) fn go_name(ident: &Ident, attributes: &mut Vec<Attribute>) -> Result<String> {
    let mut renamed = None;
    let (ours, others): (Vec<_>, _) = std::mem::take(attributes)
        .into_iter()
        .partition(|it| it.path().is_ident("rpc"));
    *attributes = others;
    for attribute in ours {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("rename") {
                return Err(meta.error("of a method, `rpc` knows `rename`, and nothing else"));
            }
            let name: LitStr = meta.value()?.parse()?;
            if !is_exported(&name.value()) {
                let text = "net/rpc calls methods whose names begin with a capital letter and are of \
                            letters, digits and `_`, and no others";
                return Err(Error::new(name.span(), text));
            }
            renamed = Some(name.value());
            Ok(())
        })?;
    }
    if let Some(renamed) = renamed {
        return Ok(renamed);
    }
    let name = exported(&ident.unraw().to_string());
    if !is_exported(&name) {
        let text = format!(
            "`{name}` does not begin with a capital letter, as the names of Go's methods must: rename it with \
             `#[rpc(rename = \"…\")]`"
        );
        return Err(Error::new(ident.span(), text));
    }
    Ok(name)
}
