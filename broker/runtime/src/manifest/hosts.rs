//! Which host a URL leads to, read so strictly that no other reader can find another one in it.

use std::fmt;

/// A host and its port; without one, the usual port of the URL's scheme.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Host {
    /// In small letters; an IPv6 address in brackets.
    name: String,
    port: Option<u16>,
}

/// Where a URL leads to.
pub(super) struct Target {
    host: Host,
    usual_port: u16,
}

impl Host {
    /// `HOST` or `HOST:PORT`.
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
    /// Of a URL with the scheme `http` or `https`. None for one with a user or with a character that is not allowed in a host, such
    /// as `\`, which some readers take for `/`; and for one with control characters, which some readers skip.
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

    /// The host, without its port where that is the usual one.
    pub(super) fn host(&self) -> Host {
        let port = self.host.port.filter(|port| *port != self.usual_port);
        Host {
            name: self.host.name.clone(),
            port,
        }
    }

    /// Whether it leads to a host that was declared, with the port or without it.
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

/// A name or an IPv4 address in ASCII, or an IPv6 address in brackets. Other letters have to be written as `xn--…`.
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
