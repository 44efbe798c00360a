//! Plugins of one group, like those that a runtime makes for its children, but without children. They show what the
//! broker keeps for each.

use callgate_client::{Group, Plugin};

/// Connects so many plugins, and ends with its input.
pub(super) fn run(name: &str, more: &[String]) {
    let count: usize = more[0].parse().expect("a number");
    let group = Group::new().expect("a group");
    let connect = |n| {
        let builder = Plugin::builder(&format!("{name}{n}")).group(&group);
        builder.direct_calls(false).connect().expect("the bus")
    };
    let _plugins: Vec<Plugin> = (0..count).map(connect).collect();
    super::answer(|_| String::new());
}
