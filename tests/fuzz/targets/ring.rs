//! A ring of events that its sender fills with anything.
#![no_main]
#![forbid(unsafe_code)]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| callgate_tests::fuzzed::run("ring", bytes));
