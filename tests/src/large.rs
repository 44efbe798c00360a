//! A plugin that takes, makes and sends large payloads on command, and reports what that costs.

use std::fs;
use std::io::BufRead;
use std::time::Duration;

use callgate_client::{Context, GateType, Payload, Plugin, Result, View};
use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};

use crate::PATIENCE;
use crate::shorthand::open;

/// Provides gates for large payloads and obeys lines of input:
///
/// ```text
/// call OWNER GATE BYTES TIMES   calls a gate of this module's; OK or the code of what failed
/// faults                        the page faults of this process so far
/// limit MIB                     lets this process have so much more address space than it has
/// unlimit
/// ```
pub fn run(name: &str, keep_idle: Duration) -> Result<()> {
    let plugin = Plugin::builder(name).keep_idle(keep_idle).connect()?;
    provide(&plugin, name)?;
    println!("ready");
    let (soft, hard) = getrlimit(Resource::RLIMIT_AS).expect("the limit");
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("a line");
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["call", owner, gate, len, times] => {
                let (len, times) = (number(len), number(times));
                match call(&plugin, (owner, gate), len, times) {
                    Ok(()) => println!("OK"),
                    Err(error) => println!("{}", error.code()),
                }
            }
            ["faults"] => {
                let usage = getrusage(UsageWho::RUSAGE_SELF).expect("the usage");
                println!("{}", usage.minor_page_faults());
            }
            ["limit", mib] => {
                let limit = address_space() + ((number(mib) as u64) << 20);
                setrlimit(Resource::RLIMIT_AS, limit, hard).expect("the limit");
                println!("OK");
            }
            ["unlimit"] => {
                setrlimit(Resource::RLIMIT_AS, soft, hard).expect("the limit");
                println!("OK");
            }
            _ => panic!("{line}?"),
        }
    }
    Ok(())
}

fn number(word: &str) -> usize {
    word.parse().expect("a number")
}

/// The bytes of address space that this process uses.
fn address_space() -> u64 {
    let text = fs::read_to_string("/proc/self/statm").expect("the size");
    let pages = text
        .split(' ')
        .next()
        .and_then(|word| word.parse::<u64>().ok());
    pages.expect("a number") * 4096
}

/// The payload is made of words and not of bytes: without optimisation, checking an archive takes time for each item.
fn provide(plugin: &Plugin, name: &str) -> Result<()> {
    let gate = |what: &str| format!("{name}.{what}");
    plugin
        .provide(&gate("Echo"), |words: Vec<u64>| words)?
        .keep();
    plugin
        .provide(&gate("Floats"), |floats: Vec<f32>| floats)?
        .keep();
    let take = |words: View<'_, Vec<u64>>| words.len() as u64;
    plugin.provide(&gate("Take"), take)?.keep();
    let make = |len: u64| vec![7_u64; len as usize / 8];
    plugin.provide(&gate("Make"), make)?.keep();
    let texts = |texts: View<'_, Vec<String>>| texts.len() as u64;
    plugin.provide(&gate("Texts"), texts)?.keep();
    let raw = |_: Context<'_>, bytes: Payload<'_>| bytes.len() as u64;
    plugin.provide_raw(&gate("Raw"), raw)?.keep();
    Ok(())
}

/// Calls a gate so many times with `len` bytes as argument or as result, and checks the answers.
fn call(plugin: &Plugin, gate: (&str, &str), len: usize, times: usize) -> Result<()> {
    let name = format!("{}.{}", gate.0, gate.1);
    match gate.1 {
        "Echo" => echo(plugin, &name, vec![3_u64; len / 8], times),
        "Floats" => echo(plugin, &name, vec![0.5_f32; len / 4], times),
        "Take" => take(plugin, &name, vec![3_u64; len / 8], times),
        "Texts" => take(
            plugin,
            &name,
            vec!["sixteen bytes ab".to_owned(); len / 16],
            times,
        ),
        "Make" => {
            let make = open::<(u64,), Vec<u64>>(plugin, &name);
            let expected = vec![7; len / 8];
            (0..times).try_for_each(|_| {
                assert!(make.invoke((len as u64,))? == expected);
                Ok(())
            })
        }
        "Raw" => {
            let raw = plugin.raw_subscriber::<u64>(&name)?;
            raw.wait_ready(PATIENCE)?;
            assert_eq!(raw.loan(len)?.invoke()?, len as u64);
            Ok(())
        }
        _ => panic!("{gate:?}?"),
    }
}

fn echo<T: GateType + PartialEq>(
    plugin: &Plugin,
    name: &str,
    values: Vec<T>,
    times: usize,
) -> Result<()>
where
    Vec<T>: GateType,
{
    let (echo, arguments) = (open::<(Vec<T>,), Vec<T>>(plugin, name), (values,));
    (0..times).try_for_each(|_| {
        assert!(echo.invoke_ref(&arguments)? == arguments.0);
        Ok(())
    })
}

fn take<T: GateType>(plugin: &Plugin, name: &str, values: Vec<T>, times: usize) -> Result<()>
where
    Vec<T>: GateType,
{
    let (take, len) = (open::<(Vec<T>,), u64>(plugin, name), values.len() as u64);
    let arguments = (values,);
    (0..times).try_for_each(|_| {
        assert_eq!(take.invoke_ref(&arguments)?, len);
        Ok(())
    })
}
