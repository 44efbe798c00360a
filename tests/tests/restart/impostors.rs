//! The process that listens at the socket is not the next broker, or does not answer: it belongs to another user,
//! speaks another version, or stands still.

use std::fs::Permissions;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use callgate_client::Code;
use callgate_layout::control::{MAX_RECORD, VERSION, header};
use callgate_tests::restart::{Standing, Told};
use callgate_tests::shorthand::{code, open};
use callgate_tests::{Bus, PATIENCE, Process, programs};
use nix::sys::signal::Signal;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, accept, bind, listen, recv, send, socket,
};

const SOON: Duration = Duration::from_secs(2);

/// A socket at the bus's path, on which nobody listens yet.
fn socket_at(bus: &Bus) -> OwnedFd {
    std::fs::remove_file(bus.socket()).expect("a killed broker has left it");
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None).expect("a socket");
    let address = UnixAddr::new(&bus.socket()).expect("a short path");
    bind(socket.as_raw_fd(), &address).expect("nothing is there");
    socket
}

/// A process of another user that listens on it.
fn listener_of_another_user(bus: &Bus) -> Process {
    // The test uses a copy of the program, because another user may not enter the directory of the build.
    let folder = tempfile::tempdir().expect("a directory");
    let everybody = Permissions::from_mode(0o755);
    std::fs::set_permissions(folder.path(), everybody).expect("it is ours");
    let program = folder.path().join("peer");
    std::fs::copy(programs!().peer, &program).expect("a copy");
    let mut command = Command::new(&program);
    command.args(["listener", "X"]).current_dir("/");
    command.uid(65_534).gid(65_534);
    let mut listener = Process::with_input(command, socket_at(bus));
    assert_eq!(listener.expect_line(), "listening");
    listener
}

/// A plugin sends nothing to a socket on which another user's process listens, and reports it.
#[test]
fn a_socket_of_another_user_is_not_used_and_said() {
    if !nix::unistd::geteuid().is_root() {
        return println!("skipped: becoming another user needs root");
    }
    let mut bus = Bus::start(programs!());
    let _provider = bus.peer("provider", "P", &[]);
    let caller = bus.plugin("Caller");
    let add = open::<(u64, u64), u64>(&caller, "P.Add");
    let calls = Standing::start("P.Add", move |n| add.invoke((n, 1)).map(drop));
    let absent = caller.subscriber::<(), ()>("Nobody.Gate").unwrap();
    let absent = absent.with_timeout(Duration::from_millis(200));
    let told = Told::by(&caller);
    bus.kill_broker();
    told.lost();
    let foreign = listener_of_another_user(&bus);
    let why = told.refused();
    assert_eq!(why.code(), Code::PermissionDenied);
    assert!(why.message().contains("65534"), "{why}");
    let error = absent.invoke(()).unwrap_err();
    assert_eq!(error.code(), Code::BrokerGone);
    assert!(error.message().contains("65534"), "{error}");
    assert!(caller.wait_closed_for(Duration::ZERO).is_none());
    calls.expect_progress();
    foreign.kill();
    bus.start_broker();
    told.back();
    calls.finish();
}

/// A plugin that meets a broker of another version gives up for good, and its links go on.
#[test]
fn a_broker_of_another_version_ends_it_for_good_and_links_go_on() {
    let mut bus = Bus::start(programs!());
    let _provider = bus.peer("provider", "P", &[]);
    let caller = bus.plugin("Caller");
    let own = bus.plugin("Own");
    own.provide("Own.Add", |a: u64, b: u64| a + b)
        .unwrap()
        .keep();
    let adds = ["P.Add", "Own.Add"].map(|gate| open::<(u64, u64), u64>(&caller, gate));
    let absent = caller.subscriber::<(), ()>("Nobody.Gate").unwrap();
    let told = Told::by(&caller);
    bus.kill_broker();
    told.lost();
    let listener = socket_at(&bus);
    listen(&listener, Backlog::new(16).unwrap()).unwrap();
    // Each plugin connects once, and there are three.
    for _ in 0..3 {
        let accepted = accept(listener.as_raw_fd()).unwrap();
        let mut hello = vec![0; MAX_RECORD];
        let flags = nix::sys::socket::MsgFlags::empty();
        let len = recv(accepted, &mut hello, flags).unwrap();
        assert!(hello[..len].starts_with(&header(VERSION)));
        let mut answer = header(VERSION + 1).to_vec();
        answer.extend([7; 100]);
        send(accepted, &answer, flags).unwrap();
        nix::unistd::close(accepted).unwrap();
    }
    for plugin in [&caller, &own] {
        let reason = plugin.wait_closed_for(PATIENCE).expect("it is for good");
        assert_eq!(reason.code(), Code::VersionMismatch, "{reason}");
        let theirs = (VERSION + 1).to_string();
        assert!(reason.message().contains(&theirs), "{reason}");
    }
    let begun = Instant::now();
    assert_eq!(code(caller.list()), Code::VersionMismatch);
    let opened = caller.subscriber::<(), ()>("P.Note");
    assert_eq!(code(opened), Code::VersionMismatch);
    assert_eq!(code(absent.invoke(())), Code::VersionMismatch);
    assert_eq!(code(absent.wait_ready(PATIENCE)), Code::VersionMismatch);
    assert!(begun.elapsed() < SOON, "nobody is waited for");
    for n in 0..100 {
        for add in &adds {
            assert_eq!(add.invoke((n, 1)).unwrap(), n + 1);
        }
    }
    // They do not try again when a suitable broker comes.
    drop(listener);
    std::fs::remove_file(bus.socket()).unwrap();
    bus.start_broker();
    for add in &adds {
        assert_eq!(add.invoke((1, 1)).unwrap(), 2);
    }
    assert_eq!(code(caller.list()), Code::VersionMismatch);
}

/// A broker that stands still is waited for, and does not count as ended.
#[test]
fn a_broker_that_stands_still_is_waited_for() {
    let is_long = callgate_tests::restart::restarts() > 6;
    let bus = Bus::start(programs!());
    let _provider = bus.peer("provider", "P", &[]);
    let plugin = bus.plugin("Plugin");
    let told = Told::by(&plugin);
    let add = open::<(u64, u64), u64>(&plugin, "P.Add");
    let calls = Standing::start("P.Add", move |n| add.invoke((n, 1)).map(drop));
    let broker = bus.broker.as_ref().unwrap();
    broker.stop();
    thread::scope(|scope| {
        let provided = scope.spawn(|| plugin.provide("Plugin.Gate", || 5_u8));
        let opened = scope.spawn(|| plugin.subscriber::<(), ()>("Nobody.Gate"));
        thread::sleep(Duration::from_secs(if is_long { 10 } else { 2 }));
        calls.expect_progress();
        assert_eq!(provided.is_finished(), is_long);
        broker.signal(Signal::SIGCONT);
        if is_long {
            assert_eq!(code(provided.join().unwrap()), Code::Timeout);
            assert_eq!(code(opened.join().unwrap()), Code::Timeout);
        } else {
            provided.join().unwrap().unwrap().keep();
            opened.join().unwrap().unwrap();
            let other = bus.plugin("Other");
            assert_eq!(open::<(), u8>(&other, "Plugin.Gate").invoke(()).unwrap(), 5);
        }
    });
    plugin.list().unwrap();
    calls.finish();
    told.nothing_more();
}
