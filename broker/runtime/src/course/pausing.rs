//! Pauses: the loop stops reading from a child for a while, if the child writes too much that nobody asked for.

use std::time::{Duration, Instant};

use super::Name;
use super::supervisor::Supervisor;

/// The shortest time between two lines in a child's log about pauses.
const TELL_EVERY: Duration = Duration::from_secs(10);

impl Supervisor {
    /// Charges the child's budget with the time that the loop spent on output that nobody asked for. If the budget is used up, the loop
    /// does not read from the child until the budget has recovered.
    pub(super) fn charge(&mut self, name: &Name, number: u64, spent: Duration) {
        let plugin = self.plugins.get_mut(name);
        let Some(plugin) = plugin.filter(|_| !spent.is_zero()) else {
            return;
        };
        let now = Instant::now();
        let Some(life) = plugin.life_of(number) else {
            return;
        };
        let Some(until) = life.pace.charge(spent, now) else {
            return;
        };
        let was_paused = life.paused.replace(until).is_some();
        if was_paused {
            return;
        }
        // During the pause the kernel tells of nothing. What comes then has to count as unread: the child may have answered in time.
        life.stdout.has_news(false);
        life.stderr.has_news(false);
        let registry = self.poll.registry();
        if let Err(error) = life.streams(|stream, token| stream.watch_not(registry, token)) {
            tracing::error!("plugin `{name}` cannot be left alone for a while: {error}");
        }
        plugin.counts.pauses += 1;
        let last = plugin.told_of_pause;
        if last.is_none_or(|last| now.saturating_duration_since(last) >= TELL_EVERY) {
            plugin.told_of_pause = Some(now);
            let percent = self.settings.limits.unasked_percent;
            plugin.journal.say(&format!(
                "it writes more log lines, events, calls or answers that nobody has asked for than it may: it is not read from for a while, so that \
                 they take {percent} % of the runtime's time at most"
            ));
            tracing::warn!(
                "plugin `{name}` floods the runtime with what nobody has asked it for, and is read more slowly"
            );
        }
    }

    /// Ends a pause that is over, and reads from the plugin again.
    pub(super) fn go_on(&mut self, name: &Name, now: Instant) {
        let life = self.plugins.get_mut(name).and_then(|plugin| plugin.life());
        let Some(life) = life else {
            return;
        };
        if life.paused.take_if(|until| *until <= now).is_none() {
            return;
        }
        let registry = self.poll.registry();
        if let Err(error) = life.streams(|stream, token| stream.watch_again(registry, token)) {
            tracing::error!("plugin `{name}` cannot be watched any more: {error}");
        }
        let number = life.number;
        self.queue_up(number);
    }
}
