//! Callgate: a slice of bytes under a tag.

use std::any::Any;
use std::time::Duration;

use callgate_client::{Plugin, Publisher as Port, Share, Shares as Handle, Versions};

use super::line::{Far, Line};
use super::{CONSTANT, byte_of, check, look};
use crate::Result;
use crate::payload::STOP;
use crate::scenario::{Scenario, Shares};
use crate::systems::plugins::{connect, start_broker};
use crate::systems::{Client, Server, Setup, System};

const TAG: &str = "Bench.Share";
/// Longer than a block may take.
const LONG: Duration = Duration::from_secs(60);

pub(super) struct Callgate {
    name: &'static str,
    /// Whether who gets a share looks at it.
    looks: bool,
}

impl Callgate {
    pub(super) const FIRST: Callgate = Callgate {
        name: "callgate",
        looks: true,
    };
    pub(super) const CONTROL: Callgate = Callgate {
        name: "callgate-again",
        looks: true,
    };
    pub(super) const UNSEEN: Callgate = Callgate {
        name: "callgate-map",
        looks: false,
    };
}

impl System for Callgate {
    fn name(&self) -> &'static str {
        self.name
    }

    fn takes_part(&self, scenario: Scenario) -> bool {
        match scenario.shares() {
            Some(shares) => self.looks || shares == Shares::FirstGet,
            None => false,
        }
    }

    fn host(&self, setup: &Setup) -> Result<Box<dyn Any>> {
        start_broker(setup)
    }

    fn server(&self, setup: &Setup) -> Result<Box<dyn Server>> {
        let (far, plugin) = (Far::new(setup)?, connect(setup, "Far")?);
        match setup.scenario.shares() {
            Some(Shares::Publish(_)) => Ok(Box::new(Taker {
                versions: plugin.shares().versions(TAG)?,
                far,
                _plugin: plugin,
            })),
            _ => Ok(Box::new(Holder {
                far,
                _share: plugin.shares().create_with(
                    TAG,
                    setup.scenario.shares_len(),
                    |bytes: &mut [u8]| bytes.fill(CONSTANT),
                )?,
                _plugin: plugin,
            })),
        }
    }

    fn client(&self, setup: &Setup) -> Result<Box<dyn Client>> {
        let (line, plugin) = (Line::new(setup)?, connect(setup, "Near")?);
        match setup.scenario.shares() {
            Some(Shares::Publish(len)) => Ok(Box::new(Publisher {
                port: plugin.shares().publisher(TAG)?,
                line,
                len,
                _plugin: plugin,
            })),
            _ => Ok(Box::new(Reader {
                shares: plugin.shares(),
                line,
                got: None,
                looks: self.looks,
                _plugin: plugin,
            })),
        }
    }
}

struct Holder {
    far: Far,
    _share: Share<[u8]>,
    _plugin: Plugin,
}

impl Server for Holder {
    fn serve(&mut self) -> Result<()> {
        self.far.serve(|_| Err("nobody asks for it".into()))
    }
}

struct Reader {
    shares: Handle,
    line: Line,
    /// What was got last.
    got: Option<Share<[u8]>>,
    looks: bool,
    _plugin: Plugin,
}

impl Client for Reader {
    fn call(&mut self, number: u64) -> Result<()> {
        if number == STOP {
            return self.line.stop();
        }
        let share = self.shares.get::<[u8]>(TAG)?;
        if self.looks {
            check(&share, CONSTANT)?;
        }
        self.got = Some(share);
        Ok(())
    }

    fn settle(&mut self) -> Result<()> {
        self.got = None;
        Ok(())
    }
}

struct Taker {
    versions: Versions<[u8]>,
    far: Far,
    _plugin: Plugin,
}

impl Server for Taker {
    fn serve(&mut self) -> Result<()> {
        self.far
            .take(|_| look(&self.versions.changed(LONG)?.ok_or("nothing came")?))
    }
}

struct Publisher {
    port: Port<[u8]>,
    line: Line,
    len: usize,
    _plugin: Plugin,
}

impl Client for Publisher {
    fn call(&mut self, number: u64) -> Result<()> {
        let byte = byte_of(number);
        self.port.publish_with(self.len, |bytes| bytes.fill(byte))?;
        self.line.seen(byte)
    }
}
