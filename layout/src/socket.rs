//! The path of the control socket, and the check of the directory around it.

use std::env;
use std::ffi::OsString;
use std::fs::{Metadata, symlink_metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

/// The longest path of a socket, in bytes: what the kernel's `sun_path` holds, with its final
/// zero.
pub const MAX_SOCKET_PATH: usize = 107;

/// The default socket of the user's bus: in `$XDG_RUNTIME_DIR/callgate`, or
/// otherwise in `/tmp/callgate-$UID`.
pub fn default_socket() -> PathBuf {
    socket_in(env::var_os("XDG_RUNTIME_DIR"), geteuid().as_raw())
}

fn socket_in(runtime: Option<OsString>, uid: u32) -> PathBuf {
    let directory = match runtime.map(PathBuf::from) {
        Some(runtime) if runtime.is_absolute() => runtime.join("callgate"),
        _ => PathBuf::from(format!("/tmp/callgate-{uid}")),
    };
    directory.join("bus.sock")
}

/// The directory that a socket is in.
pub fn directory_of(socket: &Path) -> &Path {
    match socket.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Returns why a directory cannot be trusted with a socket, or `Ok` if only this user can put anything into it.
///
/// Both sides check this: the broker before it makes its socket, and a plugin before it connects, so that no other
/// user can put a socket there.
pub fn check_directory(directory: &Path) -> Result<(), String> {
    let shown = directory.display();
    let read = |result: io::Result<Metadata>| {
        result.map_err(|error| format!("the directory {shown} cannot be read: {error}"))
    };
    let uid = geteuid().as_raw();
    let entry = read(symlink_metadata(directory))?;
    if entry.is_symlink() && entry.uid() != uid {
        let owner = entry.uid();
        return Err(format!(
            "{shown} is a symbolic link that belongs to user {owner}, not to user {uid}"
        ));
    }
    let target = read(directory.metadata())?;
    if !target.is_dir() {
        return Err(format!("{shown} is not a directory"));
    }
    if target.uid() != uid {
        let owner = target.uid();
        return Err(format!(
            "the directory {shown} belongs to user {owner}, not to user {uid}"
        ));
    }
    let mode = target.mode() & 0o7777;
    if mode & 0o022 != 0 {
        return Err(format!(
            "others can write into the directory {shown} (mode {mode:04o})"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_default_is_a_private_place() {
        let runtime = Some(OsString::from("/run/user/7"));
        let expected = Path::new("/run/user/7/callgate/bus.sock");
        assert_eq!(socket_in(runtime, 7), expected);
        let relative = Some(OsString::from("somewhere"));
        let expected = Path::new("/tmp/callgate-7/bus.sock");
        assert_eq!(socket_in(relative, 7), expected);
        assert_eq!(socket_in(None, 7), expected);
    }

    #[test]
    fn a_bare_name_is_in_the_current_directory() {
        assert_eq!(directory_of(Path::new("bus.sock")), Path::new("."));
        assert_eq!(directory_of(Path::new("/a/bus.sock")), Path::new("/a"));
    }

    /// A user who can replace a link on the path could make a plugin connect to another broker: such a path is
    /// refused.
    #[test]
    fn a_link_of_another_user_is_refused() {
        let name = format!("callgate-socket-link-{}", std::process::id());
        let directory = env::temp_dir().join(name);
        std::fs::create_dir(&directory).unwrap();
        set_permissions(&directory, Permissions::from_mode(0o700)).unwrap();
        let link = directory.join("link");
        std::os::unix::fs::symlink(&directory, &link).unwrap();
        let own = check_directory(&link);
        let is_other = std::os::unix::fs::lchown(&link, Some(65534), None).is_ok();
        let others = check_directory(&link);
        std::fs::write(directory.join("file"), "").unwrap();
        let file = check_directory(&directory.join("file"));
        std::fs::remove_dir_all(&directory).unwrap();
        assert_eq!(own, Ok(()));
        match is_other {
            true => assert!(others.is_err_and(|why| why.contains("user 65534"))),
            false => println!("skipped: only root gives links to others"),
        }
        assert!(file.is_err_and(|why| why.contains("is not a directory")));
        if geteuid().is_root() {
            return println!("skipped: everything may be root's");
        }
        assert!(check_directory(Path::new("/")).is_err_and(|why| why.contains("user 0")));
    }

    #[test]
    fn a_directory_that_others_can_write_into_is_refused() {
        let name = format!("callgate-socket-test-{}", std::process::id());
        let directory = env::temp_dir().join(name);
        std::fs::create_dir(&directory).unwrap();
        set_permissions(&directory, Permissions::from_mode(0o700)).unwrap();
        assert_eq!(check_directory(&directory), Ok(()));
        set_permissions(&directory, Permissions::from_mode(0o770)).unwrap();
        let refused = check_directory(&directory);
        std::fs::remove_dir(&directory).unwrap();
        assert!(refused.is_err_and(|why| why.contains("0770")));
        assert!(check_directory(&directory).is_err());
    }
}
