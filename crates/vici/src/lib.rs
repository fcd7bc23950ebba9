//! Speaks the vici protocol; messages are configuration trees.
