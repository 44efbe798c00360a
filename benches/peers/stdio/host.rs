//! Callgate: the host's own way to its plugins, which passes no gate.

use callgate_runtime::User;
use serde_json::json;

use super::callgate::{Bus, CHILD};
use super::{Caller, FILL};
use crate::Result;
use crate::systems::Setup;

pub(super) struct Host {
    bus: Bus,
    user: User,
}

impl Host {
    pub(super) fn start(setup: &Setup) -> Result<Host> {
        Ok(Host {
            bus: Bus::start(setup)?,
            user: User {
                id: "u1".to_owned(),
                display_name: "Caller".to_owned(),
                avatar_url: None,
                role: "user".to_owned(),
            },
        })
    }
}

impl Caller for Host {
    fn call(&mut self, number: u64) -> Result<()> {
        let params = json!({"number": number, "fill": FILL});
        let as_user = (&self.user, None);
        let result = self.bus.runtime.call_as(CHILD, "echo", &params, as_user)?;
        match result == params {
            true => Ok(()),
            false => Err(format!("a wrong answer to call {number}: {result}").into()),
        }
    }

    fn call_many(&mut self, first: u64, count: u64, _: u64) -> Result<()> {
        (first..first + count).try_for_each(|number| self.call(number))
    }

    fn processes(&self) -> (u32, Vec<u32>) {
        (self.bus.child, Vec::new())
    }
}
