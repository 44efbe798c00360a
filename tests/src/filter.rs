//! Seccomp filters for the calling process.

use std::collections::BTreeMap;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter_all_threads};

/// The number of `futex_waitv`, which is the same on all processors.
const FUTEX_WAITV: i64 = 449;

/// From now on, the kernel answers `futex_waitv` with an error number on every thread of this process.
pub fn refuse_waitv(errno: u32) {
    let rules = BTreeMap::from([(FUTEX_WAITV, vec![])]);
    let (others, these) = (SeccompAction::Allow, SeccompAction::Errno(errno));
    let here = std::env::consts::ARCH
        .try_into()
        .expect("a processor that seccomp knows");
    let filter = SeccompFilter::new(rules, others, these, here).expect("a filter");
    let program: BpfProgram = filter.try_into().expect("a program");
    apply_filter_all_threads(&program).expect("a process may restrict itself");
}
