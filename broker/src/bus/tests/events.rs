//! Sources, subscriptions and feeds, from the offer of a topic to its end.

use super::*;

mod setup;

const TOPIC: &str = "weather";

/// What a plugin says that offers an owned topic.
fn offer_topic(topic: &str) -> SourceToBroker {
    SourceToBroker::Offer {
        request: 1,
        topic: topic.into(),
        open: false,
        schema: SchemaSource::Inline(schema_of(7)),
        signature: "(u8)".into(),
        encodings: Encodings::BOTH,
        capacity: 256 << 10,
        history: 0,
        word: 5,
        incarnation: 77,
        returning: false,
    }
}

/// What a plugin says that asks to hear a name, or what is under a prefix.
fn subscribe(subscription: u32, topic: &str) -> FeedToBroker {
    FeedToBroker::Subscribe {
        request: 100 + subscription,
        subscription,
        topic: topic.into(),
        prefix: topic.ends_with('.'),
        shape: Shape {
            encodings: Encodings::BOTH,
            ..shape()
        },
        pulled: false,
    }
}

/// The records of some effects, in short.
fn short(effects: &[Effect]) -> Vec<(PluginId, String)> {
    effects.iter().filter_map(short_one).collect()
}

fn short_one(effect: &Effect) -> Option<(PluginId, String)> {
    let (to, record) = match effect {
        Effect::Send(to, record) => (*to, record.clone()),
        Effect::MakeRing { to, record, .. } | Effect::Listen { to, record, .. } => {
            (*to, record.clone().into())
        }
        Effect::Follow { to, record, .. } => (*to, record.clone().into()),
        Effect::Seal(to, _) => return Some((*to, "(seal)".into())),
        Effect::LetGo { users, .. } => return Some((users[0], "(let".into())),
        _ => return None,
    };
    let text = match record {
        ToPlugin::Source(record) => format!("{record:?}"),
        ToPlugin::Feed(record) => format!("{record:?}"),
        ToPlugin::Session(record) => format!("{record:?}"),
        other => format!("{other:?}"),
    };
    let name = text.split([' ', '(']).next().unwrap_or_default();
    Some((to, name.into()))
}

impl World {
    /// Two plugins, of which none has done anything.
    fn events() -> World {
        World::of(
            ["a", "b", "c"],
            8,
            First {
                link: 1,
                life: 1,
                event: 1,
            },
        )
    }

    /// What was wanted since the last time, in short.
    fn news(&mut self) -> Vec<(PluginId, String)> {
        short(&self.effects())
    }
}

/// Effects in short, as they are expected.
fn of<const N: usize>(expected: [(PluginId, &str); N]) -> Vec<(PluginId, String)> {
    let owned = expected.map(|(to, name)| (to, name.to_owned()));
    owned.into()
}
