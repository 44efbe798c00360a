//! The rules of this code base, as far as a program can check them.
#![forbid(unsafe_code)]

use std::fs;
use std::path::Path;
use std::process::Command;

use callgate_tests::workspace::{packages, read, root};
use serde_json::Value;

/// The most lines of a source file: as much as a reader can keep in mind.
const MOST_LINES: usize = 400;
/// The word in two parts, so that this file does not contain it.
const UNSAFE: &str = concat!("un", "safe");

/// A file, with its path from the root of the workspace.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// The lines without comments. Words in string literals count, too: few literals need them, and none is counted
    /// wrongly.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate();
        lines.map(|(number, line)| (number + 1, line.split("//").next().unwrap_or("")))
    }

    fn is_in(&self, places: &[&str]) -> bool {
        places.iter().any(|place| self.path.starts_with(place))
    }
}

/// All files of the workspace that end in `.rs` or `.md`.
fn sources() -> Vec<Source> {
    let (root, mut sources) = (root(), Vec::new());
    let mut directories = vec![root.clone()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).expect("a directory").flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            let is_source = name.ends_with(".rs") || name.ends_with(".md");
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                directories.push(path);
            } else if is_source && path.is_file() {
                let inside = path.strip_prefix(&root).expect("it is inside");
                let path_text = inside.to_string_lossy().into_owned();
                let text = fs::read_to_string(&path).expect("a text");
                sources.push(Source {
                    path: path_text,
                    text,
                });
            }
        }
    }
    assert!(sources.len() > 50, "this is not the workspace");
    sources
}

fn rust() -> Vec<Source> {
    let mut sources = sources();
    sources.retain(|source| source.path.ends_with(".rs"));
    sources
}

