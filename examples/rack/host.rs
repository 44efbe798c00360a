//! The host's work: it passes each block through the plugins and writes the result, whatever happens to the filter
//! meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use callgate_client::Code;

use crate::block::{Block, DEADLINE_NS};
use crate::cli::{Args, Role};
use crate::error::Error;
use crate::plan::{Plan, Step};
use crate::progress::Progress;
use crate::rack::Rack;
use crate::report::{Accident, Report};
use crate::stats::Stats;
use crate::wav::{Clip, WavFile};

/// Renders the piece as the command line says; `interrupted` ends it early.
pub(crate) fn run<'a>(args: &'a Args, interrupted: &AtomicBool) -> Result<Report<'a>, Error> {
    let input = args.input.as_deref().map(Clip::open).transpose()?;
    let plan = Plan::new(args.frames(input.map(|clip| clip.len())), !args.no_kill);
    let mut output = WavFile::create(&args.output)?;
    let mut host = Host::start(args, plan)?;
    let begun = Instant::now();
    for number in 0..plan.blocks {
        if args.realtime {
            sleep_until(begun + Duration::from_nanos(number * DEADLINE_NS));
        }
        let block = host.render(number);
        // Ctrl-C reaches the plugins as well, so a call may fail because of it.
        if interrupted.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        output.write(&block?)?;
        host.rack.heard.look()?;
        // The meter has written its cell before it answered.
        host.progress.update(number + 1, host.rack.level.get()?);
    }
    output.finish()?;
    let levels = host.rack.level.get()?;
    Ok(Report {
        output: &args.output,
        plan,
        took: begun.elapsed(),
        levels,
        changes: host.rack.heard.changes(),
        stats: host.stats,
        accident: host.accident,
    })
}

/// The rack, and the state of the render.
struct Host {
    rack: Rack,
    plan: Plan,
    progress: Progress,
    stats: Stats,
    accident: Option<Accident>,
}

impl Host {
    fn start(args: &Args, plan: Plan) -> Result<Host, Error> {
        let mut progress = Progress::new(plan.blocks);
        let rack = Rack::start(args)?;
        let plugins = Role::ALL.map(|role| format!("{} ({})", role.name(), rack.pid(role)));
        progress.note(format!(
            "plugins and their processes: {}",
            plugins.join(", ")
        ));
        Ok(Host {
            rack,
            plan,
            progress,
            stats: Stats::new(),
            accident: None,
        })
    }

    /// Renders block `number`, with what the plan says for it.
    fn render(&mut self, number: u64) -> Result<Block, Error> {
        match self.plan.step(number) {
            Step::Kill => self.rack.stop_filter()?,
            Step::Restart => self.restart_filter(number)?,
            Step::Play | Step::PassOver => {}
        }
        let begun = Instant::now();
        let block = self.chain(number)?;
        self.stats.chain(begun.elapsed());
        Ok(block)
    }

    /// Passes a block through the plugins.
    fn chain(&mut self, number: u64) -> Result<Block, Error> {
        let block = self.call(Role::Instrument, |rack| rack.instrument.invoke((number,)))?;
        let block = self.filter(number, block)?;
        let block = self.call(Role::Delay, |rack| rack.delay.invoke((block,)))?;
        let heard = (block,);
        self.call(Role::Meter, |rack| rack.meter.invoke_ref(&heard))?;
        Ok(heard.0)
    }

    /// Passes a block through the filter, or leaves it unchanged if there is no filter.
    fn filter(&mut self, number: u64, block: Block) -> Result<Block, Error> {
        let step = self.plan.step(number);
        if matches!(step, Step::Play | Step::Restart) {
            return Ok(self.call(Role::Filter, |rack| rack.filter.invoke((number, block)))?);
        }
        let arguments = (number, block);
        let failure = match step {
            Step::Kill => Some(self.kill_filter(&arguments)?),
            _ => self.rack.filter.invoke_ref(&arguments).err(),
        };
        if let Some(error) = failure {
            if !matches!(error.code(), Code::ProviderGone | Code::NotReady) {
                return Err(error.into());
            }
            self.stats.failed(Role::Filter);
        }
        self.stats.passed_over(Role::Filter);
        Ok(arguments.1)
    }

    /// Kills the filter while it works on a call, and returns the error of that call.
    fn kill_filter(&mut self, arguments: &(u64, Block)) -> Result<callgate_client::Error, Error> {
        let (error, after) = self.rack.kill_filter(arguments)?;
        let number = arguments.0;
        let text = format!("block {number}: the filter is killed, its call ends with {error}");
        self.progress.note(text);
        self.accident = Some(Accident {
            block: number,
            code: error.code(),
            after,
            restarted: None,
        });
        Ok(error)
    }

    fn restart_filter(&mut self, number: u64) -> Result<(), Error> {
        let begun = Instant::now();
        self.rack.restart_filter()?;
        let took = begun.elapsed();
        if let Some(accident) = &mut self.accident {
            accident.restarted = Some((number, took));
        }
        let pid = self.rack.pid(Role::Filter);
        let text = format!("block {number}: the filter is back, as process {pid}");
        self.progress.note(text);
        Ok(())
    }

    /// Makes a call, and records how long it took.
    fn call<R>(
        &mut self,
        plugin: Role,
        call: impl FnOnce(&Rack) -> callgate_client::Result<R>,
    ) -> callgate_client::Result<R> {
        let begun = Instant::now();
        let answer = call(&self.rack)?;
        self.stats.answered(plugin, begun.elapsed());
        Ok(answer)
    }
}

fn sleep_until(instant: Instant) {
    thread::sleep(instant.saturating_duration_since(Instant::now()));
}
