//! How deep JSON is nested, without recursion.

use memchr::memchr2;

#[cfg(test)]
mod tests;

/// Whether brackets are nested deeper than `limit`. Right for JSON; for other texts it is one of both.
pub(super) fn is_deeper(text: &[u8], limit: usize) -> bool {
    // Few brackets cannot be deep. Most frames end here, counted many bytes at once.
    opening(text) > limit && deepest(text, limit) > limit
}

/// How many bytes open an object or a list, or stand in a text and look so. The two differ in one bit.
fn opening(text: &[u8]) -> usize {
    text.iter().filter(|byte| **byte | 0x20 == b'{').count()
}

/// The deepest level; the first beyond `limit` where there is one.
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

/// The position behind the quote that ends a text.
fn after_text(text: &[u8], mut at: usize) -> usize {
    while let Some(found) = text.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        at += found + 1;
        if text[at - 1] == b'"' {
            return at;
        }
        // What an escape begins with may be a quote.
        at += 1;
    }
    text.len()
}
