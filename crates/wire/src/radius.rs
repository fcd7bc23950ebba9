//! RADIUS packets (RFC 2865 3) and what their attributes hold. Proves nothing: that is the crate `radius`.
//!
//! Nothing is lost in parsing: what was parsed encodes to the same bytes, and authenticators are computed over them.

mod attribute;
mod name;
mod packet;
mod vendor;

pub use attribute::{Attribute, Tagged};
pub use name::{AttributeName, parse_name};
pub use packet::Packet;
pub use vendor::{Vendor, VendorAttribute, vendors};
