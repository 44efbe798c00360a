//! Tests of the schemas that are kept.

use super::*;

/// A schema of this length, whose shape begins with this number.
fn bytes(number: u8, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let shape = (len - 12) as u32;
    bytes[..4].copy_from_slice(&shape.to_le_bytes());
    bytes[12] = number;
    bytes
}

fn inline(number: u8, len: usize) -> SchemaSource {
    SchemaSource::Inline(bytes(number, len))
}

fn part(upload: u32, whole: &[u8], offset: usize, len: usize) -> Part {
    Part {
        upload,
        total: whole.len() as u32,
        offset: offset as u32,
        bytes: whole[offset..offset + len].to_vec(),
    }
}

fn used(own: &Own) -> u32 {
    own.quota.used()
}

/// A plugin with a thousand gates of one type was charged a thousand times. Two plugins with the same type had two numbers for it, so that
/// a caller fetched it twice.
#[test]
fn equal_bytes_are_kept_once_and_charged_to_each_owner_once() {
    let mut known = Known::new();
    let (mut a, mut b) = (Own::new(1), Own::new(1));
    let first = a.hold(inline(1, 100), &mut known).unwrap();
    let again = a.hold(inline(1, 100), &mut known).unwrap();
    let others = b.hold(inline(1, 100), &mut known).unwrap();
    let another = a.hold(inline(2, 100), &mut known).unwrap();
    assert!(Arc::ptr_eq(&first, &again) && Arc::ptr_eq(&first.schema, &others.schema));
    assert_eq!((first.schema.number, another.schema.number), (1, 2));
    assert_eq!((used(&a), used(&b)), (200, 100));
    drop((first, another));
    assert_eq!(used(&a), 100, "one half has it still");
    drop(again);
    assert_eq!(used(&a), 0);
    let back = a.hold(inline(1, 100), &mut known).unwrap();
    assert_eq!(back.schema.number, 1, "the other plugin has it");
    drop((back, others));
    let new = a.hold(inline(1, 100), &mut known).unwrap();
    assert_eq!(new.schema.number, 3, "a number is never used again");
}

/// A plugin that provides and withdraws new types all the time must not fill the broker's memory.
#[test]
fn what_nobody_has_is_forgotten() {
    let mut known = Known::new();
    let mut own = Own::new(1);
    for n in 0..200_000_u32 {
        let mut bytes = bytes(0, 20);
        bytes[12..16].copy_from_slice(&n.to_le_bytes());
        let held = own.hold(SchemaSource::Inline(bytes), &mut known).unwrap();
        assert_eq!(held.schema.number, u64::from(n) + 1);
    }
    assert!(known.schemas.by_key.len() <= SWEEP_AT && own.held.by_key.len() <= SWEEP_AT);
    assert_eq!(used(&own), 0);
}

#[test]
fn a_plugin_has_no_more_than_it_may() {
    let mut known = Known::new();
    let mut own = Own::new(1);
    let whole = 1 << 20;
    let most = own.hold(inline(1, whole), &mut known).unwrap();
    let refused = own.hold(inline(2, 12 + 1), &mut known).unwrap_err();
    assert_eq!(refused, Refused::TooMuchSchema(1 << 20));
    drop(most);
    assert!(own.hold(inline(2, whole), &mut known).is_ok());
    let mut none = Own::new(0);
    let refused = none.hold(inline(2, 13), &mut known).unwrap_err();
    assert_eq!(refused, Refused::TooMuchSchema(0));
    assert!(Own::new(u32::MAX).hold(inline(2, 13), &mut known).is_ok());
}

#[test]
fn a_header_that_does_not_fit_is_refused() {
    let mut known = Known::new();
    let mut own = Own::new(1);
    let good = bytes(1, 20);
    let long = bytes(1, (1 << 20) + 1);
    let wrong = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        bytes
    };
    let all = [
        Vec::new(),
        good[..11].to_vec(),
        good[..19].to_vec(),
        wrong(0, 9),
        wrong(3, 255),
        wrong(4, 1),
        wrong(9, 2),
        wrong(10, 1),
        wrong(11, 1),
        long,
    ];
    for bytes in all {
        let refused = own.hold(SchemaSource::Inline(bytes), &mut known);
        assert!(matches!(refused, Err(Refused::Invalid(_))), "{refused:?}");
    }
    assert_eq!(used(&own), 0);
    let any = own.hold(SchemaSource::Inline(wrong(8, 255)), &mut known);
    assert_eq!(any.unwrap().schema.head.params, None);
}

