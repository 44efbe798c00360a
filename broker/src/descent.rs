//! Which process descends from which, as `/proc` says.

use std::fs;

/// How many generations are looked through at most.
const GENERATIONS: usize = 64;

/// Whether a process is `ancestor`, or its child, or the child of that child, and so on. No, if a process between them has ended: then the
/// kernel has given its children to another parent.
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

/// Whether a process of this group still runs. The group must have members, even if only ones that wait to be reaped; otherwise its number
/// may have been given to another group.
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
    // The name of the program is in parentheses, and can contain anything.
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

    /// A process that does not descend from another must not pass for its child.
    #[test]
    fn descent_goes_upwards_only() {
        assert!(descends(id(), id()));
        assert!(descends(id(), parent_id()));
        assert!(!descends(parent_id(), id()));
        assert!(!descends(u32::MAX, id()));
    }
}
