//! What the derive writes.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::ext::IdentExt as _;
use syn::spanned::Spanned as _;
use syn::{Data, DeriveInput, Error, Fields, Generics, Ident, Path, Result, Type};

use crate::options::{Container, field_name};

/// A field that is sent.
struct Sent<'a> {
    ident: &'a Ident,
    ty: &'a Type,
    name: String,
}

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let options = Container::parse(&input.attrs)?;
    let Data::Struct(data) = &input.data else {
        let text = "gob has structs alone: what Go sends for an enum is a number, a string or an interface";
        return Err(Error::new(input.ident.span(), text));
    };
    if let Some(lifetime) = input.generics.lifetimes().next() {
        let text = "what is received owns what it holds, so that no lifetimes can be here";
        return Err(Error::new(lifetime.span(), text));
    }
    let name = match &options.name {
        Some(name) => name.clone(),
        None => input.ident.unraw().to_string(),
    };
    let generics = bounded(&input.generics, &options.krate);
    match &data.fields {
        Fields::Unnamed(fields) if fields.unnamed.len() == 1 => {
            if let Some(attribute) = fields.unnamed[0]
                .attrs
                .iter()
                .find(|it| it.path().is_ident("gob"))
            {
                let text =
                    "a struct of one field without a name is that field to gob: nothing to set";
                return Err(Error::new(attribute.span(), text));
            }
            let ty = &fields.unnamed[0].ty;
            Ok(transparent(&input.ident, &generics, ty, &options.krate))
        }
        Fields::Unnamed(fields) if !fields.unnamed.is_empty() => {
            let text = "gob sends fields by their names, which these have not";
            Err(Error::new(fields.span(), text))
        }
        fields => structure(&input.ident, &generics, fields, &name, &options.krate),
    }
}

/// The parameters with what the types among them have to be.
fn bounded(generics: &Generics, krate: &Path) -> Generics {
    let mut generics = generics.clone();
    for parameter in generics.type_params_mut() {
        parameter.bounds.push(syn::parse_quote!(#krate::Gob));
    }
    generics
}

fn structure(
    ident: &Ident,
    generics: &Generics,
    fields: &Fields,
    name: &str,
    krate: &Path,
) -> Result<TokenStream> {
    let (mut sent, mut skipped) = (Vec::new(), Vec::new());
    for field in fields {
        let Some(ident) = &field.ident else { continue };
        match field_name(field)? {
            Some(name) => {
                if sent.iter().any(|other: &Sent<'_>| other.name == name) {
                    let text = format!("two fields are {name} in Go");
                    return Err(Error::new(ident.span(), text));
                }
                let ty = &field.ty;
                sent.push(Sent { ident, ty, name });
            }
            None => skipped.push(ident),
        }
    }
    let names: Vec<_> = sent.iter().map(|field| &field.name).collect();
    let idents: Vec<_> = sent.iter().map(|field| field.ident).collect();
    let types: Vec<_> = sent.iter().map(|field| field.ty).collect();
    let locals: Vec<_> = (0..sent.len() as u32).collect();
    let numbers: Vec<_> = (1..=sent.len() as u32).collect();
    let go_name = if name.is_empty() { "struct" } else { name };
    let count = sent.len();
    let zero = match fields {
        Fields::Unit => quote!(Self),
        Fields::Unnamed(_) => quote!(Self()),
        Fields::Named(_) => quote!(Self {
            #(#idents: <#types as #krate::Decode>::zero(),)*
            #(#skipped: ::std::default::Default::default(),)*
        }),
    };
    // Nothing in the macro's own names can be one of the struct's.
    let last = format_ident!("__last", span = proc_macro2::Span::mixed_site());
    let last_is_used = (!sent.is_empty()).then(|| quote!(let mut #last = 0_u32;));
    let (describing, encoding, decoding) = heads(ident, generics, krate);
    Ok(quote! {
        #[automatically_derived]
        #describing {
            fn key() -> ::std::any::TypeId {
                ::std::any::TypeId::of::<Self>()
            }

            fn describe(types: &mut #krate::Types) -> #krate::WireId {
                types.structure(
                    <Self as #krate::Describe>::key(),
                    #name,
                    &[#((#names, <#types as #krate::Describe>::describe as #krate::DescribeField),)*],
                )
            }

            fn go_name() -> ::std::borrow::Cow<'static, str> {
                ::std::borrow::Cow::Borrowed(#go_name)
            }
        }

        #[automatically_derived]
        #encoding {
            #[inline]
            fn is_left_out(&self) -> bool {
                false
            }

            fn encode(
                &self,
                out: &mut #krate::Output<'_>,
            ) -> ::std::result::Result<(), #krate::Error> {
                out.begin()?;
                #last_is_used
                #(
                    if !#krate::Encode::is_left_out(&self.#idents) {
                        out.field(&mut #last, #numbers);
                        if let ::std::result::Result::Err(error) =
                            #krate::Encode::encode(&self.#idents, out)
                        {
                            return ::std::result::Result::Err(error.in_field(#names));
                        }
                    }
                )*
                out.uint(0);
                out.end();
                ::std::result::Result::Ok(())
            }

            #[inline]
            fn size_hint(&self) -> usize {
                0_usize #(.saturating_add(#krate::Encode::size_hint(&self.#idents)))*
            }
        }

        #[automatically_derived]
        #decoding {
            const FIELDS: usize = #count;
            const HEAP: usize = 0 #(+ <#types as #krate::Decode>::HEAP)*;

            fn zero() -> Self {
                #zero
            }

            fn plan(
                wire: #krate::WireId,
                planner: &mut #krate::Planner<'_>,
            ) -> ::std::result::Result<#krate::Plan, #krate::Error> {
                planner.structure(
                    <Self as #krate::Describe>::key(),
                    <Self as #krate::Describe>::go_name,
                    wire,
                    &[#((#names, <#types as #krate::Decode>::plan as #krate::PlanField),)*],
                )
            }

            fn decode(
                &mut self,
                plan: #krate::Plan,
                input: &mut #krate::Input<'_>,
            ) -> ::std::result::Result<(), #krate::Error> {
                let mut fields = input.structure(plan)?;
                while let ::std::option::Option::Some((local, plan)) = input.field(&mut fields)? {
                    match local {
                        #(
                            #locals => {
                                if let ::std::result::Result::Err(error) =
                                    #krate::Decode::decode(&mut self.#idents, plan, input)
                                {
                                    return ::std::result::Result::Err(error.in_field(#names));
                                }
                            }
                        )*
                        _ => {}
                    }
                }
                ::std::result::Result::Ok(())
            }
        }
    })
}

/// A struct that is its one field.
fn transparent(ident: &Ident, generics: &Generics, ty: &Type, krate: &Path) -> TokenStream {
    let (describing, encoding, decoding) = heads(ident, generics, krate);
    quote! {
        #[automatically_derived]
        #describing {
            fn key() -> ::std::any::TypeId {
                <#ty as #krate::Describe>::key()
            }

            fn describe(types: &mut #krate::Types) -> #krate::WireId {
                <#ty as #krate::Describe>::describe(types)
            }

            fn go_name() -> ::std::borrow::Cow<'static, str> {
                <#ty as #krate::Describe>::go_name()
            }
        }

        #[automatically_derived]
        #encoding {
            #[inline]
            fn is_left_out(&self) -> bool {
                #krate::Encode::is_left_out(&self.0)
            }

            fn is_left_out_behind_pointer(&self) -> bool {
                #krate::Encode::is_left_out_behind_pointer(&self.0)
            }

            #[inline]
            fn encode(
                &self,
                out: &mut #krate::Output<'_>,
            ) -> ::std::result::Result<(), #krate::Error> {
                #krate::Encode::encode(&self.0, out)
            }

            #[inline]
            fn size_hint(&self) -> usize {
                #krate::Encode::size_hint(&self.0)
            }
        }

        #[automatically_derived]
        #decoding {
            const FIELDS: usize = <#ty as #krate::Decode>::FIELDS;
            const HEAP: usize = <#ty as #krate::Decode>::HEAP;
            const IS_NUMBER: bool = <#ty as #krate::Decode>::IS_NUMBER;

            #[inline]
            fn zero() -> Self {
                Self(<#ty as #krate::Decode>::zero())
            }

            fn plan(
                wire: #krate::WireId,
                planner: &mut #krate::Planner<'_>,
            ) -> ::std::result::Result<#krate::Plan, #krate::Error> {
                <#ty as #krate::Decode>::plan(wire, planner)
            }

            #[inline]
            fn decode(
                &mut self,
                plan: #krate::Plan,
                input: &mut #krate::Input<'_>,
            ) -> ::std::result::Result<(), #krate::Error> {
                #krate::Decode::decode(&mut self.0, plan, input)
            }
        }
    }
}

