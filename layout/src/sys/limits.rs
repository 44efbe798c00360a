//! How many descriptors a process may have (`RLIMIT_NOFILE`), and the error text when it has none left.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};

/// How many descriptors this process may have now, the soft limit.
pub fn soft_limit() -> u64 {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft)
}

/// The soft limit before this process raised it.
static BEFORE: OnceLock<rlim_t> = OnceLock::new();

/// Raises this process's soft limit to its hard one. Returns the soft limit from before the first time that it was
/// raised here, if it ever was.
pub fn raise() -> io::Result<Option<rlim_t>> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
        let _ = BEFORE.set(soft);
    }
    Ok(BEFORE.get().copied())
}

/// Makes a program that is about to be started begin with this soft limit, whatever limit this process has: programs
/// that use `select` must not get descriptors beyond 1,023.
pub fn start_with(command: &mut Command, soft: rlim_t) {
    let lower = move || {
        // If somebody has lowered the hard limit meanwhile, the program starts with that one.
        if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
            let _ = setrlimit(Resource::RLIMIT_NOFILE, soft.min(hard), hard);
        }
        Ok(())
    };
    // SAFETY: the closure runs in the child between fork and exec, where only what is safe in a
    // signal handler may be done. It makes two system calls by wrappers that neither allocate nor
    // take locks, and owns nothing but a number.
    unsafe { command.pre_exec(lower) };
}

/// How many descriptors this process has open.
pub fn in_use() -> io::Result<u64> {
    const LIST: &str = "/proc/self/fd";
    // Since Linux 6.2 the size of the directory is the number of its entries; before, it was 0.
    match fs::metadata(LIST)?.len() {
        // Reading the directory takes one descriptor itself.
        0 => Ok(fs::read_dir(LIST)?.count().saturating_sub(1) as u64),
        count => Ok(count),
    }
}

/// Whether an error says that this process, or the whole machine, has no descriptor left.
pub fn is_shortage(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::EMFILE | Errno::ENFILE))
}

/// An error of the operating system as a sentence. If descriptors have run out, the text names the limit and says
/// what to do.
pub fn explain(error: &io::Error) -> String {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EMFILE) => format!("{error}: {Shortage}"),
        Some(Errno::ENFILE) => {
            format!("{error}: the whole machine has no descriptor left (fs.file-max)")
        }
        _ => error.to_string(),
    }
}

/// As [`explain`], as an error of the same kind.
pub fn explained(what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {}", explain(error)))
}

/// States which process reached its limit of descriptors, and what to do.
#[derive(Clone, Copy, Debug)]
pub struct Shortage;

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (pid, limit) = (std::process::id(), soft_limit());
        write!(
            f,
            "the process {pid} may have {limit} descriptors (RLIMIT_NOFILE) and has none to spare; \
             it must close some or be given a higher limit (ulimit -n), then this can be tried again"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Programs that a process starts get the limit that it had before it raised its own.
    #[test]
    fn the_limit_before_it_was_raised_is_kept() {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert_eq!(soft_limit(), soft);
        let before = (soft < hard).then_some(soft);
        assert_eq!(raise().unwrap(), before);
        assert_eq!(soft_limit(), hard);
        assert_eq!(raise().unwrap(), before);
        let mut shell = Command::new("sh");
        start_with(shell.args(["-c", "ulimit -Sn; ulimit -Hn"]), 100);
        let output = shell.output().unwrap().stdout;
        let hard = match hard {
            libc::RLIM_INFINITY => "unlimited".to_owned(),
            hard => hard.to_string(),
        };
        assert_eq!(String::from_utf8_lossy(&output), format!("100\n{hard}\n"));
    }

    #[test]
    fn a_shortage_is_told_from_other_errors() {
        let error = io::Error::from_raw_os_error;
        assert!(is_shortage(&error(libc::EMFILE)) && is_shortage(&error(libc::ENFILE)));
        assert!(!is_shortage(&error(libc::EPERM)) && !is_shortage(&io::Error::other("x")));
        assert!(explain(&error(libc::EMFILE)).contains("RLIMIT_NOFILE"));
        assert!(explain(&error(libc::ENFILE)).contains("fs.file-max"));
        assert_eq!(explain(&error(libc::EPERM)), error(libc::EPERM).to_string());
        let explained = explained("it", &error(libc::EPERM));
        assert_eq!(explained.kind(), io::ErrorKind::PermissionDenied);
        assert!(explained.to_string().starts_with("it: "));
    }

    #[test]
    fn open_descriptors_are_counted() {
        let before = in_use().unwrap();
        let files: Vec<_> = (0..200).map(|_| fs::File::open("/").unwrap()).collect();
        // Other tests open and close descriptors at the same time.
        let with = in_use().unwrap();
        assert!(with > before + 100, "{before} {with}");
        drop(files);
        assert!(in_use().unwrap() < with - 100);
    }
}
