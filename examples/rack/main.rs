//! A rack of four audio plugins: an instrument, a filter, a delay and a meter.
//!
//! So far the plugins run in the host's own process, one after the other, without a bus.

mod block;
mod cli;
mod delay;
mod filter;
mod instrument;
mod math;
mod meter;
mod plan;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "notes are for what happens on the bus")
)]
mod progress;
mod reference;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "there are no calls to measure yet")
)]
mod stats;
mod wav;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args = cli::Args::from_command_line();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rack: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &cli::Args) -> Result<(), wav::FileError> {
    let clip = args.input.as_deref().map(wav::Clip::open).transpose()?;
    let plan = plan::Plan::new(
        args.frames(clip.as_ref().map(wav::Clip::len)),
        !args.no_kill,
    );
    let mut output = wav::WavFile::create(&args.output)?;
    let mut progress = progress::Progress::new(plan.blocks);
    let mut done = 0;
    let levels = reference::render(plan, clip.as_ref(), |block| {
        done += 1;
        progress.update(done);
        output.write(block)
    })?;
    drop(progress);
    output.finish()?;
    println!(
        "{}: {} blocks, {levels}",
        args.output.display(),
        plan.blocks
    );
    Ok(())
}
