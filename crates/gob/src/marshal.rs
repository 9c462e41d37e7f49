//! Types that write themselves as bytes, as Go's with `GobEncode`, `MarshalBinary` or `MarshalText`.

use crate::def::MarshalKind;

/// A type whose Go counterpart writes itself: gob carries the bytes and knows nothing of them.
///
/// Implement it, and [`marshal!`](crate::marshal!) makes the type one that gob sends and receives.
///
/// ```
/// use outboard_gob::{Marshal, MarshalKind};
///
/// /// A Go type with `MarshalBinary` that writes four bytes.
/// struct Address([u8; 4]);
///
/// impl Marshal for Address {
///     const KIND: MarshalKind = MarshalKind::Binary;
///     const NAME: &'static str = "Address";
///
///     fn zero() -> Self {
///         Self([0; 4])
///     }
///
///     fn is_left_out(&self) -> bool {
///         self.0 == [0; 4]
///     }
///
///     fn marshal(&self, out: &mut Vec<u8>) -> Result<(), String> {
///         out.extend_from_slice(&self.0);
///         Ok(())
///     }
///
///     fn unmarshal(&mut self, bytes: &[u8]) -> Result<(), String> {
///         self.0 = bytes.try_into().map_err(|_| "not four bytes".to_owned())?;
///         Ok(())
///     }
/// }
///
/// outboard_gob::marshal!(Address);
///
/// let mut out = Vec::new();
/// outboard_gob::Encoder::new().encode(&Address([127, 0, 0, 1]), &mut out)?;
/// assert!(out.ends_with(&[4, 127, 0, 0, 1]));
/// # Ok::<(), outboard_gob::Error>(())
/// ```
pub trait Marshal: Sized + 'static {
    /// By which of its methods the Go type writes itself. Go takes `GobEncode` before `MarshalBinary`,
    /// and `MarshalText` not at all.
    const KIND: MarshalKind;

    /// The name of the Go type, for messages on the other side.
    const NAME: &'static str;

    /// What a field is that does not come.
    fn zero() -> Self;

    /// Whether a struct leaves a field of this value out.
    ///
    /// Go does if all of the type's memory is zero; a field that is a pointer (`Option`) only if it is
    /// nil.
    fn is_left_out(&self) -> bool;

    /// Appends the bytes.
    ///
    /// # Errors
    /// In words, if the value has none.
    fn marshal(&self, out: &mut Vec<u8>) -> Result<(), String>;

    /// Takes the value from its bytes.
    ///
    /// # Errors
    /// In words, if they are none of a value.
    fn unmarshal(&mut self, bytes: &[u8]) -> Result<(), String>;
}

/// Makes types that implement [`Marshal`] ones that gob sends and receives.
#[macro_export]
macro_rules! marshal {
    ($($type:ty),+ $(,)?) => {
        $(
            impl $crate::Describe for $type {
                fn key() -> ::std::any::TypeId {
                    ::std::any::TypeId::of::<Self>()
                }

                fn describe(types: &mut $crate::Types) -> $crate::WireId {
                    let kind = <Self as $crate::Marshal>::KIND;
                    let name = <Self as $crate::Marshal>::NAME;
                    types.marshal(<Self as $crate::Describe>::key(), kind, name)
                }

                fn go_name() -> ::std::borrow::Cow<'static, str> {
                    ::std::borrow::Cow::Borrowed(<Self as $crate::Marshal>::NAME)
                }
            }

            impl $crate::Encode for $type {
                fn is_left_out(&self) -> bool {
                    $crate::Marshal::is_left_out(self)
                }

                fn is_left_out_behind_pointer(&self) -> bool {
                    false
                }

                fn encode(&self, out: &mut $crate::Output<'_>) -> Result<(), $crate::Error> {
                    out.marshal(self)
                }
            }

            impl $crate::Decode for $type {
                fn zero() -> Self {
                    <Self as $crate::Marshal>::zero()
                }

                fn plan(
                    wire: $crate::WireId,
                    planner: &mut $crate::Planner<'_>,
                ) -> Result<$crate::Plan, $crate::Error> {
                    planner.marshal::<Self>(wire)
                }

                fn decode(
                    &mut self,
                    _: $crate::Plan,
                    input: &mut $crate::Input<'_>,
                ) -> Result<(), $crate::Error> {
                    input.unmarshal(self)
                }
            }
        )+
    };
}

/// The bytes of any type that writes itself.
macro_rules! carriers {
    ($($(#[$doc:meta])* $type:ident, $kind:ident;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
            pub struct $type(pub Vec<u8>);

            impl Marshal for $type {
                const KIND: MarshalKind = MarshalKind::$kind;
                const NAME: &'static str = "";

                fn zero() -> Self {
                    Self::default()
                }

                fn is_left_out(&self) -> bool {
                    self.0.is_empty()
                }

                fn marshal(&self, out: &mut Vec<u8>) -> Result<(), String> {
                    out.extend_from_slice(&self.0);
                    Ok(())
                }

                fn unmarshal(&mut self, bytes: &[u8]) -> Result<(), String> {
                    self.0 = bytes.to_vec();
                    Ok(())
                }
            }

            marshal!($type);
        )*
    };
}

carriers! {
    /// The bytes of a Go type with `GobEncode`, whatever they mean.
    GobBytes, Gob;
    /// The bytes of a Go type with `MarshalBinary`, whatever they mean.
    BinaryBytes, Binary;
    /// The bytes of a Go type that was sent by `MarshalText`, whatever they mean.
    TextBytes, Text;
}
