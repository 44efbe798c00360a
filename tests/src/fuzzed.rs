//! What the fuzzers in `tests/fuzz` run, and `tests/tests/fuzzed.rs` on the inputs that they found.
//!
//! Each function takes any bytes, and panics where something is wrong.

mod archives;
mod frames;
mod json;
mod rings;
mod schemas;

/// A target's name, which is also that of its folder in `tests/fuzz/corpus`, and what it runs.
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

/// Runs the target of a name.
///
/// # Panics
///
/// There is none of that name, or the target fails.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|(target, _)| *target == name);
    let (_, target) = target.expect("a target of that name");
    target(bytes);
}
