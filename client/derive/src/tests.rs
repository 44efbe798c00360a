//! What the macro says of what it refuses.

use syn::parse_str;

use crate::expand::gate_type;

fn said(item: &str) -> String {
    let input = parse_str(item).expect("an item");
    match gate_type(Default::default(), input) {
        Ok(_) => "fine".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_a_field_cannot_be_is_said() {
    for (field, expected) in [
        ("HashMap<String, Option<BTreeSet<PathBuf>>>", "fine"),
        (
            "std::collections::HashMap<u8, std::time::SystemTime>",
            "fine",
        ),
        ("Vec<(u8, [Box<PathBuf>; 3])>", "fine"),
        ("SortedMap<u8, PathBuf>", "fine"),
        ("Vec<[[f32; 64]; 2]>", "fine"),
        ("Result<u8, [u8; 64]>", "fine"),
        ("HashMap<PathBuf, u8>", "the keys of a map"),
        (
            "Result<PathBuf, u8>",
            "here use SortedMap, Vec, String or Duration",
        ),
        (
            "Mine<HashSet<u8>>",
            "here use SortedMap, Vec, String or Duration",
        ),
        ("IndexMap<u8, u8>", "maps travel sorted"),
        ("Option<Arc<u8>>", "shared pointers do not travel"),
        ("(u8, usize)", "its width depends on the machine"),
        ("&'static str", "owns what it holds"),
        ("Box<dyn Fn()>", "code cannot travel"),
        ("serde_json::Value", "JSON is `callgate_client::Json`"),
        (
            "Vec<Option<serde_json::Value>>",
            "JSON is `callgate_client::Json`",
        ),
        ("HashMap<u8, f32>", "fine"),
        ("HashMap<f32, u8>", "floats have no order"),
        ("Option<BTreeSet<f64>>", "floats have no order"),
    ] {
        let said = said(&format!("struct Item {{ field: {field} }}"));
        assert!(said.contains(expected), "{field}: {said}");
    }
}

/// Such an attribute changes the JSON, and the schema says nothing of it.
#[test]
fn attributes_of_serde_are_refused_but_one() {
    for (item, is_fine) in [
        ("struct Item { #[serde(default)] a: u8 }", true),
        ("struct Item { #[serde(default = \"one\")] a: u8 }", true),
        ("#[serde(default)] struct Item { a: u8 }", true),
        ("struct Item { #[serde(rename = \"b\")] a: u8 }", false),
        ("struct Item { #[serde(default, skip)] a: u8 }", false),
        (
            "struct Item { #[gate(opaque = \"a/1\")] #[serde(with = \"x\")] a: u8 }",
            false,
        ),
        ("#[serde(deny_unknown_fields)] struct Item { a: u8 }", false),
        ("enum Item { #[serde(alias = \"B\")] A }", false),
        ("enum Item { A { #[serde(flatten)] a: u8 } }", false),
        ("#[serde(untagged)] enum Item { A }", false),
    ] {
        let said = said(item);
        let expected = if is_fine {
            "fine"
        } else {
            "of serde's attributes"
        };
        assert!(said.starts_with(expected), "{item}: {said}");
    }
}

/// The compiler would only say that there are two implementations.
#[test]
fn derives_of_serde_and_rkyv_are_refused() {
    for (derives, expected) in [
        ("Debug, Clone, PartialEq", "fine"),
        ("other::Serialize", "fine"),
        ("Serialize", "derives the traits"),
        ("Debug, serde::Deserialize", "derives the traits"),
        ("rkyv::Archive", "derives the traits"),
    ] {
        let said = said(&format!("#[derive({derives})] struct Item {{ a: u8 }}"));
        assert!(said.contains(expected), "{derives}: {said}");
    }
}
