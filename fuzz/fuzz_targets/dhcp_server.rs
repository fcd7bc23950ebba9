#![no_main]
#[path = "../checks/dhcp.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::server(bytes));
