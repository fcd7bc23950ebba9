//! Turns bytes into IKE payloads, ESP headers and IP headers and back; decides nothing.
