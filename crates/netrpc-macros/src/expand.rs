//! What the attribute writes.
//!
//! All of it has the hygiene of `macro_rules!`: its locals are its own. Paths are absolute, and `T_` is a
//! name that people do not give to types of theirs.

use std::collections::BTreeMap;

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens as _, format_ident, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Error, Ident, Item, ItemTrait, Path, Result, TraitItem, TypeParamBound};

use crate::errors::Errors;
use crate::method::{Method, cfgs, is_trait};
use crate::options::crate_path;

pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let krate = crate_path(arguments)?;
    let mut item = match syn::parse2(item)? {
        Item::Trait(item) => item,
        other => {
            let text = "an interface is a trait: write its methods as those of one";
            return Err(Error::new(other.span(), text));
        }
    };
    let methods = methods(&mut item)?;
    let code = Code {
        client: format_ident!("{}Client", item.ident),
        server: format_ident!("{}Server", item.ident),
        krate: &krate,
        item: &item,
        methods: &methods,
    };
    let (client, server) = (code.client(), code.server());
    let interface = interface(&item, &code);
    Ok(quote_spanned! {Span::mixed_site()=>
        #interface
        #client
        #server
    })
}

/// The methods, which become what implementations have to give.
fn methods(item: &mut ItemTrait) -> Result<Vec<Method>> {
    let mut errors = Errors::default();
    if !item.generics.params.is_empty() {
        let text =
            "an interface is of one shape at both sides: name the types in place of generics";
        errors.push(Error::new(item.generics.params.span(), text));
    }
    let unsafety = item.unsafety.map(|it| it.span);
    if let Some(span) = unsafety.or_else(|| item.auto_token.map(|it| it.span)) {
        let text = "what is called in another process is a plain `trait`";
        errors.push(Error::new(span, text));
    }
    let mut methods = Vec::new();
    for item in &mut item.items {
        match item {
            TraitItem::Fn(function) => match Method::take(function) {
                Ok(method) => methods.push(method),
                Err(error) => errors.push(error),
            },
            other => {
                let text = "an interface is of methods alone: what else implementations have belongs into a trait of \
                            its own";
                errors.push(Error::new(other.span(), text));
            }
        }
    }
    distinct(&methods, &mut errors);
    errors.finish()?;
    Ok(methods)
}

/// That Go's names are of one method each. Those that are there under some condition may exclude each other.
fn distinct(methods: &[Method], errors: &mut Errors) {
    let mut known = BTreeMap::new();
    for method in methods {
        let Some(other) = known.insert(&method.go_name, method) else {
            continue;
        };
        if other.cfgs.is_empty() || method.cfgs.is_empty() {
            let text = format!(
                "`{}` and `{}` are both `{}` in Go: rename one with `#[rpc(rename = \"…\")]`",
                other.ident, method.ident, method.go_name
            );
            errors.push(Error::new(method.ident.span(), text));
        }
    }
}

