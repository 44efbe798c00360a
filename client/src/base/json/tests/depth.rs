//! Values that contain themselves, and texts that are nested without end.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

use super::*;
use crate::base::json::fault::Part;
use crate::{SortedMap, gate_type};

#[gate_type]
#[derive(Debug, PartialEq)]
struct Tree {
    next: Vec<Tree>,
}

#[gate_type]
struct Endless(Box<Endless>);

#[gate_type]
struct Wrapped(Option<Box<Wrapped>>);

#[gate_type]
enum Chain {
    End,
    Next(Box<Chain>),
}

fn nested(levels: usize) -> String {
    format!("{}{}", "[".repeat(levels), "]".repeat(levels))
}

const TOO_DEEP: &str = "expected at most 64 levels, found more";

#[test]
fn values_are_64_levels_deep_at_most() {
    let tree = |levels: u32| {
        (0..levels / 2).fold(Tree { next: vec![] }, |tree, _| Tree { next: vec![tree] })
    };
    // Each level of the tree is an object and a list.
    let deepest = tree(62);
    assert_eq!(read::<Tree>(&text(&deepest)).unwrap(), deepest);
    let error = try_text(&tree(64)).unwrap_err();
    assert_eq!(error.code(), Code::TypeMismatch);
    assert!(error.message().ends_with(TOO_DEEP), "{error}");
    assert!(
        error.message().starts_with("result.next[0].next[0]."),
        "{error}"
    );
    let text = (0..33).fold("{\"next\":[]}".to_owned(), |text, _| {
        format!("{{\"next\":[{text}]}}")
    });
    assert!(refused::<Tree>(&text).ends_with(TOO_DEEP));
}

#[test]
fn texts_are_64_levels_deep_at_most() {
    read::<Value>(&nested(64)).unwrap();
    assert!(refused::<Value>(&nested(65)).ends_with(TOO_DEEP));
    // Depth is also limited in values that are skipped, and in the list of parameters.
    read::<Tree>(&format!("{{\"next\":[],\"more\":{}}}", nested(63))).unwrap();
    assert!(
        refused::<Tree>(&format!("{{\"next\":[],\"more\":{}}}", nested(64))).ends_with(TOO_DEEP)
    );
    let arguments = |text: &str| read_arguments::<(Value,)>(text.as_bytes());
    arguments(&nested(65)).unwrap();
    assert_eq!(
        arguments(&nested(66)).unwrap_err().code(),
        Code::TypeMismatch
    );
    let mut buffer = Buffer::new();
    let (value,) = arguments(&nested(65)).unwrap();
    write_arguments(&(value,), &mut buffer, None, 1 << 20).unwrap();
    assert_eq!(&buffer[..], nested(65).as_bytes());
}

/// Without a limit, each level used some of the stack.
#[test]
fn what_never_ends_is_refused_in_time() {
    for text in [
        "[".repeat(1 << 20),
        "{\"a\":".repeat(1 << 20),
        nested(1 << 20),
    ] {
        assert!(read::<Value>(&text).is_err());
        assert!(read::<Tree>(&text).is_err());
        assert!(read_arguments::<(u8, u8)>(text.as_bytes()).is_err());
        assert!(read::<Tree>(&format!("{{\"more\":{text}}}")).is_err());
    }
    // The levels of these types take no text at all.
    assert!(read::<Endless>("7").is_err());
    assert!(read::<Wrapped>("7").is_err());
    let arguments = read_arguments::<(Endless, u8)>(b"[null,null]");
    assert!(arguments.is_err());
    let chain = (0..1000).fold(Chain::End, |chain, _| Chain::Next(Box::new(chain)));
    assert!(try_text(&chain).unwrap_err().message().ends_with(TOO_DEEP));
    let value = (0..1000).fold(Value::Null, |value, _| Value::Array(vec![value]));
    assert!(try_text(&value).unwrap_err().message().ends_with(TOO_DEEP));
    let wrapped = (0..100).fold(Wrapped(None), |inner, _| Wrapped(Some(Box::new(inner))));
    assert!(try_text(&wrapped).is_err());
}

