//! What the fuzzers in `tests/fuzz` run. `tests/tests/fuzzed.rs` runs it on the inputs that they found.
//!
//! Each function accepts any bytes, and panics if it finds a fault.

mod archives;
mod frames;
mod json;
mod rings;
mod schemas;

/// A target: its name, which is also that of its folder in `tests/fuzz/corpus`, and what it runs.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 6] = [
    ("schema", schemas::decode),
    ("compare", schemas::compare),
    ("json", json::convert),
    ("archive", archives::access),
    ("ring", rings::take),
    ("frames", frames::split),
];

/// Runs the target with a name.
///
/// # Panics
///
/// If there is no target of that name, or the target fails.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|(target, _)| *target == name);
    let (_, target) = target.expect("a target of that name");
    target(bytes);
}
