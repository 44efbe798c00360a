use super::*;
use proptest::prelude::{prop_assert_eq, proptest};

/// What a pattern means, by trying everything.
fn naive(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern, name) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => (0..=name.len()).any(|at| naive(rest, &name[at..])),
        ([a, rest @ ..], [b, name @ ..]) => a == b && naive(rest, name),
        _ => false,
    }
}

proptest! {
    #[test]
    fn a_star_stands_for_any_run(pattern in "[ab*]{0,7}", name in "[ab]{0,8}") {
        let expected = naive(pattern.as_bytes(), name.as_bytes());
        prop_assert_eq!(Pattern::new(&pattern).matches(&name), expected);
    }
}

/// One letter must not serve for two parts of a pattern: random names seldom show it.
#[test]
fn each_part_takes_characters_of_its_own() {
    for (pattern, name, expected) in [
        ("*a*a*", "a", false),
        ("*a*a*", "aa", true),
        ("a*a", "a", false),
        ("a*a", "aa", true),
        ("*ab*ba*", "aba", false),
        ("*ab*ba*", "abba", true),
    ] {
        let matches = Pattern::new(pattern).matches(name);
        assert_eq!(matches, expected, "{pattern} {name}");
    }
}

/// A capability took away what was said before it.
#[test]
fn each_capability_keeps_what_stands_beside_it() {
    let said = [
        "gate.subscribe:A",
        "gate.provide:B",
        "gate.call:C",
        "topic.send:D",
        "share.create:E",
        "share.read:F",
    ];
    type May = fn(&Policy, &str) -> bool;
    let rights: [(&str, May); 6] = [
        ("A", Policy::may_subscribe),
        ("B", Policy::may_provide),
        ("C", Policy::may_call),
        ("D", Policy::may_send),
        ("E", Policy::may_create_share),
        ("F", Policy::may_read_share),
    ];
    for turn in 0..said.len() {
        let mut said = said;
        said.rotate_left(turn);
        let policy = Policy::from_capabilities(said).unwrap();
        for (allowed, may) in rights {
            for name in ["A", "B", "C", "D", "E", "F"] {
                assert_eq!(may(&policy, name), name == allowed, "{name} of {said:?}");
            }
        }
    }
}

/// A prefix of which a pattern leaves out some names would be heard in part, and nobody would be told.
#[test]
fn a_prefix_takes_a_pattern_for_all_of_its_names() {
    let policy = Policy::new()
        .subscribe("p.*")
        .subscribe("q.*.x")
        .subscribe("r.");
    assert!(policy.may_subscribe("p.") && policy.may_subscribe("p.q."));
    for prefix in ["p", "q.", "q.a.x.", "r.", "."] {
        assert!(!policy.may_subscribe(prefix), "{prefix}");
    }
    assert!(Policy::new().subscribe("*").may_subscribe("x.y."));
}

#[test]
fn nothing_is_allowed_that_is_not_said() {
    let policy = Policy::from_capabilities(["gate.provide:Rack.*", "gate.call:Mixer.Level"]);
    let policy = policy.unwrap();
    assert!(policy.may_provide("Rack.Filter") && !policy.may_provide("Rac.Filter"));
    assert!(policy.may_call("Mixer.Level") && !policy.may_call("Mixer.level"));
    assert!(!policy.may_call("Rack.Filter") && !policy.may_subscribe("Rack.Filter"));
    assert!(!policy.may_send("Rack.Filter") && !policy.may_send("Mixer.Level"));
    for wrong in [
        "gate.provide",
        "gate.own:A",
        "",
        "call:A",
        "topic.own:A",
        "gate.send:A",
        // It allowed what has no name.
        "topic.send:",
        "share.read:",
    ] {
        let error = Policy::from_capabilities([wrong]).unwrap_err();
        assert!(error.to_string().contains(&format!("`{wrong}`")));
    }
}

#[test]
fn a_plugin_has_the_policy_of_its_name_or_of_the_longest_pattern() {
    let mut policies = Policies::default();
    policies.set("callgate-*", Some(Policy::new().call("*")));
    policies.set("callgate-ping-*", Some(Policy::new().call("Echo.*")));
    policies.set("callgate-ping-1", Some(Policy::new()));
    assert!(policies.may_call("callgate-ls-7", "A.B"));
    assert!(!policies.may_call("callgate-ping-7", "A.B"));
    assert!(!policies.may_call("callgate-ping-1", "Echo.X"));
    assert!(policies.may_call("Other", "A.B") && policies.may_provide("Other", "A.B"));
    policies.strict = true;
    assert!(!policies.may_call("Other", "A.B") && !policies.admits("Other"));
    assert!(policies.admits("callgate-ls-7"));
    policies.set("callgate-ping-1", None);
    assert!(policies.may_call("callgate-ping-1", "Echo.X"));
}

