use super::*;

fn paths(cgroups: &str, mounts: &str) -> Vec<String> {
    let found = directories(cgroups, mounts);
    let texts = found.iter().map(|(path, _)| path.display().to_string());
    texts.collect()
}

/// A limit that is not found kills: those above one's own cgroup count as much.
#[test]
fn every_level_of_both_versions_is_found() {
    let v2 = "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
    assert_eq!(
        paths("0::/user.slice/app.scope\n", v2),
        [
            "/sys/fs/cgroup/user.slice/app.scope",
            "/sys/fs/cgroup/user.slice",
            "/sys/fs/cgroup"
        ]
    );
    let v1 = "41 31 0:38 /docker/1 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n\
              42 31 0:39 /docker/1 /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu,cpuacct\n";
    let both = "9:cpu,cpuacct:/docker/1\n4:memory:/docker/1/in\n0::/\n";
    assert_eq!(
        paths(both, v1),
        ["/sys/fs/cgroup/memory/in", "/sys/fs/cgroup/memory"]
    );
    let outside = paths("4:memory:/elsewhere\n", v1);
    assert_eq!(outside, ["/sys/fs/cgroup/memory"], "at least the mount's");
    assert!(paths("", v1).is_empty() && paths("0::/x\n", "").is_empty());
    assert!(paths("garbage\n1:memory\n", "garbage\n1 2 - cgroup2\n").is_empty());
    let spaced = "30 24 0:26 / /a\\040b rw - cgroup2 none rw\n";
    assert_eq!(paths("0::/\n", spaced), ["/a b"]);
}

/// A cgroup is always full of cached files, and one without a limit is never full.
#[test]
fn cached_files_count_as_room() {
    let directory = std::env::temp_dir().join(format!("callgate-cgroup-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let write = |name: &str, text: &str| fs::write(directory.join(name), text).unwrap();
    for (names, prefix, none) in [(V2, "", "max\n"), (V1, "total_", "9223372036854771712\n")] {
        let cgroup = (directory.clone(), names);
        write(names.limit, none);
        assert_eq!(look(&cgroup), None);
        write(names.limit, "100000000\n");
        write(names.usage, "99000000\n");
        let stat = format!("anon 9\n{prefix}inactive_file 60000000\n{prefix}active_file 9000000\n");
        write("memory.stat", &stat);
        let level = look(&cgroup).unwrap();
        assert_eq!((level.limit, level.used), (100_000_000, 30_000_000));
        assert!(check(&level, 60 << 20).is_ok());
        let error = check(&level, 70_000_000).unwrap_err();
        let name = directory.display().to_string();
        assert!(error.to_string().contains(&name), "{error}");
    }
    fs::remove_dir_all(&directory).unwrap();
}
