//! Programs that the kernel cannot load.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use callgate::Broker;
use callgate_tests::shorthand::await_that;
use callgate_tests::{PATIENCE, Process};

use super::{PEER, quiet};

/// Takes a lease on a file. A process that opens the file, also to run it, waits until the lease is released: at the
/// end of the input, or when the kernel breaks it after 45 s.
const LEASE: &str = r#"$SIG{IO} = "IGNORE"; open my $file, "<", $ARGV[0] or die;
    fcntl $file, 1024, 1 or die; $| = 1; print "held\n"; <STDIN>"#;

fn is_run_anywhere(program: &Path) -> bool {
    let entries = fs::read_dir("/proc").expect("it is there").flatten();
    let mut programs = entries.filter_map(|entry| fs::read_link(entry.path().join("exe")).ok());
    programs.any(|running| running == program)
}

/// A program on a file system that does not answer delays only its own start, and not the bus.
#[test]
fn a_program_that_hangs_in_exec_holds_up_nobody_else() {
    let directory = tempfile::tempdir().unwrap();
    let hung = directory.path().join("hung");
    fs::copy("/bin/sleep", &hung).unwrap();
    fs::set_permissions(&hung, fs::Permissions::from_mode(0o700)).unwrap();
    let mut lease = Command::new("perl");
    lease.args(["-e", LEASE]).arg(&hung);
    let has_perl = Command::new("perl").arg("-v").output().is_ok();
    let mut lease = match has_perl {
        true => Process::spawn(lease),
        false => return println!("skipped: there is no perl, which takes the lease"),
    };
    if lease.line(PATIENCE).as_deref() != Ok("held") {
        return println!("skipped: no lease can be taken here");
    }
    // A start may take five steps.
    let broker = Broker::builder().without_socket();
    let broker = broker
        .step_deadline(Duration::from_millis(600))
        .start()
        .unwrap();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let start = || {
            let command = quiet(hung.to_str().unwrap(), &["1000"]);
            broker.spawn("hung", command)
        };
        // More than one, so that one additional thread in the broker would not be enough.
        let hanging: Vec<_> = (0..3).map(|_| scope.spawn(start)).collect();
        std::thread::sleep(Duration::from_millis(100));
        broker.snapshot().expect("the bus goes on");
        let child = broker.spawn("P", quiet(PEER, &["endless", "P"])).unwrap();
        child.wait_ready(PATIENCE).expect("others are started");
        assert!(
            hanging.iter().all(|start| !start.is_finished()),
            "they still hang"
        );
        for start in hanging {
            let error = start.join().unwrap().unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::TimedOut, "{error}");
            assert!(error.to_string().contains("loading"), "{error}");
        }
    });
    let stopping = Instant::now();
    broker.stop();
    assert!(stopping.elapsed() < PATIENCE, "nor does it hold up the end");
    assert!(
        begun.elapsed() < Duration::from_secs(40),
        "else the kernel has broken the lease"
    );
    // Closing its input is not enough: the hanging program has inherited the other end.
    lease.kill();
    std::thread::sleep(Duration::from_millis(200));
    await_that("what is loaded after all is killed", || {
        !is_run_anywhere(&hung)
    });
}
