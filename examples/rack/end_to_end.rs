//! Tests of the program as a whole: its processes, its output, and its errors.
//!
//! Its output must be, byte for byte, what the same plugins make of the same piece without a bus, in one process.

mod run;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use callgate_client::{EventNotice, Received};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::block::{Block, RATE};
use crate::meter::{LEVEL, Levels};
use crate::plan::{Plan, frames_in};
use crate::reference;
use crate::wav::{Clip, WavFile};
use run::{Outcome, Run, children, is_alive, wait_for};

/// The file that the rack must write, and the last levels of its meter.
fn expected(plan: Plan, clip: Option<&Clip>) -> (Vec<u8>, Levels) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("expected.wav");
    let mut file = WavFile::create(&path).unwrap();
    let sink = |block: &Block| file.write(block);
    let levels = reference::render(plan, clip, sink).unwrap();
    file.finish().unwrap();
    (fs::read(&path).unwrap(), levels)
}

#[test]
fn it_renders_what_its_plugins_are_and_loses_no_block() {
    let plan = Plan::new(frames_in(0.5), true);
    let (wav, levels) = expected(plan, None);
    let rack = Outcome::run(&["--seconds", "0.5"]);
    assert!(rack.audio() == wav, "the audio differs:\n{}", rack.stdout);
    for line in [
        "filter   killed at block 187, PROVIDER_GONE after ",
        "         started again at block 219, ready in ",
        "         32 blocks passed it over, none was lost",
        &format!("levels   {levels}"),
        // The filter that was started again announces its cutoff again, and continues.
        "changes  instrument 1, filter 3 (2 processes), delay 1",
        "output   rack.wav",
        "         0.50 s in 375 blocks, rendered in ",
    ] {
        let found = rack.stdout.lines().any(|l| l.starts_with(line));
        assert!(found, "no {line:?} in:\n{}", rack.stdout);
    }
    for (plugin, rest) in [
        ("instrument ", "0            0"),
        ("filter ", "32           32"),
        ("delay ", "0            0"),
        ("meter ", "0            0"),
    ] {
        let row = rack.stdout.lines().find(|l| l.starts_with(plugin)).unwrap();
        assert_eq!(row.split_whitespace().nth(1), Some("375"), "{row}");
        assert!(row.ends_with(rest), "{row}");
    }
    let last = rack.stderr.lines().last().unwrap();
    let rendered = "rendering 100.0 %  block 375 of 375, peak -";
    assert!(last.starts_with(rendered), "{last}");
    assert_eq!(rack.files(), ["rack.wav"]);
}

#[test]
fn two_runs_write_the_same_and_neither_is_silence() {
    let [first, second] = [(); 2].map(|()| Outcome::run(&["--seconds", "0.4"]));
    assert!(first.audio() == second.audio());
    let wav = hound::WavReader::open(first.folder.path().join("rack.wav")).unwrap();
    let spec = wav.spec();
    assert_eq!((spec.channels, spec.sample_rate), (2, RATE));
    assert_eq!((spec.bits_per_sample, wav.duration()), (16, 300 * 64));
    let samples: Vec<i16> = wav.into_samples().map(Result::unwrap).collect();
    let loud = |side| {
        samples
            .iter()
            .skip(side)
            .step_by(2)
            .any(|s| s.abs() > 1_000)
    };
    assert!(loud(0) && loud(1));
}

#[test]
fn without_an_accident_nothing_is_passed_over() {
    let (wav, _) = expected(Plan::new(frames_in(0.2), false), None);
    let rack = Outcome::run(&["--seconds", "0.2", "--no-kill"]);
    assert!(rack.audio() == wav);
    assert!(!rack.stdout.contains("killed"));
    let changes = "\nchanges  instrument 1, filter 1, delay 1\n";
    assert!(rack.stdout.contains(changes), "{}", rack.stdout);
}

#[test]
fn a_recording_of_another_kind_is_played() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("-mono.wav");
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 44_100,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = hound::WavWriter::create(&path, spec).unwrap();
    for i in 0..13_230_i16 {
        file.write_sample((i % 100 - 50) * 300).unwrap();
    }
    file.finalize().unwrap();
    let clip = Clip::open(&path).unwrap();
    assert_eq!(clip.len(), 14_400);

    let (wav, _) = expected(Plan::new(clip.len(), true), Some(&clip));
    let rack = Run::start_in(folder, &["--input=-mono.wav"]).finish();
    assert!(rack.audio() == wav);
    assert!(rack.stdout.contains("0.30 s in 225 blocks"));
}

#[test]
fn real_time_takes_as_long_as_the_music() {
    let begun = Instant::now();
    let rack = Outcome::run(&["--seconds", "0.5", "--realtime"]);
    // The last block begins one block's length before the end.
    assert!(begun.elapsed() >= Duration::from_millis(498));
    assert!(rack.audio() == expected(Plan::new(frames_in(0.5), true), None).0);
}

/// When a host is killed, all its plugins end: otherwise they would keep their memory and a core.
#[test]
fn a_killed_host_leaves_no_plugin_behind() {
    let rack = Run::start(&["--seconds", "60", "--realtime", "--no-kill"]);
    let plugins = wait_for("the plugins", || {
        Some(children(rack.pid())).filter(|found| found.len() == 4)
    });
    // This also holds for a stopped plugin, which cannot notice itself that its host is gone.
    kill(Pid::from_raw(plugins[0].0.cast_signed()), Signal::SIGSTOP).unwrap();
    rack.signal(Signal::SIGKILL);
    let status = rack.finish().status;
    assert!(!status.success());
    wait_for("the plugins to end", || {
        (!plugins.iter().any(|plugin| is_alive(*plugin))).then_some(())
    });
}

