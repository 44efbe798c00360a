//! Tests of the check itself, on small invented crates.

use std::collections::BTreeMap;

use crate::arrows::{bundles, folders, hidden, show, upward};
use crate::journey::{faults, named_files};
use crate::modules::{Crate, read_crate};

/// A crate made of these files; the first is its root.
fn made_up(files: &[(&str, &str)]) -> Crate {
    read_crate(files[0].0, &|path| {
        let found = files.iter().find(|(name, _)| *name == path)?;
        Some(found.1.to_owned())
    })
}

/// All circles of such a crate as text, with the folder before each.
fn circles_of(files: &[(&str, &str)]) -> Vec<String> {
    let mut found = Vec::new();
    for (name, folder) in folders(&made_up(files)) {
        for bundle in bundles(&folder) {
            let arrows: Vec<String> = bundle.circle.iter().map(show).collect();
            found.push(format!("{name}{}", arrows.concat()));
        }
    }
    found
}

/// The circle of `a` and `b` below the root.
fn of_two(a: &str, b: &str) -> [String; 1] {
    [format!("crate  a → b by {a}  b → a by {b}")]
}

#[test]
fn two_files_that_import_each_other_are_a_circle() {
    let found = circles_of(&[
        ("lib.rs", "mod a;\nmod b;\nmod c;"),
        (
            "a.rs",
            "use std::fmt;\nuse crate::{\n    b::{self, Y as Z},\n};",
        ),
        ("b.rs", "fn f() {\n    super::a::g();\n}"),
        ("c.rs", "use crate::a;\nuse crate::b;"),
    ]);
    assert_eq!(found, of_two("a.rs:3", "b.rs:2"));
}

#[test]
fn of_a_bundle_of_circles_the_shortest_is_named() {
    let found = circles_of(&[
        ("lib.rs", "mod a; mod b; mod c; mod d;"),
        ("a.rs", "use crate::b::X;"),
        ("b.rs", "use crate::c::X;"),
        ("c.rs", "use crate::a::X;\nuse crate::d::X;"),
        ("d.rs", "use crate::c::X;"),
    ]);
    assert_eq!(found, ["crate  c → d by c.rs:2  d → c by d.rs:1"]);
}

#[test]
fn an_import_from_the_root_leads_to_where_the_root_has_it_from() {
    let b = ("b.rs", "use crate::a::Y;\npub struct X;");
    let roots = [
        "mod a; mod b; pub use b::X;",
        "mod a; mod b; pub use crate::b::X as W; use self::W as X;",
        "mod a; mod b; pub use b::*;",
    ];
    for root in roots {
        let found = circles_of(&[("lib.rs", root), ("a.rs", "use crate::X;"), b]);
        assert_eq!(found, of_two("a.rs:1", "b.rs:1"), "{root}");
    }
    let exported = "#[macro_export]\nmacro_rules! X { () => {} }\nuse crate::a;";
    let files = [
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "fn f() { crate::X!(); }"),
        ("b.rs", exported),
    ];
    assert_eq!(circles_of(&files), of_two("a.rs:1", "b.rs:3"));
    let own = ("lib.rs", "mod a; mod b; pub struct X; use std::fmt;");
    let found = circles_of(&[own, ("a.rs", "use crate::X; use crate::fmt;"), b]);
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn paths_in_macros_and_attributes_count() {
    let sources = [
        "fn f() { assert!(vec![(1, crate::b::X)].len() > crate::a::Y); }",
        "macro_rules! m { () => { $crate::b::X } }",
        "#[derive(Debug)]\n#[with(crate::b::X)] struct S;",
        "impl crate::b::X for S {}",
        "fn f(x: &dyn Fn() -> crate::b::X<u8>) {}",
    ];
    for source in sources {
        let root = ("lib.rs", "mod a; mod b;");
        let found = circles_of(&[root, ("a.rs", source), ("b.rs", "use super::a;")]);
        assert_eq!(found.len(), 1, "{source}");
    }
}

