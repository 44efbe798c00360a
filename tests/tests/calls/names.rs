//! Names, and how a plugin joins a bus.

use callgate_client::{Code, Plugin};
use callgate_tests::shorthand::{await_that, code, open};
use callgate_tests::{Bus, programs};

use crate::support::SHORT;

/// Two plugins cannot have one name, and the name is free when its plugin is gone.
#[test]
fn a_name_is_taken_while_its_plugin_lives() {
    let bus = Bus::start(programs!());
    let first = bus.peer("idle", "Same", &[]);
    let error = bus.builder("Same").connect().unwrap_err();
    assert_eq!(error.code(), Code::NameTaken);
    assert!(
        error.message().contains(&first.id().to_string()),
        "it names the process: {error}"
    );
    first.kill();
    let mut second = None;
    await_that("the name is free after a death", || {
        second = bus.builder("Same").connect().ok();
        second.is_some()
    });
    assert_eq!(code(bus.builder("Same").connect()), Code::NameTaken);
    drop(second);
    await_that("the name is free after a plugin was dropped", || {
        bus.builder("Same").connect().is_ok()
    });
}

/// Names that would break listings and logs are refused, and long messages still fit their records.
#[test]
fn impossible_names_are_refused() {
    let bus = Bus::start(programs!());
    let plugin = bus.plugin("Plugin");
    let long = "n".repeat(1000);
    for name in ["", "line\nbreak", "bell\u{7}", "nul\0", "del\u{7f}", &long] {
        assert_eq!(
            code(bus.builder(name).connect()),
            Code::InvalidArgument,
            "{name:?}"
        );
        assert_eq!(
            code(plugin.provide(name, || ())),
            Code::InvalidArgument,
            "{name:?}"
        );
        assert_eq!(
            code(plugin.provide_action(name, || ())),
            Code::InvalidArgument,
            "{name:?}"
        );
        assert_eq!(
            code(plugin.subscriber::<(), ()>(name)),
            Code::InvalidArgument,
            "{name:?}"
        );
    }
    let described = bus.builder("Other").display_name("d".repeat(100_000));
    assert_eq!(code(described.connect()), Code::InvalidArgument);
    assert_eq!(
        code(bus.builder("Other").version("1".repeat(100_000)).connect()),
        Code::InvalidArgument
    );
    // The refusals do not end the session, and other names are accepted.
    let odd = "Größe / Ø 名 🎛";
    let _kept = plugin.provide(odd, || 1_u8).unwrap();
    let other = bus.builder(odd).connect().unwrap();
    assert_eq!(open::<(), u8>(&other, odd).invoke(()).unwrap(), 1);
}

/// An error of connecting says what is wrong.
#[test]
fn connecting_says_what_is_wrong() {
    let directory = tempfile::TempDir::new().unwrap();
    let at = |path: &std::path::Path| Plugin::builder("Plugin").socket(path).connect();
    for path in ["bus.sock", "no/such/directory/bus.sock"] {
        let path = directory.path().join(path);
        let error = at(&path).unwrap_err();
        assert_eq!(error.code(), Code::BrokerGone);
        assert!(
            error.message().contains(&*path.to_string_lossy()),
            "{error}"
        );
    }
    let long = directory.path().join("d".repeat(120));
    let error = at(&long).unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(error.message().contains("107"), "{error}");
    // A file that is no socket, and a socket whose broker was killed.
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert_eq!(code(at(&file)), Code::BrokerGone);
    let mut bus = Bus::start(programs!());
    bus.kill_broker();
    assert!(bus.socket().exists());
    assert_eq!(code(bus.builder("Plugin").connect()), Code::BrokerGone);
    // A socket that accepts connections and never answers.
    let mute = directory.path().join("mute");
    let listener = nix::sys::socket::socket(
        nix::sys::socket::AddressFamily::Unix,
        nix::sys::socket::SockType::SeqPacket,
        nix::sys::socket::SockFlag::SOCK_CLOEXEC,
        None,
    )
    .unwrap();
    let address = nix::sys::socket::UnixAddr::new(&mute).unwrap();
    nix::sys::socket::bind(std::os::fd::AsRawFd::as_raw_fd(&listener), &address).unwrap();
    nix::sys::socket::listen(&listener, nix::sys::socket::Backlog::new(1).unwrap()).unwrap();
    let patient = Plugin::builder("Plugin").socket(&mute).timeout(SHORT);
    assert_eq!(code(patient.connect()), Code::Timeout);
}
