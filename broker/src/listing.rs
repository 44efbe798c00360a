//! What is on a bus, as `callgate ls --json` prints it and as `List` is answered.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Everything on a bus at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Listing {
    /// The broker itself.
    pub broker: BrokerEntry,
    /// Every plugin that said hello, every program that the broker started and that has not, and every supervised one,
    /// whether it runs or not.
    pub plugins: Vec<PluginEntry>,
    /// Programs that the broker started and that have ended, or were refused; the last of each name,
    /// until a plugin of that name comes or is started again.
    #[serde(default)]
    pub ended: Vec<EndedEntry>,
    /// Every gate that is provided, by name.
    pub gates: Vec<GateEntry>,
    /// Every share, by tag, and persistent ones that nobody uses.
    pub shares: Vec<ShareEntry>,
    /// Every topic on which events are sent, by name; an open one as often as plugins send on it.
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
    /// Which broker in a row it is on its socket: one more than the last that was killed there. After one that was
    /// stopped, and without a socket, it is 1.
    pub generation: u64,
}

/// How a plugin is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Transport {
    /// A process of its own, through shared memory.
    Shm,
    /// A process of its own that speaks on its pipes with a runtime, which takes part in its place.
    Stdio,
    /// A part of the broker's process.
    InProcess,
}

/// How far a plugin is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum PluginState {
    /// It was started and has not said hello, or not acknowledged its status page.
    Starting,
    /// It takes part.
    Ready,
    /// It is supervised, has crashed, and is started again after a while.
    Backoff,
    /// It is supervised, has crashed too often, and is started again only when somebody asks for it.
    Quarantined,
    /// It is supervised, and was asked to end.
    Stopped,
    /// A runtime has found its folder, and cannot use what is in it.
    Broken,
}

/// A plugin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PluginEntry {
    /// Its name on the bus.
    pub name: String,
    /// Its name for people.
    pub display_name: String,
    /// Its version; empty where that is not known, because it is not connected.
    pub version: String,
    /// Its process, if it runs.
    #[serde(default)]
    pub pid: Option<u32>,
    /// How it is connected.
    pub transport: Transport,
    /// How far it is.
    pub state: PluginState,
    /// Whether it still has links of a broker before this one, over which it calls and takes calls: for five seconds
    /// after it has come to this one.
    #[serde(default)]
    pub draining: bool,
    /// How often it was started again.
    pub restarts: u64,
    /// How its last process ended, where it is supervised: `code 3`, `signal 9`.
    #[serde(default)]
    pub last_exit: Option<String>,
    /// Whether whoever supervises it ended that process with SIGKILL.
    #[serde(default)]
    pub killed: bool,
    /// What was wrong with its last life, where more is known than how the process ended; of a [broken](PluginState::Broken) one,
    /// why it cannot be used.
    #[serde(default)]
    pub last_fault: Option<FaultEntry>,
    /// How long it is until it is started again, where it [waits](PluginState::Backoff) for that.
    #[serde(default)]
    pub next_try_ms: Option<u64>,
    /// Calls that its handlers ran since it came to this broker.
    pub calls: u64,
    /// Those of them that failed.
    pub errors: u64,
    /// Calls that it made as JSON since it came to this broker, because its types are not those of what it calls.
    #[serde(default)]
    pub json_calls: u64,
}

/// What was wrong with a plugin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaultEntry {
    /// `HANDSHAKE_TIMEOUT`, `HUNG` and others.
    pub code: String,
    /// For people.
    pub message: String,
}

/// A program that is no plugin any more, or never became one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndedEntry {
    /// The name that it was given.
    pub name: String,
    /// Its process, which may have ended.
    pub pid: u32,
    /// What became of it, in a sentence.
    pub why: String,
}

/// How calls are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Encoding {
    /// As archives, which both sides lay out alike.
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
    /// The signature of its function, or of its action where it has only that.
    pub signature: String,
    /// The signature of its action, if it has one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub action_signature: Option<String>,
    /// The fingerprint that belongs to `signature`, as 32 hexadecimal digits.
    pub fingerprint: String,
    /// How that takes calls.
    #[serde(default)]
    pub encodings: Vec<Encoding>,
    /// Whether it answers with results.
    pub has_function: bool,
    /// Whether it answers without.
    pub has_action: bool,
    /// Plugins that have it open, or have asked to hear its events.
    pub subscribers: u64,
    /// How many times it is open so that calls go as JSON, because types differ or one side does not take
    /// archives. Whether they can be converted the caller knows, and not the broker.
    #[serde(default)]
    pub json_fallbacks: u64,
    /// Calls that its handlers ran since the owner came to this broker, as the owner counts them; 0 beyond a plugin's first 128 gates.
    pub calls: u64,
    /// Those of them that failed.
    pub errors: u64,
    /// Calls that came as JSON, as the owner counts them.
    #[serde(default)]
    pub json_calls: u64,
    /// How long half of its calls took at most, to within a half: one call in 64 is timed. 0 where
    /// none was.
    pub p50_ns: u64,
    /// The same of 99 calls in a hundred.
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
    /// Whether others may send on it as well.
    #[serde(default)]
    pub open: bool,
    /// The signature of its events.
    #[serde(default)]
    pub signature: String,
    /// Events that it has sent since it was offered. Those that nobody was there to hear are not counted, where it keeps
    /// no history.
    pub head: u64,
    /// Bytes of events that it keeps at most for those who are slow.
    pub capacity_bytes: u64,
    /// How many of the last events it shows to a new listener.
    #[serde(default)]
    pub history: u64,
    /// Whether it writes its events as JSON, too, because a listener needs that.
    #[serde(default)]
    pub json_twin: bool,
    /// Events that its listeners have lost, all together.
    #[serde(default)]
    pub lost: u64,
    /// Who hears it, each subscription once.
    pub subscribers: Vec<SubscriberEntry>,
}

/// A subscription that hears a topic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SubscriberEntry {
    /// The plugin that listens.
    pub plugin: String,
    /// Events that were sent and that it has not handled.
    pub lag: u64,
    /// How often events were overwritten before it took them.
    pub evictions: u64,
    /// Events that it has lost so.
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
    /// No share but a cell, which one plugin writes again and again.
    Cell,
}

/// A share: its newest version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShareEntry {
    /// Its tag.
    pub tag: String,
    /// The plugin that made it, which may have ended; of a cell the one that writes it, empty where there is none.
    pub owner: String,
    /// Bytes of the value.
    pub bytes: u64,
    /// Counts its versions from 1; 0 for a cell.
    pub version: u64,
    /// Whether it outlives all plugins and brokers.
    pub persistent: bool,
    /// How the bytes are the value.
    pub form: ShareForm,
    /// What its values are.
    #[serde(default)]
    pub signature: String,
    /// Plugins that use it. A persistent one may have none.
    pub users: Vec<String>,
    /// Versions before the newest one that somebody uses still, and those that were written as JSON for users of another type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<OtherVersionEntry>,
}

/// A version of a share that is not the newest one, or that is one as JSON.
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
    /// Whether the two could trace each other anyway.
    pub same_trust_domain: bool,
    /// Bytes of shared memory in its outboxes.
    pub granted_bytes: u64,
}
