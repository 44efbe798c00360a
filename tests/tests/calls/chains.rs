//! Chains of calls whose middle is slow, large, crowded or given up.

use std::time::{Duration, Instant};

use callgate_client::{Dispatch, HandlerError, Result};
use callgate_tests::shorthand::open;
use callgate_tests::{Bus, programs};

/// A handler waited for a call of its own, and the answer to what came back in the chain found no
/// room: an extent had to be asked for. When it came, the only thread that could publish the
/// answer slept in that wait, and the chain hung until its deadline.
#[test]
fn a_large_answer_gets_out_while_its_thread_waits_in_the_chain() {
    for dispatch in [Dispatch::Thread, Dispatch::Pool(2)] {
        let bus = Bus::start(programs!());
        let a = bus.builder("A").dispatch(dispatch).connect().unwrap();
        let b = bus.plugin("B");
        let _large = a.provide("A.Large", || vec![7_u8; 300_000]).unwrap();
        let large = open::<(), Vec<u8>>(&b, "A.Large").with_timeout(Duration::from_secs(3));
        let back = move || -> Result<u64, HandlerError> { Ok(large.invoke(())?.len() as u64) };
        let _back = b.provide("B.Back", back).unwrap();
        let back = open::<(), u64>(&a, "B.Back");
        let through = move || -> Result<u64, HandlerError> { Ok(back.invoke(())?) };
        let _through = a.provide("A.Through", through).unwrap();
        let caller = bus.plugin("C");
        let through = open::<(), u64>(&caller, "A.Through");
        let start = Instant::now();
        assert_eq!(through.invoke(()).unwrap(), 300_000, "{dispatch:?}");
        assert!(start.elapsed() < Duration::from_secs(2), "{dispatch:?}");
    }
}
