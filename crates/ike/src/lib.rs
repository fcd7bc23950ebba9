//! Runs IKEv2 SAs and their CHILD_SAs, sans-IO.
