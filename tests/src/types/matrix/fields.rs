//! Fields that are added, removed, renamed, moved and made optional.

use callgate_client::gate_type;

use super::Change;
use super::form::{archive, json, never};

/// Makes the module of one form of a type.
macro_rules! track {
    ($module:ident { $($(#[$meta:meta])* $field:ident: $type:ty,)* }) => {
        mod $module {
            #[callgate_client::gate_type]
            #[derive(Clone, Debug)]
            pub(super) struct Track {
                $($(#[$meta])* pub(super) $field: $type,)*
            }
        }
    };
}

track! { plain { title: String, } }
track! { with_gain { title: String, gain: f32, } }
track! { with_default { title: String, #[serde(default)] gain: f32, } }
track! { with_own_default { title: String, #[serde(default = "super::unity")] gain: f32, } }
track! { with_option { title: String, gain: Option<f32>, } }
track! { renamed { title: String, volume: f32, } }
track! { renamed_with_default { title: String, #[serde(default)] volume: f32, } }
track! { with_both { title: String, #[serde(default)] gain: f32, #[serde(default)] volume: f32, } }
track! { reordered { gain: f32, title: String, } }

#[gate_type]
#[derive(Clone, Debug)]
struct Song {
    title: String,
    gain: f32,
}

fn unity() -> f32 {
    1.0
}

fn title() -> String {
    "Finale".to_owned()
}

fn plain() -> plain::Track {
    plain::Track { title: title() }
}

fn with_gain(gain: f32) -> with_gain::Track {
    with_gain::Track {
        title: title(),
        gain,
    }
}

fn with_default(gain: f32) -> with_default::Track {
    with_default::Track {
        title: title(),
        gain,
    }
}

fn with_option(gain: Option<f32>) -> with_option::Track {
    with_option::Track {
        title: title(),
        gain,
    }
}

pub(super) fn changes() -> Vec<Change> {
    let mut all = added();
    all.extend(renamed());
    all.extend(optional());
    all
}

fn added() -> Vec<Change> {
    let own = |gain| with_own_default::Track {
        title: title(),
        gain,
    };
    vec![
        Change::of(
            "FieldAdded",
            "A field is added",
            never(plain(), ".gain"),
            json(with_gain(0.5), plain()).noting("without it"),
        ),
        Change::of(
            "FieldWithDefault",
            "A field with `#[serde(default)]` is added",
            json(plain(), with_default(0.0)).noting("it is 0"),
            json(with_default(0.5), plain()).noting("without it"),
        ),
        Change::of(
            "FieldWithOwnDefault",
            "A field with `#[serde(default = \"…\")]` is added",
            json(plain(), own(1.0)).noting("it is the default"),
            json(own(0.5), plain()).noting("without it"),
        ),
        Change::of(
            "OptionAdded",
            "An `Option` is added",
            json(plain(), with_option(None)).noting("it is `None`"),
            json(with_option(Some(0.5)), plain()).noting("without it"),
        ),
        Change::of(
            "FieldRemoved",
            "A field is removed",
            json(with_gain(0.5), plain()).noting("without it"),
            never(plain(), ".gain"),
        ),
        Change::of(
            "DefaultRemoved",
            "A field that had a default is removed",
            json(with_default(0.5), plain()).noting("without it"),
            json(plain(), with_default(0.0)).noting("it is 0"),
        ),
        Change::of(
            "DefaultAnnounced",
            "A field gets `#[serde(default)]`",
            archive(with_gain(0.5), with_default(0.5)),
            archive(with_default(0.5), with_gain(0.5)),
        ),
    ]
}

fn renamed() -> Vec<Change> {
    let other = |volume| renamed::Track {
        title: title(),
        volume,
    };
    let lost = |volume| renamed_with_default::Track {
        title: title(),
        volume,
    };
    let both = |gain, volume| with_both::Track {
        title: title(),
        gain,
        volume,
    };
    let moved = reordered::Track {
        title: title(),
        gain: 0.5,
    };
    let song = Song {
        title: title(),
        gain: 0.5,
    };
    vec![
        Change::of(
            "FieldRenamed",
            "A field is renamed",
            never(with_gain(0.5), ".volume"),
            never(other(0.5), ".gain"),
        ),
        Change::of(
            "DefaultRenamed",
            "A field is renamed that has a default in both",
            json(with_default(0.5), lost(0.0)).noting("its value is lost"),
            json(lost(0.5), with_default(0.0)).noting("its value is lost"),
        ),
        Change::of(
            "FieldDoubled",
            "The new name is added beside the old one, both with defaults",
            json(with_gain(0.5), both(0.5, 0.0)).noting("the new one is 0"),
            json(both(0.5, 0.5), with_gain(0.5)),
        ),
        Change::of(
            "FieldsReordered",
            "Fields are reordered",
            json(with_gain(0.5), moved.clone()),
            json(moved, with_gain(0.5)),
        ),
        Change::of(
            "TypeRenamed",
            "A type is renamed",
            archive(with_gain(0.5), song.clone()),
            archive(song, with_gain(0.5)),
        ),
    ]
}

fn optional() -> Vec<Change> {
    vec![
        Change::of(
            "MadeOptional",
            "A field is made an `Option`",
            json(with_gain(0.5), with_option(Some(0.5))),
            json(with_option(Some(0.5)), with_gain(0.5)).but_null(
                "`None`",
                with_option(None),
                ".gain",
            ),
        ),
        Change::of(
            "MadePlain",
            "An `Option` is made plain, with a default",
            json(with_option(Some(0.5)), with_default(0.5)).but_null(
                "`None`",
                with_option(None),
                ".gain",
            ),
            json(with_default(0.5), with_option(Some(0.5))),
        ),
    ]
}
