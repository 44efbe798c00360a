//! Calls in other arrangements than a pair of processes.
//!
//! ```text
//! cargo bench -p callgate-benches --bench modes [-- --quick]
//! ```
//!
//! - `call/callers-4`: four caller processes on one provider process, all of them wherever the
//!   scheduler puts them, beside one caller alone, in blocks that take turns.
//! - `call/in-process`: a call between two plugins of one process, beside a virtual call of the
//!   same closure.
#![forbid(unsafe_code)]

mod callers;
mod inside;

/// What a step of a benchmark gives.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    if let [role, socket, name] = &arguments[..] {
        match role.as_str() {
            "--provider" => return callers::provide(socket, name),
            "--caller" => return callers::call(socket, name),
            _ => {}
        }
    }
    let blocks = if has("--quick") { 5 } else { 30 };
    inside::run(blocks)?;
    callers::run(blocks)
}

/// The median, and between which values nine tenths lie.
fn spread(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    let at = |part: f64| values[((values.len() - 1) as f64 * part).round() as usize];
    (at(0.5), at(0.05), at(0.95))
}
