//! Roles of `callgate-peer` for tests of groups: a process of many plugins, in one group or each by itself; one that
//! calls all of them; one that passes calls on; and one that forks.

use std::io::BufRead;

use callgate_client::{Group, HandlerError, Plugin, Provider, Subscriber};
use nix::unistd::daemon;

use crate::PATIENCE;
use crate::shorthand::open;

/// Plays a role if it is one of these.
pub fn play(role: &str, name: &str, more: &[String]) -> bool {
    match (role, more) {
        ("group", [count]) => host(name, Some(Group::new().expect("a group")), number(count)),
        ("alone", [count]) => host(name, None, number(count)),
        ("rounds", [of, count]) => rounds(name, of, number(count)),
        ("relay", to) => relay(name, to),
        ("forked-group", []) => forked(name),
        _ => return false,
    }
    true
}

fn number(text: &str) -> u64 {
    text.parse().expect("a number")
}

fn lines() -> impl Iterator<Item = String> {
    std::io::stdin().lock().lines().map_while(Result::ok)
}

/// The name of the plugin with this number.
pub fn member(name: &str, n: u64) -> String {
    format!("{name}{n}")
}

/// One of many plugins. Its gate adds the plugin's number to the argument.
fn one_of_many(name: &str, group: Option<&Group>, n: u64) -> (Plugin, Provider) {
    let name = member(name, n);
    let builder = Plugin::builder(&name);
    let builder = match group {
        Some(group) => builder.group(group),
        None => builder,
    };
    let plugin = builder.connect().expect("the bus");
    let add = plugin.provide(&format!("{name}.Add"), move |m: u64| m + n);
    (plugin, add.expect("providing"))
}

/// The gates of many plugins.
fn all_of_them(plugin: &Plugin, of: &str, count: u64) -> Vec<Subscriber<(u64,), u64>> {
    let gate = |n| open(plugin, &format!("{}.Add", member(of, n)));
    (0..count).map(gate).collect()
}

/// Calls each gate with some numbers, and returns how many answers were right.
fn round(gates: &[Subscriber<(u64,), u64>]) -> String {
    let mut right = 0;
    for m in 0..3 {
        for (gate, n) in gates.iter().zip(0..) {
            right += u64::from(gate.invoke((m,)).is_ok_and(|sum| sum == m + n));
        }
    }
    format!("{right}")
}

/// Many plugins, in a group or each by itself. Does what each line of its input says.
fn host(name: &str, mut group: Option<Group>, count: u64) {
    let first = one_of_many(name, group.as_ref(), 0);
    println!("ready");
    let (mut plugins, mut inside) = (vec![first], Vec::new());
    for line in lines() {
        match line.as_str() {
            "all" => plugins.extend((1..count).map(|n| one_of_many(name, group.as_ref(), n))),
            "one" => plugins.push(one_of_many(name, group.as_ref(), 0)),
            // Each plugin calls the next one, directly.
            "inside" => {
                let next = |((plugin, _), n): (&(Plugin, Provider), u64)| {
                    let gate = format!("{}.Add", member(name, (n + 1) % count));
                    open::<(u64,), u64>(plugin, &gate)
                };
                // They are opened one after the other, and link all plugins in a ring.
                inside = plugins.iter().zip(0..).map(next).collect();
                inside.rotate_right(1);
                println!("{}", round(&inside));
                continue;
            }
            "drop plugins" => (inside, plugins) = (Vec::new(), Vec::new()),
            "drop group" => group = None,
            other => panic!("unknown line {other}"),
        }
        println!("done");
    }
    drop(inside);
}

/// A plugin that calls all of many plugins once for each line.
fn rounds(name: &str, of: &str, count: u64) {
    let plugin = Plugin::builder(name).connect().expect("the bus");
    let gates = all_of_them(&plugin, of, count);
    println!("ready");
    for _ in lines() {
        println!("{}", round(&gates));
    }
}

/// A plugin that passes calls on to some others.
fn relay(name: &str, to: &[String]) {
    let plugin = Plugin::builder(name).connect().expect("the bus");
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    provide_relay(&plugin, &to).keep();
    println!("ready");
    lines().for_each(drop);
}

/// Provides a gate `Pass`. It calls the gate of the first plugin in its argument with the rest of them, and returns
/// through which plugins the call went. `to` are all plugins that it can be asked to call.
pub fn provide_relay(plugin: &Plugin, to: &[&str]) -> Provider {
    let open = |other: &&str| {
        let gate = plugin.subscriber::<(Vec<String>,), Vec<String>>(&format!("{other}.Pass"));
        let gate = gate.expect("opening").with_timeout(PATIENCE);
        ((*other).to_owned(), gate)
    };
    let ways: Vec<_> = to.iter().map(open).collect();
    let own = plugin.name().to_owned();
    let pass = move |route: Vec<String>| -> Result<Vec<String>, HandlerError> {
        let mut passed = vec![own.clone()];
        if let [next, others @ ..] = route.as_slice() {
            let way = ways.iter().find(|(name, _)| name == next);
            let (_, gate) = way.expect("it was told of it");
            gate.wait_ready(PATIENCE)?;
            passed.extend(gate.invoke((others.to_vec(),))?);
        }
        Ok(passed)
    };
    let gate = format!("{}.Pass", plugin.name());
    plugin.provide(&gate, pass).expect("providing")
}

/// A plugin of a group, whose process forks. The child drops what it has inherited, and prints whether it could
/// connect through that group, and whether its own memory is unchanged.
fn forked(name: &str) {
    let group = Group::new().expect("a group");
    let (plugin, add) = one_of_many(name, Some(&group), 0);
    println!("ready");
    let mut input = lines();
    input.next();
    daemon(true, true).expect("forking");
    let own: Vec<Vec<u8>> = (0..64_u8).map(|n| vec![n; 1 << 20]).collect();
    let refused = Plugin::builder("Child").group(&group).connect();
    drop((add, plugin, group));
    let is_intact = |(bytes, n): (&Vec<u8>, u8)| bytes.iter().all(|byte| *byte == n);
    let intact = own.iter().zip(0..).all(is_intact);
    let code = refused.map_err(|error| error.code()).map(drop);
    println!("{code:?} {intact}");
    input.for_each(drop);
}
