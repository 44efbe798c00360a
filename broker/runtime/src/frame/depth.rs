//! How deep JSON is nested, without recursion.

use memchr::memchr2;

#[cfg(test)]
mod tests;

/// Whether objects and lists are nested deeper than `limit`. The answer is exact for valid JSON only.
pub(super) fn is_deeper(text: &[u8], limit: usize) -> bool {
    // Text with at most `limit` opening brackets cannot be nested deeper. Most frames end here, in a loop that handles many bytes at once.
    opening(text) > limit && deepest(text, limit) > limit
}

/// Counts the bytes `{` and `[`, also those inside texts. The two differ in one bit only, so one comparison finds both.
fn opening(text: &[u8]) -> usize {
    text.iter().filter(|byte| **byte | 0x20 == b'{').count()
}

/// The deepest level of the text; stops at the first level beyond `limit`.
fn deepest(text: &[u8], limit: usize) -> usize {
    let (mut at, mut depth, mut deepest) = (0, 0_usize, 0);
    while let Some(byte) = text.get(at) {
        at += 1;
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => at = after_text(text, at),
            _ => {}
        }
        deepest = deepest.max(depth);
        if deepest > limit {
            break;
        }
    }
    deepest
}

/// The position after the quote that ends a text.
pub(crate) fn after_text(text: &[u8], mut at: usize) -> usize {
    while let Some(found) = text.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        at += found + 1;
        if text[at - 1] == b'"' {
            return at;
        }
        // Skip the byte after a backslash: it may be a quote that does not end the text.
        at += 1;
    }
    text.len()
}