/// How the three implementations begin.
fn heads(
    ident: &Ident,
    generics: &Generics,
    krate: &Path,
) -> (TokenStream, TokenStream, TokenStream) {
    let (of, to, bounds) = generics.split_for_impl();
    let head = |name: &str| {
        let name = Ident::new(name, proc_macro2::Span::call_site());
        quote!(impl #of #krate::#name for #ident #to #bounds)
    };
    (head("Describe"), head("Encode"), head("Decode"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(input: DeriveInput) -> String {
        expand(&input).expect_err("it is refused").to_string()
    }

    #[test]
    fn what_gob_cannot_say_is_refused() {
        use syn::parse_quote as code;
        for (input, text) in [
            (
                code!(
                    enum E {
                        A,
                    }
                ),
                "structs alone",
            ),
            (
                code!(
                    struct S<'a> {
                        a: &'a str,
                    }
                ),
                "no lifetimes",
            ),
            (
                code!(
                    struct S(u8, u8);
                ),
                "by their names",
            ),
            (
                code!(
                    struct S(#[gob(skip)] u8);
                ),
                "nothing to set",
            ),
            (
                code!(
                    struct S {
                        #[gob(rename = "iD")]
                        a: u8,
                    }
                ),
                "begin with a capital letter",
            ),
            (
                code!(
                    struct S {
                        _1: u8,
                    }
                ),
                "rename it",
            ),
            (
                code!(
                    struct S {
                        a_b: u8,
                        aB: u8,
                    }
                ),
                "two fields are AB in Go",
            ),
            (
                code!(
                    struct S {
                        #[gob(name = "A")]
                        a: u8,
                    }
                ),
                "`rename` and `skip`",
            ),
            (
                code!(
                    #[gob(rename = "A")]
                    struct S {
                        a: u8,
                    }
                ),
                "`name` and `crate`",
            ),
        ] {
            let error = refused(input);
            assert!(error.contains(text), "{error}");
        }
    }

    #[test]
    fn structs_of_any_other_kind_are_fine() {
        use syn::parse_quote as code;
        for input in [
            code!(
                struct S;
            ),
            code!(
                struct S();
            ),
            code!(
                struct S {}
            ),
            code!(
                struct S(Vec<u8>);
            ),
            code!(
                struct S<T, const N: usize>
                where
                    T: Clone,
                {
                    a: [T; N],
                    #[gob(skip)]
                    b: u8,
                }
            ),
        ] {
            let written = expand(&input).expect("it is derived");
            syn::parse2::<syn::File>(written).expect("it is code");
        }
    }
}
