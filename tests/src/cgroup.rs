//! Memory cgroups for tests, on machines where they can be made.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// A memory cgroup of its own, which is removed when this is dropped.
#[derive(Debug)]
pub struct Cgroup {
    /// Its directory.
    pub directory: PathBuf,
}

/// The directories of memory cgroups, and the name of the file with the limit.
const PLACES: [(&str, &str); 2] = [
    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
    ("/sys/fs/cgroup", "memory.max"),
];

impl Cgroup {
    /// Makes a memory cgroup with a limit in MiB; the error says why that is not possible.
    pub fn new(mib: u64) -> Result<Cgroup, String> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("callgate-test-{}-{number}", std::process::id());
        let mut why = String::from("there are no memory cgroups");
        for (place, limit) in PLACES {
            let directory = PathBuf::from(place).join(&name);
            match fs::create_dir(&directory) {
                Ok(()) => {
                    let cgroup = Cgroup { directory };
                    let file = cgroup.directory.join(limit);
                    match fs::write(&file, (mib << 20).to_string()) {
                        Ok(()) => return Ok(cgroup),
                        Err(error) => why = format!("{}: {error}", file.display()),
                    }
                }
                Err(error) => why = format!("{}: {error}", directory.display()),
            }
        }
        Err(why)
    }

    /// Moves a process into it.
    pub fn take(&self, pid: u32) {
        let file = self.directory.join("cgroup.procs");
        fs::write(&file, pid.to_string()).expect("moving a process into a cgroup");
    }

    /// The bytes that the kernel has charged to it.
    pub fn usage(&self) -> u64 {
        let read = |name: &str| fs::read_to_string(self.directory.join(name));
        let text = read("memory.usage_in_bytes").or_else(|_| read("memory.current"));
        text.expect("its usage").trim().parse().expect("a number")
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Its processes may still be ending.
        for _ in 0..200 {
            match fs::remove_dir(&self.directory) {
                Err(_) if self.directory.exists() => {
                    std::thread::sleep(std::time::Duration::from_millis(10));
                }
                _ => return,
            }
        }
    }
}
