//! A desk: where the control thread puts the broker's answers for a thread that asks for a share.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, Ordering};

use callgate_layout::control::{ShareFit, VersionFacts};
use callgate_layout::shares::page::PageReader;
use callgate_layout::sys::futex;
use parking_lot::Mutex;

use super::waiting;
use crate::base::error::{Error, Result};

/// An answer of the broker.
pub(crate) enum News {
    /// The plugin has to make the share.
    Create { making: u64 },
    /// Memory for a version.
    Write {
        making: u64,
        len: u64,
        file: OwnedFd,
    },
    /// The plugin is a user of the share.
    Have(Box<Have>),
    /// A version that was asked for.
    Version(Box<(VersionFacts, OwnedFd)>),
    /// A part of a schema that was asked for.
    Part { total: u32, bytes: Vec<u8> },
    /// The request was granted.
    Done,
    /// The request was refused, or the making has ended.
    Failed(Error),
}

/// A share, as the broker describes it to a user.
pub(crate) struct Have {
    pub(crate) share: u64,
    pub(crate) facts: VersionFacts,
    pub(crate) fit: ShareFit,
    pub(crate) page: PageReader,
    pub(crate) memory: Option<OwnedFd>,
    /// Whether the share is persistent.
    pub(crate) persistent: bool,
}

/// The answers to one request. Its thread sleeps on the word.
#[derive(Default)]
pub(crate) struct Desk {
    word: AtomicU32,
    news: Mutex<VecDeque<News>>,
}

impl Desk {
    pub(crate) fn put(&self, news: News) {
        self.news.lock().push_back(news);
        self.word.fetch_add(1, Ordering::Release);
        futex::wake_private(&self.word);
    }

    /// The answers that were not taken.
    pub(in crate::session) fn rest(&self) -> VecDeque<News> {
        std::mem::take(&mut *self.news.lock())
    }

    /// Takes the next answer; `None` if none comes by then.
    ///
    /// # Errors
    ///
    /// If the answer is a failure, its error.
    pub(in crate::session) fn take(&self, until: u64) -> Result<Option<News>> {
        match waiting::wait(&self.word, until, || self.news.lock().pop_front()) {
            Some(News::Failed(error)) => Err(error),
            news => Ok(news),
        }
    }
}
