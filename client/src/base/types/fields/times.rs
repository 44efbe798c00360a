//! Times: a `Duration` is a gate type itself, and a `SystemTime` is archived as the `Duration` since 1970.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use callgate_layout::schema::{Body, Describer, Field, Primitive, Schema};
use rkyv::rancor::{Fallible, Source};
use rkyv::time::ArchivedDuration;
use rkyv::with::{ArchiveWith, DeserializeWith, SerializeWith};
use rkyv::{Archive, Place};

use super::FieldAs;
use crate::base::types::unfit::{self, Unfit};
use crate::base::types::{GateType, Plain};

/// A struct of seconds and nanoseconds, as serde names them.
fn schema<T: 'static>(describer: &mut Describer, name: &str, fields: [&str; 2]) -> Schema {
    describer.named::<T>(name, |_| {
        let types = [Primitive::U64, Primitive::U32];
        let fields = fields.into_iter().zip(types).map(|(name, number)| Field {
            name: name.to_owned(),
            schema: Schema::Primitive(number),
            default: false,
        });
        Body::Struct(fields.collect())
    })
}

// bytecheck refuses nanoseconds of a second or more, so no invalid duration is ever made.
impl GateType for Duration {
    fn schema(describer: &mut Describer) -> Schema {
        schema::<Duration>(describer, "Duration", ["secs", "nanos"])
    }
}
impl Plain for Duration {}

/// A time as its distance from 1970. Earlier times cannot be archived.
#[derive(Debug)]
pub struct SinceEpoch;

impl ArchiveWith<SystemTime> for SinceEpoch {
    type Archived = ArchivedDuration;
    type Resolver = ();

    fn resolve_with(time: &SystemTime, (): (), out: Place<ArchivedDuration>) {
        // Serializing has failed already if the time is earlier.
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        since.resolve((), out);
    }
}

impl<S: Fallible<Error: Source> + ?Sized> SerializeWith<SystemTime, S> for SinceEpoch {
    fn serialize_with(time: &SystemTime, _: &mut S) -> Result<(), S::Error> {
        match time.duration_since(UNIX_EPOCH) {
            Ok(_) => Ok(()),
            Err(_) => Err(unfit::refuse(Unfit::Time)),
        }
    }
}

impl<D> DeserializeWith<ArchivedDuration, SystemTime, D> for SinceEpoch
where
    D: Fallible + ?Sized,
{
    fn deserialize_with(archived: &ArchivedDuration, _: &mut D) -> Result<SystemTime, D::Error> {
        let since = Duration::new(archived.as_secs(), archived.subsec_nanos());
        let time = UNIX_EPOCH.checked_add(since);
        Ok(time
            .unwrap_or_else(|| unfit::stand_in("a time later than the system knows", UNIX_EPOCH)))
    }
}

impl FieldAs<SystemTime> for SinceEpoch {
    fn schema(describer: &mut Describer) -> Schema {
        let fields = ["secs_since_epoch", "nanos_since_epoch"];
        schema::<SystemTime>(describer, "SystemTime", fields)
    }
}
