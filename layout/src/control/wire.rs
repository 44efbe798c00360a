//! Encodes records as datagrams and decodes them.

use rkyv::rancor::{Failure as Invalid, Strategy};
use rkyv::util::AlignedVec;

use super::{ArchivedToBroker, ArchivedToPlugin, MAX_RECORD, ToBroker, ToPlugin, VERSION};

const MAGIC: [u8; 8] = *b"CALLGATE";
const HEADER_LEN: usize = 16;

/// Why a datagram is no record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// It does not begin with the magic bytes that datagrams of all versions have.
    #[error("not a Callgate record")]
    Foreign,
    /// It is of another version.
    #[error("the other side speaks protocol version {theirs}, this side {VERSION}")]
    Version {
        /// The version in the header.
        theirs: u32,
    },
    /// Its archive is damaged or forged.
    #[error("a damaged record: {0}")]
    Damaged(String),
}

macro_rules! codec {
    ($record:ty, $archived:ty) => {
        impl $record {
            /// The datagram for this record.
            pub fn encode(&self) -> Result<AlignedVec, DecodeError> {
                let mut bytes = AlignedVec::with_capacity(256);
                bytes.extend_from_slice(&header(VERSION));
                let bytes = rkyv::api::high::to_bytes_in(self, bytes).map_err(damaged)?;
                if bytes.len() > MAX_RECORD {
                    return Err(DecodeError::Damaged(format!("{} bytes long", bytes.len())));
                }
                Ok(bytes)
            }

            /// The record in a datagram. Whatever the bytes are, this neither panics nor
            /// allocates more than a small multiple of their number.
            pub fn decode(datagram: &[u8]) -> Result<Self, DecodeError> {
                let body = body(datagram)?;
                let archived =
                    rkyv::api::low::access::<$archived, Invalid>(&body).map_err(damaged)?;
                rkyv::api::deserialize_using(archived, Strategy::<_, Invalid>::wrap(&mut ()))
                    .map_err(damaged)
            }
        }
    };
}

codec!(ToBroker, ArchivedToBroker);
codec!(ToPlugin, ArchivedToPlugin);

/// The first 16 bytes of a datagram of this version of the protocol.
pub fn header(version: u32) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    header[..8].copy_from_slice(&MAGIC);
    header[8..12].copy_from_slice(&version.to_le_bytes());
    header
}

/// The archive behind a datagram's header, moved to where its alignment is right.
fn body(datagram: &[u8]) -> Result<AlignedVec, DecodeError> {
    let Some((head, archive)) = datagram.split_first_chunk::<HEADER_LEN>() else {
        return Err(DecodeError::Foreign);
    };
    if head[..8] != MAGIC {
        return Err(DecodeError::Foreign);
    }
    let theirs = u32::from_le_bytes([head[8], head[9], head[10], head[11]]);
    if theirs != VERSION {
        return Err(DecodeError::Version { theirs });
    }
    let mut body = AlignedVec::with_capacity(archive.len());
    body.extend_from_slice(archive);
    Ok(body)
}

/// Leaves rkyv's reason out: it names addresses in this process, and this text is sent to the other side.
fn damaged(_: Invalid) -> DecodeError {
    DecodeError::Damaged("its archive is not valid".to_owned())
}
