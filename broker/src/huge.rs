//! How the kernel rounds up the memory of files.

use std::fs;

const SETTINGS: &str = "/sys/kernel/mm/transparent_hugepage";

/// Returns the unit, in MiB, in which the kernel gives memory to a memory file. If it makes all such files of huge pages, that is the size
/// of one; otherwise 1, the size of the smallest extent. A change of the setting counts from the broker's next start on.
pub(crate) fn unit_mib() -> u32 {
    let read = |name: &str| fs::read_to_string(format!("{SETTINGS}/{name}")).unwrap_or_default();
    unit(&read("shmem_enabled"), &read("hpage_pmd_size"))
}

/// `within_size` makes huge pages only where the whole of one is used, so it rounds nothing up.
fn unit(enabled: &str, size: &str) -> u32 {
    let is_rounded = ["[always]", "[force]"]
        .iter()
        .any(|set| enabled.contains(set));
    let size: u32 = size.trim().parse().unwrap_or(2 << 20);
    match is_rounded {
        true => size.div_ceil(1 << 20),
        false => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Extents of 1 MiB would take twice the memory that is charged for them.
    #[test]
    fn huge_pages_are_charged_whole() {
        let set = |value: &str| {
            let all = "always within_size advise never deny force";
            all.replace(value, &format!("[{value}]"))
        };
        assert_eq!(unit(&set("always"), "2097152\n"), 2);
        assert_eq!(unit(&set("force"), "33554432\n"), 32);
        assert_eq!(unit(&set("force"), ""), 2);
        for value in ["within_size", "advise", "never", "deny"] {
            assert_eq!(unit(&set(value), "2097152\n"), 1);
        }
        assert_eq!(unit("", ""), 1, "a kernel without huge pages");
    }
}
