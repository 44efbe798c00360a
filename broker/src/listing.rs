//! What is on a bus, as `callgate ls --json` prints it and as `List` is answered.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Everything on a bus at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Listing {
    /// The broker itself.
    pub broker: BrokerEntry,
    /// Every plugin that has said hello, every program that the broker has started and that has not said it yet, and every supervised
    /// program, whether it runs or not.
    pub plugins: Vec<PluginEntry>,
    /// Programs that the broker has started and that have ended, or were refused. The last one of each name, until a plugin of that name
    /// connects or is started again.
    #[serde(default)]
    pub ended: Vec<EndedEntry>,
    /// Every gate that is provided, by name.
    pub gates: Vec<GateEntry>,
    /// Every share, by tag; also persistent ones that no plugin uses.
    pub shares: Vec<ShareEntry>,
    /// Every topic on which events are sent, by name. An open topic has an entry for each plugin that sends on it.
    pub topics: Vec<TopicEntry>,
    /// Every link.
    pub links: Vec<LinkEntry>,
}

/// The broker of a bus.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BrokerEntry {
    /// Its process.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// Its socket, if it has one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub socket: Option<PathBuf>,
    /// How long it has run.
    pub uptime_ms: u64,
    /// The number of this broker in the row of those on its socket: one more than that of a broker that was killed there. After one that
    /// was stopped, and without a socket, it is 1.
    pub generation: u64,
}

/// How a plugin is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Transport {
    /// A process of its own, through shared memory.
    Shm,
    /// A process of its own that speaks on its pipes with a runtime; the runtime takes part in the bus for it.
    Stdio,
    /// A plugin in the broker's process.
    InProcess,
}

/// The state of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum PluginState {
    /// It was started, and has not said hello or not acknowledged its status page.
    Starting,
    /// It takes part.
    Ready,
    /// It is supervised, has crashed, and will be started again after a while.
    Backoff,
    /// It is supervised, has crashed too often, and is started again only on request.
    Quarantined,
    /// It is supervised, and was asked to end.
    Stopped,
    /// A runtime has found its folder, and cannot use it.
    Broken,
}

/// A plugin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PluginEntry {
    /// Its name on the bus.
    pub name: String,
    /// Its name for people.
    pub display_name: String,
    /// Its version; empty if it is not known, because the plugin is not connected.
    pub version: String,
    /// Its process, if it runs.
    #[serde(default)]
    pub pid: Option<u32>,
    /// How it is connected.
    pub transport: Transport,
    /// Its state.
    pub state: PluginState,
    /// Whether it still has links of a broker before this one, over which it calls and takes calls. It has them for five seconds after it
    /// has come to this one.
    #[serde(default)]
    pub draining: bool,
    /// How often it was started again.
    pub restarts: u64,
    /// How its last process ended, if it is supervised: `code 3`, `signal 9`.
    #[serde(default)]
    pub last_exit: Option<String>,
    /// Whether its supervisor ended that process with SIGKILL.
    #[serde(default)]
    pub killed: bool,
    /// What was wrong with its last life, if more is known than how the process ended. For a [broken](PluginState::Broken) plugin: why it
    /// cannot be used.
    #[serde(default)]
    pub last_fault: Option<FaultEntry>,
    /// The time until it is started again, if it [waits](PluginState::Backoff) for that.
    #[serde(default)]
    pub next_try_ms: Option<u64>,
    /// Calls that its handlers have run since it came to this broker.
    pub calls: u64,
    /// How many of these calls failed.
    pub errors: u64,
    /// Calls that it has made as JSON since it came to this broker, because its types differ from those of the gates that it calls.
    #[serde(default)]
    pub json_calls: u64,
}

/// What was wrong with a plugin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaultEntry {
    /// `HANDSHAKE_TIMEOUT`, `HUNG` and others.
    pub code: String,
    /// A message for people.
    pub message: String,
}

/// A program that was started and has not become a plugin, or is one no longer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndedEntry {
    /// The name that it was started with.
    pub name: String,
    /// Its process, which may have ended.
    pub pid: u32,
    /// What became of it, in a sentence.
    pub why: String,
}

/// How the payloads of calls are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Encoding {
    /// As archives, for which both sides have the same layout.
    Archive,
    /// As JSON.
    Json,
}

