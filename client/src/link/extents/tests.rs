//! The bookkeeping of extents, without a broker.

use callgate_layout::sys::memfd;

use super::*;

const MIB: usize = 1 << 20;

fn memory(len: u32) -> Mapping {
    let len = len as usize;
    let file = memfd::create("test", len).expect("a memory file");
    Mapping::writable(file, len).expect("a map")
}

fn want(found: Found) -> (u8, u32) {
    match found {
        Found::Want(number, len) => (number, len),
        _ => panic!("nothing is asked for"),
    }
}

/// Asks for an extent for this many bytes, and gets it.
fn extent(extents: &Extents, len: usize) -> u8 {
    let (number, size) = want(extents.find(len, Ok(u32::MAX)));
    assert!(extents.mapped(number, memory(size)));
    extents.ready(number);
    number
}

fn refusal() -> Error {
    Error::new(Code::Overloaded, "it was refused")
}

#[test]
fn space_is_taken_where_there_is_some() {
    let extents = Extents::default();
    assert!(extents.take(MIB).is_none() && !extents.are_any());
    let number = extent(&extents, MIB);
    assert!(extents.are_any() && extents.taken_mib() == 1);
    let Found::Space(space) = extents.find(MIB, Err(refusal())) else {
        panic!("there is an extent");
    };
    assert_eq!((space.place().extent, space.len()), (number, MIB));
    assert!(extents.take(MIB).is_none(), "it is taken");
    drop(space);
    assert!(extents.take(MIB).is_some());
}

/// A single extent may be as large as needed; more are asked for while all together stay within the share.
#[test]
fn more_is_asked_for_as_far_as_the_share_goes() {
    let extents = Extents::default();
    let first = extent(&extents, MIB);
    let space = extents.take(MIB);
    let (second, len) = want(extents.find(2 * MIB, Ok(3)));
    assert!(second != first && charged_mib(len) == 2);
    // One at a time.
    assert!(matches!(extents.find(2 * MIB, Ok(9)), Found::Wait));
    extents.forget_wanted();
    assert!(matches!(extents.find(2 * MIB, Ok(2)), Found::Wait));
    drop(space);
    // An idle extent is returned in favour of one that is large enough, which then may exceed the share.
    let Found::Return(extent) = extents.find(4 * MIB, Ok(2)) else {
        panic!("the idle one is in the way");
    };
    assert_eq!((extent.number(), extents.taken_mib()), (first, 0));
    assert_eq!(want(extents.find(4 * MIB, Ok(2))).0, second);
    extents.forget_wanted();
    extents.returned(first);
    assert_eq!(want(extents.find(4 * MIB, Ok(2))).0, first);
}

#[test]
fn what_is_not_wanted_any_more_is_not_taken() {
    let extents = Extents::default();
    let (number, len) = want(extents.find(MIB, Ok(1)));
    assert!(!extents.mapped(number + 1, memory(len)));
    extents.ready(number);
    assert!(!extents.are_any(), "it is not mapped here yet");
    let (number, len) = want(extents.find(MIB, Ok(1)));
    assert!(extents.mapped(number, memory(len)) && !extents.mapped(number, memory(len)));
    extents.ready(number + 1);
    assert!(!extents.are_any(), "another one is ready");
    extents.ready(number);
    assert!(extents.are_any());
}

/// A caller that waits in vain for an extent is told at its deadline who has delayed it.
#[test]
fn who_is_late_with_an_extent_is_known() {
    let extents = Extents::default();
    let after = |time| extents.late(Instant::now() + time);
    assert_eq!(after(ALLOCATING), None, "nothing is asked for");
    let (number, len) = want(extents.find(MIB, Ok(1)));
    assert_eq!(after(ALLOCATING / 2), None);
    assert!(matches!(after(ALLOCATING), Some(Late::Here(time)) if time >= ALLOCATING));
    assert!(extents.mapped(number, memory(len)));
    assert_eq!(after(MAPPING / 2), None);
    assert!(matches!(after(MAPPING), Some(Late::Peer(time)) if time >= MAPPING));
    extents.ready(number);
    assert_eq!(after(ALLOCATING), None, "it is there");
}

#[test]
fn a_refusal_holds_for_what_is_as_large_and_does_not_fit() {
    let extents = Extents::default();
    assert!(
        matches!(extents.find(MIB, Err(refusal())), Found::Refused(why) if why.code() == refusal().code())
    );
    extent(&extents, MIB);
    let space = extents.take(MIB);
    // A payload that fits an extent in use waits for space there.
    assert!(matches!(extents.find(MIB, Err(refusal())), Found::Wait));
    assert!(matches!(
        extents.find(2 * MIB, Err(refusal())),
        Found::Refused(_)
    ));
    let (_, _) = want(extents.find(4 * MIB, Ok(9)));
    extents.refused(refusal());
    // A smaller extent than the refused one is asked for at once.
    let (number, len) = want(extents.find(2 * MIB, Ok(9)));
    assert!(
        extents.mapped(number, memory(len)),
        "nothing else is wanted"
    );
    drop(space);
}

/// The broker closes the connection of a plugin that asks for an extent under a number which it has not returned
/// yet.
#[test]
fn an_extent_that_is_given_back_keeps_its_number_until_then() {
    let extents = Extents::default();
    let first = extent(&extents, MIB);
    let space = extents.take(MIB);
    let second = extent(&extents, MIB);
    assert_eq!(extents.take_idle().len(), 0, "both were used since");
    let idle = extents.take_idle();
    assert_eq!(
        idle.iter().map(Extent::number).collect::<Vec<_>>(),
        [second]
    );
    assert_eq!((extents.taken_mib(), extents.take_idle().len()), (1, 0));
    drop(space);
    let mut more = extents.take_idle();
    assert_eq!(more.iter().map(Extent::number).collect::<Vec<_>>(), [first]);
    // The broker could not be told of this one, and it still knows the other one.
    extents.keep(more.remove(0));
    assert_eq!(extents.taken_mib(), 1);
    let third = want(extents.find(2 * MIB, Ok(9))).0;
    assert!(third != first && third != second);
    extents.forget_wanted();
    extents.returned(second);
    assert_eq!(want(extents.find(2 * MIB, Ok(9))).0, second);
}

#[test]
fn a_place_is_checked_against_the_extent_that_it_names() {
    let extents = Extents::default();
    let place = |extent, block| ExtentPlace { extent, block };
    let checks = |extent, block, length| {
        let place = place(extent, block);
        let memory = extents.peer(place);
        checked(memory.as_ref(), place, length).is_ok()
    };
    assert!(!checks(3, 0, 8) && !extents.are_any());
    let len = extent_len_for(MIB).expect("a size");
    let file = memfd::create("test", len as usize).expect("a memory file");
    let memory = Mapping::read_only(file, len as usize).expect("a map");
    extents.add_peer(3, ReadView::new(memory));
    assert!(extents.are_any() && checks(3, 0, len) && checks(3, 1, 8));
    assert!(!checks(3, 0, len + 1) && !checks(3, 1, len) && !checks(4, 0, 8));
    assert!(!checks(MAX_EXTENTS, 0, 8));
    extents.remove_peer(3);
    assert!(!checks(3, 0, 8) && !extents.are_any());
}
