//! Versions and ranges of versions.

use semver::{Version, VersionReq};

use super::error::Wrong;
use super::fields::Node;

/// The version of the stdio protocol that this runtime speaks.
pub const API_VERSION: &str = "1.0";

/// The same version with all three numbers, to compare ranges with.
const API: Version = Version::new(1, 0, 0);

/// A version of exactly three numbers, with nothing after them.
pub(super) fn version(node: &Node<'_>) -> Result<Version, Wrong> {
    let version = node.any_text()?.parse::<Version>().ok();
    let is_plain = |version: &Version| version.pre.is_empty() && version.build.is_empty();
    let allowed = "three numbers as in 1.0.2 (MAJOR.MINOR.PATCH)";
    version.filter(is_plain).ok_or_else(|| node.wrong(allowed))
}

/// Reads a range that must contain this runtime's version. Returns its text.
pub(super) fn api_version(node: &Node<'_>) -> Result<String, Wrong> {
    let range = range(node)?;
    match range.includes(&API) {
        true => Ok(range.text),
        false => Err(node.wrong(format!(
            "a range that {API_VERSION} is in, the version that this runtime speaks"
        ))),
    }
}

/// A range of versions: `1.0`, `^1.2`, `>=1.0 <2.0`, `1.x || 2.x`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) text: String,
    /// The range contains a version that matches at least one of these.
    choices: Vec<VersionReq>,
}

impl Range {
    fn includes(&self, version: &Version) -> bool {
        self.choices.iter().any(|choice| choice.matches(version))
    }
}

pub(super) fn range(node: &Node<'_>) -> Result<Range, Wrong> {
    let text = node.any_text()?;
    let choices = text.split("||").map(|choice| with_commas(choice).parse());
    match choices.collect::<Result<Vec<VersionReq>, _>>() {
        Ok(choices) => Ok(Range {
            text: text.to_owned(),
            choices,
        }),
        Err(_) => {
            Err(node.wrong("a range of versions as in `1.0`, `^1.2`, `>=1.0 <2.0` or `1.x || 2.x`"))
        }
    }
}

/// Puts commas between the conditions of one choice, for authors who separate them by spaces as other ecosystems do.
fn with_commas(choice: &str) -> String {
    let mut text = String::with_capacity(choice.len());
    for word in choice.split([' ', ',']).filter(|word| !word.is_empty()) {
        let follows_operator = text.is_empty() || text.ends_with(['<', '>', '=', '^', '~']);
        if !follows_operator {
            text.push(',');
        }
        text.push_str(word);
    }
    text
}