#[test]
fn limits_are_the_bus_s_where_a_policy_says_nothing() {
    let all = PluginLimits {
        gates: 1,
        opens: 2,
        links: 3,
        extent_mib: 4,
        schema_mib: 1,
        share_mib: 8,
        shares: 8,
    };
    let mut policies = Policies::default();
    policies.set("A", Some(Policy::new().opens(7)));
    assert_eq!(policies.limits("A", all), PluginLimits { opens: 7, ..all });
    assert_eq!(policies.limits("B", all), all);
}

/// Each limit is one of its own, and leaves what was said before it.
#[test]
fn each_limit_is_the_one_that_is_said() {
    let all = PluginLimits {
        gates: 1,
        opens: 2,
        links: 3,
        extent_mib: 4,
        schema_mib: 1,
        share_mib: 8,
        shares: 8,
    };
    let mut policies = Policies::default();
    let mut limits = |policy: Policy| {
        assert!(policy.may_call("Echo"), "what was said before");
        policies.set("A*", Some(policy));
        let requests = policies.requests_per_second("A1");
        assert_eq!(policies.requests_per_second("B"), None);
        (policies.limits("A1", all), requests)
    };
    let policy = || Policy::new().call("Echo");
    assert_eq!(limits(policy()), (all, None));
    let expected = PluginLimits { gates: 9, ..all };
    assert_eq!(limits(policy().gates(9)), (expected, None));
    let expected = PluginLimits { opens: 9, ..all };
    assert_eq!(limits(policy().opens(9)), (expected, None));
    let expected = PluginLimits { links: 9, ..all };
    assert_eq!(limits(policy().links(9)), (expected, None));
    let expected = PluginLimits {
        extent_mib: 9,
        ..all
    };
    assert_eq!(limits(policy().extent_mib(9)), (expected, None));
    let expected = PluginLimits {
        schema_mib: 9,
        ..all
    };
    assert_eq!(limits(policy().schema_mib(9)), (expected, None));
    assert_eq!(limits(policy().requests_per_second(9)), (all, Some(9)));
}

/// A strict bus lets those do what their policies say, and nobody else anything.
#[test]
fn a_strict_bus_allows_what_is_said_alone() {
    for strict in [false, true] {
        let mut policies = Policies {
            strict,
            ..Policies::default()
        };
        policies.set("A", Some(Policy::new().provide("P").call("C")));
        assert!(policies.admits("A") && policies.admits("B") != strict);
        assert!(policies.may_provide("A", "P") && !policies.may_provide("A", "C"));
        assert!(policies.may_call("A", "C") && !policies.may_call("A", "P"));
        assert_eq!(policies.may_provide("B", "P"), !strict);
        assert_eq!(policies.may_call("B", "C"), !strict);
    }
}

/// With a right to some names under it, a plugin took all of them by a prefix.
#[test]
fn a_prefix_takes_a_pattern_for_all_that_is_under_it() {
    for (pattern, prefix, may) in [
        ("*", "a.", true),
        ("a.*", "a.", true),
        ("a.*", "a.b.", true),
        ("a*", "a.", true),
        ("*.b.*", "a.b.", true),
        ("a.b*", "a.", false),
        ("a.*.c", "a.b.", false),
        ("*.", "a.", false),
        ("a.", "a.", false),
        ("b.*", "a.", false),
    ] {
        let policy = Policy::new().provide(pattern);
        assert_eq!(policy.may_provide(prefix), may, "{pattern} {prefix}");
        let name = format!("{prefix}x");
        assert!(!may || policy.may_provide(&name), "{pattern} {name}");
    }
    let mut policies = Policies::default();
    policies.set("P", Some(Policy::new().provide("a.b")));
    let is_granted = policies.between("C", "P");
    assert!(is_granted("a.b", "a.b") && !is_granted("a.b", "a."));
}

/// A plugin whose name another one had before was left with what that one had been allowed.
#[test]
fn a_lent_policy_is_taken_back_and_the_one_before_holds_again() {
    let mut policies = Policies::default();
    policies.set("A*", Some(Policy::new().call("by.pattern")));
    policies.lend("AB", Policy::new().call("lent"));
    let may = |policies: &Policies, gate: &str| policies.may_call("AB", gate);
    assert!(may(&policies, "lent") && !may(&policies, "by.pattern"));
    policies.take_back("AB");
    assert!(!may(&policies, "lent") && may(&policies, "by.pattern"));
    policies.set("AB", Some(Policy::new().call("named")));
    policies.lend("AB", Policy::new().call("lent"));
    // Of other names nothing is said.
    policies.set("A*", None);
    assert!(may(&policies, "lent") && !may(&policies, "named"));
    policies.take_back("AB");
    assert!(may(&policies, "named"));
    // Who says something of the name itself is the last to do so.
    policies.lend("AB", Policy::new().call("lent"));
    policies.set("AB", Some(Policy::new().call("newer")));
    assert!(may(&policies, "newer") && !may(&policies, "lent"));
    policies.take_back("AB");
    assert!(may(&policies, "newer"));
}