#[test]
fn what_only_tests_import_does_not_count() {
    let sources = [
        "#[cfg(test)]\nmod tests { use crate::b::X; }",
        "#[cfg(test)]\nmod tests;",
        "#[cfg(test)] use crate::b::X;",
        "#[cfg(all(unix, test))]\nfn f() { crate::b::g() }",
        "#[cfg(any(test, all(test, unix)))] use crate::b::X;",
        "struct S; impl S { #[cfg(test)] fn f() { crate::b::g() } }",
        "#[test] fn f() { crate::b::g() }",
    ];
    let others = [
        "#[cfg(not(test))] use crate::b::X;",
        "#[cfg(unix)] use crate::b::X;",
        "#[cfg(any(test, unix))] use crate::b::X;",
    ];
    let found = |source| {
        let root = ("lib.rs", "mod a; mod b;");
        circles_of(&[root, ("a.rs", source), ("b.rs", "use crate::a;")])
    };
    for source in sources {
        assert!(found(source).is_empty(), "{source}");
    }
    for source in others {
        assert_eq!(found(source).len(), 1, "{source}");
    }
}

#[test]
fn a_child_may_use_its_parent_and_a_parent_its_child() {
    let found = circles_of(&[
        ("src/lib.rs", "mod a;"),
        (
            "src/a.rs",
            "mod c;\nuse c::Y;\npub struct X;\nfn f() { self::c::g() }",
        ),
        (
            "src/a/c.rs",
            "use super::X;\nuse crate::a;\nfn g() -> a::X {}",
        ),
    ]);
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn a_folder_is_one_module_to_those_beside_it_and_is_looked_into() {
    let root = ("src/main.rs", "mod a; mod b;");
    let found = circles_of(&[
        root,
        ("src/a/mod.rs", "mod c; mod d;"),
        ("src/a/c.rs", "use crate::b::X;"),
        ("src/a/d.rs", ""),
        ("src/b.rs", "use crate::a::d::X;"),
    ]);
    assert_eq!(found, of_two("src/a/c.rs:1", "src/b.rs:1"));
    let found = circles_of(&[
        root,
        ("src/a.rs", "mod c; mod d; use c::X;"),
        ("src/a/c.rs", "use super::d;\nuse crate::b;"),
        ("src/a/d.rs", "use super::X;"),
        ("src/b.rs", ""),
    ]);
    let expected = "crate::a  c → d by src/a/c.rs:1  d → c by src/a/d.rs:1";
    assert_eq!(found, [expected]);
}

#[test]
fn an_import_of_everything_around_is_found() {
    let files = [
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "use crate::b::*;\nuse super::*;"),
        ("b.rs", ""),
    ];
    assert_eq!(hidden(&made_up(&files)), ["a.rs:2: use super::*"]);
}

#[test]
fn an_arrow_to_a_higher_floor_is_found() {
    let floors = ["low", "high"];
    let downwards = [
        (
            "lib.rs",
            "mod low; mod high; pub use low::X; pub use std::fmt;\nmod own { use super::W; use crate::high::Y; }",
        ),
        ("low.rs", "use crate::fmt::Debug;\npub struct X;"),
        ("high.rs", "use crate::low::X;\nuse crate::X as Y;"),
    ];
    assert!(upward(&made_up(&downwards), &floors).is_empty());
    let upwards = [
        (
            "lib.rs",
            "mod low; mod high; mod other; pub use high::X;\nstruct W;\nmod own {}",
        ),
        ("low.rs", "use crate::X;\nuse crate::W;\nuse crate::own::Y;"),
        ("high.rs", "pub struct X;"),
        ("other.rs", ""),
    ];
    let expected = [
        "lib.rs: other is none of the floors",
        "  low → high by low.rs:1",
        "  low → own by low.rs:3",
        "low.rs:2: crate::W is above all floors",
    ];
    assert_eq!(upward(&made_up(&upwards), &floors), expected);
}

