//! Which process comes from which, as `/proc` says.

use std::fs;

/// The most generations that are looked through.
const GENERATIONS: usize = 64;

/// Whether a process is another one, or its child, or that one's child, and so on. No, where one
/// between them has ended: then it is nobody's descendant any more.
pub(crate) fn descends(pid: u32, ancestor: u32) -> bool {
    let mut pid = pid;
    for _ in 0..GENERATIONS {
        match pid {
            0 | 1 => return pid == ancestor,
            _ if pid == ancestor => return true,
            _ => {}
        }
        let Some(parent) = stat(pid).and_then(|stat| stat.parent.parse().ok()) else {
            return false;
        };
        pid = parent;
    }
    false
}

/// Whether anybody of a process group runs. The group must have members, if only such as wait to be
/// reaped: else its number may be that of another.
pub(crate) fn group_is_alive(group: u32) -> bool {
    let group = group.to_string();
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(stat)
        .any(|stat| stat.group == group && !matches!(&*stat.state, "Z" | "X"))
}

struct Stat {
    state: String,
    parent: String,
    group: String,
}

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and can contain anything.
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().map(str::to_owned);
    Some(Stat {
        state: fields.next()?,
        parent: fields.next()?,
        group: fields.next()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::parent_id;
    use std::process::id;

    /// A stranger would pass for a plugin.
    #[test]
    fn descent_goes_upwards_only() {
        assert!(descends(id(), id()));
        assert!(descends(id(), parent_id()));
        assert!(!descends(parent_id(), id()));
        assert!(!descends(u32::MAX, id()));
    }
}
