//! `callgate serve`

use crate::hosting::{Hosted, Hosting};
use crate::{Common, Outcome};

pub(crate) fn run(common: &Common, options: &Hosting) -> Outcome {
    let (hosted, mut signals) = Hosted::start(common, options)?;
    hosted.say_ready(common)?;
    signals.forever().next();
    hosted.say_stopping();
    hosted.broker.stop();
    Ok(())
}
