//! The IANA registries, as open enumerations: a number without a name becomes `Unknown(n)` and survives.

/// Declares an open enumeration over an integer registry.
macro_rules! registry {
    ($(#[$m:meta])* $name:ident : $int:ty { $($(#[$vm:meta])* $v:ident = $n:expr),+ $(,)? }) => {
        $(#[$m])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, serde::Serialize, serde::Deserialize)]
        #[serde(from = "u16", into = "u16")]
        #[allow(missing_docs, reason = "the names are the registry's")]
        pub enum $name { $($(#[$vm])* $v,)+ Unknown($int) }
        impl From<$int> for $name {
            fn from(n: $int) -> Self { match n { $(x if x == $n => Self::$v,)+ x => Self::Unknown(x) } }
        }
        impl From<$name> for $int {
            fn from(v: $name) -> $int { match v { $($name::$v => $n,)+ $name::Unknown(x) => x } }
        }
        impl $name {
            /// Every named member, in the registry's order.
            pub const NAMED: &'static [Self] = &[$(Self::$v),+];
        }
    };
    (u8 $(#[$m:meta])* $name:ident { $($(#[$vm:meta])* $v:ident = $n:expr),+ $(,)? }) => {
        registry!($(#[$m])* $name : u8 { $($(#[$vm])* $v = $n),+ });
        impl From<u16> for $name { fn from(n: u16) -> Self { Self::from(u8::try_from(n).unwrap_or(u8::MAX)) } }
        impl From<$name> for u16 { fn from(v: $name) -> u16 { u16::from(u8::from(v)) } }
    };
}

mod attribute;
mod cert;
mod exchange;
mod id;
mod notify;
mod payload;
mod radius;
mod transform;

pub use attribute::{ConfigAttribute, ConfigType};
pub use cert::CertEncoding;
pub use exchange::ExchangeType;
pub use id::IdType;
pub use notify::NotifyType;
pub use payload::{AuthMethod, PayloadType, ProtocolId, TsType};
pub use radius::{AcctStatus, ErrorCause, MicrosoftType, RadiusCode, RadiusType, TerminateCause};
pub use transform::{Encr, Esn, Integ, Ke, Prf, TransformType};
