//! How this program is started as one of the processes here.

use crate::Result;
use crate::systems::Setup;

/// The arguments with which this program is one of the processes here.
pub(super) fn command(id: &str, setup: &Setup) -> Result<Vec<String>> {
    let program = std::env::current_exe()?;
    let place = setup.place.to_string_lossy();
    let words = [
        &*program.to_string_lossy(),
        "--serve",
        id,
        "--scenario",
        setup.scenario.name(),
        "--place",
        &*place,
    ];
    Ok(words.map(str::to_owned).to_vec())
}
