//! Reads the control messages that the kernel writes beside a datagram from their bytes.
//!
//! `nix` refuses to read them when the kernel says that some did not fit (`MSG_CTRUNC`). The messages that did fit
//! are complete and valid then, and hold descriptors that somebody has to own: the kernel puts only descriptors into
//! a message that it has installed in this process, and the message's length says how many there are.
//!
//! ```text
//! 0 length u64, with this header    8 level i32    12 type i32    16 the data, up to the length
//! ```
//!
//! Each begins at a multiple of 8 bytes.

use std::os::fd::RawFd;

/// Length, level and type: the kernel's `struct cmsghdr`.
const HEADER: usize = size_of::<libc::cmsghdr>();
const WORD: usize = size_of::<u64>();

const _: () = assert!(HEADER == 16 && size_of::<RawFd>() == 4);

/// How many words a message with so many bytes of data takes.
pub(super) const fn words(data: usize) -> usize {
    (HEADER + data).div_ceil(WORD)
}

/// Control messages as the kernel wrote them. Only `receive` makes one of these, and tests that take no descriptors
/// out.
#[derive(Debug)]
pub(super) struct Messages<const WORDS: usize> {
    pub(super) control: [u64; WORDS],
    /// Bytes that the kernel wrote.
    pub(super) len: usize,
}

/// One control message.
#[derive(Debug)]
pub(super) enum Part<I> {
    /// Descriptors that were installed in this process.
    Rights(I),
    /// Who sent the datagram.
    Credentials {
        /// The process.
        pid: i32,
    },
}

impl<const WORDS: usize> Messages<WORDS> {
    /// All messages of the two kinds that we know. Other kinds carry nothing that must be owned.
    pub(super) fn parts(&self) -> Vec<Part<impl Iterator<Item = RawFd>>> {
        let mut parts = Vec::new();
        let mut at = 0;
        let end = self.len.min(WORDS * WORD);
        while at + HEADER <= end {
            let word = self.control[at / WORD];
            let kind = self.control[at / WORD + 1];
            let len = usize::try_from(word).unwrap_or(usize::MAX);
            let data_end = at.saturating_add(len).min(end);
            if len < HEADER {
                break;
            }
            let (level, kind) = (kind as u32 as i32, (kind >> 32) as u32 as i32);
            let (from, to) = ((at + HEADER) / 4, data_end / 4);
            match (level, kind) {
                (libc::SOL_SOCKET, libc::SCM_RIGHTS) => {
                    let numbers: Vec<RawFd> = (from..to).map(|at| self.half(at)).collect();
                    parts.push(Part::Rights(numbers.into_iter()));
                }
                // The first of three numbers: pid, uid, gid.
                (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) if from < to => {
                    let pid = self.half(from);
                    parts.push(Part::Credentials { pid });
                }
                _ => {}
            }
            at = data_end.next_multiple_of(WORD);
        }
        parts
    }

    /// The 32-bit number at byte `4 * at`.
    fn half(&self, at: usize) -> i32 {
        (self.control[at / 2] >> (32 * (at % 2))) as u32 as i32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(kind: i32) -> u64 {
        libc::SOL_SOCKET as u64 | (kind as u64) << 32
    }

    fn rights<const N: usize>(messages: &Messages<N>) -> Vec<Vec<RawFd>> {
        let parts = messages.parts().into_iter();
        let rights = parts.filter_map(|part| match part {
            Part::Rights(numbers) => Some(numbers.collect()),
            Part::Credentials { .. } => None,
        });
        rights.collect()
    }

    /// A message that the kernel has cut short is read up to its end. Descriptors that were overlooked would stay
    /// open for ever.
    #[test]
    fn what_was_cut_is_read_as_far_as_it_goes() {
        let sender = [28, header(libc::SCM_CREDENTIALS), 77, 0];
        let three = [28, header(libc::SCM_RIGHTS), 5 | 6 << 32, 7];
        let control: [u64; 8] = [sender, three].concat().try_into().unwrap();
        let whole = Messages { control, len: 64 };
        assert_eq!(rights(&whole), [[5, 6, 7]]);
        let pid = whole.parts().into_iter().find_map(|part| match part {
            Part::Credentials { pid } => Some(pid),
            Part::Rights(_) => None,
        });
        assert_eq!(pid, Some(77));
        let without_room = Messages { control, len: 32 };
        assert!(rights(&without_room).is_empty());
        let nothing = Messages { control, len: 0 };
        assert!(nothing.parts().is_empty());
    }

    /// Lengths that the kernel never writes end the walk: it does not leave the buffer or go on for ever.
    #[test]
    fn impossible_lengths_end_the_walk() {
        for len in [0, 3, 15, 1 << 20, u64::MAX] {
            let control = [len, header(libc::SCM_RIGHTS), 5 | 6 << 32, 7];
            let messages = Messages { control, len: 32 };
            assert!(messages.parts().len() <= 1, "{len}");
        }
    }
}
