//! What is left after reading archives that are invalid. The test is alone in its process, whose memory it measures.
#![forbid(unsafe_code)]

use std::time::SystemTime;

use callgate_client::{Code, Json, dynamic, gate_type};

/// An archive that cannot be read leaves no memory behind. rkyv frees nothing of a vector or box with an element that
/// cannot be read, so a peer could use up all memory with such archives.
#[test]
fn what_cannot_be_read_leaves_no_memory_behind() {
    #[gate_type]
    struct Pause {
        secs: u64,
        nanos: u32,
    }
    #[gate_type]
    struct Written {
        parts: Vec<(Vec<u8>, Pause)>,
        boxed: Box<(Vec<u8>, Vec<String>)>,
    }
    #[gate_type]
    struct Read {
        parts: Vec<(Vec<u8>, SystemTime)>,
        boxed: Box<(Vec<u8>, Vec<Json>)>,
    }
    let pages = || {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        let resident = statm.split(' ').nth(1).unwrap();
        resident.parse::<usize>().unwrap()
    };
    let part = |secs| (vec![1; 100_000], Pause { secs, nanos: 0 });
    let boxed = |json: &str| Box::new((vec![1; 100_000], vec!["1".to_owned(), json.to_owned()]));
    let late = Written {
        parts: vec![part(1), part(u64::MAX)],
        boxed: boxed("1"),
    };
    let no_json = Written {
        parts: vec![part(1), part(2)],
        boxed: boxed("}"),
    };
    let archives = [late, no_json].map(|value| dynamic::encode(&value).unwrap());
    let before = pages();
    for archive in archives.iter().cycle().take(300) {
        assert_eq!(
            dynamic::decode::<Read>(archive).err().unwrap().code(),
            Code::Protocol
        );
    }
    // If one of these vectors were left each time, it would be thirty megabytes.
    let grown = pages().saturating_sub(before) * 4096;
    assert!(grown < 20 << 20, "{grown} bytes");
    let sound = dynamic::encode(&*boxed("1")).unwrap();
    assert!(dynamic::decode::<(Vec<u8>, Vec<Json>)>(&sound).is_ok());
}
