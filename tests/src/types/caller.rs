//! The types of plugins that call: they differ from the provider's in numbers, order, names that they add and what
//! they leave out.

// The fields of archived enum variants are made by a derive that leaves them undocumented.
#![allow(missing_docs)]

use callgate_client::gate_type;

/// A track, as a caller has it. It has no `note` and no `muted`, a `colour` besides, and narrower numbers.
#[gate_type]
#[derive(Clone, Debug, PartialEq)]
pub struct Track {
    /// What it is called.
    pub title: String,
    /// What the provider does not know.
    pub colour: String,
    /// Narrower than the provider's.
    pub samples: Vec<u16>,
    /// The same.
    pub gain: f32,
}

/// What the provider says of a track: wider, in another order, and with a field that the provider does not have.
#[gate_type]
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Wider than the provider's.
    pub total: u64,
    /// The provider has none.
    pub loudest: Option<u32>,
    /// What it was called.
    pub title: String,
}

/// A track whose title is something else: it can never be converted.
#[gate_type]
#[derive(Clone, Debug)]
pub struct Odd {
    /// A number.
    pub title: u32,
    /// As the provider's.
    pub gain: f64,
    /// As the provider's.
    pub samples: Vec<u32>,
}

/// A track without a field that the provider needs.
#[gate_type]
#[derive(Clone, Debug)]
pub struct Bare {
    /// As the provider's.
    pub title: String,
}

/// Settings that may be absent where the provider needs them.
#[gate_type]
#[derive(Clone, Debug)]
pub struct Settings {
    /// The provider needs a number.
    pub volume: Option<u8>,
}

/// What the provider has with fewer variants.
#[allow(
    missing_docs,
    reason = "the derives leave the fields of archived variants undocumented"
)]
#[gate_type]
#[derive(Clone, Debug, PartialEq)]
pub enum Ends {
    /// Both have it.
    Left,
    /// The provider does not.
    Middle,
    /// Both have it.
    Right {
        /// Wider than the provider's.
        by: u64,
    },
}

/// A track as another caller has it.
#[must_use]
pub fn track(samples: Vec<u16>) -> Track {
    Track {
        title: "Ouverture".to_owned(),
        colour: "red".to_owned(),
        samples,
        gain: 0.5,
    }
}
