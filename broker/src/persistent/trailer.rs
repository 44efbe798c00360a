//! The trailer, which stands behind the value in a file: what is known of the version, and checksums.
//!
//! ```text
//! value | tag | maker | signature | schema | footer
//! ```
//!
//! The footer, little-endian, the last 112 bytes of the file:
//!
//! | offset | field | |
//! |---|---|---|
//! | 0 | u64 incarnation | of the share |
//! | 8 | u64 number | of the version |
//! | 16 | u64 length | of the value |
//! | 24 | u32 × 4 lengths | of tag, maker, signature, schema |
//! | 40 | u64 form | 0 archive, 1 slice |
//! | 48 | u128 bus | as in the file's name |
//! | 64 | u128 checksum | of the value |
//! | 80 | u128 checksum | of everything behind the value but this field |
//! | 96 | u64 version | of this format |
//! | 104 | u64 magic | |
//!
//! Both checksums are XXH3 of 128 bits. They show damage, not forgery: a process that can forge can write the whole file.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use callgate_layout::control::{
    Form, MAX_GATE_NAME, MAX_PLUGIN_NAME, MAX_SCHEMA, MAX_TEXT, VersionName, check_gate_name,
    check_plugin_name,
};
use xxhash_rust::xxh3::Xxh3;

use super::names::BusName;
use super::trouble::{Trouble, flaw};
use crate::shares::{Kept, LAST};

/// Bytes of the footer.
pub(super) const FOOTER: usize = 112;
/// The position of the trailer's checksum in the footer.
pub(super) const CHECKSUM: Range<usize> = 80..96;
/// The version of this format.
const FORMAT: u64 = 1;
const MAGIC: u64 = u64::from_le_bytes(*b"CGshare\n");
/// The greatest lengths of the four texts, in their order.
const MOST: [usize; 4] = [
    MAX_GATE_NAME,
    MAX_PLUGIN_NAME,
    MAX_TEXT,
    MAX_SCHEMA as usize,
];

/// What stands behind a value.
#[derive(Debug)]
pub(super) struct Trailer {
    pub(super) kept: Kept,
    pub(super) bus: BusName,
    /// The checksum of the value.
    pub(super) checksum: u128,
}

/// Returns the length of a version's trailer in bytes.
pub(super) fn length(kept: &Kept) -> u64 {
    let texts = texts(kept).map(<[u8]>::len);
    (texts.iter().sum::<usize>() + FOOTER) as u64
}

fn texts(kept: &Kept) -> [&[u8]; 4] {
    [
        kept.tag.as_bytes(),
        kept.maker.as_bytes(),
        kept.signature.as_bytes(),
        &kept.schema,
    ]
}

/// Returns the bytes of a trailer.
pub(super) fn encode(of: &Trailer) -> Vec<u8> {
    let kept = &of.kept;
    let texts = texts(kept);
    let mut footer = [0; FOOTER];
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        footer[at..at + bytes.len()].copy_from_slice(bytes);
        at += bytes.len();
    };
    for number in [kept.name.incarnation, kept.name.number, kept.len] {
        put(&number.to_le_bytes());
    }
    for text in texts {
        put(&(text.len() as u32).to_le_bytes());
    }
    put(&form_number(kept.form).to_le_bytes());
    for number in [of.bus.0, of.checksum, 0] {
        put(&number.to_le_bytes());
    }
    for number in [FORMAT, MAGIC] {
        put(&number.to_le_bytes());
    }
    let sum = checksum(&texts, &footer);
    footer[CHECKSUM].copy_from_slice(&sum.to_le_bytes());
    [&texts.concat()[..], &footer].concat()
}

/// The checksum of a trailer; the field of the checksum itself counts as zeros.
pub(super) fn checksum(texts: &[&[u8]], footer: &[u8; FOOTER]) -> u128 {
    let mut hasher = Xxh3::new();
    for text in texts {
        hasher.update(text);
    }
    let mut footer = *footer;
    footer[CHECKSUM].fill(0);
    hasher.update(&footer);
    hasher.digest128()
}

