//! Standard output of a plugin.
#![no_main]
#![forbid(unsafe_code)]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| callgate_tests::fuzzed::run("frames", bytes));
