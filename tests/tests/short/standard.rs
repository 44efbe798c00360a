//! A program whose standard streams are closed.

use std::process::Command;

use callgate_tests::{Bus, Process, programs};

/// What a daemon prints does not go into its control socket, its epoll or its eventfd.
#[test]
fn what_is_printed_without_streams_goes_nowhere() {
    let bus = Bus::without_broker(programs!());
    let report = bus.directory().join("report");
    let mut command = Command::new(programs!().peer);
    command
        .args(["closed", "closed"])
        .arg(&report)
        .env("CALLGATE_SOCKET", bus.socket());
    let status = Process::spawn(command).wait();
    let report = std::fs::read_to_string(report).unwrap_or_default();
    assert!(status.success(), "{report}");
    let lines: Vec<&str> = report.lines().collect();
    assert_eq!(lines.len(), 7, "{report}");
    // After the start and after connecting, all three exist and lead nowhere. When they are closed again, they stay
    // closed, whatever the plugin receives.
    assert_eq!(lines[..3], ["/dev/null"; 3], "{report}");
    assert_eq!(lines[3..6], ["closed"; 3], "{report}");
    assert_eq!(lines[6], "42", "{report}");
}