/// Whether a word stands in a line as a whole word.
fn has_word(line: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

fn fail_with(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n{}", found.join("\n"));
}

/// Code that the compiler does not check stays in the few files that are listed, so that it can be reviewed.
#[test]
fn what_the_compiler_does_not_check_is_where_it_belongs() {
    let allowed = [
        "layout/src/view/",
        "layout/src/payload.rs",
        "layout/src/shares/filling.rs",
        "layout/src/shares/sealed.rs",
        "layout/src/sys/",
        "benches/peers/raw.rs",
    ];
    let mut found = Vec::new();
    for source in rust().iter().filter(|source| !source.is_in(&allowed)) {
        let lines = source.code().filter(|(_, line)| has_word(line, UNSAFE));
        found.extend(lines.map(|(number, line)| format!("{}:{number}: {line}", source.path)));
    }
    fail_with("outside of its places", &found);
}

/// Every crate root forbids it: a missing attribute would let it in without notice.
#[test]
fn every_crate_root_forbids_it() {
    let packages = packages();
    let forbid = format!("#![forbid({UNSAFE}_code)]");
    let deny = format!("#![deny({UNSAFE}_code)]");
    let mut found = Vec::new();
    for package in &packages {
        for target in array(&package["targets"]) {
            // A test is not part of the product; it is checked for the word only.
            if target["kind"][0] == "test" {
                continue;
            }
            let path = Path::new(target["src_path"].as_str().expect("a path"));
            let path = path.strip_prefix(root()).expect("it is inside");
            let path = path.to_string_lossy();
            let text = read(&path);
            let is_fine = match &*path {
                "layout/src/lib.rs" => true,
                // It has one module that calls the C interfaces of other systems, for the comparison.
                "benches/peers/main.rs" => text.contains(&deny),
                _ => text.contains(&forbid),
            };
            if !is_fine {
                found.push(path.into_owned());
            }
        }
    }
    fail_with("crate roots that allow it", &found);
}

/// The layout takes its atomics from one place, so that the models of loom see all of them.
#[test]
fn layout_has_its_atomics_from_one_place() {
    let allowed = [
        "layout/src/atomic.rs",
        "layout/src/sys/",
        // This file is for loom itself.
        "layout/src/view/heap.rs",
    ];
    let is_layout = |source: &&Source| source.is_in(&["layout/src/"]) && !source.is_in(&allowed);
    let mut found = Vec::new();
    for source in rust().iter().filter(is_layout) {
        let lines = source
            .code()
            .filter(|(_, line)| line.contains("sync::atomic"));
        found.extend(lines.map(|(number, line)| format!("{}:{number}: {line}", source.path)));
    }
    fail_with("atomics that loom does not see", &found);
    let in_sys = |source: &Source| source.is_in(&["layout/src/sys/"]);
    let with_atomics = rust().into_iter().filter(in_sys);
    let with_atomics = with_atomics.filter(|source| source.text.contains("sync::atomic"));
    let mut names: Vec<String> = with_atomics.map(|source| source.path).collect();
    names.sort();
    let expected =
        ["fork", "futex", "inherit", "service"].map(|name| format!("layout/src/sys/{name}.rs"));
    assert_eq!(names, expected);
}

/// Fences stay in code that the models run. No other test notices when a fence is missing.
#[test]
fn no_fence_stands_where_no_model_sees_it() {
    let is_product = |source: &&Source| {
        let is_test = source.path.contains("/tests");
        source.is_in(&["client/src/", "broker/src/", "broker/runtime/src/"]) && !is_test
    };
    let is_order = |line: &str| has_word(line, "fence") || has_word(line, "SeqCst");
    let mut found = Vec::new();
    for source in rust().iter().filter(is_product) {
        let lines = source.code().filter(|(_, line)| is_order(line));
        found.extend(lines.map(|(number, line)| format!("{}:{number}: {line}", source.path)));
    }
    fail_with("orders that belong into a step of layout", &found);
}

/// Packages depend on each other in one direction only. In particular, the client does not need the broker.
#[test]
fn packages_depend_in_one_direction() {
    let packages = packages();
    let of = |name: &str| -> Vec<String> {
        let package = packages.iter().find(|package| package["name"] == name);
        let package = package.unwrap_or_else(|| panic!("the package {name}"));
        let dependencies = array(&package["dependencies"]).iter();
        let product = dependencies.filter(|dependency| dependency["kind"] != "dev");
        let names = product.filter_map(|dependency| dependency["name"].as_str());
        let mut ours: Vec<String> = names
            .filter(|name| name.starts_with("callgate"))
            .map(str::to_owned)
            .collect();
        ours.sort();
        ours
    };
    assert!(of("callgate-layout").is_empty());
    assert!(of("callgate-derive").is_empty());
    assert_eq!(
        of("callgate-client"),
        ["callgate-derive", "callgate-layout"]
    );
    assert_eq!(of("callgate"), ["callgate-layout"]);
    assert_eq!(of("callgate-services"), ["callgate-client"]);
    assert_eq!(
        of("callgate-runtime"),
        ["callgate", "callgate-client", "callgate-layout"]
    );
    assert_eq!(
        of("callgate-cli"),
        [
            "callgate",
            "callgate-client",
            "callgate-runtime",
            "callgate-services"
        ]
    );
    assert_eq!(of("callgate-services"), ["callgate-client"]);
}

/// The name of each sync point stands at both of its ends, so that a change of one end leads to the other.
#[test]
fn sync_points_bear_their_names_at_both_ends() {
    let architecture = read("ARCHITECTURE.md");
    let section = architecture
        .split("\n## ")
        .find(|section| section.starts_with("4. Sync points"));
    let rows = section
        .expect("section 4")
        .lines()
        .filter_map(|line| line.strip_prefix("| "));
    let names: Vec<&str> = rows
        .filter_map(|row| row.split(" |").next())
        .filter(|name| name.chars().all(|c| c.is_ascii_uppercase() || c == '-'))
        .collect();
    assert!(names.len() >= 9, "{names:?}");
    let sources = rust();
    let product: Vec<&Source> = sources
        .iter()
        .filter(|source| source.is_in(&["layout/src/", "client/src/"]))
        .collect();
    let ends = |name: &str| {
        let lines = product.iter().flat_map(|source| source.text.lines());
        lines.filter(|line| has_word(line, name)).count()
    };
    let mut found: Vec<String> = names
        .iter()
        .filter(|name| ends(name) < 2)
        .map(|name| (*name).to_owned())
        .collect();
    fail_with("named fewer than twice in the code", &found);
    // And the reverse: a comment that begins with a name in capitals and a comma names a known sync point.
    for source in &product {
        for line in source
            .text
            .lines()
            .filter_map(|line| line.trim().strip_prefix("// "))
        {
            let name = line.split([',', ':']).next().unwrap_or("");
            let is_name =
                name.len() > 3 && name.chars().all(|c| c.is_ascii_uppercase() || c == '-');
            if is_name && name != "SAFETY" && !names.contains(&name) {
                found.push(format!("{}: {name}", source.path));
            }
        }
    }
    fail_with("sync points that ARCHITECTURE.md does not list", &found);
}

/// No file is too long to be read to its end.
#[test]
fn files_are_short() {
    let lengths = rust()
        .into_iter()
        .map(|source| (source.text.lines().count(), source.path));
    let long = lengths.filter(|(lines, _)| *lines > MOST_LINES);
    let found: Vec<String> = long
        .map(|(lines, path)| format!("{path}: {lines} lines"))
        .collect();
    fail_with("too long", &found);
}

/// Nothing is marked to be done later.
#[test]
fn nothing_is_left_for_later() {
    let words = [
        concat!("to", "do!"),
        concat!("un", "implemented!"),
        concat!("db", "g!("),
        concat!("for ", "now"),
        concat!("FIX", "ME"),
        concat!("TO", "DO"),
    ];
    let mut found = Vec::new();
    for source in sources() {
        for (number, line) in source.text.lines().enumerate() {
            if words.iter().any(|word| line.contains(word)) {
                found.push(format!("{}:{}: {line}", source.path, number + 1));
            }
        }
    }
    fail_with("left for later", &found);
}

/// The commands that the README names exist.
#[test]
fn the_commands_of_the_readme_exist() {
    let readme = read("README.md");
    assert!(readme.contains("\ncargo run --release --example rack "));
    assert!(readme.contains("\ncargo test "));
    let packages = packages();
    let targets = packages
        .iter()
        .flat_map(|package| array(&package["targets"]));
    let mut examples = targets.filter(|target| target["kind"][0] == "example");
    assert!(examples.any(|target| target["name"] == "rack"), "the rack");
    let help = Command::new(env!("CARGO_BIN_EXE_callgate-program"))
        .arg("--help")
        .output();
    let help = String::from_utf8(help.expect("it runs").stdout).expect("a text");
    let commands = readme
        .lines()
        .filter_map(|line| line.strip_prefix("callgate "));
    let commands: Vec<&str> = commands.filter_map(|line| line.split(' ').next()).collect();
    assert!(commands.len() >= 4, "{commands:?}");
    for command in commands {
        assert!(
            help.lines().any(|line| line.trim().starts_with(command)),
            "{command}: {help}"
        );
    }
}

/// The files that the documents name exist.
#[test]
fn the_files_that_the_documents_name_exist() {
    let root = root();
    let sources = rust();
    // A file name may stand alone after one that has its directories.
    let exists = |name: &str| {
        root.join(name).exists()
            || sources.iter().any(|source| match name.strip_suffix('/') {
                Some(directory) => source.path.contains(&format!("/{directory}/")),
                None => source.path.ends_with(&format!("/{name}")),
            })
    };
    let mut found = Vec::new();
    let texts = [read("ARCHITECTURE.md"), read("CONTRIBUTING.md")];
    for line in texts.iter().flat_map(|text| text.lines()) {
        let names = line.split('`').skip(1).step_by(2);
        let is_path = |name: &&str| {
            let is_plain = name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c));
            is_plain && (name.ends_with(".rs") || name.ends_with(".md") || name.ends_with('/'))
        };
        found.extend(
            names
                .filter(is_path)
                .filter(|name| !exists(name))
                .map(str::to_owned),
        );
    }
    fail_with("named and not there", &found);
}

/// Decisions have different numbers and are all listed: two branches may have used the same number, or forgotten the
/// list.
#[test]
fn decisions_are_numbered_and_listed() {
    let files = fs::read_dir(root().join("docs/decisions")).expect("it is there");
    let names = files.flatten().map(|file| file.file_name());
    let mut names: Vec<String> = names.map(|name| name.to_string_lossy().into()).collect();
    names.sort();
    let list = read("ARCHITECTURE.md");
    let not_fine = |(position, name): (usize, &String)| {
        let number = format!("{:04}", position + 1);
        let row = format!("| [{number}](docs/decisions/{name}) |");
        let title = read(&format!("docs/decisions/{name}"));
        let has_number = title.starts_with(&format!("# {}. ", position + 1));
        (!list.contains(&row) || !has_number).then(|| name.clone())
    };
    let found: Vec<String> = names.iter().enumerate().filter_map(not_fine).collect();
    fail_with("not numbered in a row, or not in section 12", &found);
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
