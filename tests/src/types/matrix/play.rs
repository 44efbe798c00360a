//! A process that has one form of all types.

use std::io::BufRead;

use callgate_client::{Plugin, Provider, Result};

use super::form::Opened;
use super::{Age, changes};

/// Plays `matrix NAME AGE [OTHER]`: provides all gates in one form, and opens those of another plugin. For a line
/// `AGE` it calls all of them, assuming that the other plugin has that form, and prints the outcome of each call, and
/// then `end`.
///
/// # Errors
///
/// Those of connecting, providing or opening a gate.
pub fn run(name: &str, more: &[String]) -> Result<()> {
    let age = Age::of(&more[0]);
    let plugin = Plugin::builder(name).connect()?;
    let _provided = provide(&plugin, name, age)?;
    let opened = match more.get(1) {
        Some(other) => open(&plugin, other, age)?,
        None => Vec::new(),
    };
    println!("ready");
    for line in std::io::stdin().lock().lines().map_while(|line| line.ok()) {
        report(&opened, age, Age::of(&line));
    }
    Ok(())
}

fn provide(plugin: &Plugin, name: &str, age: Age) -> Result<Vec<Provider>> {
    let mut all = Vec::new();
    for change in changes() {
        let (take, give) = (change.take(name), change.give(name));
        all.extend(change.form(age).provide(plugin, &take, &give)?);
    }
    Ok(all)
}

fn open(plugin: &Plugin, other: &str, age: Age) -> Result<Vec<Box<dyn Opened>>> {
    let open = |change: &super::Change| {
        let (take, give) = (change.take(other), change.give(other));
        change.form(age).open(plugin, &take, &give)
    };
    changes().iter().map(open).collect()
}

fn report(opened: &[Box<dyn Opened>], own: Age, other: Age) {
    for (change, opened) in changes().iter().zip(opened) {
        let (own, other) = (change.form(own), change.form(other));
        let gives = (own.is_given() && other.is_given()).then(|| other.count());
        for line in opened.call(gives) {
            println!("{line}");
        }
    }
    println!("end");
}
