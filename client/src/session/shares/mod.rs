//! Shares, as far as a broker is needed for them: asking for one, making it, publishing versions, following them; what is said again to the
//! next broker.

pub(crate) mod asked;
pub(crate) mod asking;
pub(crate) mod converting;
pub(crate) mod desk;
mod failures;
pub(crate) mod making;
mod mapping;
pub(crate) mod publishing;
mod request;
pub(crate) mod using;
pub(crate) mod versions;
pub(crate) mod waiting;

use failures::out_of_turn;