/// The errors that are found in a journey over invented files.
fn faults_of(journey: &[&str], more: &[(&str, &str)]) -> Vec<String> {
    let bytes = "use layout::{ring, slot};\npub fn call() { ring::push(1); m!(slot::take()); }";
    let run = "use layout::slot;\npub fn run(ring: Ring) { ring.the_only_pop(); slot::publish() }";
    let serve = "use super::run;\nfn serve() { run::run() }";
    let mut sources = BTreeMap::from([
        ("client/bytes.rs", bytes),
        ("client/serve.rs", serve),
        ("client/run.rs", run),
        (
            "layout/ring.rs",
            "pub fn push() {}\npub fn the_only_pop() {}",
        ),
        (
            "layout/slot.rs",
            "pub fn publish() {}\npub fn take() {}\nfn hidden() {}",
        ),
        ("layout/other.rs", "pub fn push() {}"),
    ]);
    sources.extend(more.iter().copied());
    let owned = |(file, text): (&str, &str)| (file.to_owned(), text.to_owned());
    let journey: Vec<String> = journey.iter().map(|&file| file.to_owned()).collect();
    faults(&journey, &sources.into_iter().map(owned).collect())
}

const JOURNEY: [&str; 5] = [
    "client/bytes.rs",
    "layout/ring.rs",
    "client/serve.rs",
    "client/run.rs",
    "layout/slot.rs",
];

#[test]
fn a_journey_that_the_sources_have_is_fine() {
    let found = faults_of(&JOURNEY, &[]);
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn a_journey_that_leaves_a_file_out_is_found() {
    let found = faults_of(&[&JOURNEY[..3], &JOURNEY[4..]].concat(), &[]);
    let expected = "no call goes from client/serve.rs to layout/slot.rs";
    assert!(found.iter().any(|fault| fault == expected), "{found:?}");
    let found = faults_of(&JOURNEY[..4], &[]);
    assert_eq!(found, ["it changes the process 1 times"]);
    // No file there takes the call out of shared memory.
    let run = "use layout::slot;\npub fn run() { slot::publish() }";
    let found = faults_of(&JOURNEY, &[("client/run.rs", run)]);
    let expected = "no call goes from layout/ring.rs to client/serve.rs";
    assert!(found.iter().any(|fault| fault == expected), "{found:?}");
}

/// Neither counts as a function of the file: one is not public, the other is called only in a test.
#[test]
fn a_call_of_something_else_is_none() {
    for run in [
        "use layout::slot;\npub fn run() { slot::hidden() }",
        "use layout::slot;\npub fn run() {}\n#[cfg(test)] mod tests { fn f() { slot::publish() } }",
        "pub fn run() { other::take() }",
    ] {
        let more = [
            ("client/run.rs", run),
            ("layout/other.rs", "pub fn take() {}"),
        ];
        let found = faults_of(&JOURNEY, &more);
        let expected = "no call goes from client/run.rs to layout/slot.rs";
        assert!(
            found.iter().any(|fault| fault == expected),
            "{run}: {found:?}"
        );
    }
}

#[test]
fn a_journey_names_few_files_and_each_once() {
    let twice = [JOURNEY[0]; 9];
    let found = faults_of(&twice, &[]);
    assert!(found.contains(&"9 files are named".to_owned()), "{found:?}");
    assert!(
        found.contains(&"a file is named twice".to_owned()),
        "{found:?}"
    );
    let found = faults_of(&["client/bytes.rs", "gone.rs"], &[]);
    assert_eq!(found, ["gone.rs is none of the files"]);
}

#[test]
fn the_files_are_those_with_arrows_between_them() {
    let text = "# A\n\n## 2. A call's journey\n\nSee `x.rs`.\n\nThe files: `a/b.rs` → `c.rs`\n→ `d`, and \
                back through `e.rs`.\n\n1. `f.rs`\n\n## 3. Next\n\n`g.rs` → `h.rs`\n";
    assert_eq!(named_files(text), ["a/b.rs", "c.rs", "e.rs"]);
}
