//! A plugin made of records, which can break the rules for shares.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;

use callgate_client::{GateType, Plugin, ShareType, schema_of};
use callgate_layout::Code;
use callgate_layout::control::{
    Failure, Form, Making, SchemaSource, SessionToPlugin, ShareToBroker, ShareToPlugin, ToBroker,
    ToPlugin, VersionName, Wanted,
};
use callgate_layout::schema::Head;
use callgate_layout::sys::fdpass;
use callgate_tests::Bus;
use callgate_tests::raw::Raw;

use crate::scene::patient;

/// What the broker sends to it.
pub(crate) enum Told {
    Share(ShareToPlugin, Vec<OwnedFd>),
    Refused(Code, String),
}

/// A making for which it has the memory.
pub(crate) struct Memory {
    pub(crate) making: u64,
    pub(crate) file: File,
    pub(crate) len: u64,
}

pub(crate) struct Liar {
    pub(crate) raw: Raw,
    next: u32,
}

/// The description of a value of a type, for making it.
pub(crate) fn making<T: GateType>(form: Form) -> Making {
    let signature = schema_of::<T>();
    Making {
        form,
        schema: SchemaSource::Inline(signature.to_bytes().expect("a schema")),
        signature: signature.text(),
        json: true,
        persistent: false,
        huge: false,
    }
}

/// The description of a value of a type, for asking for it.
pub(crate) fn wanted<T: GateType>(form: Form) -> Wanted {
    let signature = schema_of::<T>();
    let head = Head::of(&signature.to_bytes().expect("a schema")).expect("a schema");
    Wanted {
        form,
        fingerprint: head.fingerprint.0,
        signature: signature.text(),
        exact: true,
    }
}

impl Liar {
    pub(crate) fn join(bus: &Bus) -> Liar {
        Liar::named(bus, "liar")
    }

    pub(crate) fn named(bus: &Bus, name: &str) -> Liar {
        Liar {
            raw: Raw::join(bus, name),
            next: 100,
        }
    }

    pub(crate) fn send(&self, record: ShareToBroker) {
        self.raw.send(record);
    }

