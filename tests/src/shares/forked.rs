//! The role `share-forked NAME`: it has shares and cells, forks, and prints what becomes of each in the child.

use callgate_client::{Cell, Plugin, Result, Share, Versions};
use nix::unistd::daemon;

use super::{answer, check_words};

/// The share that it reads.
pub const READ: &str = "Forked.Read";
/// The share that it publishes.
pub const MADE: &str = "Forked.Made";
/// The cell that it writes.
pub const WRITTEN: &str = "Forked.Written";
/// The cell that it reads.
pub const COPIED: &str = "Forked.Copied";

pub(super) fn run(name: &str, _: &[String]) -> Result<()> {
    let plugin = Plugin::connect(name)?;
    let shares = plugin.shares();
    let read: Share<[u64]> = shares.get(READ)?;
    let made = shares.publish(MADE, &7_u64)?;
    let versions: Versions<[u64]> = shares.versions(READ)?;
    let watch = shares.watch(READ, |_| ())?;
    let written = shares.cell_writer::<u64>(WRITTEN)?;
    written.set(&7)?;
    let mut copied: Cell<u64> = shares.cell(COPIED)?;
    println!("ready");
    std::io::stdin()
        .read_line(&mut String::new())
        .expect("a line");
    daemon(true, true).expect("forking");
    // The child's process has the parent's maps of shares, too.
    println!("read {}, made {}", check_words(READ, &read), *made);
    say("get", shares.get::<[u64]>("Forked.Other").map(drop));
    say(
        "make",
        shares.get_or_create("Forked.New", || 1_u64).map(drop),
    );
    say("publish", shares.publish(MADE, &8_u64).map(drop));
    say("changed", versions.changed(crate::PATIENCE).map(drop));
    say("watch", shares.watch(READ, |_| ()).map(drop));
    say("remove", shares.remove(READ));
    say("set", written.set(&8));
    say("ended", written.ended().map_or(Ok(()), Err));
    say("copy", copied.get().map(drop));
    let stands = (copied.is_current(), copied.writer());
    drop((copied, written, watch, versions, made, read, shares, plugin));
    println!("dropped {stands:?}");
    answer(|_| "OK".to_owned());
    Ok(())
}

fn say(what: &str, outcome: Result<()>) {
    let outcome = outcome.map_or_else(|error| error.code().to_string(), |()| "OK".to_owned());
    println!("{what}: {outcome}");
}
