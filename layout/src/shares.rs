//! Shares: values in sealed memory, which plugins read where they lie.

pub mod page;