#[test]
fn an_interrupted_render_cleans_up() {
    let rack = Run::start(&["--seconds", "60", "--realtime"]);
    let plugins = wait_for("the plugins", || {
        Some(children(rack.pid())).filter(|found| found.len() == 4)
    });
    rack.signal(Signal::SIGINT);
    let rack = rack.finish();
    assert_eq!(rack.complaint(), "rack: interrupted; nothing was written");
    assert_eq!(rack.files(), [""; 0]);
    assert!(!plugins.iter().any(|plugin| is_alive(*plugin)));
}

#[test]
fn another_plugin_that_dies_ends_the_render_with_its_name() {
    let rack = Run::start(&["--seconds", "60", "--realtime", "--no-kill"]);
    let stderr = rack.folder.path().join("stderr");
    // The host lists the plugins when all are ready, among them "delay (123)".
    let delay = wait_for("the delay", || {
        let text = fs::read_to_string(&stderr).unwrap();
        let (_, rest) = text.split_once("delay (")?;
        Some(rest.split_once(')')?.0.parse().unwrap())
    });
    kill(Pid::from_raw(delay), Signal::SIGKILL).unwrap();
    let rack = rack.finish();
    let complaint = rack.complaint();
    assert!(complaint.ends_with("(gate Rack.Delay)"), "{complaint}");
    assert_eq!(rack.files(), [""; 0]);
}

#[test]
fn mistakes_are_named_and_leave_nothing() {
    let complain = |args: &[&str]| {
        let rack = Outcome::run(args);
        assert_eq!(rack.files(), [""; 0]);
        rack.complaint().to_owned()
    };
    assert!(complain(&["--input", "no.wav"]).starts_with("rack: no.wav: No such file"));
    assert!(complain(&["--input", "stderr"]).starts_with("rack: stderr: not a WAV file"));
    assert!(complain(&["--input", "/dev/null"]).contains("/dev/null: not a regular file"));
    assert!(complain(&["--input", "."]).contains(".: not a regular file"));
    assert!(complain(&["--output", "no/such/folder.wav"]).contains("No such file"));
    assert!(complain(&["--output", "/dev/null"]).contains("not a regular file"));
    assert!(complain(&["--socket", "stdout"]).contains("stdout exists and is not a socket"));
    let plugin = complain(&["--plugin", "filter"]);
    assert!(plugin.starts_with("filter: BROKER_GONE: "), "{plugin}");
}

/// A pipe is refused at once: opening it would wait for a writer.
#[test]
fn a_pipe_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("std.pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let rack = Run::start_in(folder, &["--input", "std.pipe"]).finish();
    assert!(
        rack.complaint()
            .starts_with("rack: std.pipe: not a regular file")
    );
}

#[test]
fn the_bus_can_be_looked_at_where_a_socket_is_named() {
    let rack = Run::start(&["--seconds", "60", "--realtime", "--socket", "bus.sock"]);
    let socket = rack.folder.path().join("bus.sock");
    let gates = wait_for("all gates", || gates_on(&socket));
    assert_eq!(
        gates,
        ["Rack.Delay", "Rack.Filter", "Rack.Instrument", "Rack.Meter"]
    );
    rack.signal(Signal::SIGINT);
    assert_eq!(rack.finish().files(), [""; 0]);
}

/// The names of the gates on a bus, once there are four.
fn gates_on(socket: &Path) -> Option<Vec<String>> {
    let plugin = callgate_client::Plugin::builder("onlooker").socket(socket);
    let list = plugin.connect().ok()?.list().unwrap();
    let gates = list["gates"].as_array().unwrap().iter();
    let mut names: Vec<_> = gates
        .map(|g| g["name"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    Some(names).filter(|names| names.len() == 4)
}

/// A plugin that joins the bus gets the last change of each parameter, also of a filter that was killed and started
/// again, and can read the meter.
#[test]
fn others_hear_the_rack_as_well() {
    let rack = Run::start(&["--seconds", "6", "--realtime", "--socket", "bus.sock"]);
    let socket = rack.folder.path().join("bus.sock");
    wait_for("all gates", || gates_on(&socket));
    let onlooker = callgate_client::Plugin::builder("onlooker").socket(socket);
    let onlooker = onlooker.outlives_broker(false).connect().unwrap();
    let mut level = onlooker.shares().cell::<Levels>(LEVEL).unwrap();
    let mut changes = onlooker
        .events::<(String, f32)>("Rack.Filter.Changed")
        .unwrap();
    let (mut heard, mut gone) = (Vec::new(), 0);
    while heard.last() != Some(&2) {
        match changes.next(Duration::from_secs(60)).unwrap().unwrap() {
            Received::Event(event) => {
                assert_eq!(event.values.0, "cutoff");
                heard.push(1 + gone);
            }
            Received::Notice(EventNotice::Gone { .. }) => gone += 1,
            Received::Notice(_) => {}
        }
    }
    assert_eq!((heard[0], gone), (1, 1), "{heard:?}");
    // The end of the filter did not affect the meter, whose peaks stay.
    let mut seen = level.get().unwrap();
    for _ in 0..100 {
        let now = wait_for("another level", || {
            level.get().ok().filter(|now| *now != seen)
        });
        let peaks = now.peak.iter().zip(seen.peak);
        assert!(peaks.into_iter().all(|(now, before)| *now >= before));
        seen = now;
    }
    assert!(level.is_current() && &*level.writer() == "meter");
    rack.signal(Signal::SIGINT);
    rack.finish();
}