#[test]
fn an_upload_is_the_same_as_bytes_within_the_record() {
    let mut known = Known::new();
    let mut own = Own::new(1);
    let whole = bytes(7, 100_000);
    for offset in (0..100_000).step_by(30_000) {
        let len = 30_000.min(100_000 - offset);
        assert_eq!(own.take_part(&part(4, &whole, offset, len)), Ok(true));
        assert_eq!(used(&own), 100_000, "from the first part on");
    }
    let held = own.hold(SchemaSource::Upload(4), &mut known).unwrap();
    assert_eq!(*held.schema.bytes, whole[..]);
    assert_eq!(used(&own), 100_000);
    let same = own.hold(inline(7, 100_000), &mut known).unwrap();
    assert!(Arc::ptr_eq(&held, &same));
    let gone = own.hold(SchemaSource::Upload(4), &mut known);
    assert!(matches!(gone, Err(Refused::Invalid(_))), "it was taken");
    // A schema that is held already is not charged again.
    assert_eq!(own.take_part(&part(5, &whole, 0, 100_000)), Ok(true));
    assert_eq!(used(&own), 200_000);
    let again = own.hold(SchemaSource::Upload(5), &mut known).unwrap();
    assert!(Arc::ptr_eq(&held, &again) && used(&own) == 100_000);
}

/// A plugin made the broker keep parts of many uploads that were never used.
#[test]
fn there_is_one_upload_and_it_is_charged() {
    let mut known = Known::new();
    let mut own = Own::new(1);
    let whole = bytes(7, 400_000);
    for number in 0..1000 {
        let begun = own.take_part(&part(number, &whole, 0, 10));
        assert_eq!(begun, Ok(number < 64), "the others are requests");
        assert_eq!(used(&own), 400_000);
    }
    let incomplete = own.hold(SchemaSource::Upload(999), &mut known);
    assert!(matches!(incomplete, Err(Refused::Invalid(_))));
    assert_eq!(used(&own), 0, "it is gone all the same");
    // A request with another number does not use it up.
    own.take_part(&part(1, &whole, 0, 400_000)).unwrap();
    assert!(own.hold(SchemaSource::Upload(2), &mut known).is_err());
    assert!(own.hold(SchemaSource::Upload(1), &mut known).is_ok());
}

/// An upload beyond the quota is refused when it is named, and its bytes are not kept.
#[test]
fn an_upload_beyond_the_quota_is_dropped() {
    let mut known = Known::new();
    let mut own = Own::new(1);
    let _most = own.hold(inline(1, 700_000), &mut known).unwrap();
    let whole = bytes(7, 400_000);
    for offset in (0..400_000).step_by(20_000) {
        own.take_part(&part(1, &whole, offset, 20_000)).unwrap();
    }
    let upload = own.upload.as_ref().unwrap();
    assert!(upload.bytes.is_empty() && used(&own) == 700_000);
    let refused = own.hold(SchemaSource::Upload(1), &mut known).unwrap_err();
    assert_eq!(refused, Refused::TooMuchSchema(1 << 20));
}

#[test]
fn parts_that_no_plugin_would_send_end_its_session() {
    let whole = bytes(7, 1000);
    let begun = || {
        let mut own = Own::new(8);
        own.take_part(&part(1, &whole, 0, 600)).unwrap();
        own
    };
    let long = Part {
        total: MAX_SCHEMA + 1,
        ..part(1, &whole, 0, 10)
    };
    let grown = Part {
        total: 1001,
        ..part(1, &whole, 600, 10)
    };
    let beyond = Part {
        bytes: vec![0; 401],
        ..part(1, &whole, 600, 10)
    };
    let wrong = [
        part(1, &whole, 601, 10),
        part(1, &whole, 599, 10),
        part(2, &whole, 600, 10),
        part(1, &whole, 600, 0),
        part(1, &whole, 0, 0),
        long,
        grown,
        beyond,
    ];
    for part in wrong {
        assert!(begun().take_part(&part).is_err(), "{part:?}");
    }
    assert!(begun().take_part(&part(1, &whole, 600, 400)).is_ok());
    let mut none = Own::new(8);
    assert!(none.take_part(&part(1, &whole, 600, 400)).is_err());
}
