//! Runs a RADIUS client and a dynamic-authorization server as state machines.
