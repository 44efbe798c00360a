//! Changes of types, between processes that each have the older or the newer form of all types. The outcome for each
//! value is the one in the table (`tests/src/types/matrix/`), which docs/evolving.md prints.

use std::time::Instant;

use callgate_tests::types::matrix::{Age, expected, table};
use callgate_tests::{Bus, PATIENCE, Process, programs, workspace};

use Age::{New, Old};

const BEGIN: &str =
    "<!-- The table: written by the command that the test names when it is out of date. -->\n";
const END: &str = "<!-- The end of the table. -->\n";
const GUIDE: &str = "docs/evolving.md";
const REWRITE: &str = "CALLGATE_REWRITE";

fn start(bus: &Bus, name: &str, age: Age, other: &[&str]) -> Process {
    let mut more = vec![age.as_str()];
    more.extend(other);
    bus.peer("matrix", name, &more)
}

/// The report of a process that calls all gates of a provider of this form.
fn told(caller: &mut Process, provider: Age) -> Vec<String> {
    caller.say(provider.as_str());
    let lines = std::iter::from_fn(|| Some(caller.expect_line()));
    lines.take_while(|line| line != "end").collect()
}

/// Fails with the lines that differ, and not with all lines.
#[track_caller]
fn compare(what: &str, told: &[String], expected: &[String]) {
    let mut wrong = String::new();
    for line in expected.iter().filter(|line| !told.contains(line)) {
        wrong.push_str(&format!("  expected {line}\n"));
    }
    for line in told.iter().filter(|line| !expected.contains(line)) {
        wrong.push_str(&format!("  told     {line}\n"));
    }
    assert!(wrong.is_empty(), "{what}:\n{wrong}");
    assert_eq!(
        told, expected,
        "{what}: in another order, or more than once"
    );
}

#[test]
fn each_value_comes_to_what_the_table_says() {
    let bus = Bus::start(programs!());
    let _providers = [start(&bus, "O", Old, &[]), start(&bus, "N", New, &[])];
    for caller in [Old, New] {
        for (provider, name) in [(Old, "O"), (New, "N")] {
            let mut process = start(&bus, "C", caller, &[name]);
            let what = format!("{} caller, {} provider", caller.as_str(), provider.as_str());
            compare(
                &what,
                &told(&mut process, provider),
                &expected(caller, provider),
            );
        }
    }
}

/// Asks callers until they have noticed the change on the bus.
#[track_caller]
fn comes_to(what: &str, callers: &mut [(Process, Age)], provider: Age) {
    for (process, age) in callers {
        let expected = expected(*age, provider);
        let until = Instant::now() + PATIENCE;
        loop {
            let told = told(process, provider);
            if told == expected || Instant::now() > until {
                compare(
                    &format!("{what}, {} caller", age.as_str()),
                    &told,
                    &expected,
                );
                break;
            }
        }
    }
}

/// Open gates follow the provider from one form to the other, and both sides from one broker to the next.
#[test]
fn open_gates_follow_a_provider_that_changes_and_a_broker_that_ends() {
    let mut bus = Bus::start(programs!());
    let mut provider = start(&bus, "P", New, &[]);
    let mut callers = [Old, New].map(|age| (start(&bus, age.as_str(), age, &["P"]), age));
    comes_to("at first", &mut callers, New);
    provider.kill();
    provider = start(&bus, "P", Old, &[]);
    comes_to("the provider is an older one", &mut callers, Old);
    bus.restart_broker();
    comes_to("there is another broker", &mut callers, Old);
    provider.kill();
    provider = start(&bus, "P", New, &[]);
    comes_to("the provider is a newer one again", &mut callers, New);
    drop(provider);
}

/// The table in docs/evolving.md is this one.
#[test]
fn the_guide_has_this_table() {
    let path = workspace::root().join(GUIDE);
    let guide = workspace::read(GUIDE);
    let (before, rest) = guide.split_once(BEGIN).expect("the beginning of the table");
    let (_, after) = rest.split_once(END).expect("the end of the table");
    let right = format!("{before}{BEGIN}\n{}\n{END}{after}", table());
    if std::env::var_os(REWRITE).is_some() {
        std::fs::write(&path, &right).expect("writing the guide");
    }
    assert!(
        std::env::var_os(REWRITE).is_some() || guide == right,
        "{GUIDE} is out of date; `{REWRITE}=1 cargo test -p callgate-tests --test types the_guide` writes it anew"
    );
}