/// The trait, with what is asked of implementations.
fn interface(item: &ItemTrait, code: &Code<'_>) -> TokenStream {
    let mut item = item.clone();
    let is_there = |name: &str| {
        item.supertraits.iter().any(|bound| match bound {
            TypeParamBound::Lifetime(lifetime) => lifetime.ident == name,
            bound => is_trait(bound, name),
        })
    };
    let bounds: [(&str, TypeParamBound); 3] = [
        ("Send", syn::parse_quote!(::core::marker::Send)),
        ("Sync", syn::parse_quote!(::core::marker::Sync)),
        ("static", syn::parse_quote!('static)),
    ];
    let missing: Vec<_> = bounds
        .into_iter()
        .filter(|(name, _)| !is_there(name))
        .collect();
    item.supertraits
        .extend(missing.into_iter().map(|(_, bound)| bound));
    item.colon_token.get_or_insert_default();
    let text = format!(
        " Implemented by [`{}`], served by [`{}`]. Calls run beside one another, and a panic fails its own.",
        code.client, code.server
    );
    if item.attrs.iter().any(|it| it.path().is_ident("doc")) {
        item.attrs.push(syn::parse_quote!(#[doc = ""]));
    }
    item.attrs.push(syn::parse_quote!(#[doc = #text]));
    item.into_token_stream()
}

struct Code<'a> {
    client: Ident,
    server: Ident,
    /// Where outboard is.
    krate: &'a Path,
    item: &'a ItemTrait,
    methods: &'a [Method],
}

impl Code<'_> {
    /// What each item has: the conditions of the trait, and what keeps lints that people choose for their
    /// own code away from it. Parts of it may be out of reach or unused where it is written.
    fn head(&self) -> TokenStream {
        let cfgs = cfgs(&self.item.attrs);
        quote_spanned! {Span::mixed_site()=>
            #(#cfgs)*
            #[allow(
                clippy::all, clippy::nursery, clippy::pedantic, dead_code, deprecated, unnameable_types,
                unreachable_pub, unused_qualifications
            )]
        }
    }

    fn client(&self) -> TokenStream {
        let Self { client, krate, .. } = self;
        let (head, vis, name) = (self.head(), &self.item.vis, &self.item.ident);
        let calls = self.methods.iter().map(|method| self.call(method));
        let doc = format!(" Calls a [`{name}`] over net/rpc.");
        quote_spanned! {Span::mixed_site()=>
            #[doc = #doc]
            #[derive(::core::clone::Clone, ::core::fmt::Debug)]
            #head
            #vis struct #client {
                instance: #krate::netrpc::Instance,
            }

            #head
            impl #krate::netrpc::Client for #client {
                fn from_instance(instance: #krate::netrpc::Instance) -> Self {
                    Self { instance }
                }

                fn instance(&self) -> &#krate::netrpc::Instance {
                    &self.instance
                }
            }

            #head
            impl #name for #client {
                #(#calls)*
            }

            #head
            impl #krate::Dispense for #client {
                fn from_dispensed(
                    dispensed: #krate::Dispensed,
                ) -> ::core::result::Result<Self, #krate::Misfit> {
                    #krate::netrpc::from_dispensed(dispensed)
                }
            }
        }
    }

    /// A method of the client.
    fn call(&self, method: &Method) -> TokenStream {
        let netrpc = self.netrpc();
        let Method {
            ident,
            cfgs,
            argument,
            output,
            reply,
            ..
        } = method;
        let go_name = format!("Plugin.{}", method.go_name);
        let parameter = argument
            .iter()
            .map(|ty| quote_spanned!(Span::mixed_site()=> argument: #ty));
        let (sent, sent_type) = match argument {
            Some(ty) => (
                quote_spanned!(Span::mixed_site()=> &argument),
                ty.to_token_stream(),
            ),
            None => (
                quote_spanned!(Span::mixed_site()=> &#netrpc::Value::Nil),
                quote_spanned!(Span::mixed_site()=> #netrpc::Value),
            ),
        };
        // An error type that is not made of a CallError is pointed at.
        let into = quote_spanned!(at(output)=> ::core::convert::Into::into(error));
        // Without a reply, whatever comes is taken: Go's are `*interface{}`, `*struct{}` or anything, and
        // nobody looks at them.
        let (received, outcome) = match reply {
            Some(ty) => (
                ty.to_token_stream(),
                quote_spanned! {Span::mixed_site()=>
                    ::core::result::Result::Ok(reply) => ::core::result::Result::Ok(reply),
                },
            ),
            None => (
                quote_spanned!(Span::mixed_site()=> #netrpc::Value),
                quote_spanned! {Span::mixed_site()=>
                    ::core::result::Result::Ok(_)
                    | ::core::result::Result::Err(#netrpc::CallError::Reply { .. }) => {
                        ::core::result::Result::Ok(())
                    }
                },
            ),
        };
        quote_spanned! {Span::mixed_site()=>
            #(#cfgs)*
            async fn #ident(&self, #(#parameter)*) -> #output {
                let called = self.instance.call::<#sent_type, #received>(#go_name, #sent).await;
                match called {
                    #outcome
                    ::core::result::Result::Err(error) => ::core::result::Result::Err(#into),
                }
            }
        }
    }

    fn server(&self) -> TokenStream {
        let Self { server, krate, .. } = self;
        let netrpc = self.netrpc();
        let (head, vis, name) = (self.head(), &self.item.vis, &self.item.ident);
        let arms = self.methods.iter().map(|method| self.arm(method));
        let doc = format!(" Serves a [`{name}`] over net/rpc.");
        let text = server.to_string();
        quote_spanned! {Span::mixed_site()=>
            #[doc = #doc]
            #head
            #vis struct #server<T_> {
                inner: ::std::sync::Arc<T_>,
            }

            #head
            impl<T_: #name> #server<T_> {
                /// Serves `inner`.
                #[must_use]
                #vis fn new(inner: T_) -> Self {
                    Self::from_arc(::std::sync::Arc::new(inner))
                }

                /// Serves `inner`, which others may use as well.
                #[must_use]
                #vis fn from_arc(inner: ::std::sync::Arc<T_>) -> Self {
                    Self { inner }
                }

                /// What is served.
                #[must_use]
                #vis fn inner(&self) -> &::std::sync::Arc<T_> {
                    &self.inner
                }
            }

            #head
            impl<T_> ::core::clone::Clone for #server<T_> {
                fn clone(&self) -> Self {
                    Self {
                        inner: ::std::sync::Arc::clone(&self.inner),
                    }
                }
            }

            #head
            impl<T_> ::core::fmt::Debug for #server<T_> {
                fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                    f.write_str(#text)
                }
            }

            #head
            impl<T_: #name> #netrpc::Service for #server<T_> {
                fn begin(
                    &self,
                    method: &str,
                    argument: &mut #netrpc::Received<'_>,
                ) -> #netrpc::Begun {
                    match method {
                        #(#arms)*
                        _ => #netrpc::Begun::Unknown,
                    }
                }
            }

            #head
            impl<T_: #name> #krate::Provide for #server<T_> {
                fn into_provided(self) -> #krate::Provided {
                    #krate::netrpc::provided(self)
                }
            }
        }
    }

    /// How the server begins a method.
    fn arm(&self, method: &Method) -> TokenStream {
        let netrpc = self.netrpc();
        let name = &self.item.ident;
        let Method {
            ident,
            go_name,
            cfgs,
            output,
            reply,
            ..
        } = method;
        let decoded = method.argument.iter().map(|ty| {
            quote_spanned! {Span::mixed_site()=>
                let argument = match argument.decode::<#ty>() {
                    ::core::result::Result::Ok(argument) => argument,
                    ::core::result::Result::Err(error) => {
                        return #netrpc::Begun::Argument(error);
                    }
                };
            }
        });
        let passed = method
            .argument
            .iter()
            .map(|_| quote_spanned!(Span::mixed_site()=> argument));
        let sent = match reply {
            Some(_) => quote_spanned!(Span::mixed_site()=> reply),
            None => quote_spanned!(Span::mixed_site()=> { let () = reply; #netrpc::Value::Nil }),
        };
        // An error type that has no text is pointed at.
        let text = quote_spanned!(at(output)=> ::std::string::ToString::to_string(&error));
        quote_spanned! {Span::mixed_site()=>
            #(#cfgs)*
            #go_name => {
                #(#decoded)*
                let inner = ::std::sync::Arc::clone(&self.inner);
                #netrpc::Begun::Running(::std::boxed::Box::pin(async move {
                    match <T_ as #name>::#ident(&*inner, #(#passed)*).await {
                        ::core::result::Result::Ok(reply) => ::core::result::Result::Ok(
                            ::std::boxed::Box::new(#sent)
                                as ::std::boxed::Box<dyn #netrpc::Reply>
                        ),
                        ::core::result::Result::Err(error) => ::core::result::Result::Err(#text),
                    }
                }))
            }
        }
    }

    fn netrpc(&self) -> TokenStream {
        let krate = self.krate;
        quote_spanned!(Span::mixed_site()=> #krate::netrpc)
    }
}

/// Where something stands, with the names of here.
fn at(tokens: &impl syn::spanned::Spanned) -> Span {
    tokens.span().resolved_at(Span::mixed_site())
}

#[cfg(test)]
mod tests;
