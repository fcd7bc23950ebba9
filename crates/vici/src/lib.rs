//! Speaks the vici protocol; messages are configuration trees.
//!
//! vici is how everything talks to the daemon: `cygnet`, the stock `swanctl`, and the client libraries people
//! already use. A message is a tree of sections, values and lists, which is exactly what
//! [`config::tree::Section`] is, so there is no second model of a message here.
//!
//! The walk: [`stream`] cuts a byte stream into frames, [`packet`] tells what a frame is, [`message`] turns its
//! body into a tree and back, [`client`] is a small blocking client built from the three. The daemon's server
//! side uses the first three on its own sockets; nothing but [`client`] touches one.
//!
//! What it deliberately does not do: know which commands exist, or what a message means.
//!
//! Bounds, all of them for both directions: a frame body is at most [`packet::MAX_BODY`] bytes, sections nest at
//! most [`message::MAX_DEPTH`] deep, names are at most 255 bytes of UTF-8, values at most 65,535 bytes. Decoding is
//! total: every byte string gives a packet or an error, and memory use is a small multiple of the input.

pub mod client;
pub mod message;
pub mod packet;
pub mod stream;

pub use client::{Client, ClientError};
pub use message::{Message, MessageError};
pub use packet::{Packet, PacketError};
pub use stream::{FrameError, Frames};
