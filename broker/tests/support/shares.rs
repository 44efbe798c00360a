//! Records about shares that plugins send, and making a share over real sockets.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;

use callgate_layout::Encoding;
use callgate_layout::control::{
    Failure, Form, Making, SchemaSource, SessionToPlugin, ShareFit, ShareToBroker, ShareToPlugin,
    ToBroker, ToPlugin, VersionFacts, VersionName, Wanted,
};
use callgate_layout::shares::page::{PAGE_LEN, PageReader};
use callgate_layout::sys::mapping::Mapping;
use callgate_layout::sys::{fdpass, memfd};
use callgate_layout::view::ReadView;

use super::{Peer, fingerprint, schema};

/// What a maker says of a slice of the type with this number.
pub(crate) fn making(number: u8) -> Making {
    Making {
        form: Form::Slice,
        schema: SchemaSource::Inline(schema(number)),
        signature: format!("[T{number}]"),
        json: true,
        persistent: false,
        huge: false,
    }
}

/// What a user says that it wants, for the same type.
pub(crate) fn wanted(number: u8) -> Wanted {
    Wanted {
        form: Form::Slice,
        fingerprint: fingerprint(number),
        signature: format!("[T{number}]"),
        exact: false,
    }
}

/// A wish for a share, perhaps with the offer to make it.
pub(crate) fn want(request: u32, tag: &str, makes: bool) -> ShareToBroker {
    ShareToBroker::Want {
        request,
        tag: tag.into(),
        wanted: wanted(7),
        make: makes.then(|| making(7)),
        within: if makes { 30_000 } else { 0 },
        had: None,
        trusts: false,
    }
}

/// A new version is published.
pub(crate) fn publish(request: u32, tag: &str, len: u64) -> ShareToBroker {
    ShareToBroker::Publish {
        request,
        tag: tag.into(),
        make: making(7),
        len,
    }
}

/// A new version is published with its bytes.
pub(crate) fn publish_short(request: u32, tag: &str, value: &[u8]) -> ShareToBroker {
    ShareToBroker::PublishShort {
        request,
        tag: tag.into(),
        make: making(7),
        value: value.to_vec(),
    }
}

/// A watch: to be told when the tag has another version than this.
pub(crate) fn watch(request: u32, tag: &str, seen: Option<VersionName>) -> ShareToBroker {
    let tag = tag.into();
    ShareToBroker::Watch { request, tag, seen }
}

/// The newest version is asked for, as it is or as JSON.
pub(crate) fn fetch(request: u32, share: u64, encoding: Encoding) -> ShareToBroker {
    ShareToBroker::Fetch {
        request,
        share,
        encoding,
    }
}

/// A share is returned, whose memory goes with the record.
pub(crate) fn returned(request: u32, tag: &str, len: u64) -> ShareToBroker {
    ShareToBroker::Return {
        request,
        tag: tag.into(),
        make: making(7),
        name: VersionName {
            incarnation: 99,
            number: 5,
        },
        len,
    }
}

/// A share as a plugin has it.
pub(crate) struct Had {
    pub(crate) request: u32,
    pub(crate) share: u64,
    pub(crate) version: VersionFacts,
    pub(crate) fit: ShareFit,
    pub(crate) page: PageReader,
    pub(crate) page_file: OwnedFd,
    pub(crate) memory: Option<OwnedFd>,
}

/// Memory that a maker is to write.
pub(crate) struct ToWrite {
    pub(crate) making: u64,
    pub(crate) request: u32,
    pub(crate) len: u64,
    pub(crate) file: OwnedFd,
}

impl ToWrite {
    /// Fills all of it with one byte.
    pub(crate) fn fill(&self, byte: u8) {
        let file = File::from(self.file.try_clone().unwrap());
        let bytes = vec![byte; self.len as usize];
        file.write_all_at(&bytes, 0).unwrap();
    }
}

