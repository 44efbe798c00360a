//! `callgate serve`

use crate::hosting::{Hosted, Options};
use crate::{Common, Outcome};

pub(crate) fn run(common: &Common, options: &Options) -> Outcome {
    let mut hosted = Hosted::start(common, options)?;
    hosted.say_ready(common)?;
    hosted.signals.forever().next();
    hosted.say_stopping();
    hosted.broker.stop();
    Ok(())
}
