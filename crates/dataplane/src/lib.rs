//! Puts CHILD_SAs to work: userspace ESP over TUN, behind the trait that kernel XFRM implements too.

pub mod backend;
pub use backend::{Backend, Notice};
