//! The types of plugins that call. They differ from the provider's in numbers, order, additional names and missing
//! ones.

// A derive makes the fields of archived enum variants, and leaves them undocumented.
#![allow(missing_docs)]

use callgate_client::gate_type;

/// A track, as a caller has it. It lacks `note` and `muted`, has a `colour`, and has narrower numbers.
#[gate_type]
#[derive(Clone, Debug, PartialEq)]
pub struct Track {
    /// Its title.
    pub title: String,
    /// A field that the provider does not have.
    pub colour: String,
    /// Narrower than the provider's.
    pub samples: Vec<u16>,
    /// The same as the provider's.
    pub gain: f32,
}

/// The summary of a track: with wider numbers, in another order, and with a field that the provider does not have.
#[gate_type]
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Wider than the provider's.
    pub total: u64,
    /// A field that the provider does not have.
    pub loudest: Option<u32>,
    /// The track's title.
    pub title: String,
}

/// A track whose title is a number: it can never be converted.
#[gate_type]
#[derive(Clone, Debug)]
pub struct Odd {
    /// A number.
    pub title: u32,
    /// The same as the provider's.
    pub gain: f64,
    /// The same as the provider's.
    pub samples: Vec<u32>,
}

/// A track that lacks a field that the provider needs.
#[gate_type]
#[derive(Clone, Debug)]
pub struct Bare {
    /// The same as the provider's.
    pub title: String,
}

/// Settings with an optional field that the provider needs.
#[gate_type]
#[derive(Clone, Debug)]
pub struct Settings {
    /// The provider needs a number.
    pub volume: Option<u8>,
}

/// The provider's enum has fewer variants.
#[allow(
    missing_docs,
    reason = "the derives leave the fields of archived variants undocumented"
)]
#[gate_type]
#[derive(Clone, Debug, PartialEq)]
pub enum Ends {
    /// Both have this variant.
    Left,
    /// The provider does not have this variant.
    Middle,
    /// Both have this variant.
    Right {
        /// Wider than the provider's.
        by: u64,
    },
}

/// A track with the caller's type.
#[must_use]
pub fn track(samples: Vec<u16>) -> Track {
    Track {
        title: "Ouverture".to_owned(),
        colour: "red".to_owned(),
        samples,
        gain: 0.5,
    }
}
