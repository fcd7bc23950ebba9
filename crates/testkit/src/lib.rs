//! A virtual world: clock, network, NAT and many engines.
