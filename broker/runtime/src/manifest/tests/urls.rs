//! Which host is found in a URL.

use proptest::prelude::*;

use super::super::hosts::{Host, Target};

fn host(url: &str) -> Option<String> {
    Target::of(url).map(|target| target.host().to_string())
}

fn is(url: &str, declared: &str) -> bool {
    let declared = Host::parse(declared).expect(declared);
    Target::of(url).is_some_and(|target| target.is(&declared))
}

#[test]
fn the_host_is_what_stands_before_the_path() {
    for (url, expected) in [
        ("https://api.example.com", "api.example.com"),
        ("HTTPS://API.Example.COM/a?b#c", "api.example.com"),
        ("https://example.com?x=https://other.org", "example.com"),
        ("https://example.com#@other.org", "example.com"),
        ("http://example.com:80/", "example.com"),
        ("https://example.com:443/", "example.com"),
        ("https://example.com:80/", "example.com:80"),
        ("http://127.0.0.1:8080/a@b", "127.0.0.1:8080"),
        ("http://[::1]:9/", "[::1]:9"),
        ("http://[::1]/", "[::1]"),
        ("https://example.com/\\@other.org and more", "example.com"),
    ] {
        assert_eq!(host(url).as_deref(), Some(expected), "{url}");
    }
}

/// Two parsers can find different hosts in one URL: the check would see one host, and the request go to the other.
#[test]
fn urls_that_readers_could_disagree_on_have_no_host() {
    for url in [
        "",
        "example.com",
        "//example.com",
        "ftp://example.com",
        "file:///etc/passwd",
        "https:///example.com",
        "https://",
        "https://user@example.com",
        "https://example.com:pass@other.org/",
        "https://example.com\\@other.org",
        "https://exa\tmple.com",
        "https://example.com\n",
        " https://example.com",
        "https://ex%61mple.com",
        "https://exämple.com",
        "https://example.com.",
        "https://.example.com",
        "https://example.com:",
        "https://example.com:+80",
        "https://example.com:0",
        "https://example.com:65536",
        "https://example.com:80:80",
        "https://[::1",
        "https://[::1]x",
        "https://[example.com]",
        "https://::1/",
        "https://*",
    ] {
        assert_eq!(host(url), None, "{url:?}");
    }
}

#[test]
fn a_port_that_was_not_declared_is_the_usual_one() {
    assert!(is("https://example.com/", "example.com"));
    assert!(is("https://example.com/", "Example.com:443"));
    assert!(is("https://example.com:443/", "example.com"));
    assert!(is("http://example.com/", "example.com:80"));
    assert!(is("http://example.com:8080/", "example.com:8080"));
    assert!(!is("http://example.com:8080/", "example.com"));
    assert!(!is("http://example.com/", "example.com:443"));
    assert!(!is("http://example.com/", "example.com:8080"));
    assert!(!is("http://www.example.com/", "example.com"));
    assert!(!is("http://example.com.evil.org/", "example.com"));
}

proptest! {
    /// The host that the error names allows the request once it is declared.
    #[test]
    fn a_host_that_is_named_can_be_declared(url in "https?://[a-zA-Z0-9.:@/\\[\\]\\\\?#%_-]{0,24}") {
        if let Some(target) = Target::of(&url) {
            let named = target.host().to_string();
            let declared = Host::parse(&named).expect("what is shown can be read");
            prop_assert!(target.is(&declared), "{} of {}", named, url);
        }
    }

    #[test]
    fn no_text_makes_it_panic(url in ".*") {
        let _ = Target::of(&url);
        let _ = Host::parse(&url);
    }
}
