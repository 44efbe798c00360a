//! Two plugins of this process, one of which is to drain.

use std::thread;
use std::time::Instant;

use callgate::Broker;

use crate::api::plugin::*;
use crate::link::Link;
use crate::serve::member::Member;

pub(super) const PATIENCE: Duration = Duration::from_secs(20);
pub(super) const MODES: [Dispatch; 3] = [Dispatch::Thread, Dispatch::Pool(3), Dispatch::Pump];

pub(super) struct Scene {
    pub(super) broker: Broker,
    pub(super) provider: Plugin,
    pub(super) caller: Plugin,
}

pub(super) fn builder(broker: &Broker, name: &str) -> PluginBuilder {
    let descriptor = broker.connect().unwrap();
    let builder = Plugin::builder(name).descriptor(descriptor);
    builder.direct_calls(false).timeout(PATIENCE)
}

/// Two plugins of this process that call each other through a link.
pub(super) fn scene(dispatch: Dispatch) -> Scene {
    let broker = Broker::builder().without_socket().start().unwrap();
    let provider = builder(&broker, "Provider").dispatch(dispatch);
    let provider = provider.connect().unwrap();
    let caller = builder(&broker, "Caller").connect().unwrap();
    Scene {
        broker,
        provider,
        caller,
    }
}

/// The dispatcher's view of a plugin.
pub(super) fn member(plugin: &Plugin) -> Arc<Member> {
    plugin.core.member()
}

pub(super) fn drain(plugin: &Plugin) {
    plugin.core.group.dispatcher.drain(&member(plugin));
}

pub(super) fn expect_let_go(plugin: &Plugin) {
    let until = Instant::now() + PATIENCE;
    while !member(plugin).is_let_go() {
        assert!(Instant::now() < until, "it is not let go");
        thread::yield_now();
    }
}

impl Plugin {
    /// Its links, for tests of what lies below.
    pub(crate) fn links(&self) -> Vec<Arc<Link>> {
        self.state.membership().links()
    }
}

impl Scene {
    pub(super) fn subscriber<R: GateType>(&self, gate: &str) -> Subscriber<(u32,), R> {
        let subscriber = self.caller.subscriber(gate).unwrap();
        subscriber.wait_ready(PATIENCE).unwrap();
        subscriber
    }

    /// Pumps until `is_over`, if the provider has no thread of its own.
    pub(super) fn pump_until(&self, is_over: impl Fn() -> bool) {
        while self.provider.core.group.dispatcher.dispatch() == Dispatch::Pump && !is_over() {
            let soon = Instant::now() + Duration::from_millis(5);
            self.provider.pump(soon).unwrap();
        }
    }

    /// The caller's calls that are under way.
    pub(super) fn in_flight(&self) -> u32 {
        self.caller.state.membership().links()[0]
            .pending()
            .in_flight()
    }

    pub(super) fn is_let_go(&self) -> bool {
        member(&self.provider).is_let_go()
    }

    pub(super) fn expect_let_go(&self) {
        expect_let_go(&self.provider);
    }

    /// All calls on the link go on: it has not ended at either side.
    pub(super) fn expect_links(&self) {
        let links = [&self.provider, &self.caller].map(|plugin| plugin.state.membership().links());
        assert!(links.iter().flatten().all(|link| !link.is_gone()));
        assert_eq!(links.map(|links| links.len()), [1, 1]);
    }
}
