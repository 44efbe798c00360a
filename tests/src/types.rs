//! Two plugins whose types mean the same and have different layouts: the provider's types and gates, and the caller's
//! types.

pub mod caller;
mod gates;
pub mod matrix;

use std::io::BufRead;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use callgate_client::{Dispatch, Group, Plugin, PluginBuilder, Result};

use crate::suite;

pub use gates::{Ends, Settings, Stage, Summary, Track, provide, provide_other};

/// Plays `types NAME MODE` or `exact-types NAME MODE`, which provide the gates until their input ends. Or plays
/// `matrix`; see [`matrix::run`].
pub fn play(role: &str, name: &str, more: &[String]) -> bool {
    if role == "matrix" {
        matrix::run(name, more).expect("providing all gates");
        return true;
    }
    let is_exact = match role {
        "types" => false,
        "exact-types" => true,
        _ => return false,
    };
    serve(name, &more[0], is_exact).expect("serving");
    true
}

fn serve(name: &str, mode: &str, is_exact: bool) -> Result<()> {
    suite::say_nothing_of_panics();
    let group = (mode == "group").then(Group::new).transpose()?;
    let builder = |name: &str| -> PluginBuilder {
        let builder = Plugin::builder(name).dispatch(suite::dispatch(mode));
        match &group {
            Some(group) => builder.group(group),
            None => builder,
        }
    };
    let neighbour = format!("{name}-neighbour");
    let _neighbour = group.is_some().then(|| builder(&neighbour).connect());
    let plugin = match is_exact {
        true => builder(name).exact_only().connect()?,
        false => builder(name).connect()?,
    };
    let stage = provide(&plugin, name)?;
    let is_pump = suite::dispatch(mode) == Dispatch::Pump;
    println!("ready");
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let _ = sender.send(line);
        }
    });
    loop {
        let wait = match is_pump {
            true => {
                plugin.pump(Instant::now() + Duration::from_millis(20))?;
                Duration::ZERO
            }
            false => crate::PATIENCE,
        };
        match lines.recv_timeout(wait) {
            Ok(_) => println!("{}", stage.notes()),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}
