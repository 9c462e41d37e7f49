//! `#[interface]` of outboard's `netrpc`, by which a trait becomes an interface over Go's net/rpc.
#![forbid(unsafe_code)]

mod errors;
mod expand;
mod method;
mod names;
mod options;

use proc_macro::TokenStream;

/// Makes a trait an interface over net/rpc: the trait, a client of it and a server for it.
///
/// ```text
/// #[outboard::netrpc::interface]          // Greeter, GreeterClient, GreeterServer
/// pub trait Greeter {
///     async fn greet(&self) -> Result<String, Error>;
///     async fn greet_person(&self, person: Person) -> Result<Greeting, Error>;
///     #[rpc(rename = "ResetID")]
///     async fn reset_id(&self) -> Result<(), Error>;
/// }
/// ```
///
/// In Go, these are the methods of what a plugin's `Server` gives, and its `Client` calls `Plugin.Greet`,
/// `Plugin.GreetPerson` and `Plugin.ResetID`:
///
/// ```text
/// func (g *GreeterRPCServer) Greet(args interface{}, resp *string) error
/// func (g *GreeterRPCServer) GreetPerson(args Person, resp *Greeting) error
/// func (g *GreeterRPCServer) ResetID(args interface{}, resp *interface{}) error
/// ```
///
/// | Item | What it is |
/// | --- | --- |
/// | `Greeter` | the trait. Its methods may be implemented as `async fn`, with futures that are `Send`; it has `Send + Sync + 'static` |
/// | `GreeterClient` | calls what was dispensed: a `Greeter`, a `netrpc::Client`, and `Dispense` |
/// | `GreeterServer<T>` | serves a `T: Greeter`: `new`, `from_arc`, a `netrpc::Service`, and `Provide` |
///
/// | Attribute | On | What it does |
/// | --- | --- | --- |
/// | `#[rpc(rename = "GetID")]` | a method | the name in Go, which begins with a capital letter. Without it, `get_id` is `GetId` |
/// | `#[interface(crate = "path")]` | the trait | where `outboard` is, if it comes through another crate |
///
/// # Methods
///
/// A method is `async fn name(&self) -> Result<Reply, Error>;`, with one argument or none; the future may be
/// written out as well: `fn name(&self) -> impl Future<Output = Result<Reply, Error>> + Send;`. The result
/// may be an alias that is called `Result`, with the reply as its first parameter.
///
/// - Argument and reply are of any type with `Gob` that can be sent between threads and borrows nothing.
///   Several arguments are a struct. A `netrpc::Value` is Go's `interface{}`.
/// - A method without an argument sends a nil interface, Go's `new(interface{})`. Serving, it takes whatever
///   comes.
/// - A reply `()` is Go's `*interface{}`: a nil interface is sent, and whatever comes is taken. For Go's
///   `*struct{}` the reply is `netrpc::Nothing`.
/// - The error is of any type that is `Display`, since its text is all that is sent, and `From<CallError>`,
///   since that is what a call fails with at the client. `netrpc::Error` is such, and passes the text on as it
///   is.
///
/// There are neither generics, nor methods with bodies, nor types and constants: the error says what to write
/// in their place. The name before the dot is `Plugin`, as in all of go-plugin.
///
/// # Calls
///
/// The server runs calls beside one another, as Go does. A method that panics fails its own call. An
/// argument that does not fit is an error of its call, as is a method that the other side does not have.
/// Clients wait as long as it takes, or as their `with_timeout` says.
///
/// What has no trait is called by its name, through `call` of the client's `instance()`.
///
/// An example that runs, with both sides, is this crate's `tests/interface.rs`.
#[proc_macro_attribute]
pub fn interface(arguments: TokenStream, item: TokenStream) -> TokenStream {
    match expand::expand(arguments.into(), item.into()) {
        Ok(written) => written.into(),
        Err(error) => error.into_compile_error().into(),
    }
}
