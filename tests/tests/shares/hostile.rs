//! Makers that break the rules. Their readers get an error or the share that they asked for. Nothing that a maker
//! does ends a reader's process.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use callgate_client::{Code, Plugin, Share, gate_type};
use callgate_layout::control::{Form, ShareToBroker, ShareToPlugin};
use callgate_layout::sys::mapping::Mapping;
use callgate_tests::random::Random;
use callgate_tests::shares::Content;
use callgate_tests::shorthand::code;
use callgate_tests::{Bus, programs};
use nix::fcntl::{FallocateFlags, FcntlArg, SealFlag, fallocate, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::ftruncate;

use crate::liar::{Liar, Memory, Told, honest_bytes, making, refused};
use crate::scene::{listed, patient};

const TAG: &str = "Liar.Share";
const LEN: u64 = 3 * 4096 + 100;

fn punch(file: &File) -> io::Result<()> {
    let how = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    Ok(fallocate(file, how, 4096, 4096)?)
}

/// What a maker does with memory before it reports it as written, and a map that it keeps.
type Spoil = fn(&Memory) -> Option<Mapping>;

const SPOILED: [(&str, Spoil); 5] = [
    ("keeps a writable map", |memory| {
        memory.write_all();
        let file = OwnedFd::from(memory.file.try_clone().expect("a descriptor"));
        Some(Mapping::writable(file, memory.len as usize).expect("a map"))
    }),
    ("writes nothing", |_| None),
    ("writes the first page alone", |memory| {
        memory.write(&[7; 4096]);
        None
    }),
    ("makes a hole in it", |memory| {
        memory.write_all();
        punch(&memory.file).expect("it is not sealed yet");
        None
    }),
    ("seals it against seals", |memory| {
        memory.write_all();
        let seal = FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_SEAL);
        fcntl(&memory.file, seal).expect("it is not sealed yet");
        None
    }),
];

/// Memory that cannot be read safely does not become a share: a missing page would end readers with SIGBUS, and a
/// writable map would let numbers change under them.
#[test]
fn memory_that_cannot_be_read_safely_is_nobodys_share() {
    let bus = Bus::start(programs!());
    let reader = bus.plugin("reader");
    let mut liar = Liar::join(&bus);
    for (what, spoil) in SPOILED {
        for publishes in [true, false] {
            let memory = match publishes {
                true => liar.publish(TAG, making::<Vec<u64>>(Form::Slice), LEN),
                false => liar.create::<Vec<u64>>(TAG, Form::Slice, LEN),
            };
            let _kept = spoil(&memory);
            let outcome = liar.written(&memory);
            let (code_of_it, message) = outcome.expect_err(what);
            assert_eq!(code_of_it, Code::Protocol, "{what}: {message}");
            assert_eq!(
                code(patient(&reader).get::<[u64]>(TAG)),
                Code::NotReady,
                "{what}"
            );
            assert!(listed(&reader).is_empty(), "{what}: {:?}", listed(&reader));
        }
    }
    // The maker's session goes on, and others make the share.
    let made = patient(&reader)
        .create_with(TAG, 9, |slice: &mut [u64]| slice.fill(3))
        .expect("made");
    assert_eq!(made[..], [3; 9]);
}

/// The broker decides the length: a maker cannot make its memory shorter or longer, and cannot change what was
/// published.
#[test]
fn what_was_published_cannot_be_changed_by_its_maker() {
    let bus = Bus::start(programs!());
    let reader = bus.plugin("reader");
    let mut liar = Liar::join(&bus);
    let memory = liar.publish(TAG, making::<Vec<u64>>(Form::Slice), 4 * 4096);
    let change_length = |what| {
        for len in [0, 100, 1 << 20] {
            refused(what, ftruncate(&memory.file, len).map_err(io::Error::from));
        }
    };
    change_length("another length");
    memory.write_all();
    liar.written(&memory).expect("all of it is there");
    let share = patient(&reader).get::<[u64]>(TAG).expect("it is there");
    let before = share.to_vec();
    change_length("another length, sealed");
    refused("writing", memory.file.write_all_at(&[1], 0));
    refused("a hole", punch(&memory.file));
    let file = OwnedFd::from(memory.file.try_clone().expect("a descriptor"));
    refused("a writable map", Mapping::writable(file, 4096));
    assert_eq!(share[..], before);
    drop(liar);
    assert_eq!(share[..], before);
}

/// Reads all of a value whose bytes may be anything.
fn walk(share: &Share<Content>) -> u64 {
    let words: u64 = share
        .words
        .iter()
        .map(|word| word.to_native())
        .fold(0, u64::wrapping_add);
    words.wrapping_add(share.tag.as_str().chars().count() as u64)
}

