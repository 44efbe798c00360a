//! Finds the host that a URL leads to. The parser is strict, so that no other parser can find a different host in the same URL.

use std::fmt;

/// A host and its port; without a port, the usual port of the URL's scheme is meant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Host {
    /// In lower case; an IPv6 address in brackets.
    name: String,
    port: Option<u16>,
}

/// The host and port that a URL leads to.
pub(super) struct Target {
    host: Host,
    usual_port: u16,
}

impl Host {
    /// Parses `HOST` or `HOST:PORT`.
    pub(super) fn parse(text: &str) -> Option<Host> {
        let end = match text.starts_with('[') {
            true => text.find(']')? + 1,
            false => text.find(':').unwrap_or(text.len()),
        };
        let (name, rest) = text.split_at(end);
        let port = match rest.strip_prefix(':') {
            Some(port) => Some(parse_port(port)?),
            None if rest.is_empty() => None,
            None => return None,
        };
        let name = is_host(name).then(|| name.to_ascii_lowercase())?;
        Some(Host { name, port })
    }
}

impl Target {
    /// Parses a URL with the scheme `http` or `https`. Returns `None` if the URL names a user; if the host has a character that is not
    /// allowed there, such as `\`, which some parsers take for `/`; or if there are control characters, which some parsers skip.
    pub(super) fn of(url: &str) -> Option<Target> {
        if url.contains(char::is_control) {
            return None;
        }
        let (scheme, rest) = url.split_once("://")?;
        let usual_port = match scheme.to_ascii_lowercase().as_str() {
            "http" => 80,
            "https" => 443,
            _ => return None,
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let host = Host::parse(&rest[..end])?;
        Some(Target { host, usual_port })
    }

    /// The host, without the port if it is the usual one of the scheme.
    pub(super) fn host(&self) -> Host {
        let port = self.host.port.filter(|port| *port != self.usual_port);
        Host {
            name: self.host.name.clone(),
            port,
        }
    }

    /// Whether the target is a declared host, which may be declared with or without its port.
    pub(super) fn is(&self, declared: &Host) -> bool {
        let port = self.host.port.unwrap_or(self.usual_port);
        self.host.name == declared.name && declared.port.unwrap_or(self.usual_port) == port
    }
}

impl fmt::Display for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(formatter, "{}:{port}", self.name),
            None => formatter.write_str(&self.name),
        }
    }
}

/// Whether a text is a name or an IPv4 address in ASCII, or an IPv6 address in brackets. Other letters must be written as `xn--…`.
fn is_host(name: &str) -> bool {
    match name
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
            let label = |label: &str| !label.is_empty() && label.chars().all(fits);
            name.split('.').all(label)
        }
    }
}

fn parse_port(text: &str) -> Option<u16> {
    let is_plain = text.chars().all(|c| c.is_ascii_digit());
    text.parse().ok().filter(|port| is_plain && *port != 0)
}
