use callgate::Broker;

use super::*;
use crate::api::plugin::Plugin;

/// The release flag of a call that was made 2^32 calls before was taken for that of the present one, and its answer was
/// overwritten while the caller read it.
#[test]
fn a_release_flag_is_renewed_before_its_number_comes_again() {
    let broker = Broker::builder().without_socket().start().unwrap();
    let [provider, caller] = ["Provider", "Caller"].map(|name| {
        let builder = Plugin::builder(name).descriptor(broker.connect().unwrap());
        builder.direct_calls(false).connect().unwrap()
    });
    let _gate = provider.provide("Provider.Gate", || {}).unwrap();
    let gate = caller.subscriber::<(), ()>("Provider.Gate").unwrap();
    gate.invoke(()).unwrap();
    let link = &caller.links()[0];
    let (slot, geometry) = (9, link.geometry());
    let is_released =
        |generation| flags::is_released(link.outbox().as_read(), geometry, slot, generation);
    for generation in [1 << 31, 0] {
        let before = u32::wrapping_sub(generation, 1);
        assert!(!is_released(before));
        link.refresh_flag(Ticket { slot, generation });
        assert!(is_released(before), "{generation}");
    }
    let generation = 5;
    link.refresh_flag(Ticket { slot, generation });
    assert!(is_released(u32::MAX), "it costs a store only now and then");
}