/// The reader gets an error that names the maker, or some value of its type.
fn is_safe(reader: &Plugin, what: &str) -> bool {
    match patient(reader).get::<Content>(TAG) {
        Ok(share) => {
            std::hint::black_box(walk(&share));
            true
        }
        Err(error) => {
            assert_eq!(error.code(), Code::Protocol, "{what}: {error}");
            assert!(error.to_string().contains("liar"), "{what}: {error}");
            false
        }
    }
}

#[test]
fn bytes_that_are_no_value_of_the_type_are_refused_by_each_reader() {
    let bus = Bus::start(programs!());
    let right = honest_bytes(&bus, &Content::new(TAG, 1, 800));
    let reader = bus.plugin("reader");
    let mut liar = Liar::join(&bus);
    let mut publish =
        |bytes: &[u8]| liar.publish_bytes(TAG, making::<Content>(Form::Archive), bytes);
    publish(&right);
    assert!(is_safe(&reader, "the right bytes"));
    for (what, bytes) in [
        ("one byte", vec![7]),
        ("nothing but ones", vec![0xff; right.len()]),
        ("cut at its end", right[..right.len() - 8].to_vec()),
        ("cut at its beginning", right[64..].to_vec()),
        ("much too short", right[right.len() - 4..].to_vec()),
        ("with something behind", [&right[..], &[0xff; 64]].concat()),
    ] {
        publish(&bytes);
        assert!(!is_safe(&reader, what), "{what}");
    }
    let mut random = Random::new("hostile archives");
    let mut refused = 0;
    for _ in 0..200 {
        let mut bytes = right.clone();
        for _ in 0..=random.below(4) {
            let at = random.below(bytes.len());
            bytes[at] ^= 1 << random.below(8);
        }
        publish(&bytes);
        refused += usize::from(!is_safe(&reader, "changed bits"));
    }
    println!("of 200 archives with changed bits, {refused} were refused");
    // The next version may be correct again.
    publish(&right);
    assert!(is_safe(&reader, "the right bytes"));
}

#[gate_type]
#[derive(Clone, Debug, PartialEq)]
struct Other {
    number: f64,
    words: Vec<(u8, String)>,
}

#[test]
fn a_type_that_the_bytes_do_not_have_is_found_out() {
    let bus = Bus::start(programs!());
    let other = Other {
        number: 1.5,
        words: vec![(1, "a text of some length".to_owned()); 20],
    };
    let other = honest_bytes(&bus, &other);
    let reader = bus.plugin("reader");
    let mut liar = Liar::join(&bus);
    // Its schema is the one that the reader wants.
    liar.publish_bytes(TAG, making::<Content>(Form::Archive), &other);
    assert!(!is_safe(&reader, "another type"));
    // A slice of words whose length in bytes is no multiple of a word.
    let mut publish = |len| {
        let tag = format!("Liar.Of{len}");
        liar.publish_bytes(&tag, making::<Vec<u64>>(Form::Slice), &vec![1; len]);
        patient(&reader).get::<[u64]>(&tag)
    };
    assert_eq!(publish(24).expect("three words").len(), 3);
    for len in [1, 7, 25] {
        let error = publish(len).expect_err("no whole words");
        assert_eq!(error.code(), Code::Protocol, "{len}: {error}");
        assert!(error.to_string().contains("liar"), "{len}: {error}");
    }
    // An archive that is declared as a slice, and the reverse, count as other types.
    liar.publish_bytes("Liar.Form", making::<Content>(Form::Slice), &other);
    assert_eq!(
        code(patient(&reader).get::<Content>("Liar.Form")),
        Code::ShareTypeMismatch
    );
}

/// A type to which a [`Content`] can be converted.
#[gate_type]
#[derive(Clone, Debug, PartialEq)]
struct Numbered {
    number: u64,
}

/// The JSON that a maker writes for users of another type is checked like all JSON from peers.
#[test]
fn a_twin_that_is_not_json_or_never_comes_is_refused() {
    let bus = Bus::start(programs!());
    let right = honest_bytes(&bus, &Content::new(TAG, 1, 80));
    let mut liar = Liar::join(&bus);
    let other = bus.plugin("other");
    liar.publish_bytes(TAG, making::<Content>(Form::Archive), &right);
    for text in [
        &b"{\"number\":"[..],
        b"\xff\xfe",
        b"{\"number\":\"x\"}",
        b"[]",
        &[b'['; 100_000],
    ] {
        let found = convert(&mut liar, &other, |liar, making| {
            liar.send(ShareToBroker::Make {
                making,
                len: text.len() as u64,
            });
            let memory = liar.memory();
            memory.write(text);
            liar.send(ShareToBroker::Written { making });
        });
        let codes = [Code::Protocol, Code::ShareTypeMismatch, Code::TypeMismatch];
        assert!(
            codes.contains(&found),
            "{found} for {:?}",
            String::from_utf8_lossy(text)
        );
    }
    let gives_up = convert(&mut liar, &other, |liar, making| {
        let failure = callgate_layout::control::Failure::new(Code::TypeMismatch, "not today");
        liar.send(ShareToBroker::GaveUp { making, failure });
    });
    assert_eq!(gives_up, Code::ShareTypeMismatch);
    let silent = convert(&mut liar, &other, |_, _| {});
    assert!(
        [Code::Timeout, Code::ShareTypeMismatch].contains(&silent),
        "{silent}"
    );
}

