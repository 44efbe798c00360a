//! A Unix stream socket for each listener, and rkyv archives with their length in front, as for calls.
//!
//! A batch is one `write`; a listener reads as much as there is, and takes the messages out of that. A socket that is full
//! blocks its sender, so the oldest cannot be dropped.

use std::any::Any;
use std::io::{Read, Write};
use std::ops::Range;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;

use rkyv::api::high::to_bytes_in;
use rkyv::rancor::Error;
use rkyv::util::AlignedVec;
use rkyv::{Archive, Serialize};

use super::{BATCH, Bus, Events, Listener, Looking, Sender, Tally};
use crate::Result;
use crate::payload::{self, Small};
use crate::systems::Setup;

/// Bytes of the length in front of an archive; eight, so that the archive stays aligned.
const PREFIX: usize = 8;
/// Bytes that a listener reads at once.
const INPUT: usize = 64 << 10;

#[derive(Archive, Serialize)]
struct Event {
    words: Small,
}

/// Sockets.
pub(super) struct Uds;

impl Bus for Uds {
    fn name(&self) -> &'static str {
        "uds"
    }

    fn takes_part(&self, events: Events) -> bool {
        !events.drops_the_oldest()
    }

    fn host(&self, setup: &Setup, _: Events) -> Result<Box<dyn Any>> {
        Ok(Box::new(UnixListener::bind(setup.place.join("socket"))?))
    }

    fn listener(
        &self,
        setup: &Setup,
        events: Events,
        _: usize,
        _: &Arc<Tally>,
    ) -> Result<Box<dyn Listener>> {
        let stream = UnixStream::connect(setup.place.join("socket"))?;
        stream.set_nonblocking(events.gives_way())?;
        let mut input = AlignedVec::new();
        input.resize(INPUT, 0);
        Ok(Box::new(Reader {
            stream,
            input,
            filled: 0,
            looking: Looking::new(events),
        }))
    }

    fn sender(&self, _: &Setup, events: Events, host: &mut dyn Any) -> Result<Box<dyn Sender>> {
        let listener: &mut UnixListener = host.downcast_mut().ok_or("no socket")?;
        let accept = |_| Ok(listener.accept()?.0);
        Ok(Box::new(Writer {
            streams: (0..events.listeners()).map(accept).collect::<Result<_>>()?,
            output: AlignedVec::new(),
        }))
    }
}

struct Writer {
    streams: Vec<UnixStream>,
    output: AlignedVec,
}

impl Writer {
    fn write(&mut self, numbers: Range<u64>) -> Result<()> {
        let mut buffer = std::mem::take(&mut self.output);
        buffer.clear();
        for number in numbers {
            let at = buffer.len();
            buffer.extend_from_slice(&[0; PREFIX]);
            let words = payload::request(number);
            buffer = to_bytes_in::<_, Error>(&Event { words }, buffer)?;
            let len = (buffer.len() - at - PREFIX) as u64;
            buffer[at..at + PREFIX].copy_from_slice(&len.to_le_bytes());
        }
        for stream in &mut self.streams {
            stream.write_all(&buffer)?;
        }
        self.output = buffer;
        Ok(())
    }
}

impl Sender for Writer {
    fn send(&mut self, mut numbers: Range<u64>) -> Result<()> {
        numbers.try_for_each(|number| self.write(number..number + 1))
    }

    fn send_batches(&mut self, numbers: Range<u64>) -> Result<()> {
        let mut firsts = numbers.clone().step_by(BATCH);
        firsts.try_for_each(|first| self.write(first..numbers.end.min(first + BATCH as u64)))
    }
}

struct Reader {
    stream: UnixStream,
    input: AlignedVec,
    /// Bytes of `input` that came and were not taken.
    filled: usize,
    looking: Looking,
}

impl Reader {
    /// Takes what is there; whether the last event was among it.
    fn take(&mut self, tally: &Tally) -> Result<bool> {
        let (mut at, mut is_last) = (0, false);
        while let Some(prefix) = self.input[at..self.filled].first_chunk::<PREFIX>() {
            let len = usize::try_from(u64::from_le_bytes(*prefix))?;
            let end = at + PREFIX + len;
            if end > self.filled {
                break;
            }
            let event = rkyv::access::<ArchivedEvent, Error>(&self.input[at + PREFIX..end])?;
            is_last = tally.take(&event.words.map(|word| word.to_native()));
            at = end;
        }
        self.input.copy_within(at..self.filled, 0);
        self.filled -= at;
        Ok(is_last)
    }
}

impl Listener for Reader {
    fn listen(&mut self, tally: &Tally) -> Result<()> {
        loop {
            match self.stream.read(&mut self.input[self.filled..]) {
                Ok(0) => return Err("the sender has closed".into()),
                Ok(count) => self.filled += count,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    self.looking.in_vain();
                    continue;
                }
                Err(error) => return Err(error.into()),
            }
            if self.take(tally)? {
                return Ok(());
            }
        }
    }
}
