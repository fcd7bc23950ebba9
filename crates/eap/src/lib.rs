//! Runs EAP methods, both as peer and as server, sans-IO.
