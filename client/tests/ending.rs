//! Calls where nothing can be relied on: on a thread that is about to end, and with values that do
//! not let themselves be archived.

#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};

use callgate::Broker;
use callgate_client::__private::json::{self, JsonType};
use callgate_client::{Code, GateType, Plugin, Result, Subscriber, View};
use callgate_layout::schema::{Describer, Schema};
use rkyv::rancor::Fallible;
use rkyv::ser::{Allocator, Writer};
use rkyv::vec::{ArchivedVec, VecResolver};
use rkyv::{Archive, Deserialize, Place, Serialize};

fn bus(direct: bool) -> (Broker, Plugin, Plugin) {
    let broker = Broker::builder().without_socket().start().unwrap();
    let join = |name| {
        let builder = Plugin::builder(name).direct_calls(direct);
        builder
            .descriptor(broker.connect().unwrap())
            .connect()
            .unwrap()
    };
    let (a, b) = (join("a"), join("b"));
    (broker, a, b)
}

type Echo = Subscriber<(Vec<u8>,), Vec<u8>>;

/// Calls when its thread ends.
struct Last {
    echo: Echo,
    said: Sender<Result<usize>>,
}

impl Drop for Last {
    fn drop(&mut self) {
        for len in [8, 1000, 100_000, 1 << 20] {
            let outcome = self.echo.invoke((vec![1; len],));
            let _ = self.said.send(outcome.map(|bytes| bytes.len()));
        }
    }
}

thread_local! {
    static LAST: RefCell<Option<Last>> = const { RefCell::new(None) };
}

/// What a thread keeps for large payloads was gone when another thread-local's destructor called,
/// and the call panicked, which ended the process.
#[test]
fn a_thread_local_that_calls_when_its_thread_ends_is_answered() {
    for direct in [false, true] {
        let (_broker, a, b) = bus(direct);
        let _echo = a.provide("A.Echo", |v: View<'_, Vec<u8>>| v.to_vec());
        let echo: Echo = b.subscriber("A.Echo").unwrap();
        for is_first in [true, false] {
            let (said, heard) = channel();
            let last = Last {
                echo: echo.clone(),
                said,
            };
            let echo = echo.clone();
            // Destructors run in the reverse of the order in which thread-locals were first used.
            let thread = std::thread::spawn(move || {
                let call = || assert_eq!(echo.invoke((vec![2; 1 << 20],)).unwrap().len(), 1 << 20);
                if !is_first {
                    call();
                }
                LAST.set(Some(last));
                if is_first {
                    call();
                }
            });
            thread.join().unwrap();
            let heard: Vec<_> = heard.into_iter().map(Result::unwrap).collect();
            assert_eq!(heard, [8, 1000, 100_000, 1 << 20], "direct: {direct}");
        }
    }
}

/// Bytes whose archiving ends in another way than it began, at a time that a test chooses.
struct Moody {
    bytes: Vec<u8>,
    /// Which of the times that it is archived from now on is another one.
    bad: AtomicUsize,
    /// Panics then, or else is longer by so much.
    more: Option<usize>,
}

impl Archive for Moody {
    type Archived = ArchivedVec<u8>;
    type Resolver = VecResolver;

    fn resolve(&self, resolver: VecResolver, out: Place<ArchivedVec<u8>>) {
        let more = self.more.filter(|_| self.bad.load(Ordering::Relaxed) == 0);
        ArchivedVec::resolve_from_len(self.bytes.len() + more.unwrap_or(0), resolver, out);
    }
}

impl<S: Fallible + Allocator + Writer + ?Sized> Serialize<S> for Moody {
    fn serialize(&self, serializer: &mut S) -> std::result::Result<VecResolver, S::Error> {
        let left = self.bad.load(Ordering::Relaxed);
        self.bad.store(left.saturating_sub(1), Ordering::Relaxed);
        match self.more {
            None if left == 1 => panic!("not in the mood"),
            Some(more) if left == 1 => {
                let bytes = vec![9; self.bytes.len() + more];
                ArchivedVec::serialize_from_slice(&bytes, serializer)
            }
            _ => ArchivedVec::serialize_from_slice(&self.bytes, serializer),
        }
    }
}

impl<D: Fallible + ?Sized> Deserialize<Moody, D> for ArchivedVec<u8> {
    fn deserialize(&self, _: &mut D) -> std::result::Result<Moody, D::Error> {
        Ok(Moody {
            bytes: self.to_vec(),
            bad: AtomicUsize::new(0),
            more: None,
        })
    }
}

impl JsonType for Moody {
    fn write(&self, writer: &mut json::Writer<'_>) -> json::Result<()> {
        self.bytes.write(writer)
    }

    fn read(reader: &mut json::Reader<'_>) -> json::Result<Moody> {
        Ok(Moody {
            bytes: Vec::read(reader)?,
            bad: AtomicUsize::new(0),
            more: None,
        })
    }
}

impl GateType for Moody {
    fn schema(describer: &mut Describer) -> Schema {
        Vec::<u8>::schema(describer)
    }
}

fn moody(bad: usize, more: Option<usize>) -> Moody {
    Moody {
        bytes: vec![7; 900 << 10],
        bad: AtomicUsize::new(bad),
        more,
    }
}

/// Whatever a call had taken when archiving its arguments failed would be lost: after 48 such calls
/// no other could be made, and after a few no large one.
#[test]
fn a_call_whose_arguments_panic_gives_back_what_it_took() {
    let (_broker, a, b) = bus(false);
    let _len = a
        .provide("A.Len", |v: View<'_, Vec<u8>>| v.len() as u64)
        .unwrap();
    let len = b.subscriber::<(Moody,), u64>("A.Len").unwrap();
    assert_eq!(len.invoke((moody(0, None),)).unwrap(), 900 << 10);
    for bad in 1..=5 {
        for _ in 0..70 {
            let arguments = (moody(bad, None),);
            let call = std::panic::AssertUnwindSafe(|| len.invoke_ref(&arguments));
            match std::panic::catch_unwind(call) {
                Ok(outcome) => assert_eq!(outcome.unwrap(), 900 << 10),
                Err(_) => assert!(bad <= 4, "so often it is not archived"),
            }
        }
        assert_eq!(len.invoke((moody(0, None),)).unwrap(), 900 << 10);
        let links = _broker.snapshot().unwrap().links;
        assert!(links[0].granted_bytes < 4 << 20, "{links:?}");
    }
}

/// What is longer than it was counted is never written beyond its room.
#[test]
fn a_value_that_grows_while_it_is_archived_is_sent_as_it_is() {
    let (_broker, a, b) = bus(false);
    let _sum = a
        .provide("A.Nines", |v: View<'_, Vec<u8>>| {
            v.iter().filter(|byte| **byte == 9).count() as u64
        })
        .unwrap();
    let nines = b.subscriber::<(Moody,), u64>("A.Nines").unwrap();
    for bad in 1..=5 {
        let outcome = nines.invoke((moody(bad, Some(1000)),));
        let whole = (900 << 10) + 1000;
        match outcome {
            Ok(nines) => assert!(nines == 0 || nines == whole, "{bad}: {nines}"),
            Err(error) => assert_eq!(error.code(), Code::Protocol, "{bad}"),
        }
    }
}
