//! Features that a plugin's other dependencies can switch on in rkyv, which they share with us.
#![forbid(unsafe_code)]

use std::fs;
use std::path::Path;
use std::process::Command;

use callgate_tests::workspace::root;

const MANIFEST: &str = r#"
[package]
name = "plugin"
version = "0.0.0"
edition = "2024"

[workspace]

[features]
unaligned = ["rkyv/unaligned"]
big_endian = ["rkyv/big_endian"]
pointer_width_16 = ["rkyv/pointer_width_16"]
pointer_width_64 = ["rkyv/pointer_width_64"]

[dependencies]
callgate-layout = { path = "LAYOUT" }
rkyv = { version = "0.8", default-features = false }
"#;

/// Writes a plugin that also links rkyv, with the versions of the workspace, so that nothing is downloaded.
fn write_plugin(plugin: &Path) {
    let layout = root().join("layout");
    let manifest = MANIFEST.replace("LAYOUT", &layout.to_string_lossy());
    fs::create_dir_all(plugin.join("src")).expect("a directory");
    fs::write(plugin.join("Cargo.toml"), manifest).expect("a manifest");
    fs::write(plugin.join("src/lib.rs"), "//! A plugin.\n").expect("a source");
    fs::copy(root().join("Cargo.lock"), plugin.join("Cargo.lock")).expect("a copy");
}

/// Checks the plugin with a feature of rkyv; the error is that of the compiler.
fn check(plugin: &Path, feature: Option<&str>) -> Result<(), String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .current_dir(plugin)
        .args(["check", "--offline", "--quiet"]);
    cargo.env("CARGO_TARGET_DIR", plugin.join("target"));
    cargo.env_remove("RUSTFLAGS");
    if let Some(feature) = feature {
        cargo.args(["--features", feature]);
    }
    let output = cargo.output().expect("cargo runs");
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// A crate that asks rkyv for another format would change the archives of all crates of its program, without a change
/// of the fingerprints. Such a program does not build.
#[test]
fn a_plugin_with_another_format_of_rkyv_does_not_build() {
    let plugin = root().join("target/formats");
    write_plugin(&plugin);
    assert_eq!(check(&plugin, None), Ok(()));
    for feature in [
        "unaligned",
        "big_endian",
        "pointer_width_16",
        "pointer_width_64",
    ] {
        let said = check(&plugin, Some(feature)).expect_err(feature);
        // rkyv refuses features that contradict ours. If it did not, layout would refuse the changed size of numbers.
        let is_refused = said.contains("could not compile `rkyv`")
            || said.contains("could not compile `callgate-layout`");
        assert!(is_refused, "{said}");
    }
}
