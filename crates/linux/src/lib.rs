//! Wraps every system call and netlink message the suite needs in small safe types.
