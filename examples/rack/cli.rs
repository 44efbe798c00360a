//! The command line.

use std::fs;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, ValueEnum};

use crate::wav::MAX_SECONDS;

/// How long the instrument plays by default, in seconds.
const DEFAULT_SECONDS: f64 = 10.0;
/// The shortest piece: long enough for the filter to be killed and to come back.
const MIN_SECONDS: f64 = 0.1;

/// Renders music through four plugins, each a process of its own, and kills one of them half way.
#[derive(Clone, Debug, Parser)]
#[command(name = "rack", version)]
pub(crate) struct Args {
    /// A 16-bit PCM WAV file to play instead of the instrument.
    #[arg(long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,

    /// The WAV file to write.
    #[arg(long, value_name = "FILE", default_value = "rack.wav")]
    pub(crate) output: PathBuf,

    /// How long to play [default: 10, or the length of the input].
    #[arg(long, value_name = "N", value_parser = seconds)]
    pub(crate) seconds: Option<f64>,

    /// Render at the speed at which it would be played, and not as fast as possible.
    #[arg(long)]
    pub(crate) realtime: bool,

    /// Do not kill the filter.
    #[arg(long)]
    pub(crate) no_kill: bool,

    /// Put the bus at this path too, so that `callgate ls --socket PATH` shows the rack at work.
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,

    /// Be one of the plugins; the host starts them with this option.
    #[arg(long, value_name = "NAME", hide = true)]
    pub(crate) plugin: Option<Role>,
}

/// The plugins, in the order in which a block passes through them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Makes the sound.
    Instrument,
    /// Removes high frequencies.
    Filter,
    /// Adds echoes.
    Delay,
    /// Measures how loud it is.
    Meter,
}

impl Role {
    /// All of them, in order; `role as usize` is the index.
    pub(crate) const ALL: [Role; 4] = [Role::Instrument, Role::Filter, Role::Delay, Role::Meter];

    /// The plugin's name, which is also the argument that starts it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Role::Instrument => "instrument",
            Role::Filter => "filter",
            Role::Delay => "delay",
            Role::Meter => "meter",
        }
    }

    /// The gate that the plugin provides.
    pub(crate) fn gate(self) -> &'static str {
        match self {
            Role::Instrument => "Rack.Instrument",
            Role::Filter => "Rack.Filter",
            Role::Delay => "Rack.Delay",
            Role::Meter => "Rack.Meter",
        }
    }

    /// The topic on which the plugin announces changes of a parameter.
    pub(crate) fn changed(self) -> &'static str {
        match self {
            Role::Instrument => "Rack.Instrument.Changed",
            Role::Filter => "Rack.Filter.Changed",
            Role::Delay => "Rack.Delay.Changed",
            Role::Meter => "Rack.Meter.Changed",
        }
    }
}

impl Args {
    /// Reads the command line. Wrong arguments are reported on stderr and end the program with 2.
    pub(crate) fn from_command_line() -> Args {
        let args = Args::parse();
        match args.check() {
            Ok(()) => args,
            Err(error) => error.exit(),
        }
    }

    /// How long to play, given the length of the input if there is one.
    pub(crate) fn frames(&self, input: Option<u64>) -> u64 {
        match (self.seconds, input) {
            (None, Some(frames)) => frames,
            (seconds, _) => crate::plan::frames_in(seconds.unwrap_or(DEFAULT_SECONDS)),
        }
    }

    /// Checks that need more than one argument.
    fn check(&self) -> Result<(), clap::Error> {
        let same = self.input.as_ref().is_some_and(|input| {
            let (input, output) = (fs::canonicalize(input), fs::canonicalize(&self.output));
            matches!((input, output), (Ok(a), Ok(b)) if a == b)
        });
        if same && self.plugin.is_none() {
            let text = "the output would replace the input; name another with --output";
            return Err(Args::command().error(ErrorKind::ArgumentConflict, text));
        }
        Ok(())
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    let most = f64::from(MAX_SECONDS);
    match text.parse::<f64>() {
        Ok(seconds) if (MIN_SECONDS..=most).contains(&seconds) => Ok(seconds),
        Ok(_) => Err(format!("not between {MIN_SECONDS} and {most}")),
        Err(_) => Err("not a number".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Args, clap::Error> {
        let args = Args::try_parse_from([&["rack"], args].concat())?;
        args.check().map(|()| args)
    }

    #[test]
    fn the_definition_is_sound_and_needs_no_arguments() {
        Args::command().debug_assert();
        let args = parse(&[]).unwrap();
        assert_eq!(args.output, PathBuf::from("rack.wav"));
        assert!(!args.realtime && !args.no_kill && args.plugin.is_none());
        assert_eq!(args.frames(None), 480_000);
        assert_eq!(args.frames(Some(17)), 17);
        assert_eq!(
            parse(&["--seconds", "0.5"]).unwrap().frames(Some(17)),
            24_000
        );
    }

    #[test]
    fn a_plugin_is_started_by_its_name() {
        for role in Role::ALL {
            let args = parse(&["--plugin", role.name()]).unwrap();
            assert_eq!(args.plugin, Some(role));
            assert_eq!(Role::ALL[role as usize], role);
        }
    }

    #[test]
    fn mistakes_are_usage_errors() {
        for seconds in ["0", "-1", "nan", "inf", "1e9", "ten", ""] {
            let error = parse(&[&format!("--seconds={seconds}")]).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{seconds}");
        }
        assert_eq!(parse(&["--input"]).unwrap_err().exit_code(), 2);
        assert_eq!(parse(&["--plugin", "reverb"]).unwrap_err().exit_code(), 2);
        assert_eq!(parse(&["stray"]).unwrap_err().exit_code(), 2);
        assert_eq!(parse(&["--help"]).unwrap_err().exit_code(), 0);
    }

    /// `--input rack.wav` without `--output` is refused: the output would overwrite the recording that it plays.
    #[test]
    fn the_input_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wav");
        fs::write(&path, "").unwrap();
        let path = path.to_str().unwrap();
        let error = parse(&["--input", path, "--output", path]).unwrap_err();
        assert_eq!(error.exit_code(), 2);
    }
}
