//! What a method is: one argument or none, one reply or none.

use proc_macro2::{Spacing, Span, TokenStream, TokenTree};
use quote::{ToTokens as _, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{
    Attribute, Error, FnArg, GenericArgument, Ident, PathArguments, Result, ReturnType, Signature,
    TraitItemFn, Type, TypeParamBound,
};

use crate::options::go_name;

/// A method of an interface.
pub(crate) struct Method {
    pub(crate) ident: Ident,
    pub(crate) go_name: String,
    /// When it is there.
    pub(crate) cfgs: Vec<Attribute>,
    pub(crate) argument: Option<Type>,
    /// The result, as it is written.
    pub(crate) output: Type,
    /// None for `()`.
    pub(crate) reply: Option<Type>,
}

impl Method {
    /// Reads one, and makes an `async fn` of it one that gives a future which can be sent.
    ///
    /// # Errors
    /// If net/rpc has no such methods.
    pub(crate) fn take(function: &mut TraitItemFn) -> Result<Self> {
        let go_name = go_name(&function.sig.ident, &mut function.attrs)?;
        if let Some(body) = &function.default {
            let text = "a method without a body is called at the other side: end it with `;`, and put what \
                        builds on it into a function of its own";
            return Err(Error::new(body.span(), text));
        }
        plain(&function.sig)?;
        let argument = argument(&function.sig)?;
        let output = output(&function.sig)?;
        let reply = reply(&output)?;
        sendable(&mut function.sig, &output)?;
        let cfgs = cfgs(&function.attrs);
        Ok(Self {
            ident: function.sig.ident.clone(),
            go_name,
            cfgs,
            argument,
            output,
            reply,
        })
    }
}

/// Those among them that say when something is there.
pub(crate) fn cfgs(attributes: &[Attribute]) -> Vec<Attribute> {
    let cfgs = attributes.iter().filter(|it| it.path().is_ident("cfg"));
    cfgs.cloned().collect()
}

/// Makes it give a future that can be sent. One that is written out stays as it is otherwise, so that what
/// it names is used.
fn sendable(signature: &mut Signature, output: &Type) -> Result<()> {
    if signature.asyncness.take().is_some() {
        signature.output = syn::parse2(quote_spanned! {Span::mixed_site()=>
            -> impl ::core::future::Future<Output = #output> + ::core::marker::Send
        })?;
    } else if let ReturnType::Type(_, ty) = &mut signature.output
        && let Type::ImplTrait(future) = ungrouped_mut(ty)
        && !future.bounds.iter().any(|bound| is_trait(bound, "Send"))
    {
        let send = quote_spanned!(Span::mixed_site()=> ::core::marker::Send);
        future.bounds.push(syn::parse2(send)?);
    }
    Ok(())
}

/// Whether a bound is of a trait that is called so.
pub(crate) fn is_trait(bound: &TypeParamBound, name: &str) -> bool {
    let TypeParamBound::Trait(bound) = bound else {
        return false;
    };
    let last = bound.path.segments.last();
    last.is_some_and(|it| it.ident == name)
}

/// That it is a method like any other, apart from its types.
fn plain(signature: &Signature) -> Result<()> {
    if !signature.generics.params.is_empty() {
        let text = "a method is called by its name alone, so that it cannot have generics: name the types, or \
                    take a `Value`, which is Go's `any`";
        return Err(Error::new(signature.generics.params.span(), text));
    }
    if let Some(bounds) = &signature.generics.where_clause {
        let text = "a method is there for every implementation: leave the `where` out";
        return Err(Error::new(bounds.span(), text));
    }
    let qualifier = [
        signature.constness.map(|it| it.span),
        signature.unsafety.map(|it| it.span),
        signature.abi.as_ref().map(|it| it.extern_token.span),
    ];
    if let Some(span) = qualifier.into_iter().flatten().next() {
        let text = "what is called from another process is a plain `async fn`";
        return Err(Error::new(span, text));
    }
    Ok(())
}

fn argument(signature: &Signature) -> Result<Option<Type>> {
    let mut inputs = signature.inputs.iter();
    let receiver = match inputs.next() {
        Some(FnArg::Receiver(receiver)) => receiver,
        other => {
            let text = "what is called is an instance: begin with `&self`";
            let span = other.map_or_else(|| signature.ident.span(), |it| it.span());
            return Err(Error::new(span, text));
        }
    };
    let is_plain = matches!(receiver.reference, Some((_, None)))
        && receiver.mutability.is_none()
        && receiver.colon_token.is_none();
    if !is_plain {
        let text = "calls run beside one another: write `&self`, and keep what changes in a lock or in atomics";
        return Err(Error::new(receiver.span(), text));
    }
    let argument = match inputs.next() {
        Some(FnArg::Typed(argument)) => (*argument.ty).clone(),
        _ => return Ok(None),
    };
    if let Some(further) = inputs.next() {
        let text = "net/rpc has one argument for each call: put several arguments into a struct with \
                    `#[derive(Gob)]`";
        return Err(Error::new(further.span(), text));
    }
    owned(&argument)?;
    Ok(Some(argument))
}

/// The result: that of an `async fn`, or of the future that a function gives.
fn output(signature: &Signature) -> Result<Type> {
    let no_result =
        "each call may fail: write `-> Result<Reply, Error>`, with `()` if there is no reply";
    let ReturnType::Type(_, output) = &signature.output else {
        let span = signature
            .asyncness
            .map_or_else(|| signature.fn_token.span, |it| it.span);
        return Err(Error::new(span, no_result));
    };
    if signature.asyncness.is_some() {
        return Ok((**output).clone());
    }
    future_output(output).ok_or_else(|| {
        let text = "a call takes its time: write `async fn … -> Result<Reply, Error>;`, or \
                    `fn … -> impl Future<Output = Result<Reply, Error>> + Send;`";
        Error::new(signature.fn_token.span, text)
    })
}

/// `T` of `impl Future<Output = T> + Send`.
fn future_output(ty: &Type) -> Option<Type> {
    let Type::ImplTrait(written) = ungrouped(ty) else {
        return None;
    };
    let mut output = None;
    for bound in &written.bounds {
        let TypeParamBound::Trait(bound) = bound else {
            return None;
        };
        let last = bound.path.segments.last()?;
        match &last.arguments {
            PathArguments::None if last.ident == "Send" => {}
            PathArguments::AngleBracketed(arguments) if last.ident == "Future" => {
                output = arguments.args.iter().find_map(|argument| match argument {
                    GenericArgument::AssocType(it) if it.ident == "Output" => Some(it.ty.clone()),
                    _ => None,
                });
            }
            _ => return None,
        }
    }
    output
}

/// `R` of `Result<R, E>`, unless it is `()`.
fn reply(output: &Type) -> Result<Option<Type>> {
    let reply = match ungrouped(output) {
        Type::Path(path) => path
            .path
            .segments
            .last()
            .and_then(|last| match &last.arguments {
                PathArguments::AngleBracketed(arguments) if last.ident == "Result" => {
                    arguments.args.first()
                }
                _ => None,
            }),
        _ => None,
    };
    let Some(GenericArgument::Type(reply)) = reply else {
        let text = "each call may fail: write `Result<Reply, Error>`, or an alias of it that is called `Result`";
        return Err(Error::new(output.span(), text));
    };
    owned(reply)?;
    match ungrouped(reply) {
        Type::Tuple(tuple) if tuple.elems.is_empty() => Ok(None),
        _ => Ok(Some(reply.clone())),
    }
}

/// Without what macros and parentheses put around it.
fn ungrouped(mut ty: &Type) -> &Type {
    loop {
        ty = match ty {
            Type::Group(group) => &group.elem,
            Type::Paren(paren) => &paren.elem,
            ty => return ty,
        }
    }
}

fn ungrouped_mut(mut ty: &mut Type) -> &mut Type {
    loop {
        ty = match ty {
            Type::Group(group) => &mut group.elem,
            Type::Paren(paren) => &mut paren.elem,
            ty => return ty,
        }
    }
}

/// That it is a type, of a value that borrows nothing.
fn owned(ty: &Type) -> Result<()> {
    if let Type::ImplTrait(written) = ungrouped(ty) {
        let text =
            "both sides have to know the type: name it, or take a `Value`, which is Go's `any`";
        return Err(Error::new(written.span(), text));
    }
    match borrow(ty.to_token_stream()) {
        None => Ok(()),
        Some(span) => {
            let text = "what comes from another process borrows nothing: write `String` for `&str`, `Vec<u8>` for \
                        `&[u8]`, `T` for `&T`";
            Err(Error::new(span, text))
        }
    }
}

/// The first reference in there, or lifetime other than `'static`.
fn borrow(tokens: TokenStream) -> Option<Span> {
    let mut tokens = tokens.into_iter();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Punct(punct) if punct.as_char() == '&' => return Some(punct.span()),
            TokenTree::Punct(punct)
                if punct.as_char() == '\'' && punct.spacing() == Spacing::Joint =>
            {
                match tokens.next() {
                    Some(TokenTree::Ident(name)) if name == "static" => {}
                    _ => return Some(punct.span()),
                }
            }
            TokenTree::Group(group) => {
                if let Some(span) = borrow(group.stream()) {
                    return Some(span);
                }
            }
            _ => {}
        }
    }
    None
}