mod foreign {
    use crate::__private::{rkyv, serde};

    #[derive(
        rkyv::Archive,
        rkyv::Serialize,
        rkyv::Deserialize,
        Debug,
        PartialEq,
        serde::Serialize,
        serde::Deserialize,
    )]
    #[rkyv(serialize_bounds(__S: rkyv::ser::Writer + rkyv::ser::Allocator, __S::Error: rkyv::rancor::Source))]
    #[rkyv(deserialize_bounds(__D::Error: rkyv::rancor::Source))]
    #[rkyv(bytecheck(bounds(__C: rkyv::validation::ArchiveContext, __C::Error: rkyv::rancor::Source)))]
    pub(super) struct Deep {
        #[rkyv(omit_bounds)]
        pub(super) next: Option<Box<Deep>>,
    }
}

#[gate_type]
struct Holder {
    #[gate(opaque = "deep/1")]
    deep: foreign::Deep,
}

/// serde's traits themselves have no limit of depth.
#[test]
fn foreign_values_are_bounded_too() {
    let deep = |levels: usize| {
        (1..levels).fold(foreign::Deep { next: None }, |deep, _| foreign::Deep {
            next: Some(Box::new(deep)),
        })
    };
    let most = text(&Holder { deep: deep(63) });
    assert_eq!(read::<Holder>(&most).unwrap().deep, deep(63));
    let error = try_text(&Holder { deep: deep(64) }).unwrap_err();
    assert!(error.message().ends_with(TOO_DEEP), "{error}");
    assert!(try_text(&Holder { deep: deep(1000) }).is_err());
    let text = format!(
        "{{\"deep\":{}null{}}}",
        "{\"next\":".repeat(1000),
        "}".repeat(1000)
    );
    assert!(refused::<Holder>(&text).ends_with(TOO_DEEP));
}

/// In JSON, the name of the variant alone can stand for a value of this type.
#[gate_type]
enum Alone {
    A(Box<Option<[u64; 32]>>),
}

/// A few bytes of text stood for a value of hundreds of bytes, and so a text of 64 MiB for gigabytes.
#[test]
fn values_take_a_bounded_multiple_of_their_text() {
    fn takes<T: JsonType>(text: &str, memory: usize) -> bool {
        let mut reader = Reader::of_text(text).with_memory(memory);
        match T::read(&mut reader) {
            Ok(_) => true,
            Err(fault) => {
                let error = fault.into_error(Part::Result);
                assert_eq!(error.code(), Code::ResponseTooLarge, "{error}");
                false
            }
        }
    }
    type Large = Option<[u64; 32]>;
    let cases: [fn(usize) -> bool; 6] = [
        |memory| takes::<Vec<Large>>("[null,null,null,null]", memory),
        |memory| takes::<[Large; 4]>("[null,null,null,null]", memory),
        |memory| {
            takes::<SortedMap<char, Large>>(r#"{"a":null,"b":null,"c":null,"d":null}"#, memory)
        },
        |memory| takes::<[Box<Large>; 4]>("[null,null,null,null]", memory),
        |memory| takes::<Vec<Alone>>(r#"["A","A","A","A"]"#, memory),
        |memory| takes::<HashMap<char, Large>>(r#"{"a":null,"b":null,"c":null,"d":null}"#, memory),
    ];
    for (case, takes) in cases.iter().enumerate() {
        assert!(takes(2_000), "{case}");
        assert!(!takes(1_000), "{case}");
    }
    let value = |memory| takes::<Value>(r#"[{"a":1},{"a":1},{"a":1},{"a":1}]"#, memory);
    assert!(value(2_000) && !value(500));
    let set = |memory| takes::<BTreeSet<u8>>("[1,2,3,4]", memory);
    assert!(set(500) && !set(200));
}
