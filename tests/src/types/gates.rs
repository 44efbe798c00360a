//! The provider's types, and its gates.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use callgate_client::dynamic::Responder;
use callgate_client::{Context, HandlerError, Plugin, Provider, Result, View, gate_type};

/// A track.
#[gate_type]
#[derive(Clone, Debug, PartialEq)]
pub struct Track {
    /// Its title.
    pub title: String,
    /// Its loudness.
    pub gain: f64,
    /// Its samples.
    pub samples: Vec<u32>,
    /// Callers may leave it out.
    #[serde(default)]
    pub muted: bool,
    /// Callers may leave it out, too.
    pub note: Option<String>,
}

/// The summary of a track.
#[gate_type]
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// The track's title.
    pub title: String,
    /// The sum of its samples.
    pub total: u32,
    /// The number of its samples.
    pub count: u32,
}

/// Settings.
#[gate_type]
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// A field that must not be missing.
    pub volume: u8,
}

/// The end of a selection.
#[gate_type]
#[derive(Clone, Debug, PartialEq)]
pub enum Ends {
    /// On the left.
    Left,
    /// On the right.
    Right {
        /// The distance.
        by: u8,
    },
}

/// The gates. They are provided as long as this lives.
#[derive(Debug)]
pub struct Stage {
    _providers: Vec<Provider>,
    notes: Arc<AtomicU64>,
}

impl Stage {
    /// The sum of the numbers that actions have passed.
    pub fn notes(&self) -> u64 {
        self.notes.load(Ordering::SeqCst)
    }
}

fn summary(track: &Track) -> Summary {
    Summary {
        title: format!(
            "{}{}",
            track.title,
            if track.muted { " (muted)" } else { "" }
        ),
        total: track.samples.iter().sum(),
        count: track.samples.len() as u32,
    }
}

/// Provides all gates of a plugin of this name.
///
/// # Errors
///
/// As [`Plugin::provide`].
pub fn provide(plugin: &Plugin, name: &str) -> Result<Stage> {
    let gate = |what: &str| format!("{name}.{what}");
    let notes = Arc::new(AtomicU64::new(0));
    let counted = notes.clone();
    let back = plugin.subscriber::<(u16,), u16>("T.Back")?;
    let providers = vec![
        plugin.provide(&gate("Sum"), |track: Track| summary(&track))?,
        plugin.provide(&gate("View"), |track: View<'_, Track>, by: u32| {
            format!("{} {}", track.title, track.samples.len() as u32 * by)
        })?,
        plugin.provide(&gate("Small"), |n: u8| n)?,
        plugin.provide(&gate("Wide"), |n: u32| n)?,
        plugin.provide(&gate("Volume"), |settings: Settings| settings.volume)?,
        plugin.provide(&gate("Ends"), |ends: Ends| ends)?,
        plugin.provide(&gate("Maybe"), |n: i64| (n >= 0).then_some(n))?,
        plugin.provide(&gate("Echo"), |numbers: Vec<u64>| numbers)?,
        plugin.provide(&gate("Zeros"), |count: u32| vec![0_u64; count as usize])?,
        plugin.provide(&gate("Huge"), |count: u32| vec![u64::MAX; count as usize])?,
        plugin.provide(&gate("Panic"), |n: u32| -> u32 { panic!("at {n}") })?,
        plugin.provide(&gate("Fail"), |n: u32| -> Result<u32, HandlerError> {
            Err(HandlerError::new("NO_SUCH_ROW", format!("row {n}")))
        })?,
        plugin.provide(&gate("Nan"), |_: u32| f64::NAN)?,
        plugin.provide(&gate("Wait"), |context: Context<'_>, n: u32| {
            while !context.is_cancelled() {
                std::thread::yield_now();
            }
            n
        })?,
        plugin.provide(
            &gate("Through"),
            move |n: u32| -> Result<u32, HandlerError> {
                let back = back.invoke((u16::try_from(n)?,))?;
                Ok(u32::from(back) + 1)
            },
        )?,
        plugin.provide_action(&gate("Note"), move |by: u32| {
            counted.fetch_add(by.into(), Ordering::SeqCst);
        })?,
        later(plugin, &gate("Later"))?,
    ];
    Ok(Stage {
        _providers: providers,
        notes,
    })
}

/// A gate of bytes that accepts only archives.
fn later(plugin: &Plugin, gate: &str) -> Result<Provider> {
    let signature = callgate_client::signature_of::<(u32,), u32>();
    let answer = |_: Context<'_>, bytes: &[u8], responder: Responder| {
        // Fails only if nobody waits for it any more.
        let _ = responder.reply(bytes);
    };
    callgate_client::dynamic::provide_later(plugin, gate, &signature, answer)
}

/// Provides a gate `NAME.Sum` with the types of callers, so that nothing is converted.
///
/// # Errors
///
/// As [`Plugin::provide`].
pub fn provide_other(plugin: &Plugin, name: &str) -> Result<Provider> {
    use super::caller;
    plugin.provide(&format!("{name}.Sum"), |track: caller::Track| {
        caller::Summary {
            total: track.samples.iter().map(|sample| u64::from(*sample)).sum(),
            loudest: track.samples.iter().max().map(|sample| u32::from(*sample)),
            title: track.title,
        }
    })
}
