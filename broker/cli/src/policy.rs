//! The file that `--policy` names.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use callgate::{Builder, BusLimits, Policy, UnknownCapability};

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    strict: bool,
    /// The most MiB of extents of all plugins together.
    bus_extent_mib: Option<u32>,
    /// The most MiB of shares of all plugins together.
    bus_share_mib: Option<u32>,
    /// The most MiB of the files of persistent shares.
    persistent_mib: Option<u32>,
    plugins: BTreeMap<String, Entry>,
}

/// What one plugin may do, and its limits.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    capabilities: Vec<String>,
    #[serde(default)]
    limits: LimitsSection,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitsSection {
    gates: Option<u32>,
    opens: Option<u32>,
    links: Option<u32>,
    extent_mib: Option<u32>,
    schema_mib: Option<u32>,
    share_mib: Option<u32>,
    shares: Option<u32>,
    requests_per_second: Option<u32>,
}

/// Reads a file of policies into a builder; the error says what is wrong, and where.
pub(crate) fn read(path: &Path, mut builder: Builder) -> Result<Builder, String> {
    let wrong = |what: String| format!("the policy file {}: {what}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let document: Document =
        serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    if document.strict {
        builder = builder.strict(true);
    }
    let usual = BusLimits::default();
    builder = builder.limits(BusLimits {
        bus_extent_mib: document.bus_extent_mib.unwrap_or(usual.bus_extent_mib),
        bus_share_mib: document.bus_share_mib.unwrap_or(usual.bus_share_mib),
        persistent_mib: document.persistent_mib.unwrap_or(usual.persistent_mib),
        ..usual
    });
    for (name, entry) in document.plugins {
        let policy = entry
            .policy()
            .map_err(|error| wrong(format!("plugin `{name}`: {error}")))?;
        builder = builder.plugin(&name, policy);
    }
    Ok(builder)
}

impl Entry {
    fn policy(&self) -> Result<Policy, UnknownCapability> {
        let capabilities = self.capabilities.iter().map(String::as_str);
        let policy = Policy::from_capabilities(capabilities)?;
        let policy = limited(policy, self.limits.gates, Policy::gates);
        let policy = limited(policy, self.limits.opens, Policy::opens);
        let policy = limited(policy, self.limits.links, Policy::links);
        let policy = limited(policy, self.limits.extent_mib, Policy::extent_mib);
        let policy = limited(policy, self.limits.schema_mib, Policy::schema_mib);
        let policy = limited(policy, self.limits.share_mib, Policy::share_mib);
        let policy = limited(policy, self.limits.shares, Policy::shares);
        let rate = self.limits.requests_per_second;
        Ok(limited(policy, rate, Policy::requests_per_second))
    }
}

fn limited(policy: Policy, most: Option<u32>, set: fn(Policy, u32) -> Policy) -> Policy {
    match most {
        Some(most) => set(policy, most),
        None => policy,
    }
}
