//! What the fuzzers in `tests/fuzz` run, and `tests/tests/fuzzed.rs` on the inputs that they found.
//!
//! Each function takes any bytes, and panics where something is wrong.

mod json;
mod schemas;

/// The targets: their names, which are also those of their folders in `tests/fuzz/corpus`.
pub const TARGETS: [(&str, fn(&[u8])); 3] = [
    ("schema", schemas::decode),
    ("compare", schemas::compare),
    ("json", json::convert),
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
