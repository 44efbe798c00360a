//! Reads a script, and replaces its placeholders.

use std::fs;

use serde_json::Value;

pub(crate) fn read(arguments: impl Iterator<Item = String>) -> Result<Vec<String>, String> {
    let mut steps = Vec::new();
    for argument in arguments {
        match argument.strip_prefix('@') {
            None => steps.push(argument),
            Some(file) => {
                let text = fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
                steps.extend(text.lines().map(str::to_owned));
            }
        }
    }
    Ok(steps)
}

/// Which start of this folder this is, from 1, if a step depends on it. In a folder that cannot be written every
/// start is the first.
pub(crate) fn start_of(steps: &[String]) -> usize {
    let asks = |step: &String| step.starts_with("on ") || step.starts_with("after ");
    if !steps.iter().any(asks) {
        return 1;
    }
    let before = fs::read_to_string("starts").unwrap_or_default();
    let count = before.trim().parse::<usize>().unwrap_or(0) + 1;
    let _ = fs::write("starts", count.to_string());
    count
}

/// Replaces the placeholders `${…}`.
pub(crate) fn fill_in(text: &str, last: &Value) -> Result<String, String> {
    let (mut filled, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) = after.split_once('}').ok_or("`${` without `}`")?;
        filled.push_str(before);
        filled.push_str(&meaning(name, last)?);
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

fn meaning(name: &str, last: &Value) -> Result<String, String> {
    if name == "pid" {
        return Ok(std::process::id().to_string());
    }
    if let Some(variable) = name.strip_prefix("env:") {
        let value = std::env::var(variable).unwrap_or_default();
        return Ok(Value::from(value).to_string());
    }
    if let Some(count) = name.strip_prefix("x:") {
        let count = count.parse().map_err(|_| format!("{count} letters"))?;
        return Ok("x".repeat(count));
    }
    if let Some(count) = name.strip_prefix("deep:") {
        let count = count.parse().map_err(|_| format!("{count} lists"))?;
        return Ok(format!("{}{}", "[".repeat(count), "]".repeat(count)));
    }
    if let Some(count) = name.strip_prefix("fields:") {
        let count: usize = count.parse().map_err(|_| format!("{count} fields"))?;
        let fields: Vec<_> = (0..count).map(|at| format!("\"f{at}\":0")).collect();
        return Ok(fields.join(","));
    }
    let found = last.pointer(name);
    Ok(found.ok_or(format!("the frame has no {name}"))?.to_string())
}

/// The bytes of a text with escapes.
pub(crate) fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut chars = text.chars();
    while let Some(next) = chars.next() {
        if next != '\\' {
            bytes.extend(next.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        bytes.push(match chars.next() {
            Some('n') => b'\n',
            Some('r') => b'\r',
            Some('t') => b'\t',
            Some('\\') => b'\\',
            Some('x') => {
                let digits: String = chars.by_ref().take(2).collect();
                u8::from_str_radix(&digits, 16).map_err(|_| format!("\\x{digits}"))?
            }
            other => return Err(format!("the escape {other:?}")),
        });
    }
    Ok(bytes)
}
