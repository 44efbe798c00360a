//! The committed figures, and what to do about others.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// How far a figure may be from the committed one, as a part of that.
const TOLERANCE: f64 = 0.03;
const RENEW: &str = "cargo bench --locked -p callgate-tests --bench instructions -- --renew";

/// Instructions a call.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    /// What made the program that was counted.
    pub(crate) compiler: String,
    pub(crate) caller: f64,
    pub(crate) provider: f64,
}

/// The compiler's name and version.
pub(crate) fn compiler() -> String {
    let output = Command::new("rustc").arg("--version").output();
    let text = output.map_or_else(|_| Vec::new(), |output| output.stdout);
    String::from_utf8_lossy(&text).trim().to_owned()
}

impl Figures {
    /// Makes these the ones to be committed.
    pub(crate) fn write(&self) -> ExitCode {
        let text = format!(
            "# Instructions of one hot 64-byte call. Renewed by:\n# {RENEW}\ncompiler {}\ncaller {:.1}\nprovider {:.1}\n",
            self.compiler, self.caller, self.provider
        );
        std::fs::write(path(), &text).expect("the figures can be written");
        print!("{text}");
        ExitCode::SUCCESS
    }

    /// Says how these differ from the committed ones.
    pub(crate) fn compare(&self) -> ExitCode {
        let committed = Figures::committed();
        let caller = differs("caller", self.caller, committed.caller);
        let provider = differs("provider", self.provider, committed.provider);
        if !caller && !provider {
            return ExitCode::SUCCESS;
        }
        eprintln!(
            "\nA hot call takes another number of instructions than {} says.\n\
             If that is as it should be, for better or for worse, renew the figures and commit them \
             with what changed them:\n    {RENEW}",
            path().display()
        );
        if self.compiler != committed.compiler {
            eprintln!(
                "But the figures were made by {}, and this is {}, which may be all there is to it.",
                committed.compiler, self.compiler
            );
        }
        ExitCode::FAILURE
    }

    fn committed() -> Figures {
        let text = std::fs::read_to_string(path())
            .unwrap_or_else(|error| panic!("{}: {error}; make it by {RENEW}", path().display()));
        let value = |name: &str| {
            let mut lines = text.lines();
            let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            value.unwrap_or_else(|| panic!("{} says nothing of the {name}", path().display()))
        };
        let number = |name| value(name).parse().expect("a number");
        Figures {
            compiler: value("compiler").to_owned(),
            caller: number("caller"),
            provider: number("provider"),
        }
    }
}

/// Prints a figure beside the committed one; whether it is too far from it.
fn differs(side: &str, counted: f64, committed: f64) -> bool {
    let change = counted / committed - 1.0;
    let percent = 100.0 * change;
    println!(
        "{side:8} {counted:7.1} instructions a call, committed {committed:.1} ({percent:+.1} %)"
    );
    change.abs() > TOLERANCE
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/instructions/figures.txt")
}
