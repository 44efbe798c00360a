//! The limit of a broker's descriptors, and for what it uses the last ones.

use std::process::Command;

use callgate_client::{Code, Plugin};
use callgate_tests::shorthand::open;
use callgate_tests::{Bus, Process, programs};

use crate::tell;

/// A program with these limits, soft and hard.
fn limited(soft: u32, hard: u32, program: &str, arguments: &[&str], bus: &Bus) -> Process {
    let mut command = Command::new("sh");
    let script = format!("ulimit -Sn {soft} && ulimit -Hn {hard} && exec \"$0\" \"$@\"");
    command.args(["-c", &script, program]).args(arguments);
    command.env("CALLGATE_SOCKET", bus.socket());
    Process::spawn(command)
}

/// A broker at its limit still lists the bus, and links plugins that are connected.
#[test]
fn at_its_limit_a_broker_links_and_lists() {
    let bus = Bus::without_broker(programs!());
    let mut broker = limited(256, 256, programs!().program, &["serve"], &bus);
    assert!(broker.expect_line().starts_with("listening on "));
    let mut plugins: Vec<Plugin> = Vec::new();
    let refused = loop {
        match bus.builder(&format!("plugin-{}", plugins.len())).connect() {
            Ok(plugin) => plugins.push(plugin),
            Err(error) => break error,
        }
        assert!(plugins.len() < 256, "there is no limit");
    };
    println!("{} plugins under a limit of 256", plugins.len());
    assert!(plugins.len() > 40, "only {}", plugins.len());
    assert_eq!(refused.code(), Code::System, "{refused}");
    let message = refused.message();
    assert!(message.contains(&format!("broker's process {}", broker.id())));
    assert!(
        message.contains("of its 256 descriptors (RLIMIT_NOFILE)"),
        "{message}"
    );
    let _gate = plugins[0].provide("G", |a: u64, b: u64| a + b).unwrap();
    for plugin in &plugins[1..] {
        let add = open::<(u64, u64), u64>(plugin, "G");
        assert_eq!(add.invoke((20, 22)).unwrap(), 42);
    }
    let ls = Command::new(programs!().program)
        .args(["ls", "--json"])
        .env("CALLGATE_SOCKET", bus.socket())
        .output()
        .unwrap();
    assert!(ls.status.success(), "{ls:?}");
    plugins.truncate(10);
    let again = std::iter::repeat_with(|| bus.builder("again").connect());
    assert!(
        again.take(1000).any(|plugin| plugin.is_ok()),
        "there is room again"
    );
}

/// A broker raises its soft limit, so a host has room for thousands of plugins, and not only for some hundred. The
/// programs that it starts get the old limit.
#[test]
fn a_broker_raises_the_limit_and_its_plugins_begin_with_the_old_one() {
    let limits = |rest: &str| {
        let bus = Bus::without_broker(programs!());
        let mut host = limited(200, 4000, programs!().peer, &["cramped", "host"], &bus);
        assert_eq!(host.expect_line(), "ready");
        tell(&mut host, &format!("broker{rest}"));
        let own = host.ask("soft");
        tell(&mut host, "spawn child");
        let plugin = bus.plugin("Caller");
        open::<(u64, u64), u64>(&plugin, "child.Add");
        let listing = plugin.list().unwrap();
        let plugins = listing["plugins"].as_array().unwrap();
        let child = plugins
            .iter()
            .find(|plugin| plugin["name"] == "child")
            .unwrap();
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", child["pid"])).unwrap();
        let line = limits
            .lines()
            .find(|line| line.starts_with("Max open files"));
        let soft = line.unwrap().split_whitespace().nth(3).unwrap().to_owned();
        (own, soft)
    };
    assert_eq!(limits(""), ("4000".to_owned(), "200".to_owned()));
    assert_eq!(limits(" modest"), ("200".to_owned(), "200".to_owned()));
}

/// The descriptors that a plugin costs its host. The documentation of the builder states the figures.
#[test]
fn plugins_take_few_descriptors() {
    let bus = Bus::without_broker(programs!());
    let mut host = limited(4000, 4000, programs!().peer, &["cramped", "host"], &bus);
    assert_eq!(host.expect_line(), "ready");
    tell(&mut host, "broker");
    tell(&mut host, "inside host");
    tell(&mut host, "provide host.Add");
    let mut count = || host.ask("count").parse::<usize>().unwrap();
    let empty = count();
    for n in 0..10 {
        tell(&mut host, &format!("inside in-{n}"));
    }
    let mut count = || host.ask("count").parse::<usize>().unwrap();
    let inside = count();
    tell(&mut host, "link");
    let mut count = || host.ask("count").parse::<usize>().unwrap();
    let linked = count();
    for n in 0..10 {
        tell(&mut host, &format!("spawn p{n}"));
    }
    // Each has a link to the host.
    for n in 0..10 {
        let gate = format!("p{n}.Add");
        tell(&mut host, &format!("open {gate}"));
        callgate_tests::shorthand::await_that("it can be called", || {
            host.ask(&format!("call {gate}")) == "42"
        });
    }
    let mut count = || host.ask("count").parse::<usize>().unwrap();
    let spawned = count();
    let (inside, links, spawned) = (inside - empty, linked - inside, spawned - linked);
    println!(
        "ten plugins inside: {inside} descriptors; their links with the host: {links}; \
         ten spawned and linked: {spawned}"
    );
    assert!(inside <= 60, "{inside}");
    assert_eq!(links, 0);
    assert!(spawned <= 50, "{spawned}");
}

/// A plugin with many shares leaves descriptors for links between other plugins.
#[test]
fn shares_leave_descriptors_for_links_and_plugins() {
    let bus = Bus::without_broker(programs!());
    let mut broker = limited(256, 256, programs!().program, &["serve"], &bus);
    assert!(broker.expect_line().starts_with("listening on "));
    let (maker, provider) = (bus.plugin("maker"), bus.plugin("provider"));
    let _gate = provider.provide("G", |a: u64, b: u64| a + b).unwrap();
    let mut shares = Vec::new();
    let refused = loop {
        match maker
            .shares()
            .get_or_create(&format!("s.{}", shares.len()), || 7_u64)
        {
            Ok(share) => shares.push(share),
            Err(error) => break error,
        }
        assert!(shares.len() < 256, "there is no limit");
    };
    assert!(shares.len() > 50, "only {}", shares.len());
    assert_eq!(refused.code(), Code::System, "{refused}");
    assert!(refused.message().contains("RLIMIT_NOFILE"), "{refused}");
    let cell = |n: u32| maker.shares().cell_writer::<u64>(&format!("c.{n}"));
    let cells: Result<Vec<_>, _> = (0..5).map(cell).collect();
    assert_eq!(cells.err().map(|error| error.code()), Some(Code::System));
    for n in 0..10 {
        let plugin = bus.plugin(&format!("plugin-{n}"));
        let add = open::<(u64, u64), u64>(&plugin, "G");
        assert_eq!(add.invoke((20, 22)).unwrap(), 42);
    }
    shares.truncate(10);
    let again = std::iter::repeat_with(|| maker.shares().get_or_create("again", || 7_u64));
    assert!(
        again.take(1000).any(|share| share.is_ok()),
        "there is room again"
    );
}
