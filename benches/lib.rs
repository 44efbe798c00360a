//! The benchmarks stand in benches of this package; this library is empty.
