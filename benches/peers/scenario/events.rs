//! The scenarios for events.

/// A scenario of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Events {
    /// One listener, each event published by itself, both awake.
    Stream,
    /// The same, published 64 at a time.
    Batch,
    /// This many listeners, all awake; the sender's CPU time is measured.
    Awake(usize),
    /// This many listeners, all asleep before each event; the sender's CPU time is measured.
    Asleep(usize),
    /// From sending to the sleeping listener's handler.
    Wake,
    /// A listener that sleeps at each event, beside a sender that does not wait for it.
    Slow,
}

impl Events {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Events::Stream => "notify/stream",
            Events::Batch => "notify/batch-64",
            Events::Awake(1) => "notify/1",
            Events::Awake(10) => "notify/10",
            Events::Awake(_) => "notify/100",
            Events::Asleep(1) => "notify/1/asleep",
            Events::Asleep(10) => "notify/10/asleep",
            Events::Asleep(_) => "notify/100/asleep",
            Events::Wake => "notify/wake",
            Events::Slow => "notify/slow",
        }
    }

    pub(crate) fn placement(self) -> &'static str {
        match self {
            Events::Stream | Events::Batch => "sender on core 0, listener on core 1; time an event",
            Events::Awake(_) => {
                "sender on core 0, listeners on core 1, which look all the time; the sender's CPU an event"
            }
            Events::Asleep(_) => {
                "sender on core 0, listeners on core 1, asleep at each event; the sender's CPU an event"
            }
            Events::Wake => "sender on core 0, listener on core 1, asleep; until its handler runs",
            Events::Slow => {
                "sender on core 0, listener on core 1, which sleeps 10 ms an event; time to send"
            }
        }
    }

    pub(crate) fn listeners(self) -> usize {
        match self {
            Events::Awake(count) | Events::Asleep(count) => count,
            _ => 1,
        }
    }

    /// Whether listeners sleep when an event comes; else they look all the time.
    pub(crate) fn is_asleep(self) -> bool {
        matches!(self, Events::Asleep(_) | Events::Wake)
    }

    /// Whether several listeners share a core, so that each gives way when it finds nothing.
    pub(crate) fn gives_way(self) -> bool {
        matches!(self, Events::Awake(_))
    }

    /// Whether a sender overwrites what nobody has taken.
    pub(crate) fn drops_the_oldest(self) -> bool {
        self == Events::Slow
    }
}