/// All bytes of some memory.
pub(crate) fn bytes_of(file: &OwnedFd) -> Vec<u8> {
    let len = memfd::len(file.as_fd()).unwrap();
    let file = File::from(file.try_clone().unwrap());
    let mut bytes = vec![0; len as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

/// Sealed memory, as a plugin has it under an earlier broker.
pub(crate) fn sealed(len: usize) -> OwnedFd {
    let file = memfd::create("test-returned", len).unwrap();
    let bytes = vec![3; len];
    let writes = File::from(file.try_clone().unwrap());
    writes.write_all_at(&bytes, 0).unwrap();
    memfd::seal_for_good(file.as_fd()).unwrap();
    file
}

impl Peer {
    /// The next record, which must be about shares.
    pub(crate) fn share_record(&mut self) -> (ShareToPlugin, Vec<OwnedFd>) {
        match self.next() {
            Some((ToPlugin::Share(record), files)) => (record, files),
            other => panic!("nothing about a share: {other:?}"),
        }
    }

    /// The making that the plugin is asked for next.
    pub(crate) fn create(&mut self) -> u64 {
        match self.share_record().0 {
            ShareToPlugin::Create { making, .. } => making,
            other => panic!("nothing to make: {other:?}"),
        }
    }

    /// The memory that the plugin is sent next, to be written.
    pub(crate) fn memory_to_write(&mut self) -> ToWrite {
        match self.share_record() {
            (
                ShareToPlugin::Write {
                    making,
                    request,
                    len,
                },
                mut files,
            ) => {
                assert_eq!(files.len(), 1);
                ToWrite {
                    making,
                    request,
                    len,
                    file: files.pop().unwrap(),
                }
            }
            other => panic!("nothing to write: {other:?}"),
        }
    }

    /// Writes memory, as a correct maker does: all of it, without leaving a map.
    pub(crate) fn writes(&mut self, byte: u8) -> u64 {
        let memory = self.memory_to_write();
        memory.fill(byte);
        let making = memory.making;
        drop(memory);
        self.send(ShareToBroker::Written { making });
        making
    }

    /// The share that the plugin is given next.
    pub(crate) fn have(&mut self) -> Had {
        let (record, files) = self.share_record();
        let ShareToPlugin::Have {
            request,
            share,
            version,
            fit,
            has_memory,
            ..
        } = record
        else {
            panic!("it has no share: {record:?}");
        };
        assert_eq!(files.len(), 1 + usize::from(has_memory));
        let mut files = files.into_iter();
        let page_file = files.next().unwrap();
        let map = Mapping::read_only(page_file.try_clone().unwrap(), PAGE_LEN).unwrap();
        Had {
            request,
            share,
            version,
            fit,
            page: PageReader::new(ReadView::new(map)),
            page_file,
            memory: files.next(),
        }
    }

    /// The version that the plugin is sent next.
    pub(crate) fn version(&mut self) -> (VersionFacts, OwnedFd) {
        match self.share_record() {
            (ShareToPlugin::Version { version, .. }, mut files) => {
                assert_eq!(files.len(), 1);
                (version, files.pop().unwrap())
            }
            other => panic!("no version: {other:?}"),
        }
    }

    /// The failure with which one of its makings has ended.
    pub(crate) fn dropped(&mut self) -> (u64, Failure) {
        match self.share_record().0 {
            ShareToPlugin::Dropped { making, failure } => (making, failure),
            other => panic!("nothing was dropped: {other:?}"),
        }
    }

    /// What a watch of the plugin is answered with.
    pub(crate) fn changed(&mut self) -> Option<VersionName> {
        match self.share_record().0 {
            ShareToPlugin::Changed { now, .. } => now,
            other => panic!("nothing has changed: {other:?}"),
        }
    }

    /// The failure with which a request of the plugin is refused.
    pub(crate) fn refused(&mut self) -> Failure {
        match self.record() {
            ToPlugin::Session(SessionToPlugin::Answer { failure, .. }) => failure.unwrap(),
            other => panic!("it is not refused: {other:?}"),
        }
    }

    /// Makes an absent share of this length.
    pub(crate) fn makes(&mut self, tag: &str, (len, byte): (u64, u8)) -> Had {
        self.send(want(1, tag, true));
        let making = self.create();
        self.send(ShareToBroker::Make { making, len });
        self.writes(byte);
        self.have()
    }

    /// Publishes a version of this length.
    pub(crate) fn publishes(&mut self, tag: &str, (len, byte): (u64, u8)) -> Had {
        self.send(publish(2, tag, len));
        self.writes(byte);
        self.have()
    }

    /// Sends a record with descriptors.
    pub(crate) fn send_with(&self, record: impl Into<ToBroker>, files: &[&OwnedFd]) {
        let bytes = record.into().encode().unwrap();
        let files: Vec<_> = files.iter().map(|file| file.as_fd()).collect();
        fdpass::send(self.socket.as_fd(), &bytes, &files).unwrap();
    }
}
