//! What is refused, and what is written.

use quote::quote;

use super::*;

fn refused(arguments: TokenStream, item: TokenStream) -> Vec<String> {
    let error = expand(arguments, item).expect_err("it is refused");
    error.into_iter().map(|error| error.to_string()).collect()
}

#[test]
fn methods_that_net_rpc_has_not_are_refused() {
    for (method, text) in [
        (
            quote!(
                async fn m(&self) -> Result<(), E> {
                    Ok(())
                }
            ),
            "end it with `;`",
        ),
        (
            quote!(
                async fn m<T>(&self, t: T) -> Result<(), E>;
            ),
            "name the types",
        ),
        (
            quote!(
                async fn m<'a>(&'a self) -> Result<(), E>;
            ),
            "cannot have generics",
        ),
        (
            quote!(
                async fn m(&self) -> Result<(), E>
                where
                    Self: Sized;
            ),
            "leave the `where` out",
        ),
        (
            quote!(
                async unsafe fn m(&self) -> Result<(), E>;
            ),
            "a plain `async fn`",
        ),
        (
            quote!(
                extern "C" fn m(&self) -> Result<(), E>;
            ),
            "a plain `async fn`",
        ),
        (
            quote!(
                async fn m() -> Result<(), E>;
            ),
            "begin with `&self`",
        ),
        (
            quote!(
                async fn m(a: u8) -> Result<(), E>;
            ),
            "begin with `&self`",
        ),
        (
            quote!(
                async fn m(&mut self) -> Result<(), E>;
            ),
            "write `&self`",
        ),
        (
            quote!(
                async fn m(self) -> Result<(), E>;
            ),
            "write `&self`",
        ),
        (
            quote!(
                async fn m(self: Arc<Self>) -> Result<(), E>;
            ),
            "write `&self`",
        ),
        (
            quote!(
                async fn m(&self, a: u8, b: u8) -> Result<(), E>;
            ),
            "struct with `#[derive(Gob)]`",
        ),
        (
            quote!(
                async fn m(&self, a: &str) -> Result<(), E>;
            ),
            "`String` for `&str`",
        ),
        (
            quote!(
                async fn m(&self, a: Option<&'static [u8]>) -> Result<(), E>;
            ),
            "`Vec<u8>` for `&[u8]`",
        ),
        (
            quote!(
                async fn m(&self, a: Cow<'_, str>) -> Result<(), E>;
            ),
            "borrows nothing",
        ),
        (
            quote!(
                async fn m(&self) -> Result<(u8, &str), E>;
            ),
            "borrows nothing",
        ),
        (
            quote!(
                async fn m(&self, a: impl Gob) -> Result<(), E>;
            ),
            "take a `Value`",
        ),
        (
            quote!(
                async fn m(&self) -> Result<impl Gob, E>;
            ),
            "take a `Value`",
        ),
        (
            quote!(
                async fn m(&self);
            ),
            "each call may fail",
        ),
        (
            quote!(
                async fn m(&self) -> String;
            ),
            "each call may fail",
        ),
        (
            quote!(
                async fn m(&self) -> io::Result;
            ),
            "each call may fail",
        ),
        (
            quote!(
                async fn m(&self) -> Option<String>;
            ),
            "each call may fail",
        ),
        (
            quote!(
                fn m(&self) -> Result<(), E>;
            ),
            "a call takes its time",
        ),
        (
            quote!(
                fn m(&self) -> impl Future + Send;
            ),
            "a call takes its time",
        ),
        (
            quote!(
                fn m(&self) -> impl Future<Output = Result<(), E>> + 'static;
            ),
            "a call takes its time",
        ),
        (
            quote!(
                fn m(&self) -> impl Future<Output = String> + Send;
            ),
            "each call may fail",
        ),
        (
            quote!(
                async fn _1(&self) -> Result<(), E>;
            ),
            "rename it with",
        ),
        (
            quote!(
                #[rpc(rename = "get")]
                async fn m(&self) -> Result<(), E>;
            ),
            "with a capital letter",
        ),
        (
            quote!(
                #[rpc(rename = "A.B")]
                async fn m(&self) -> Result<(), E>;
            ),
            "and no others",
        ),
        (
            quote!(
                #[rpc(name = "M")]
                async fn m(&self) -> Result<(), E>;
            ),
            "`rpc` knows `rename`",
        ),
        (
            quote!(
                type T;
            ),
            "of methods alone",
        ),
        (
            quote!(
                const C: u8;
            ),
            "of methods alone",
        ),
    ] {
        let item = quote!(trait I { #method });
        let errors = refused(quote!(), item);
        assert_eq!(errors.len(), 1, "{method}: {errors:?}");
        assert!(errors[0].contains(text), "{method}: {errors:?}");
    }
}

#[test]
fn traits_that_are_no_interfaces_are_refused() {
    for (arguments, item, text) in [
        (
            quote!(),
            quote!(
                trait I<T> {}
            ),
            "in place of generics",
        ),
        (
            quote!(),
            quote!(
                unsafe trait I {}
            ),
            "a plain `trait`",
        ),
        (
            quote!(),
            quote!(
                struct I;
            ),
            "an interface is a trait",
        ),
        (
            quote!(name = "x"),
            quote!(
                trait I {}
            ),
            "knows `crate`",
        ),
        (
            quote!(crate = "x y"),
            quote!(
                trait I {}
            ),
            "unexpected token",
        ),
    ] {
        let errors = refused(arguments, item);
        assert!(errors[0].contains(text), "{errors:?}");
    }
}

#[test]
fn go_knows_each_method_by_a_name_of_its_own() {
    let errors = refused(
        quote!(),
        quote!(
            trait I {
                async fn get_id(&self) -> Result<u8, E>;
                #[rpc(rename = "GetId")]
                async fn other(&self) -> Result<u8, E>;
                async fn get__id(&self) -> Result<u8, E>;
            }
        ),
    );
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(
        errors[0].contains("`get_id` and `other` are both `GetId` in Go"),
        "{errors:?}"
    );
    let excluding = quote!(
        trait I {
            #[cfg(unix)]
            async fn get(&self) -> Result<u8, E>;
            #[cfg(not(unix))]
            async fn get(&self) -> Result<u16, E>;
        }
    );
    expand(quote!(), excluding).expect("one of them is there");
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let errors = refused(
        quote!(),
        quote!(
            trait I {
                async fn a(&mut self) -> Result<u8, E>;
                async fn b(&self, a: &str) -> Result<u8, E>;
                async fn c(&self) -> u8;
                async fn d(&self) -> Result<u8, E>;
            }
        ),
    );
    assert_eq!(errors.len(), 3, "{errors:?}");
}

#[test]
fn what_is_written_is_code() {
    for item in [
        quote!(
            trait Empty {}
        ),
        quote!(
            pub(in crate::a) trait I: fmt::Debug + Send where
                Self: Sized,
            {
                async fn a(&self, _: Cow<'static, str>) -> io::Result<()>;
                fn b(&self, b: (u8, u8)) -> impl core::future::Future<Output = (Result<u8>)>;
                #[rpc(rename = "ID")]
                #[must_use]
                async fn r#in(&self) -> Result<(u8,), E>;
            }
        ),
    ] {
        let written = expand(quote!(crate = "a::b"), item).expect("it is written");
        let file = syn::parse2::<syn::File>(written).expect("it is code");
        let Item::Trait(item) = &file.items[0] else {
            panic!("the trait comes first");
        };
        let text = item.to_token_stream().to_string();
        assert!(!text.contains("rpc") && !text.contains("async"), "{text}");
        for bound in ["Send", "Sync", "'static"] {
            let bounds = item.supertraits.to_token_stream().to_string();
            assert_eq!(bounds.matches(bound).count(), 1, "{bounds}");
        }
        for method in &item.items {
            let method = method.to_token_stream().to_string();
            assert!(
                method.contains("Future") && method.contains("Send"),
                "{method}"
            );
        }
    }
}
