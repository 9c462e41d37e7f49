//! Settings that the async builders have.

/// Gives a builder around another the settings of that one: each takes the same and means the same.
macro_rules! forward {
    ($of:ident: $($(#[$attribute:meta])* $name:ident($($argument:ident: $type:ty),*);)+) => {
        impl $of {
            $(
                #[doc = concat!(
                    "As [`", stringify!($of), "::", stringify!($name), "`](crate::",
                    stringify!($of), "::", stringify!($name), ").",
                )]
                $(#[$attribute])*
                pub fn $name(self, $($argument: $type),*) -> Self {
                    Self(self.0.$name($($argument),*))
                }
            )+
        }
    };
}

pub(super) use forward;