/// A gate, or a prefix of gates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GateEntry {
    /// Its name; a prefix ends in `.`.
    pub name: String,
    /// Whether it is a prefix, which stands for all gates under it.
    #[serde(default)]
    pub prefix: bool,
    /// The plugin that provides it.
    pub owner: String,
    /// The signature of its function, or of its action if it has only that.
    pub signature: String,
    /// The signature of its action, if it has one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub action_signature: Option<String>,
    /// The fingerprint that belongs to `signature`, as 32 hexadecimal digits.
    pub fingerprint: String,
    /// The encodings in which that half takes calls.
    #[serde(default)]
    pub encodings: Vec<Encoding>,
    /// Whether it has a function, which gives a result.
    pub has_function: bool,
    /// Whether it has an action, which gives none.
    pub has_action: bool,
    /// How many plugins have it open or have subscribed to its events.
    pub subscribers: u64,
    /// How many times it is open so that calls go as JSON, because types differ or one side does not take archives. Whether the values can
    /// be converted is known to the caller only.
    #[serde(default)]
    pub json_fallbacks: u64,
    /// Calls that its handlers have run since the owner came to this broker, as the owner counts them; 0 beyond a plugin's first 128 gates.
    pub calls: u64,
    /// How many of these calls failed.
    pub errors: u64,
    /// How many of these calls came as JSON.
    #[serde(default)]
    pub json_calls: u64,
    /// Half of its calls took at most so long. One call in 64 is timed, and the time is exact to within a half; 0 if none was timed.
    pub p50_ns: u64,
    /// The same for 99 calls in a hundred.
    pub p99_ns: u64,
}

/// A plugin as the sender of a topic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TopicEntry {
    /// The topic: a gate's name, or that of an open topic.
    pub gate: String,
    /// The plugin that sends.
    #[serde(default)]
    pub sender: String,
    /// Whether other plugins may send on it as well.
    #[serde(default)]
    pub open: bool,
    /// The signature of its events.
    #[serde(default)]
    pub signature: String,
    /// Events that were sent since it was offered. If it keeps no history, those are not counted that were sent while nobody listened.
    pub head: u64,
    /// How many bytes of events it keeps for listeners that are slow.
    pub capacity_bytes: u64,
    /// How many of the last events a new listener is given.
    #[serde(default)]
    pub history: u64,
    /// Whether its events are also written as JSON, because a listener needs that.
    #[serde(default)]
    pub json_twin: bool,
    /// Events that all its listeners together have lost.
    #[serde(default)]
    pub lost: u64,
    /// The subscriptions that hear it.
    pub subscribers: Vec<SubscriberEntry>,
}

/// A subscription that hears a topic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SubscriberEntry {
    /// The plugin that listens.
    pub plugin: String,
    /// Events that were sent and that it has not handled yet.
    pub lag: u64,
    /// How often events were overwritten before it took them.
    pub evictions: u64,
    /// How many events it has lost in this way.
    #[serde(default)]
    pub lost: u64,
}

/// How the bytes of a share are its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ShareForm {
    /// An archive of one value.
    Archive,
    /// Plain numbers in a row.
    Slice,
    /// Not a share but a cell, which one plugin writes again and again.
    Cell,
}

/// A share with its newest version, or a cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShareEntry {
    /// Its tag.
    pub tag: String,
    /// The plugin that made it, which may have ended. For a cell the plugin that writes it; empty if none does.
    pub owner: String,
    /// Bytes of the value.
    pub bytes: u64,
    /// The number of the version, counted from 1; 0 for a cell.
    pub version: u64,
    /// Whether it outlives all plugins and brokers.
    pub persistent: bool,
    /// How its bytes are the value.
    pub form: ShareForm,
    /// The signature of its values.
    #[serde(default)]
    pub signature: String,
    /// Plugins that use it. A persistent share may have none.
    pub users: Vec<String>,
    /// Versions before the newest one that a plugin still uses, and versions that were written as JSON for users of another type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<OtherVersionEntry>,
}

/// A version of a share that is not the newest one, or the JSON of a version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OtherVersionEntry {
    /// Its number.
    pub version: u64,
    /// Bytes of the value.
    pub bytes: u64,
    /// Whether it is JSON.
    pub json: bool,
    /// Plugins that use it.
    pub users: Vec<String>,
}

/// A link between two plugins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinkEntry {
    /// The plugin that opened it.
    pub a: String,
    /// The plugin that provided its first gate.
    pub b: String,
    /// Whether each of the two could trace the other one anyway.
    pub same_trust_domain: bool,
    /// Bytes of shared memory in its outboxes.
    pub granted_bytes: u64,
}
