# The commands of daily work; `just` lists them. Each is one line that also works without just.

# Lists the commands.
default:
    @just --list --unsorted

# All tests, over real processes; the long ones shortened.
test *arguments:
    cargo test --locked {{ arguments }}

# The tests of one package whose names contain a text: `just one callgate-tests a_killed_echo`.
one package name *arguments:
    cargo test --locked --package {{ package }} {{ name }} -- --nocapture {{ arguments }}

# The project's rules, what stands in the packages' manifests, and what imports what: seconds.
tidy:
    cargo test --locked --package callgate-tests --test tidy --test packages --test floors

# Formats everything.
fmt:
    cargo fmt --all

# Lints as the continuous integration does; warnings are errors.
clippy:
    cargo clippy --locked --workspace --exclude callgate-benches --all-targets -- -D warnings

# Documentation; warnings are errors.
docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --exclude callgate-benches --no-deps

# The protocols of shared memory in every order that their atomics allow: minutes.
loom *arguments:
    RUSTFLAGS="--cfg callgate_loom" CARGO_TARGET_DIR=target/loom \
        cargo test --locked --release --package callgate-layout --test loom {{ arguments }}

# Takes each order and fence away, one at a time: a model must fail. Half an hour; `just weaken TURN` for some.
weaken *texts:
    tests/weaken {{ texts }}

# How many instructions a hot call takes, against the committed figures; needs valgrind.
instructions:
    cargo bench --locked --package callgate-tests --bench instructions

# The comparison with other systems: `just bench --quick` for a short one. Builds for minutes.
bench *arguments:
    cargo bench --locked --package callgate-benches --bench peers -- {{ arguments }}

# What each step of a call takes by itself.
parts:
    cargo bench --locked --package callgate-parts

# The example: an audio rack of four plugin processes, one of them killed half way.
rack *arguments:
    cargo run --locked --release --example rack -- {{ arguments }}

# The other example: an index of a file's words, which several plugins share: `just index README.md`.
index *arguments:
    cargo run --locked --release --example index -- {{ arguments }}

# The callgate program: `just run serve`.
run *arguments:
    cargo run --locked --release --bin callgate -- {{ arguments }}

# Licences, advisories, duplicate versions and sources of what we depend on; needs cargo-deny.
deny:
    cargo deny check

# Whether all packages could be published, in the order of their dependencies; publishes nothing.
publish-check:
    cargo publish --locked --dry-run --workspace

# All that must hold before a change lands.
ci:
    .ci/run
