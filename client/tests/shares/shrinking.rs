//! A value that is shorter when it is written than when it was measured.

use std::sync::atomic::{AtomicUsize, Ordering};

use callgate_client::__private::json::{self, JsonType};
use callgate_client::{Code, GateType};
use callgate_layout::schema::{Describer, Schema};
use rkyv::rancor::Fallible;
use rkyv::ser::{Allocator, Writer};
use rkyv::vec::{ArchivedVec, VecResolver};
use rkyv::{Archive, Deserialize, Place, Serialize};

use crate::scene::{Scene, TAG};

const LONG: usize = 900 << 10;
const SHORT: usize = LONG - 1000;

/// Bytes of which there are fewer once they were archived so often.
struct Shrinking {
    bytes: Vec<u8>,
    long_for: AtomicUsize,
}

fn shrinking(long_for: usize) -> Shrinking {
    Shrinking {
        bytes: vec![7; LONG],
        long_for: AtomicUsize::new(long_for),
    }
}

impl Archive for Shrinking {
    type Archived = ArchivedVec<u8>;
    type Resolver = (VecResolver, usize);

    fn resolve(&self, (resolver, len): Self::Resolver, out: Place<ArchivedVec<u8>>) {
        ArchivedVec::resolve_from_len(len, resolver, out);
    }
}

impl<S: Fallible + Allocator + Writer + ?Sized> Serialize<S> for Shrinking {
    fn serialize(&self, serializer: &mut S) -> Result<Self::Resolver, S::Error> {
        let left = self.long_for.load(Ordering::Relaxed);
        self.long_for
            .store(left.saturating_sub(1), Ordering::Relaxed);
        let len = if left > 0 { LONG } else { SHORT };
        let resolver = ArchivedVec::serialize_from_slice(&self.bytes[..len], serializer)?;
        Ok((resolver, len))
    }
}

impl<D: Fallible + ?Sized> Deserialize<Shrinking, D> for ArchivedVec<u8> {
    fn deserialize(&self, _: &mut D) -> Result<Shrinking, D::Error> {
        Ok(shrinking(0))
    }
}

impl JsonType for Shrinking {
    fn write(&self, writer: &mut json::Writer<'_>) -> json::Result<()> {
        self.bytes.write(writer)
    }

    fn read(reader: &mut json::Reader<'_>) -> json::Result<Shrinking> {
        Vec::<u8>::read(reader).map(|_| shrinking(0))
    }
}

impl GateType for Shrinking {
    fn schema(describer: &mut Describer) -> Schema {
        Vec::<u8>::schema(describer)
    }
}

/// The memory of a share was longer than its value, and nobody could read it: an archive's root is at its end.
#[test]
fn a_value_that_is_shorter_than_it_was_measured_is_refused() {
    let scene = Scene::new();
    let (maker, reader) = (scene.plugin("Maker"), scene.plugin("Reader"));
    let mut refused = 0;
    for long_for in 0..5 {
        match maker.shares().get_or_create(TAG, || shrinking(long_for)) {
            Ok(_made) => {
                let read = reader.shares().get::<Shrinking>(TAG).unwrap();
                assert!([SHORT, LONG].contains(&read.len()), "{}", read.len());
            }
            Err(error) => {
                assert_eq!(error.code(), Code::InvalidArgument, "{error}");
                refused += 1;
            }
        }
    }
    assert_eq!(refused, 1, "it is measured before it is written");
}