fn form_number(form: Form) -> u64 {
    match form {
        Form::Archive => 0,
        Form::Slice => 1,
        // Never written: twins are not saved. A file with this form would be refused when it is read, and the share made anew.
        Form::Json => 2,
    }
}

/// Reads numbers out of a footer.
#[derive(Debug)]
struct Fields<'a> {
    footer: &'a [u8; FOOTER],
}

impl Fields<'_> {
    fn bytes<const N: usize>(&self, at: usize) -> [u8; N] {
        std::array::from_fn(|byte| self.footer[at + byte])
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.bytes(at))
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.bytes(at))
    }

    fn u128(&self, at: usize) -> u128 {
        u128::from_le_bytes(self.bytes(at))
    }

    /// The lengths of the four texts; `None` if one of them is too great.
    fn lengths(&self) -> Option<[usize; 4]> {
        let lengths = [24, 28, 32, 36].map(|at| self.u32(at) as usize);
        let fits = lengths.iter().zip(MOST).all(|(len, most)| *len <= most);
        fits.then_some(lengths)
    }
}

/// Reads and checks the trailer of a file, which has `size` bytes. The value is not read.
pub(super) fn read(file: &File, size: u64) -> Result<Trailer, Trouble> {
    let Some(at) = size.checked_sub(FOOTER as u64) else {
        return flaw("it is too short");
    };
    let mut footer = [0; FOOTER];
    file.read_exact_at(&mut footer, at)?;
    let fields = Fields { footer: &footer };
    if fields.u64(104) != MAGIC {
        return flaw("its end is none of a share's");
    }
    if fields.u64(96) != FORMAT {
        return flaw("it has a format that this broker does not know");
    }
    let Some(lengths) = fields.lengths() else {
        return flaw("the lengths in its trailer cannot be right");
    };
    let (len, behind) = (fields.u64(16), lengths.iter().sum::<usize>());
    if len == 0 || len.checked_add((behind + FOOTER) as u64) != Some(size) {
        return flaw("its length is not what its trailer says");
    }
    let mut bytes = vec![0; behind];
    file.read_exact_at(&mut bytes, len)?;
    if checksum(&[&bytes], &footer) != fields.u128(80) {
        return flaw("the checksum of its trailer is wrong");
    }
    decode(&fields, &bytes, lengths)
}

/// Decodes a trailer from its fields and texts, after their checksum was checked.
fn decode(fields: &Fields<'_>, texts: &[u8], lengths: [usize; 4]) -> Result<Trailer, Trouble> {
    let mut rest = texts;
    let [tag, maker, signature, schema] = lengths.map(|len| {
        let (text, behind) = rest.split_at(len.min(rest.len()));
        rest = behind;
        text
    });
    let text = |bytes| std::str::from_utf8(bytes).map(str::to_owned);
    let (Ok(tag), Ok(maker), Ok(signature)) = (text(tag), text(maker), text(signature)) else {
        return flaw("the names in its trailer are no text");
    };
    let name = VersionName {
        incarnation: fields.u64(0),
        number: fields.u64(8),
    };
    let form = match fields.u64(40) {
        0 => Form::Archive,
        1 => Form::Slice,
        _ => return flaw("it has a form that is not kept"),
    };
    let is_number = (1..LAST).contains(&name.number);
    if check_gate_name(&tag).is_err() || check_plugin_name(&maker).is_err() || !is_number {
        return flaw("the names in its trailer are none that there can be");
    }
    let kept = Kept {
        tag: tag.into(),
        name,
        len: fields.u64(16),
        form,
        maker,
        signature,
        schema: schema.into(),
    };
    Ok(Trailer {
        kept,
        bus: BusName(fields.u128(48)),
        checksum: fields.u128(64),
    })
}
