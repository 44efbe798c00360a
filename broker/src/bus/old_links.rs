//! Links of an older broker, over which plugins of this one still take calls.

use callgate_layout::control::LinkToPlugin;

use super::{Bus, Weight};
use crate::effect::Effect;
use crate::registry::PluginId;

impl Bus {
    /// Tells a plugin which gates it is to refuse to the peer of an old link.
    pub(super) fn stands(
        &mut self,
        from: PluginId,
        number: u32,
        peer: &str,
        gates: &[String],
    ) -> Weight {
        let provider = self.name_of(from);
        let policies = &self.policies;
        let is_forbidden =
            |gate: &str| !policies.may_call(peer, gate) || !policies.may_provide(&provider, gate);
        let gates = (0u16..).zip(gates);
        let gates = gates.filter(|(_, gate)| is_forbidden(gate));
        let gates = gates.map(|(at, _)| at).collect();
        let record = LinkToPlugin::Refuse { number, gates };
        self.ask(from, Effect::Send(from, record.into()));
        Weight::Charged
    }
}
