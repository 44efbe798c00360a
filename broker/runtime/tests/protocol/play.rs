//! Plays all stories of a subject at once, on one runtime.

use std::fs;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use callgate::Broker;
use callgate::supervision::{Restart, State};
use callgate_runtime::{Limits, Runtime};
use tempfile::TempDir;

use crate::bus::{PATIENCE, Side, await_some};
use crate::host::Host;
use crate::story::{Deed, Story};

/// Plays stories, and reports all that did not come out as they say.
pub(crate) fn all(subject: &str, stories: &[Story], limits: Limits) {
    let broker = Broker::builder().without_socket().start();
    let broker = broker.expect("a broker");
    let folder = TempDir::new().expect("a folder");
    for (name, manifest) in stories.iter().flat_map(Story::plugins) {
        let folder = folder.path().join(name);
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join("manifest.json"), manifest.to_string()).expect("a manifest");
    }
    let host = Host::new(&broker);
    let restart = Restart::default().backoff([Duration::from_millis(10)]);
    let runtime = Runtime::builder(broker.handle()).plugins(folder.path());
    let runtime = runtime
        .restart(restart.stop_grace(PATIENCE))
        .limits(limits)
        .start();
    let runtime = Arc::new(runtime.expect("a runtime"));
    assert_eq!(runtime.broken(), []);
    let wrong: Vec<String> = thread::scope(|scope| {
        let threads: Vec<_> = stories
            .iter()
            .map(|story| scope.spawn(|| play(story, &host, &runtime)))
            .collect();
        let outcomes = threads.into_iter().zip(stories).map(|(thread, story)| {
            let outcome = thread.join();
            let outcome = outcome.unwrap_or_else(|_| Err(format!("{}: panicked", story.title)));
            outcome.err()
        });
        outcomes.flatten().collect()
    });
    assert!(
        wrong.is_empty(),
        "{} of {} stories of {subject} came out differently:\n\n{}",
        wrong.len(),
        stories.len(),
        wrong.join("\n\n")
    );
}

fn play(story: &Story, host: &Host, runtime: &Arc<Runtime>) -> Result<(), String> {
    let plugins = story.plugins();
    for (name, _) in &plugins {
        await_some(|| has_begun(runtime, name, story).then_some(()))
            .ok_or_else(|| format!("{}: {name} is never ready", story.title))?;
    }
    let mut side = Side::new(story, host, runtime);
    if plugins.len() == 2 {
        for (name, _) in &plugins {
            side.uploads(name, "begin")?;
        }
    }
    for deed in &story.deeds {
        side.act(deed)
            .map_err(|why| told(story, deed, (&why, runtime)))?;
    }
    Ok(())
}

/// Whether a plugin is ready, or has come as far as its story lets it.
fn has_begun(runtime: &Runtime, name: &str, story: &Story) -> bool {
    let all = runtime.plugins();
    let own = all.iter().find(|status| status.name == name);
    own.is_some_and(|own| match own.supervision.state {
        State::Starting => story.is_unready && own.supervision.pid.is_some(),
        _ => true,
    })
}

/// The report about a story, with the end of the plugin's log.
fn told(story: &Story, deed: &Deed, (why, runtime): (&str, &Runtime)) -> String {
    let mut text = format!(
        "{}\n  line {}: {} {}\n  {why}",
        story.title, deed.line, deed.word, deed.rest
    );
    if let Ok(log) = runtime.logs(&story.plugin) {
        for line in log.last(12) {
            let shown = &line.text[..line.text.floor_char_boundary(300)];
            text.push_str(&format!("\n    {}: {shown}", line.stream));
        }
    }
    text
}