/// Asks for the share as another type, lets the liar answer when it is asked for JSON, and returns the code of the
/// outcome.
fn convert(liar: &mut Liar, other: &Plugin, answer: impl FnOnce(&mut Liar, u64)) -> Code {
    let shares = other.shares().timeout(Duration::from_secs(4));
    let user = std::thread::spawn(move || shares.get::<Numbered>(TAG).map(drop));
    loop {
        match liar.told() {
            Told::Share(ShareToPlugin::Convert { making, .. }, _) => break answer(liar, making),
            // A message about the last share.
            Told::Share(ShareToPlugin::Dropped { .. }, _) => {}
            other => panic!("{other:?}"),
        }
    }
    code(user.join().expect("no panic"))
}

/// A file of so many bytes, all of them allocated, with these seals.
fn memory(len: u64, seals: SealFlag) -> OwnedFd {
    let file = File::from(
        memfd_create(c"liar", MFdFlags::MFD_ALLOW_SEALING | MFdFlags::MFD_CLOEXEC).expect("a file"),
    );
    file.write_all_at(&vec![7; len as usize], 0)
        .expect("it can be written");
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals)).expect("it can be sealed");
    file.into()
}

fn all_seals() -> SealFlag {
    SealFlag::F_SEAL_SEAL | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_WRITE
}

#[test]
fn rubbish_that_is_returned_is_nobodys_share() {
    let bus = Bus::start(programs!());
    let reader = bus.plugin("reader");
    let holes = || {
        let file = File::from(memfd_create(c"liar", MFdFlags::MFD_ALLOW_SEALING).expect("a file"));
        ftruncate(&file, LEN as i64).expect("it can be longer");
        fcntl(&file, FcntlArg::F_ADD_SEALS(all_seals())).expect("it can be sealed");
        OwnedFd::from(file)
    };
    let path = bus.directory().join("plain");
    std::fs::write(&path, vec![7; LEN as usize]).expect("a file");
    let (pipe, _other_end) = nix::unistd::pipe().expect("a pipe");
    let files: [(&str, OwnedFd); 9] = [
        ("no seals", memory(LEN, SealFlag::empty())),
        (
            "can be written",
            memory(LEN, all_seals() - SealFlag::F_SEAL_WRITE),
        ),
        (
            "can shrink",
            memory(LEN, all_seals() - SealFlag::F_SEAL_SHRINK),
        ),
        ("shorter", memory(LEN - 4096, all_seals())),
        ("longer", memory(LEN + 1, all_seals())),
        ("holes", holes()),
        (
            "a plain file",
            File::open(&path).expect("it is there").into(),
        ),
        (
            "a device",
            File::open("/dev/zero").expect("it is there").into(),
        ),
        ("a pipe", pipe),
    ];
    for (what, file) in &files {
        let mut liar = Liar::join(&bus);
        match liar.return_memory(TAG, making::<Vec<u64>>(Form::Slice), LEN, Some(file)) {
            Told::Refused(code, message) => assert_eq!(code, Code::Protocol, "{what}: {message}"),
            other => panic!("{what}: {other:?}"),
        }
        assert_eq!(
            code(patient(&reader).get::<[u64]>(TAG)),
            Code::NotReady,
            "{what}"
        );
        liar.raw.socket();
        drop(liar);
        callgate_tests::shorthand::await_that("its name is free", || {
            bus.builder("liar").connect().is_ok()
        });
    }
    assert!(listed(&reader).is_empty(), "{:?}", listed(&reader));
}

/// Returned memory is checked like any other: with the right form it may still hold no value.
#[test]
fn returned_memory_is_read_as_carefully_as_any_other() {
    let bus = Bus::start(programs!());
    let reader = bus.plugin("reader");
    let mut liar = Liar::join(&bus);
    let file = memory(LEN, all_seals());
    match liar.return_memory(TAG, making::<Content>(Form::Archive), LEN, Some(&file)) {
        Told::Share(
            ShareToPlugin::Have {
                has_memory,
                version,
                ..
            },
            _,
        ) => {
            assert!(!has_memory);
            assert_eq!((version.name.incarnation, version.name.number), (4711, 3));
        }
        other => panic!("{other:?}"),
    }
    assert!(!is_safe(&reader, "rubbish in the right form"));
    let error = patient(&reader).get::<Content>(TAG).expect_err("rubbish");
    assert_eq!(error.code(), Code::Protocol, "{error}");
}