    fn number(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    /// The next record about shares.
    pub(crate) fn told(&mut self) -> Told {
        loop {
            match self.raw.receive() {
                (ToPlugin::Share(record), descriptors) => return Told::Share(record, descriptors),
                (
                    ToPlugin::Session(SessionToPlugin::Answer {
                        failure: Some(failure),
                        ..
                    }),
                    _,
                ) => {
                    let code = Code::from_u16(failure.code).expect("a code");
                    return Told::Refused(code, failure.message);
                }
                (ToPlugin::Session(SessionToPlugin::Ended(failure)), _) => {
                    panic!("it ended: {failure:?}")
                }
                _ => {}
            }
        }
    }

    /// Begins to publish so many bytes; returns the memory, which is not yet written.
    pub(crate) fn publish(&mut self, tag: &str, make: Making, len: u64) -> Memory {
        let request = self.number();
        self.send(ShareToBroker::Publish {
            request,
            tag: tag.to_owned(),
            make,
            len,
        });
        self.memory()
    }

    /// Begins to make a share that does not exist.
    pub(crate) fn create<T: GateType>(&mut self, tag: &str, form: Form, len: u64) -> Memory {
        let request = self.number();
        self.send(ShareToBroker::Want {
            request,
            tag: tag.to_owned(),
            wanted: wanted::<T>(form),
            make: Some(making::<T>(form)),
            within: 20_000,
            had: None,
            trusts: false,
        });
        match self.told() {
            Told::Share(ShareToPlugin::Create { making, .. }, _) => {
                self.send(ShareToBroker::Make { making, len });
                self.memory()
            }
            other => panic!("it is not to make it: {other:?}"),
        }
    }

    /// The next memory that the broker gives it.
    pub(crate) fn memory(&mut self) -> Memory {
        match self.told() {
            Told::Share(ShareToPlugin::Write { making, len, .. }, mut descriptors) => {
                let file = File::from(descriptors.pop().expect("a file"));
                Memory { making, file, len }
            }
            other => panic!("no memory: {other:?}"),
        }
    }

    /// Reports it as written; returns the broker's answer.
    pub(crate) fn written(&mut self, memory: &Memory) -> Result<u64, (Code, String)> {
        self.send(ShareToBroker::Written {
            making: memory.making,
        });
        match self.told() {
            Told::Share(ShareToPlugin::Have { version, .. }, _) => Ok(version.version),
            Told::Share(ShareToPlugin::Dropped { failure, .. }, _) => Err(reason(&failure)),
            other => panic!("{other:?}"),
        }
    }

    /// Publishes these bytes, whatever they are.
    pub(crate) fn publish_bytes(&mut self, tag: &str, make: Making, bytes: &[u8]) {
        let memory = self.publish(tag, make, bytes.len() as u64);
        memory.write(bytes);
        self.written(&memory).expect("bytes are bytes");
    }

    /// Returns memory to a broker, claiming that an earlier broker gave it.
    pub(crate) fn return_memory(
        &mut self,
        tag: &str,
        make: Making,
        len: u64,
        file: Option<&OwnedFd>,
    ) -> Told {
        let record = ShareToBroker::Return {
            request: self.number(),
            tag: tag.to_owned(),
            make,
            name: VersionName {
                incarnation: 4711,
                number: 3,
            },
            len,
        };
        let bytes = ToBroker::from(record).encode().expect("a short record");
        let files: Vec<_> = file.iter().map(|file| file.as_fd()).collect();
        fdpass::send(self.raw.socket().as_fd(), &bytes, &files).expect("it is sent");
        self.told()
    }
}

impl Memory {
    /// Writes bytes at the beginning of the file, without a map.
    pub(crate) fn write(&self, bytes: &[u8]) {
        self.file.write_all_at(bytes, 0).expect("it can be written");
    }

    /// Writes to all of it.
    pub(crate) fn write_all(&self) {
        self.write(&vec![7; self.len as usize]);
    }
}

impl std::fmt::Debug for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Told::Share(record, files) => write!(f, "{record:?} with {} files", files.len()),
            Told::Refused(code, message) => write!(f, "{code}: {message}"),
        }
    }
}

pub(crate) fn reason(failure: &Failure) -> (Code, String) {
    let code = Code::from_u16(failure.code).expect("a code");
    (code, failure.message.clone())
}

/// The bytes of a value as the client writes them: an honest plugin shares it, and this reads the memory.
pub(crate) fn honest_bytes<T: GateType + ShareType>(bus: &Bus, value: &T) -> Vec<u8> {
    let plugin: Plugin = bus.plugin("honest");
    let tag = "Honest.Value";
    let _made = patient(&plugin).publish(tag, value).expect("published");
    let mut reader = Liar::named(bus, "reader-of-bytes");
    let request = reader.number();
    reader.send(ShareToBroker::Want {
        request,
        tag: tag.to_owned(),
        wanted: wanted::<T>(Form::Archive),
        make: None,
        within: 0,
        had: None,
        trusts: false,
    });
    match reader.told() {
        Told::Share(ShareToPlugin::Have { version, .. }, mut files) => {
            let mut bytes = vec![0; version.len as usize];
            let file = File::from(files.pop().expect("its memory"));
            file.read_exact_at(&mut bytes, 0).expect("it can be read");
            bytes
        }
        other => panic!("{other:?}"),
    }
}

/// The kernel's error for an operation that must not be possible any more.
#[track_caller]
pub(crate) fn refused<T>(what: &str, outcome: io::Result<T>) {
    match outcome {
        Ok(_) => panic!("{what} was possible"),
        Err(error) => assert_eq!(
            error.kind(),
            io::ErrorKind::PermissionDenied,
            "{what}: {error}"
        ),
    }
}
