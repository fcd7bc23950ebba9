#![no_main]
#[path = "../checks/ike.rs"]
#[allow(dead_code, reason = "each target uses its own check")]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::knock(bytes));
