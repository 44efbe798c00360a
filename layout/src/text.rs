//! Cuts texts for people to a limit of bytes.

/// The text if it has at most `most` bytes; otherwise its beginning, and how much is missing.
///
/// The result has at most `most` bytes, unless the mark alone is longer, and ends between two characters.
pub fn cut(mut text: String, most: usize) -> String {
    if text.len() <= most {
        return text;
    }
    let mark = |left: usize| format!(" … (cut: {} bytes more)", text.len() - left);
    // The mark is longest if nothing of the text is left.
    let room = mark(0).len();
    let left = text.floor_char_boundary(most.saturating_sub(room));
    let mark = mark(left);
    text.truncate(left);
    text.push_str(&mark);
    text
}

#[cfg(all(test, not(callgate_loom)))]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    proptest! {
        #[test]
        fn what_is_cut_says_how_much(text in any::<String>(), most in 40_usize..200) {
            let cut = cut(text.clone(), most);
            prop_assert!(cut.len() <= most);
            if text.len() <= most {
                prop_assert_eq!(cut, text);
            } else {
                let (left, mark) = cut.rsplit_once(" … (cut: ").unwrap();
                let missing = text.len() - left.len();
                prop_assert!(text.starts_with(left));
                prop_assert_eq!(mark, format!("{missing} bytes more)"));
            }
        }
    }

    #[test]
    fn a_cut_is_between_characters() {
        let cut = cut("ß".repeat(4000), 4096);
        assert!(
            cut.ends_with("ß … (cut: 3932 bytes more)"),
            "{}",
            &cut[4000..]
        );
    }
}
